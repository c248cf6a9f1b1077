"""`Listener`: one socket, one thread, a bounded number of cheap clients.

```
accept (paced, bounded) -> connection: head (bounded, deadline) -> Guard -> respond -> answer (deadline) -> end
                                                                     +-> open_stream: a WebSocket, until either side ends it
```
All clients share one thread and an event loop: a thousand that trickle their request byte by byte cost a bounded number of file
descriptors and no thread. A new client takes the place of the one that has been at its request longest, so that an honest
request, which comes in one piece, is answered even then. Nothing that a client does or leaves undone keeps the process from
ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

from edgeaff.closing import Closing
from edgeaff.errors import ArgumentError
from edgeaff.forking import ProcessBound
from edgeaff.listen.address import Access, in_clear, is_loopback, noted
from edgeaff.listen.guard import Guard
from edgeaff.listen.messages import BadRequest, Request, Response, parse_head, text_response

_log = logging.getLogger(__name__)
_SHARE_OF_HANDLES = 16  # of the file descriptors that the process may have, we take one in this many
_FEWEST_CONNECTIONS = 4
_BACKLOG = 1024  # the system's memory only; a client that finds it full comes again after a second
_RETRY_SECONDS = 1.0
_GOODBYE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for clients.

    Attributes:
        connections: most at once, streams included; fewer where the process may have few file descriptors.
        streams: most WebSockets at once.
        accepts_per_second: most new connections a second, after a burst of `connections`.
        head_bytes: most of a request.
        head_seconds: how long a request may take to arrive, a TLS handshake or token likewise.
        request_seconds: how long a connection may last that is no stream.
        stall_seconds: how long a stream may take nothing, or answer no ping.
        inbound_bytes_per_second: most that the client of a stream may send.
        send_buffer_bytes: what waits in the system for a slow client of a stream.
    """

    connections: int = 32
    streams: int = 16
    accepts_per_second: float = 1000.0
    head_bytes: int = 8192
    head_seconds: float = 5.0
    request_seconds: float = 10.0
    stall_seconds: float = 20.0
    inbound_bytes_per_second: int = 16_384
    send_buffer_bytes: int = 65_536


class Stream(Protocol):
    """The other side of a connection that stays open. All methods are called on the thread of the listener."""

    def received(self, data: bytes) -> None:
        """Takes what the client sent."""

    def paused(self) -> None:
        """Learns that the client is slow: what is written now has to wait in our memory."""

    def resumed(self) -> None:
        """Learns that it takes data again."""

    def lost(self) -> None:
        """Learns that the connection closed."""

    def end(self) -> None:
        """States goodbye: the listener closes."""


class Listener(ProcessBound, Closing):
    """Accepts connections and answers requests.

    Attributes:
        host: that it is bound to.
        port: that it listens on.
        url: http[s]://host:port.
        refused: how many requests were not answered as asked, for any reason.
        notices: what should be known of its safety, one sentence each; logged as warnings too.
    """

    def __init__(
        self,
        respond: Callable[[Request], Response],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        access: Access | None = None,
        limits: Limits | None = None,
        open_stream: Callable[[Request, asyncio.Transport, Listener], Stream | Response] | None = None,
        public: Collection[str] = (),
        name: str = "server",
    ) -> None:
        """Starts listening.

        Args:
            respond: gives the answer to a GET or HEAD; called on the thread of the listener, must not wait.
            host: address to listen on; the default is reachable from this machine only.
            port: port to listen on; 0 chooses a free one.
            access: who may come in, and with what encryption.
            limits: what clients may cost.
            open_stream: takes over the connection of a WebSocket request, or gives the answer that refuses it; None refuses all.
            public: paths that need no token.
            name: for messages and the thread.

        Raises:
            ArgumentError: the address cannot be listened on, or a part of `access` is not what it must be.
        """
        access = access or Access()
        self.limits = _within_handles(limits or Limits())
        self.guard = Guard(host, access, public=public)
        self._tls = access.tls_context()
        self._respond, self._open_stream, self._name = respond, open_stream, name
        self.refused = 0
        self._socket = _bind(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if access.is_encrypted else 'http'}://{shown}:{self.port}"
        self.notices = noted(*_notices(name, host, access))
        self.loop = asyncio.SelectorEventLoop()
        self._connections: dict[_Connection, None] = {}  # in the order of their arrival
        self._accepted: deque[float] = deque(maxlen=self.limits.connections)
        self._closing = False
        self.loop.add_reader(self._socket, self._accept)
        self._thread = threading.Thread(target=self._run, name=f"edgeaff-{name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening and ends all connections, in a second at most; may be called again."""
        if self._is_inherited:
            self._socket.close()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._end)
        if self._thread is not threading.current_thread():
            self._thread.join(1.0)

    def answer(self, request: Request, local_address: str) -> Response:
        """Returns the answer to a request that is no stream.

        Args:
            request: what was asked.
            local_address: of the connection, on our side.
        """
        refusal = self.guard.refusal(request, local_address)
        if refusal is not None:
            return refusal
        if request.method not in ("GET", "HEAD"):
            return text_response(405, "the methods are GET and HEAD", Allow="GET, HEAD")
        try:
            return self._respond(request)
        except Exception as error:  # noqa: BLE001 - any exception of the handler's code ends this request only
            _log.warning("%s: %s must be answered, got %s", self._name, request.path, type(error).__name__)
            return text_response(500, "this could not be answered")

    def stream(self, request: Request, transport: asyncio.Transport, local_address: str) -> Stream | Response:
        """Returns the stream that takes a connection over, or the answer that refuses it.

        Args:
            request: for a WebSocket.
            transport: of the connection.
            local_address: of the connection, on our side.
        """
        refusal = self.guard.refusal(request, local_address)
        if refusal is not None:
            return refusal
        if self._open_stream is None:
            return text_response(404, "there is no WebSocket here")
        if sum(connection.is_stream for connection in self._connections) >= self.limits.streams:
            return text_response(503, "there are too many clients", Retry_After="5")
        return self._open_stream(request, transport, self)

    def forget(self, connection: _Connection) -> None:
        """Removes a connection that has ended."""
        self._connections.pop(connection, None)
        if self._closing and not self._connections:
            self._stop()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    def _accept(self) -> None:
        for _ in range(8):
            if not self._has_pace():
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no file descriptor is left: the waiting connection would wake us for ever
                self._rest(_RETRY_SECONDS)
                return
            self._accepted.append(time.monotonic())
            self._admit(accepted)

    def _has_pace(self) -> bool:
        """Returns whether a connection may be accepted now; where not, the socket is looked at again when one may be."""
        if len(self._accepted) < self.limits.connections:
            return True
        wait = self._accepted[0] + len(self._accepted) / self.limits.accepts_per_second - time.monotonic()
        if wait > 0:
            self._rest(wait)
        return wait <= 0

    def _rest(self, seconds: float) -> None:
        self.loop.remove_reader(self._socket)
        self.loop.call_later(seconds, self._accept_again)

    def _accept_again(self) -> None:
        if not self._closing:
            self.loop.add_reader(self._socket, self._accept)

    def _admit(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        if len(self._connections) >= self.limits.connections:
            oldest = next((one for one in self._connections if not one.is_stream), None)
            if oldest is None:
                accepted.close()
                self.refused += 1
                return
            self.refused += 1
            oldest.drop()
        connection = _Connection(self, accepted)
        self._connections[connection] = None
        connection.attach(self._tls)

    def _end(self) -> None:
        if self._closing:
            return
        self._closing = True
        self.loop.remove_reader(self._socket)
        self._socket.close()
        for connection in list(self._connections):
            connection.end()
        if self._connections:
            self.loop.call_later(_GOODBYE_SECONDS, self._drop_all)
        else:
            self._stop()

    def _drop_all(self) -> None:
        for connection in list(self._connections):
            connection.drop()  # the last one stops the loop

    def _stop(self) -> None:
        self.loop.call_later(0.01, self.loop.stop)  # after what the dropped connections still have to do


class _Connection(asyncio.Protocol):
    """One client, from its first byte to its end."""

    def __init__(self, listener: Listener, accepted: socket.socket) -> None:
        self._listener, self._socket = listener, accepted
        self._local_address = str(accepted.getsockname()[0])
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._stream: Stream | None = None
        self._answered = False
        limits = listener.limits
        self._deadline = listener.loop.call_later(limits.head_seconds, self.drop)
        self._task: asyncio.Task[object] | None = None

    @property
    def is_stream(self) -> bool:
        """True after a stream took it over."""
        return self._stream is not None

    def attach(self, tls: ssl.SSLContext | None) -> None:
        """Begins to read, after the TLS handshake where there is one."""
        self._task = self._listener.loop.create_task(self._attach(tls))

    async def _attach(self, tls: ssl.SSLContext | None) -> None:
        seconds = self._listener.limits.head_seconds if tls is not None else None
        try:
            await self._listener.loop.connect_accepted_socket(
                lambda: self, self._socket, ssl=tls, ssl_handshake_timeout=seconds
            )
        except (OSError, ValueError, asyncio.CancelledError):  # the handshake failed, or it was dropped meanwhile
            self._socket.close()
            self._over()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Takes bytes of the request, or of the stream."""
        if self._stream is not None:
            self._stream.received(data)
            return
        if self._answered:
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        limit = self._listener.limits.head_bytes
        if end < 0 and len(self._head) <= limit:
            return
        if not 0 <= end <= limit:
            self._finish(text_response(431, f"a request must have at most {limit} bytes"))
            return
        self._handle(bytes(self._head[: end + 4]), bytes(self._head[end + 4 :]))

    def _handle(self, head: bytes, rest: bytes) -> None:
        assert self._transport is not None
        try:
            request = parse_head(head)
        except BadRequest as error:
            self._finish(text_response(error.status, str(error)))
            return
        if not request.is_upgrade:
            self._finish(self._listener.answer(request, self._local_address), with_body=request.method != "HEAD")
            return
        opened = self._listener.stream(request, self._transport, self._local_address)
        if isinstance(opened, Response):
            self._finish(opened)
            return
        self._deadline.cancel()
        self._stream = opened
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._listener.limits.send_buffer_bytes)
        self._transport.set_write_buffer_limits(high=self._listener.limits.send_buffer_bytes)
        if rest:
            opened.received(rest)

    def _finish(self, response: Response, *, with_body: bool = True) -> None:
        assert self._transport is not None
        self._answered = True
        self._listener.refused += response.status >= 400 and response.status != 503
        self._deadline.cancel()
        limits = self._listener.limits
        self._deadline = self._listener.loop.call_later(limits.request_seconds - limits.head_seconds, self.drop)
        self._transport.write(response.encode(with_body=with_body))
        self._transport.close()  # when all is sent

    def pause_writing(self) -> None:
        """Passes on that the client is slow."""
        if self._stream is not None:
            self._stream.paused()

    def resume_writing(self) -> None:
        """Passes on that it takes data again."""
        if self._stream is not None:
            self._stream.resumed()

    def connection_lost(self, error: Exception | None) -> None:
        """Passes on that the client closed."""
        self._over()

    def end(self) -> None:
        """Ends it in an orderly way, as far as the client takes part."""
        if self._stream is not None:
            self._stream.end()
        elif self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()
        elif self._task is not None:
            self._task.cancel()
        self._listener.forget(self)

    def _over(self) -> None:
        self._deadline.cancel()
        self._listener.forget(self)
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.lost()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), port))
        listening.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ArgumentError(
            f"host and port must be free to listen on, got {host}:{port} ({reason}); choose another port."
        ) from error
    listening.setblocking(False)
    return listening


def _within_handles(limits: Limits) -> Limits:
    """Returns the limits with no more connections than leave the rest of the process its file descriptors."""
    try:
        import resource
    except ImportError:  # no such limit here
        return limits
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        return limits
    connections = min(limits.connections, max(_FEWEST_CONNECTIONS, soft // _SHARE_OF_HANDLES))
    return replace(limits, connections=connections, streams=min(limits.streams, max(1, connections - 2)))


def _notices(name: str, host: str, access: Access) -> list[str]:
    if is_loopback(host):
        return []
    notices = []
    if not access.is_encrypted:
        clear = in_clear(f"{name}: {host} can be reached from other machines; its answers", host)
        notices.append(f"{clear} Add cert=FILE&key=FILE for TLS.")
    if access.token is None and access.client_ca is None:
        notices.append(
            f"{name}: {host} can be reached from other machines and asks nobody for a token; add token_file=FILE."
        )
    return notices

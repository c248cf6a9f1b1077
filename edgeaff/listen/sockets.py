"""`Broadcast`: a WebSocket server that sends every text to every client, and lets no client hold up another or the sender."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from edgeaff.closing import Closing
from edgeaff.errors import BackendUnavailableError
from edgeaff.listen.address import Access
from edgeaff.listen.messages import Request, Response, text_response
from edgeaff.listen.server import Limits, Listener

_LARGEST_MESSAGE = 4096  # from a client: a token at most
_GOING_AWAY, _POLICY_VIOLATION = 1001, 1008


class Broadcast(Closing):
    """Sends texts to all clients. A slow client gets the newest text when it can take one again; what it missed is counted.

    Attributes:
        skipped: texts that slow clients missed.
        notices: what should be known of its safety.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        access: Access | None = None,
        limits: Limits | None = None,
        name: str = "websocket",
    ) -> None:
        """Starts the server.

        Args:
            host: address to listen on; the default is reachable from this machine only.
            port: port to listen on; 0 chooses a free one.
            access: who may come in, and with what encryption.
            limits: what clients may cost.
            name: for messages and the thread.

        Raises:
            BackendUnavailableError: the package websockets is not installed.
            ArgumentError: the address cannot be listened on.
        """
        try:
            import websockets.server
        except ImportError as error:
            raise BackendUnavailableError(
                f"a WebSocket server needs websockets, got: {error}; run `pip install 'edgeaff[serve]'`."
            ) from error
        self._protocol_kind: Any = websockets.server.ServerProtocol
        self.skipped = 0
        self._streams: set[_WebSocket] = set()
        self._lock = threading.Lock()
        self._newest: str | None = None  # what the listener's thread has not seen yet
        self._unseen = 0
        self._listener = Listener(
            lambda request: text_response(426, "this is a WebSocket", Upgrade="websocket"),
            host=host, port=port, access=access, limits=limits, open_stream=self._open, name=name,
        )  # fmt: skip
        self._listener.loop.call_soon_threadsafe(self._look_after_clients)

    @property
    def host(self) -> str:
        """The address that it is bound to."""
        return self._listener.host

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._listener.port

    @property
    def url(self) -> str:
        """ws[s]://host:port."""
        return "ws" + self._listener.url.removeprefix("http")

    @property
    def notices(self) -> list[str]:
        """What should be known of its safety, one sentence each."""
        return self._listener.notices

    @property
    def clients(self) -> int:
        """How many clients there are."""
        return len(self._streams)

    def publish(self, text: str) -> None:
        """Offers a text to all clients; never waits, and never grows a queue."""
        with self._lock:
            first = self._newest is None
            self._unseen += not first
            self._newest = text
        if first:
            try:
                self._listener.loop.call_soon_threadsafe(self._send_newest)
            except RuntimeError:  # closed
                return

    def close(self) -> None:
        """Stops the server and its clients; may be called again."""
        self._listener.close()

    # --- on the listener's thread -------------------------------------------------------------------------------------

    def _open(self, request: Request, transport: asyncio.Transport, listener: Listener) -> _WebSocket | Response:
        protocol = self._protocol_kind(max_size=_LARGEST_MESSAGE)
        protocol.receive_data(request.raw)
        asked = protocol.events_received()
        if not asked:
            return text_response(400, "this is no WebSocket handshake")
        answer = protocol.accept(asked[0])
        if answer.status_code != 101:
            return text_response(answer.status_code, "this is no WebSocket handshake of version 13")
        protocol.send_response(answer)
        opened = _WebSocket(self, protocol, transport, listener, trusted=listener.guard.shows_token(request))
        self._streams.add(opened)
        return opened

    def leave(self, stream: _WebSocket) -> None:
        """Forgets a client that is gone."""
        self._streams.discard(stream)

    def _send_newest(self) -> None:
        with self._lock:
            text, missed = self._newest, self._unseen
            self._newest, self._unseen = None, 0
        data = (text or "").encode("utf-8", "backslashreplace")
        for stream in list(self._streams):
            self.skipped += missed
            stream.offer(data)

    def _look_after_clients(self) -> None:
        period = self._listener.limits.stall_seconds / 4
        for stream in list(self._streams):
            stream.look(period)
        self._listener.loop.call_later(period, self._look_after_clients)


class _WebSocket:
    """One client."""

    def __init__(
        self, broadcast: Broadcast, protocol: Any, transport: asyncio.Transport, listener: Listener, *, trusted: bool
    ) -> None:
        self._broadcast, self._protocol, self._transport = broadcast, protocol, transport
        self._listener, self._trusted = listener, trusted
        self._is_slow, self._waiting = False, b""
        self._silent_seconds = self._slow_seconds = 0.0
        self._received_bytes = 0
        self._deadline = None if trusted else listener.loop.call_later(listener.limits.head_seconds, self._turn_away)
        self._flush()

    def offer(self, data: bytes) -> None:
        """Sends a text, now or, if it is the newest by then, when the client takes data again."""
        if not self._trusted:
            return
        if self._is_slow:
            self._broadcast.skipped += bool(self._waiting)
            self._waiting = data
            return
        self._send(data)

    def look(self, seconds: float) -> None:
        """Ends a client that has taken or said nothing for too long; asks the others whether they are there."""
        self._received_bytes = 0
        self._silent_seconds += seconds
        self._slow_seconds = self._slow_seconds + seconds if self._is_slow else 0.0
        limit = self._listener.limits.stall_seconds
        if self._slow_seconds > limit or self._silent_seconds > 2 * limit:
            self._transport.abort()
        elif self._silent_seconds >= limit / 2 and not self._is_slow and self._is_open:
            self._protocol.send_ping(b"")
            self._flush()

    def received(self, data: bytes) -> None:
        """Takes what the client sent: pongs, a token, its goodbye."""
        self._silent_seconds = 0.0
        self._received_bytes += len(data)
        limits = self._listener.limits
        if self._received_bytes > limits.inbound_bytes_per_second * max(1.0, limits.stall_seconds / 4):
            self._transport.abort()
            return
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if not self._trusted and frame.opcode.name == "TEXT":
                self._judge(bytes(frame.data))
        self._flush()
        if self._protocol.close_expected():
            self._leave()

    def paused(self) -> None:
        """Learns that the client is slow."""
        self._is_slow = True

    def resumed(self) -> None:
        """Learns that it takes data again, and sends the newest text."""
        self._is_slow = False
        data, self._waiting = self._waiting, b""
        if data:
            self._send(data)

    def lost(self) -> None:
        """Learns that the client is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._broadcast.leave(self)

    def end(self) -> None:
        """Says goodbye."""
        self._say_goodbye(_GOING_AWAY)
        self._leave()

    @property
    def _is_open(self) -> bool:
        return self._protocol.state.name == "OPEN"

    def _judge(self, token: bytes) -> None:
        if self._listener.guard.is_token(token):
            self._trusted = True
            if self._deadline is not None:
                self._deadline.cancel()
        else:
            self._turn_away()

    def _turn_away(self) -> None:
        self._listener.refused += 1
        self._say_goodbye(_POLICY_VIOLATION)
        self._leave()

    def _leave(self) -> None:
        """Ends the connection when all is sent, or after a while."""
        self._transport.close()
        self._listener.loop.call_later(self._listener.limits.head_seconds, self._transport.abort)

    def _say_goodbye(self, code: int) -> None:
        if self._is_open:
            self._protocol.send_close(code)
            self._flush()

    def _send(self, data: bytes) -> None:
        if self._is_open and not self._transport.is_closing():
            self._protocol.send_text(data)
            self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():  # b"" is the end
                self._transport.write_eof()

"""`Broadcast`: a WebSocket server that sends every text to every client; no client delays another or the sender."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from edgeaff.closing import Closing
from edgeaff.listen.address import Access
from edgeaff.listen.messages import Request, Response, text_response
from edgeaff.listen.server import Limits, Listener
from edgeaff.listen.websocket import WebSocket, server_protocol, shake_hands


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
        self._protocol_kind = server_protocol()
        self.skipped = 0
        self._streams: set[_Client] = set()
        self._lock = threading.Lock()
        self._newest: str | None = None  # what the listener's thread has not seen yet
        self._unseen = 0
        self._listener = Listener(
            lambda request: text_response(426, "this is a WebSocket", Upgrade="websocket"),
            host=host,
            port=port,
            access=access,
            limits=limits,
            open_stream=self._open,
            name=name,
        )
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
        """Security warnings, one sentence each."""
        return self._listener.notices

    @property
    def clients(self) -> int:
        """Number of clients."""
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

    def _open(self, request: Request, transport: asyncio.Transport, listener: Listener) -> _Client | Response:
        protocol = shake_hands(self._protocol_kind, request)
        if isinstance(protocol, Response):
            return protocol
        opened = _Client(self, protocol, transport, listener, trusted=listener.guard.shows_token(request))
        self._streams.add(opened)
        return opened

    def leave(self, stream: _Client) -> None:
        """Forgets a client that disconnected."""
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


class _Client(WebSocket):
    """One client: it gets every text, or the newest when it is slow."""

    def __init__(
        self, broadcast: Broadcast, protocol: Any, transport: asyncio.Transport, listener: Listener, *, trusted: bool
    ) -> None:
        self._broadcast, self._waiting = broadcast, b""
        super().__init__(protocol, transport, listener, trusted=trusted)

    def offer(self, data: bytes) -> None:
        """Sends a text, now or, if it is the newest by then, when the client takes data again."""
        if not self.is_trusted:
            return
        if self.is_slow:
            self._broadcast.skipped += bool(self._waiting)
            self._waiting = data
            return
        self.send_text(data)

    def room(self) -> None:
        """Sends the newest text."""
        data, self._waiting = self._waiting, b""
        if data:
            self.send_text(data)

    def gone(self) -> None:
        """Leaves the server."""
        self._broadcast.leave(self)

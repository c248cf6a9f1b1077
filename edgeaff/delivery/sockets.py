"""Sinks that send JSON over the network: UDP datagrams, and a WebSocket server. Nothing here is opened unless asked for."""

from __future__ import annotations

import socket
import threading
from typing import Any

from edgeaff.delivery.files import event_json
from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.types import AffectEvent


class UdpSink:
    """One datagram per event: the JSON of `event_json`. Never waits; a datagram that cannot go at once is an OSError."""

    def __init__(self, host: str, port: int) -> None:
        """Opens the socket.

        Args:
            host: name or address of the receiver.
            port: its port.

        Raises:
            ArgumentError: the receiver's name cannot be resolved.
        """
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except (OSError, OverflowError) as error:
            raise ArgumentError(f"host and port must name a receiver, got {host}:{port} ({error}); check both.") from error
        self._address: Any = address
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)

    def write(self, event: AffectEvent) -> None:
        """Sends one event. A receiver that is not there is no error: UDP does not know."""
        try:
            self._socket.sendto(event_json(event).encode(), self._address)
        except ConnectionRefusedError:
            return  # the answer to an earlier datagram; this one is gone as well

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


class WebSocketSink:
    """A WebSocket server that sends every event as one JSON text message to every client.

    Each client has its own thread and waits for the newest event it has not had yet: a slow client skips events (counted),
    and holds up neither the others nor the caller.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8765) -> None:
        """Starts the server.

        Args:
            host: address to listen on; the default is reachable from this machine only.
            port: port to listen on; 0 chooses a free one.

        Raises:
            BackendUnavailableError: the package websockets is not installed.
            ArgumentError: the address cannot be listened on.
        """
        try:
            from websockets.sync.server import serve
        except ImportError as error:
            raise BackendUnavailableError(
                f"WebSocketSink needs websockets, got: {error}; run `pip install 'edgeaff[serve]'`."
            ) from error
        self._changed = threading.Condition()
        self._number, self._text, self._closing = 0, "", False
        self.skipped = 0
        try:
            self._server = serve(self._serve_client, host, port)
        except OSError as error:
            raise ArgumentError(
                f"host and port must be free to listen on, got {host}:{port} ({error.strerror}); choose another port."
            ) from error
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="edgeaff-websocket", daemon=True)
        self._thread.start()

    def write(self, event: AffectEvent) -> None:
        """Offers one event to all clients; never waits."""
        with self._changed:
            self._number, self._text = self._number + 1, event_json(event)
            self._changed.notify_all()

    def close(self) -> None:
        """Stops the server and its clients."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._server.shutdown()
        self._thread.join(1.0)

    def _serve_client(self, client: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        with self._changed:
            seen = self._number
        try:
            while (news := self._news_after(seen)) is not None:
                seen, text = news
                client.send(text)
        except ConnectionClosed:
            return

    def _news_after(self, seen: int) -> tuple[int, str] | None:
        """Returns number and text of the first event seen after number `seen`, waiting for it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._number > seen or self._closing)
            if self._closing:
                return None
            self.skipped += self._number - seen - 1
            return self._number, self._text

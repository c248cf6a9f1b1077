"""Sinks that send JSON over the network: UDP datagrams, and a WebSocket server. Nothing here is opened unless asked for."""

from __future__ import annotations

import socket
from typing import Any

from edgeaff.delivery.files import EventEncoder
from edgeaff.errors import ArgumentError
from edgeaff.listen.address import Access, in_clear, noted
from edgeaff.listen.server import Limits
from edgeaff.listen.sockets import Broadcast
from edgeaff.types import AffectEvent, ChangeEvent


class UdpSink(EventEncoder):
    """One datagram per event: the JSON of `event_json`. Never waits; a datagram that cannot go at once is an OSError."""

    takes_changes = True

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
            raise ArgumentError(
                f"host and port must name a receiver, got {host}:{port} ({error}); check both."
            ) from error
        self._address: Any = address
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)
        self.notices = noted(in_clear(f"udp://{host}:{port}: events", str(address[0])))

    def write(self, event: AffectEvent | ChangeEvent) -> None:
        """Sends one event. A receiver that is not there is no error: UDP does not know."""
        try:
            self._socket.sendto(self.as_json(event).encode(), self._address)
        except ConnectionRefusedError:
            return  # the answer to an earlier datagram; this one is gone as well

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()


class WebSocketSink(EventEncoder):
    """A WebSocket server that sends every event as one JSON text message to every client.

    A slow client skips events (counted), and holds up neither the others nor the caller. Pages of other origins are refused.
    """

    takes_changes = True

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8765,
        *,
        access: Access | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Starts the server.

        Args:
            host: address to listen on; the default is reachable from this machine only.
            port: port to listen on; 0 chooses a free one.
            access: who may come in, and with what encryption.
            limits: what clients may cost.
        """
        self._server = Broadcast(host=host, port=port, access=access, limits=limits)
        self.port, self.url, self.notices = self._server.port, self._server.url, self._server.notices

    @property
    def skipped(self) -> int:
        """How many events slow clients missed."""
        return self._server.skipped

    def write(self, event: AffectEvent | ChangeEvent) -> None:
        """Offers one event to all clients; never waits."""
        self._server.publish(self.as_json(event))

    def close(self) -> None:
        """Stops the server and its clients; may be called again."""
        self._server.close()

"""`WebSocket`: one client of a server, from the handshake to the close; disconnects slow, silent and hostile clients."""

from __future__ import annotations

import asyncio
from typing import Any

from edgeaff.errors import BackendUnavailableError
from edgeaff.listen.messages import Request, text_response
from edgeaff.listen.server import Listener

_LARGEST_MESSAGE = 4096  # from a client: a token at most
_GOING_AWAY, POLICY_VIOLATION = 1001, 1008


def server_protocol() -> Any:
    """Returns the class of the package websockets that reads and writes frames.

    Raises:
        BackendUnavailableError: the package is not installed.
    """
    try:
        import websockets.server
    except ImportError as error:
        raise BackendUnavailableError(
            f"a WebSocket server needs websockets, got: {error}; run `pip install 'edgeaff[serve]'`."
        ) from error
    return websockets.server.ServerProtocol


def shake_hands(kind: Any, request: Request) -> Any:
    """Returns the protocol of a connection that becomes a WebSocket, its answer ready to be sent; a Response where it cannot.

    Args:
        kind: what `server_protocol` returns.
        request: the handshake.
    """
    protocol = kind(max_size=_LARGEST_MESSAGE)
    protocol.receive_data(request.raw)
    asked = protocol.events_received()
    if not asked:
        return text_response(400, "this is no WebSocket handshake")
    answer = protocol.accept(asked[0])
    if answer.status_code != 101:
        return text_response(answer.status_code, "this is no WebSocket handshake of version 13")
    protocol.send_response(answer)
    return protocol


class WebSocket:
    """One client. Children give `token_in`, and what happens when it is `admitted`, has `room` again or is `gone`.

    Attributes:
        is_trusted: whether it has shown the token, or none is requested.
        is_slow: whether what is written now has to wait in our memory.
    """

    refusal_code = POLICY_VIOLATION  # of the goodbye to a client that shows no token, or a wrong one

    def __init__(self, protocol: Any, transport: asyncio.Transport, listener: Listener, *, trusted: bool) -> None:
        """Sends the answer to the handshake.

        Args:
            protocol: from `shake_hands`.
            transport: of the connection.
            listener: that accepted it.
            trusted: whether the client may read without a token as its first message.
        """
        self._protocol, self._transport, self._listener = protocol, transport, listener
        self.is_trusted, self.is_slow = trusted, False
        self._silent_seconds = self._slow_seconds = 0.0
        self._received_bytes = 0
        self._deadline = None if trusted else listener.loop.call_later(listener.limits.head_seconds, self._turn_away)
        self._flush()

    # --- for children -------------------------------------------------------------------------------------------------

    def token_in(self, message: bytes) -> bytes:
        """Returns the token in the first message of a client."""
        return message

    def admitted(self) -> None:
        """Learns that the client may read from now on."""

    def room(self) -> None:
        """Learns that a slow client takes data again."""

    def gone(self) -> None:
        """Learns that the client closed."""

    def send_text(self, data: bytes) -> None:
        """Sends UTF-8 text; what a slow client does not take waits in our memory."""
        if self._is_open and not self._transport.is_closing():
            self._protocol.send_text(data)
            self._flush()

    def send_binary(self, data: bytes) -> None:
        """Sends bytes; as `send_text`."""
        if self._is_open and not self._transport.is_closing():
            self._protocol.send_binary(data)
            self._flush()

    def say_goodbye(self, code: int, reason: str = "") -> None:
        """Ends it in an orderly way, as far as the client takes part. reason: up to 123 bytes."""
        if self._is_open:
            self._protocol.send_close(code, reason)
            self._flush()
        self._leave()

    # --- for the server -----------------------------------------------------------------------------------------------

    def look(self, seconds: float) -> None:
        """Ends a client that has taken or sent nothing for too long; pings the others.

        Args:
            seconds: since the last look.
        """
        self._received_bytes = 0
        self._silent_seconds += seconds
        self._slow_seconds = self._slow_seconds + seconds if self.is_slow else 0.0
        limit = self._listener.limits.stall_seconds
        if self._slow_seconds > limit or self._silent_seconds > 2 * limit:
            self._transport.abort()
        elif self._silent_seconds >= limit / 2 and not self.is_slow and self._is_open:
            self._protocol.send_ping(b"")
            self._flush()

    # --- for the listener ---------------------------------------------------------------------------------------------

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
            if not self.is_trusted and frame.opcode.name == "TEXT":
                self._judge(bytes(frame.data))
        self._flush()
        if self._protocol.close_expected():
            self._leave()

    def paused(self) -> None:
        """Learns that the client is slow."""
        self.is_slow = True

    def resumed(self) -> None:
        """Learns that it takes data again."""
        self.is_slow = False
        self.room()

    def lost(self) -> None:
        """Learns that the connection closed."""
        if self._deadline is not None:
            self._deadline.cancel()
        self.gone()

    def end(self) -> None:
        """Ends it in an orderly way: the listener closes."""
        self.say_goodbye(_GOING_AWAY)

    @property
    def _is_open(self) -> bool:
        return bool(self._protocol.state.name == "OPEN")

    def _judge(self, message: bytes) -> None:
        if not self._listener.guard.is_token(self.token_in(message)):
            self._turn_away()
            return
        self.is_trusted = True
        if self._deadline is not None:
            self._deadline.cancel()
        self.admitted()

    def _turn_away(self) -> None:
        self._listener.refused += 1
        self.say_goodbye(self.refusal_code)

    def _leave(self) -> None:
        """Ends the connection when all is sent, or after a while."""
        self._transport.close()
        self._listener.loop.call_later(self._listener.limits.head_seconds, self._transport.abort)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._transport.can_write_eof():  # b"" is the end
                self._transport.write_eof()

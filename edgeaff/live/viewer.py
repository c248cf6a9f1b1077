"""`Viewer`: one watching page. It gets the newest ticks; missed ticks are counted, and history fills the remaining bandwidth."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from edgeaff.listen.server import Listener
from edgeaff.listen.websocket import WebSocket
from edgeaff.live.history import Ring
from edgeaff.live.protocol import WRONG_TOKEN, Skipped, encode, token_of

MOST_NOTES = 64  # status events that wait for a slow viewer; then the oldest go


class Host(Protocol):
    """The server of a viewer."""

    ring: Ring

    def join(self, viewer: Viewer) -> None:
        """Takes a viewer that has shown the token."""

    def leave(self, viewer: Viewer) -> None:
        """Forgets a viewer."""


class Viewer(WebSocket):
    """One page. All on the thread of the listener.

    Attributes:
        skipped: ticks that it missed so far.
    """

    refusal_code = WRONG_TOKEN

    def __init__(self, host: Host, protocol: Any, transport: asyncio.Transport, listener: Listener) -> None:
        """Sends the answer to the handshake and nothing else before the token."""
        self._host = host
        self.skipped = 0
        self._missed = 0  # of them not reported yet
        self._ticks: tuple[int, bytes] | None = None
        self._notes: deque[bytes] = deque(maxlen=MOST_NOTES)
        self._health, self._images = b"", list[bytes]()
        self._past_end = 0  # rows before this one are still to be sent
        super().__init__(protocol, transport, listener, trusted=False)

    def token_in(self, message: bytes) -> bytes:
        """Returns the token in `{"token": "..."}`."""
        return token_of(message)

    def admitted(self) -> None:
        """Joins the server."""
        self._host.join(self)

    def greet(self, hello: bytes, notes: list[bytes], past_end: int) -> None:
        """Sends what comes first.

        Args:
            hello: the first message.
            notes: status events of the past.
            past_end: number behind the last row of the past.
        """
        self.send_text(hello)
        self._notes.extend(notes)
        self._past_end = past_end
        self.room()

    def offer_ticks(self, count: int, data: bytes) -> None:
        """Sends ticks; of those that wait already only the number is kept."""
        if self._ticks is not None:
            self.skipped += self._ticks[0]
            self._missed += self._ticks[0]
        self._ticks = (count, data)
        self.room()

    def offer_note(self, data: bytes) -> None:
        """Sends a status event."""
        self._notes.append(data)
        self.room()

    def offer_health(self, data: bytes) -> None:
        """Sends the newest health."""
        self._health = data
        self.room()

    def offer_images(self, images: list[bytes]) -> None:
        """Sends images; those that wait already are dropped."""
        self._images = images
        self.room()

    def room(self) -> None:
        """Sends what waits while the client takes it: ticks first, the past last."""
        while not self.is_slow and self.is_trusted and self._send_next():
            pass

    def gone(self) -> None:
        """Leaves the server."""
        self._host.leave(self)

    def _send_next(self) -> bool:
        if self._ticks is not None:
            (_, data), self._ticks = self._ticks, None
            if self._missed:
                self.send_text(encode(Skipped(self._missed, self.skipped)))
                self._missed = 0
            self.send_text(data)
        elif self._notes:
            self.send_text(self._notes.popleft())
        elif self._health:
            data, self._health = self._health, b""
            self.send_text(data)
        elif self._images:
            self.send_binary(self._images.pop(0))
        elif self._past_end > self._host.ring.first:
            piece = self._host.ring.piece(self._past_end)
            self._past_end = 0 if piece.complete else piece.first
            self.send_text(encode(piece))
        else:
            return False
        return True

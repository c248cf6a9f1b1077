"""`Ring`: the ticks of the last ten minutes in columns, in bounded memory."""

from __future__ import annotations

import base64

import numpy as np

from edgeaff.live.protocol import EXACT, VALUES, History, values_of
from edgeaff.types import AffectEvent

HISTORY_SECONDS = 600
PIECE_ROWS = 600  # of one message: about 90 kB


class Ring:
    """Keeps the newest rows. A row keeps its number for ever: the first tick of the session is row 0.

    Attributes:
        capacity: rows that are kept.
        end: number of the next row.
    """

    def __init__(self, capacity: int) -> None:
        """Makes an empty ring.

        Args:
            capacity: rows to keep, at least 1.
        """
        self.capacity, self.end = capacity, 0
        self._exact = np.zeros(
            (capacity, len(EXACT)), np.int64
        )  # pages of zeros take no memory before they are written
        self._values = np.zeros((capacity, len(VALUES)), np.float32)

    @property
    def first(self) -> int:
        """Number of the oldest row that is kept."""
        return max(0, self.end - self.capacity)

    def append(self, event: AffectEvent) -> list[float | None]:
        """Returns the row of an event as a message has it, after keeping it."""
        values = values_of(event)
        place = self.end % self.capacity
        self._exact[place] = [getattr(event, name) for name in EXACT]
        self._values[place] = [np.nan if value is None else value for value in values]
        self.end += 1
        return [
            *(int(number) for number in self._exact[place]),
            *(value if value is None else round(value, 4) for value in values),
        ]

    def rows(self, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns copies of some rows.

        Args:
            first: number of the first one, at least `self.first`.
            end: number behind the last one, at most `self.end`.

        Returns:
            (n, 2) int64 of EXACT, (n, columns) float32 of VALUES.
        """
        places = np.arange(first, end) % self.capacity
        return self._exact[places], self._values[places]

    def piece(self, end: int, *, most: int = PIECE_ROWS) -> History:
        """Returns the rows before a number as a message.

        Args:
            end: number behind the last row wanted.
            most: rows at most.
        """
        end = min(end, self.end)
        first = max(self.first, end - most)
        exact, values = self.rows(min(first, end), end)
        return History(
            first=min(first, end),
            rows=len(exact),
            exact=base64.b64encode(exact.astype("<f8").tobytes()).decode(),
            values=base64.b64encode(values.astype("<f4").tobytes()).decode(),
            complete=first >= end or first == self.first,
        )

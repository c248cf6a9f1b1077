"""Memory that a child and its parent share: which input is being taken, since when, and how many went before."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass

_FIELDS = struct.Struct("<QQQQQQQQ")
_START = 128
_MOST_BYTES = 16 << 20


@dataclass
class State:
    """What stands on a board.

    Attributes:
        index: of the input that is taken, or was last.
        running: 1 while it is.
        started_ns: monotonic time at which it began.
        length: of it.
        refused: inputs that raised an error of the tree.
        taken: inputs that were used.
        slowest_ns: most processor time of one input.
        peak_kib: highest resident memory.
    """

    index: int = 0
    running: int = 0
    started_ns: int = 0
    length: int = 0
    refused: int = 0
    taken: int = 0
    slowest_ns: int = 0
    peak_kib: int = 0


class Board:
    """A board; made before the fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _START + _MOST_BYTES)

    def read(self) -> State:
        """Returns the content of the board: read until two readings agree, for the child may be writing."""
        before = None
        while before != (now := self._memory[: _FIELDS.size]):
            before = now
        return State(*_FIELDS.unpack(now))

    def write(self, state: State) -> None:
        """Puts a state on it."""
        values = (
            state.index,
            state.running,
            state.started_ns,
            state.length,
            state.refused,
            state.taken,
            state.slowest_ns,
            state.peak_kib,
        )
        self._memory[: _FIELDS.size] = _FIELDS.pack(*values)  # in one go; pack_into would show zeros for a moment

    def put_input(self, data: bytes) -> None:
        """Keeps the bytes that are about to be taken."""
        self._memory[_START : _START + len(data)] = data

    def input(self) -> bytes:
        """Returns the bytes that are being taken."""
        return self._memory[_START : _START + self.read().length]

"""The clock gate: which input continues the timeline, restarts it, waits for a second one, or is dropped.

```
              |<- newest start ... newest end ->|              what was delivered so far
----- jump ---|------- at most 10 s ------------|--- jump ---  where the next input may begin or end
```
This is the contract of time (docs/live.md, "Clocks"): integers only, no clock, no I/O. Every input covers an interval, and the
distance of two inputs is the gap between their intervals, so chunks of any length obey the same rule as frames. Protected by
tests/preprocess/test_gate.py and tests/preprocess/test_clock_contract.py.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

from edgeaff.spec import JUMP_CONFIRM_NS, JUMP_NS, NANOSECONDS

EARLIEST_NS = -(2**63) + NANOSECONDS  # the outermost second of int64 is no time: INT64_MIN marks an absent timestamp
LATEST_NS = 2**63 - 1 - NANOSECONDS


@dataclass(frozen=True, slots=True)
class Delivery:
    """One input on its way into a segment.

    Attributes:
        kind: "image", "faces", "samples", "rows" or "clock".
        start_ns: time of its beginning.
        end_ns: time of its end; that of its beginning for a frame and for the clock.
        data: image, (face, crop) pairs, samples or rows; None for the clock.
        rate_hz: of samples, else 0.
    """

    kind: str
    start_ns: int
    end_ns: int
    data: Any = None
    rate_hz: int = 0

    def gap_ns(self, start_ns: int, end_ns: int) -> int:
        """Returns the gap between this input and an interval, 0 where they touch. Up to 2^64: C++ needs 65 bits here."""
        return max(0, start_ns - self.end_ns, self.start_ns - end_ns)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the inputs at hand. restart: all state restarts before `deliver`, which is in order."""

    deliver: tuple[Delivery, ...] = ()
    dropped: tuple[Delivery, ...] = ()
    restart: bool = False


class ClockGate:
    """Judges inputs one by one.

    An input at most 10 s from the newest continues the timeline. One further away, before or after, is a jump: it is held
    until the next input, of any kind, lies within 1 s of it; then both restart the timeline. Otherwise it is dropped. A clock
    that goes on as before has no information about a frame or chunk that is held.

    Args:
        confirm: whether a jump needs a second input. In a file it does not: every frame counts.
    """

    def __init__(self, *, confirm: bool) -> None:
        self._confirm = confirm
        self._newest: tuple[int, int] | None = None
        self._held: tuple[Delivery, ...] = ()  # at most one

    def offer(self, item: Delivery) -> Verdict:
        """Returns the decisions on an input and on the one that was held."""
        if item.start_ns < EARLIEST_NS or item.end_ns > LATEST_NS:
            return Verdict(dropped=(item,))
        confirms = any(item.gap_ns(held.start_ns, held.end_ns) <= JUMP_CONFIRM_NS for held in self._held)
        if self._newest is None or (item.gap_ns(*self._newest) <= JUMP_NS and not confirms):
            start_ns, end_ns = self._newest or (item.start_ns, item.end_ns)
            self._newest = max(start_ns, item.start_ns), max(end_ns, item.end_ns)
            return Verdict(deliver=(item,), dropped=() if item.kind == "clock" else self.drop_held())
        held = self.drop_held()
        if self._confirm and not confirms:
            self._held = (dataclasses.replace(item, data=copy.deepcopy(item.data)),)  # the caller may reuse its buffer
            return Verdict(dropped=held)
        both = (*held, item)
        self._newest = max(one.start_ns for one in both), max(one.end_ns for one in both)
        return Verdict(deliver=both, restart=True)

    def drop_held(self) -> tuple[Delivery, ...]:
        """Returns the input that was held, if any, and forgets it."""
        held, self._held = self._held, ()
        return held

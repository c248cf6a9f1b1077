"""Judges the input of a live session by its counters: is all input dropped, do the clocks differ, do events arrive?

Pure: counters and times are arguments. Only this module decides what makes a Runtime unhealthy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

QUIET_SECONDS = 1.0  # a modality that gave nothing usable for so long does not prove the clock of the other wrong
FORGET_SECONDS = 2.5  # no input dropped for so long: over
LEAST_SECONDS = 0.3  # below that a few damaged timestamps would be a finding
SILENCE_SECONDS = 1.0  # a live session gives 30 events a second, with or without input
GRACE_SECONDS = 0.2  # a process that was suspended needs a moment
RESTARTS, RESTART_SECONDS = 3, 5.0  # this many jumps in so short a time: two clocks take turns
UNHEALTHY_KINDS = frozenset({"clock_mismatch", "unusable", "no_events", "model_output"})
_UNITS = {"video": "frames", "audio": "chunks"}
_OTHER = {"video": "audio", "audio": "video"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A current problem of the input. modality: "video", "audio", or "" for both."""

    kind: str
    modality: str
    message: str


@dataclass(slots=True)
class _Lane:
    """One modality: its counters at the last look, and when a look found the first and last of the inputs dropped in a row."""

    used: int = 0
    unused: int = 0
    used_at: float | None = None
    wasted_from: float | None = None
    wasted_to: float = 0.0

    def look(self, used: int, unused: int, now: float) -> None:
        """Stores the counters."""
        if used > self.used:
            self.used_at, self.wasted_from = now, None
        elif unused > self.unused:
            self.wasted_from = now if self.wasted_from is None else self.wasted_from
            self.wasted_to = now
        elif now - self.wasted_to >= FORGET_SECONDS:
            self.wasted_from = None
        self.used, self.unused = used, unused

    def wasted_seconds(self) -> float:
        """Returns the time for which everything has been dropped."""
        return 0.0 if self.wasted_from is None else self.wasted_to - self.wasted_from


class InputWatch:
    """Finds problems of the input.

    Args:
        staleness_seconds: input that is dropped for longer is reported.
    """

    def __init__(self, staleness_seconds: float = 0.5) -> None:
        self.staleness_seconds = staleness_seconds
        self._lanes = {"video": _Lane(), "audio": _Lane()}
        self._jumps = 0
        self._jumped_at: deque[float] = deque(maxlen=RESTARTS)
        self._silent_since: float | None = None

    def look(self, counts: Mapping[str, int], silent_seconds: float | None, now: float) -> list[Finding]:
        """Returns all current problems.

        Args:
            counts: counters of the session (InputCounts).
            silent_seconds: time since the last event, or since the first input; None before that.
            now: monotonic seconds.
        """
        for modality, unit in _UNITS.items():
            self._lanes[modality].look(counts.get(f"{unit}_used", 0), counts.get(f"{unit}_unused", 0), now)
        limit = max(self.staleness_seconds, LEAST_SECONDS)
        findings = [
            self._wasted(modality, now) for modality, lane in self._lanes.items() if lane.wasted_seconds() >= limit
        ]
        jumps = counts.get("jumps", 0)
        self._jumped_at.extend([now] * min(jumps - self._jumps, RESTARTS))
        self._jumps = jumps
        if len(self._jumped_at) == RESTARTS and now - self._jumped_at[0] < RESTART_SECONDS:
            message = (
                "Two clocks take turns: the session restarts again and again. Stamp video and audio with one clock."
            )
            findings.append(Finding("clock_mismatch", "", message))
        if silent_seconds is None or silent_seconds <= SILENCE_SECONDS:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since >= GRACE_SECONDS:
            message = f"Input comes, but no event for {silent_seconds:.1f} s. Check that timestamps are nanoseconds and advance."
            findings.append(Finding("no_events", "", message))
        return findings

    def _wasted(self, modality: str, now: float) -> Finding:
        other = self._lanes[_OTHER[modality]]
        if other.used_at is not None and now - other.used_at < QUIET_SECONDS:
            message = f"Video and audio differ in time: all {modality} is dropped. Stamp both with one clock, and let it advance."
            return Finding("clock_mismatch", modality, message)
        message = (
            f"All {modality} is dropped because of its time. Check that its timestamps are nanoseconds and advance."
        )
        return Finding("unusable", modality, message)

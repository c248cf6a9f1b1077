"""One cell of the fault matrix: a runtime is watched while something is broken and repaired, and what it states is checked."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import edgeaff
from edgeaff.types import AffectEvent, StatusEvent

RECOVERY_LIMIT_SECONDS = 3.0
FRESH_MS = {
    "video": 150.0,
    "audio": 400.0,
}  # of a modality that is there; audio lags by four ticks in the default bundle


@dataclass
class Outcome:
    """What a cell gives: recovery_s is 0 where nothing has to recover."""

    passed: bool
    recovery_s: float
    detail: str = ""
    kinds: list[str] = field(default_factory=list)


class Failure(AssertionError):
    """What a cell found wrong, in one sentence."""


@cache
def bundle() -> edgeaff.ModelBundle:
    """The default bundle, read once."""
    return edgeaff.ModelBundle.load()


class Trial:
    """Reads a runtime's events and checks them as they come.

    Args:
        runtime: not started yet.
        needs: modalities ("video", "audio") that are there when all is well.
        jumps: whether the clock may jump by more than 10 s, which is no missed tick.
    """

    def __init__(self, runtime: edgeaff.Runtime, *needs: str, jumps: bool = False) -> None:
        self._longest_step = 300 if jumps else None
        self.runtime, self.needs = runtime, needs
        self.reported: list[StatusEvent] = []
        self.last: AffectEvent | None = None
        self.read = self.seq_gaps = self.missed_ticks = 0
        self.first_seq = self.reported_before = 0
        runtime.on_status(self.reported.append)

    def follow(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float | None:
        """Reads events for so long, or until something is so; returns how long that took, None if it never was."""
        started = time.monotonic()
        while (passed := time.monotonic() - started) < seconds:
            if until():
                return passed
            event = self.runtime.poll(0.02)
            if event is not None:
                self._note(event)
        return None

    def _note(self, event: AffectEvent) -> None:
        if self.last is not None:
            self.seq_gaps += event.seq - self.last.seq - 1
            step = round(event.pts_ns * 30 / 1e9) - round(self.last.pts_ns * 30 / 1e9)
            if self._longest_step is None or step <= self._longest_step:
                self.missed_ticks += max(0, step - (event.seq - self.last.seq))
        else:
            self.first_seq = event.seq
        self.last = event
        self.read += 1

    def is_well(self) -> bool:
        """Whether the newest event is new and has every modality."""
        if self.last is None or self.last.latency_ms is None or self.last.latency_ms > 400:
            return False
        ages = {"video": self.last.video_age_ms, "audio": self.last.audio_age_ms}
        return all(ages[name] is not None and ages[name] <= FRESH_MS[name] for name in self.needs)

    def was_reported(self, kind: str, source: str, after: int = 0) -> bool:
        """Whether a status event came since all was well at the start."""
        return any(
            event.kind == kind and event.source == source for event in self.reported[max(after, self.reported_before) :]
        )

    def start(self) -> None:
        """Waits until all is well for half a second."""
        self.must(self.follow(10.0, self.is_well), "no fresh event within 10 s of the start")
        self.follow(0.5)
        self.reported_before = len(self.reported)

    def expect(self, kind: str, source: str, seconds: float = 8.0) -> None:
        """Waits for a status event."""
        self.must(self.follow(seconds, lambda: self.was_reported(kind, source)), f"{kind} of {source} was not reported")

    def recover(self, kind: str | None, source: str, repaired: float | None = None) -> float:
        """Returns the time for which after its cause ended (monotonic; default now) everything was well again, and was stated to be."""
        repaired = time.monotonic() if repaired is None else repaired
        after = max(
            (i for i, event in enumerate(self.reported) if event.kind == kind and event.source == source), default=0
        )
        over = (lambda: True) if kind is None else lambda: self.was_reported("recovered", source, after)
        before = self.last.seq if self.last is not None else -1
        self.must(
            self.follow(10.0, lambda: self.is_well() and self.last.seq > before and over()), f"no recovery from {kind}"
        )
        return time.monotonic() - repaired

    def must(self, value: Any, sentence: str) -> None:
        """Raises Failure unless the value is neither None nor False."""
        if value is None or value is False:
            raise Failure(
                f"{sentence}; reported: {', '.join(f'{e.source} {e.kind}' for e in self.reported) or 'nothing'}"
            )

    def check_accounts(self) -> None:
        """Checks, on the stopped runtime, that nothing was lost but what is counted."""
        stats = self.runtime.stats()
        source = stats.source
        waiting = sum(health["frames_waiting"] for health in self.runtime.health().sources.values())
        taken = stats.frames + source.get("frames_replaced", 0) + waiting
        self.must(abs(source.get("frames", 0) - taken) <= 1, f"{source.get('frames')} frames came, {taken} are counted")
        lost = stats.samples + source.get("samples_dropped", 0)
        open_end = stats.queues["audio_ms"] + 200
        rate = 48  # samples per ms, the highest that is used
        self.must(
            0 <= source.get("samples", 0) - lost <= open_end * rate,
            f"{source.get('samples')} samples came, {lost} are counted",
        )
        self.must(
            self.seq_gaps <= stats.events_dropped, f"{self.seq_gaps} events are missing, {stats.events_dropped} counted"
        )
        self.must(self.missed_ticks == 0, f"{self.missed_ticks} ticks were missed")
        for name, counts in stats.sinks.items():
            there = counts["written"] + counts["dropped"]
            self.must(there == stats.events, f"{name} got {there} of {stats.events} events")


@contextlib.contextmanager
def running(trial: Trial) -> Iterator[Trial]:
    """Starts the trial's runtime, and checks that it stops within a second and that its accounts are right.

    Yields:
        The trial.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(trial.runtime.stop)
        trial.runtime.start()
        trial.start()
        yield trial
        started = time.monotonic()
        trial.runtime.stop()
        trial.must(time.monotonic() - started < 1.0, "stop took more than a second")
        trial.check_accounts()


Cell = Callable[[Any], float]


def run_cell(cell: Cell, rig: Any) -> Outcome:
    """Returns the outcome of one cell; never raises the cell's exception."""
    try:
        recovery = cell(rig)
    except Exception as error:  # noqa: BLE001 - a cell that breaks is a cell that failed, with its reason
        return Outcome(False, 0.0, f"{type(error).__name__}: {error}")
    if recovery >= RECOVERY_LIMIT_SECONDS:
        return Outcome(False, round(recovery, 3), f"recovery took {recovery:.1f} s")
    return Outcome(True, round(recovery, 3))

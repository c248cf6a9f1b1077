"""The monitor: checks sources, session and sinks ten times a second and reports each begin and end of a condition.

It runs on its own thread and so detects a hanging worker as well as a hanging device. Conditions are
reported at their begin and end, not in between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgeaff.capture.health import Health
from edgeaff.capture.live import LiveSource
from edgeaff.delivery.queued import QueuedSink
from edgeaff.runtime.input_watch import UNHEALTHY_KINDS, InputWatch
from edgeaff.runtime.outlets import Outlets
from edgeaff.runtime.status import StatusChannel

PERIOD_SECONDS = 0.1
QUIET_SECONDS = 1.0  # a counter that has not grown, or a finding that was not made, for so long: over
SINK_GRACE_SECONDS = 1.0  # a receiver that is away for less (a broker that is being connected to) is not reported
SUSPENDED_SECONDS = 2.0

_BY_STATE = {Health.LOST: "lost", Health.RECONNECTING: "lost", Health.STALLED: "stalled", Health.FROZEN: "frozen"}
_SINK_COUNTERS = {
    "dropped": ("dropped", "the sink is too slow or fails; its oldest events go"),
    "not_finite": ("corrupt_input", "values are no finite numbers; they are written as no value"),
}
_SOURCE_COUNTERS = {
    "failed_reads": ("corrupt_input", "frames could not be read; they are left out"),
    "bad_packets": ("corrupt_input", "packets are damaged; they are skipped"),
    "audio_overflows": ("overflow", "the driver lost audio; it shows as a hole"),
    "audio_gaps": ("overflow", "audio is missing; it shows as a hole"),
    "samples_dropped": ("overflow", "the worker is too slow for the audio; the oldest goes and shows as a hole"),
}
_SUSTAINED_SECONDS = 0.5  # what happens now and then in any live session is reported once it lasts
_INPUT_COUNTERS = {  # of InputCounts: source, kind, text, how long it must last
    "samples_not_finite": ("mic", "corrupt_input", "samples are no numbers; they count as silence", 0.0),
    "audio_restarts": ("mic", "overflow", "a hole in the audio was too long to fill; its analysis began again", 0.0),
    "samples_filled": ("mic", "overflow", "audio is missing; zeros stand in for it", 0.0),
    "samples_overlapping": (
        "mic",
        "discarded",
        "audio overlaps what came before; the overlap is dropped",
        _SUSTAINED_SECONDS,
    ),
    "rows_not_newer": (
        "mic",
        "discarded",
        "LLD rows are not newer than the last; they are dropped",
        _SUSTAINED_SECONDS,
    ),
    "frames_not_newer": (
        "camera",
        "discarded",
        "frames are not newer than the last; they are dropped",
        _SUSTAINED_SECONDS,
    ),
    "frames_late": ("camera", "late", "frames come after their ticks have gone", _SUSTAINED_SECONDS),
    "samples_late": ("mic", "late", "audio comes after its ticks have gone", _SUSTAINED_SECONDS),
    "inputs_unconfirmed": ("runtime", "discarded", "an input lay more than 10 s away and nothing confirmed it", 0.0),
    "inputs_before_jump": ("runtime", "discarded", "an input from before a jump of the clock is dropped", 0.0),
    "steps_back": ("runtime", "clock_step", "a clock stepped back; input is dropped until it has caught up", 0.0),
    "jumps": ("runtime", "clock_jump", "the clock jumped by more than 10 s; the session restarted there", 0.0),
}
_OUTPUT_COUNTERS = {
    "values_rejected": ("backend", "model_output", "values of the model are out of range; the events abstain", 0.0),
}
_FADING = UNHEALTHY_KINDS | {
    "corrupt_input",
    "overflow",
    "dropped",
    "suspended",
    "discarded",
    "late",
    "clock_step",
    "clock_jump",
}


@dataclass
class _Condition:
    """Something that is wrong now. last: when it was seen last; source, name: for its end."""

    source: str
    name: str
    kind: str
    since: float
    last: float
    reported: bool


@dataclass(frozen=True, slots=True)
class _Report:
    """Something that is wrong. source, name, kind, message, counts: of its StatusEvent; grace_seconds: before it is one."""

    source: str
    name: str
    kind: str
    message: str
    counts: Mapping[str, int | float]
    grace_seconds: float = 0.0


class Monitor:
    """Watches a runtime.

    Args:
        status: channel for the changes.
        outlets: sinks and queues.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        status: StatusChannel,
        outlets: Outlets,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status, self._outlets, self._clock = status, outlets, clock
        self._conditions: dict[tuple[str, str], _Condition] = {}
        self._counters: dict[tuple[str, str], int] = {}
        self._rejected: dict[str, int] = {}  # reported so far, by source
        self._ended: set[str] = set()
        self._last_look: tuple[float, float] | None = None
        self._inputs = InputWatch()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(
        self,
        sources: Sequence[LiveSource],
        inputs: Callable[[], Mapping[str, int]],
        goes_on: Callable[[], bool],
        *,
        silence: Callable[[], float | None] = lambda: None,
        staleness_seconds: float = 0.5,
    ) -> None:
        """Starts the checks.

        Args:
            sources: live sources; empty in file mode.
            inputs: gives the counters of the session.
            goes_on: whether more input can arrive.
            silence: gives the seconds since the last event, or since the first input; None before that.
            staleness_seconds: input that is left out for longer is reported.
        """
        self._inputs.staleness_seconds = staleness_seconds
        arguments = (tuple(sources), inputs, goes_on, silence)
        self._thread = threading.Thread(target=self._work, args=arguments, name="edgeaff-monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread after a last check; may be called again."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(0.5)

    def _work(
        self,
        sources: tuple[Any, ...],
        inputs: Callable[[], Mapping[str, int]],
        goes_on: Callable[[], bool],
        silence: Callable[[], float | None],
    ) -> None:
        last = False
        while not last and not self._stop.wait(PERIOD_SECONDS):
            last = not goes_on()
            self.look(sources, inputs(), None if last else silence())

    def look(
        self, sources: Sequence[LiveSource], inputs: Mapping[str, int], silent_seconds: float | None = None
    ) -> None:
        """Checks once and reports changes.

        Args:
            sources: as for `start`.
            inputs: the counters of the session.
            silent_seconds: as `silence` of `start` gives it.
        """
        now = self._clock()
        self._look_at_time(now)
        for source in sources:
            self._look_at_source(source, now)
        self._look_at_counters(_OUTPUT_COUNTERS, sources, inputs, now)
        if sources:
            self._look_at_counters(_INPUT_COUNTERS, sources, inputs, now)
            self._look_at_input(sources, inputs, silent_seconds, now)
        for sink in self._outlets.queued_sinks:
            self._look_at_sink(sink, now)
        for recorder in self._outlets.recorders:
            for warning in recorder.warnings:
                self._raise(_Report("sink", "recording", "lost", warning, {}), now)
        text = "events come faster than they are read; the oldest go"
        dropped = {"events_dropped": self._outlets.dropped}
        self._count(_Report("reader", "reader", "dropped", text, dropped), now)
        self._close_conditions(now)

    def _look_at_counters(
        self,
        table: Mapping[str, tuple[str, str, str, float]],
        sources: Sequence[LiveSource],
        inputs: Mapping[str, int],
        now: float,
    ) -> None:
        for counter, (place, kind, text, grace) in table.items():
            counts = {counter: inputs.get(counter, 0)}
            self._count(_Report(place, _name_of(place, sources), kind, text, counts, grace), now)

    def _look_at_input(
        self, sources: Sequence[LiveSource], inputs: Mapping[str, int], silent_seconds: float | None, now: float
    ) -> None:
        counts = {name: count for name, count in inputs.items() if count}
        for finding in self._inputs.look(inputs, silent_seconds, now):
            place = {"video": "camera", "audio": "mic"}.get(finding.modality, "runtime")
            self._raise(_Report(place, _name_of(place, sources), finding.kind, finding.message, counts), now)

    def _look_at_time(self, now: float) -> None:
        asleep = _asleep_seconds()
        if self._last_look is not None:
            gap = max(now - self._last_look[0], asleep - self._last_look[1])
            if gap > SUSPENDED_SECONDS:
                message = f"The process was suspended for {gap:.1f} s; input of that time is lost."
                self._raise(_Report("runtime", "runtime", "suspended", message, {"seconds": round(gap, 1)}), now)
        self._last_look = (now, asleep)

    def _look_at_source(self, source: LiveSource, now: float) -> None:
        health = source.health()
        kind = _BY_STATE.get(health.state)
        for state_kind in ("lost", "stalled", "frozen"):
            if state_kind == kind:
                counts = {"reconnects": health.reconnects}
                self._raise(_Report(source.kind, source.name, kind, health.detail, counts), now)
            elif health.state in (Health.OK, Health.ENDED):
                self._over(source.name, state_kind, now)
        if health.state is Health.ENDED and source.name not in self._ended:
            self._ended.add(source.name)
            self._status.emit(source.kind, "ended", health.detail, name=source.name)
        found = source.counts
        for counter, (kind, text) in _SOURCE_COUNTERS.items():
            if counter in found:
                self._count(_Report(source.kind, source.name, kind, text, {counter: found[counter]}), now)
        for message in source.rejected_settings[self._rejected.get(source.name, 0) :]:
            self._status.emit(source.kind, "setting_rejected", message, name=source.name)
        self._rejected[source.name] = len(source.rejected_settings)

    def _look_at_sink(self, sink: QueuedSink, now: float) -> None:
        counts = sink.counts
        if sink.failing:
            reason = sink.warnings[-1] if sink.warnings else f"{sink.name} must be reachable, got no connection."
            message = f"{reason}; it is tried again."
            self._raise(_Report("sink", sink.name, "lost", message, counts, SINK_GRACE_SECONDS), now)
        else:
            self._over(sink.name, "lost", now)
        for counter, (kind, text) in _SINK_COUNTERS.items():
            self._count(_Report("sink", sink.name, kind, text, {counter: counts[counter]}), now)

    def _count(self, report: _Report, now: float) -> None:
        """Raises a report whose one counter has grown; its message is the text on it."""
        ((counter, value),) = report.counts.items()
        before = self._counters.get((report.name, counter), 0)
        self._counters[report.name, counter] = int(value)
        if value > before:
            self._raise(replace(report, message=f"{report.name}: {report.message}, {counter} {value}."), now)

    def _raise(self, report: _Report, now: float) -> None:
        condition = self._conditions.get((report.name, report.kind))
        if condition is None:
            condition = _Condition(report.source, report.name, report.kind, now, now, False)
            self._conditions[report.name, report.kind] = condition
        condition.last = now
        if not condition.reported and now - condition.since >= report.grace_seconds:
            condition.reported = True
            self._status.emit(report.source, report.kind, report.message, name=report.name, counts=report.counts)

    def _over(self, name: str, kind: str, now: float) -> None:
        condition = self._conditions.pop((name, kind), None)
        if condition is not None and condition.reported:
            counts = {"seconds": round(now - condition.since, 3)}
            self._status.emit(condition.source, "recovered", f"{name}: {kind} has ended.", name=name, counts=counts)

    def _close_conditions(self, now: float) -> None:
        """Ends what is counted, not looked at, once it has not been seen for a while."""
        for (name, kind), condition in list(self._conditions.items()):
            if kind in _FADING and now - condition.last >= QUIET_SECONDS:
                self._over(name, kind, now)

    def problems(self) -> list[str]:
        """Returns all current problems, as "name: kind"."""
        return [f"{name}: {kind}" for (name, kind), condition in list(self._conditions.items()) if condition.reported]

    @property
    def unhealthy(self) -> bool:
        """True if the state of input or model makes events unreliable."""
        return any(
            kind in UNHEALTHY_KINDS and condition.reported for (_, kind), condition in list(self._conditions.items())
        )


def _name_of(place: str, sources: Sequence[LiveSource]) -> str:
    """Returns the name of the source that gives what a place in a StatusEvent stands for; "session" where none does."""
    if place in ("runtime", "backend"):
        return "session"
    return next((source.name for source in sources if source.kind in (place, "stream")), place)


def _asleep_seconds() -> float:
    """Returns the time for which the machine has slept since it started, 0 where the system does not say."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)

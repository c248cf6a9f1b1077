"""The worker: the one thread that calls the Session. Source in, events out to the outlets, load to the ladder."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

from edgeaff.capture.group import LiveGroup
from edgeaff.capture.source import Source
from edgeaff.recording.recorder import RecordedSession
from edgeaff.runtime.ladder import STEPS, Ladder, Load
from edgeaff.runtime.origin import WORKER, Origin
from edgeaff.runtime.outlets import Outlets
from edgeaff.runtime.stats import Measures, RuntimeStats
from edgeaff.runtime.status import StatusChannel
from edgeaff.session import Session
from edgeaff.spec import JUMP_NS, NANOSECONDS
from edgeaff.types import AffectEvent, AudioChunk, ClockTick, VideoFrame

RunningSession = Session | RecordedSession
Unit = VideoFrame | AudioChunk | ClockTick

HALF_TICK_NS = NANOSECONDS // 60  # a frame belongs to the nearest of 30 ticks a second
LONGEST_CHUNK_NS = NANOSECONDS  # longer chunks are pushed in pieces, so that a stop never waits for an hour of audio
LATE_CHUNK_NS = 5 * NANOSECONDS  # except for those that come late: a step back is measured to the end of a chunk


class Worker:
    """Runs a source through a session until it ends or is stopped.

    Args:
        source: a file source, or a LiveGroup for live time.
        session: a Session, or one whose calls are recorded.
        outlets: where events go.
        status: where to say what happens.
        ladder: decides how much work is left out; None for file mode.
        on_error: called with WORKER and the exception that ended the worker.

    Attributes:
        session: the session; only a call passed to `submit` replaces it.
        on_frame: an observer of ours that gets every frame; it must neither wait nor raise.
        stop: set it to end.
    """

    def __init__(
        self,
        source: Source,
        session: RunningSession,
        *,
        outlets: Outlets,
        status: StatusChannel,
        ladder: Ladder | None,
        on_error: Callable[[Origin, BaseException], None],
    ) -> None:
        self.session = session
        self.on_frame: Callable[[VideoFrame], None] | None = None
        self.stop = threading.Event()
        self.stats = RuntimeStats()
        self.measures = Measures()
        self.ladder = ladder
        self.state = "new"
        self.first_unit: float | None = None
        self.last_unit: float | None = None
        self.last_event: float | None = None
        self._source, self._outlets, self._status, self._on_error = source, outlets, status, on_error
        self._group = source if isinstance(source, LiveGroup) else None
        self._live = self._group is not None
        self._lost = (0, 0)
        self._reached_ns: int | None = None  # time of the last event
        self._frame_ns: int | None = None  # time of the newest frame
        self._busy_ns = 0
        self._saw_face = False
        self._calls: list[Callable[[RunningSession], None]] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="edgeaff-runtime", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self.state = "starting"
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def join(self, timeout_seconds: float) -> None:
        """Waits for the thread, up to a time limit."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)

    def silent_seconds(self) -> float | None:
        """Returns the time since the last event, or since the first input; None before that, and in file mode."""
        since = self.first_unit if self.last_event is None else self.last_event
        return None if since is None or not self._live else time.monotonic() - since

    def submit(self, call: Callable[[RunningSession], None]) -> None:
        """Has `call(session)` made on the worker between two inputs; what it raises ends the worker."""
        with self._lock:
            self._calls.append(call)

    def _work(self) -> None:
        try:
            with self._source:
                self.state = "running"
                for unit in self._source if self._group is None else self._group.inputs():
                    if self.stop.is_set():
                        return
                    self._make_calls()
                    if self.first_unit is None:
                        self.first_unit = time.monotonic()
                    for piece in _pieces(unit) if self._is_in_time(unit) else (unit,):
                        if not self.stop.is_set():
                            self._handle(piece)
                self._deliver(self.session.finish())
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._on_error(WORKER, error)
        finally:
            self._outlets.finish()
            if self.state == "running":
                self.state = "stopped" if self.stop.is_set() else "ended"

    def _is_in_time(self, unit: Unit) -> bool:
        reached_ns = self._reached_ns
        return reached_ns is None or isinstance(unit, ClockTick) or unit.pts_ns > reached_ns - LATE_CHUNK_NS

    def _handle(self, unit: Unit) -> None:
        started = time.monotonic_ns()
        self._deliver(self._push(unit))
        ended = time.monotonic_ns()
        self._busy_ns += ended - started
        if not isinstance(unit, ClockTick):
            self.last_unit = ended / 1e9
            self.measures.add("frame" if isinstance(unit, VideoFrame) else "audio", (ended - started) / 1e6)
        if self.ladder is not None:
            self._climb(self.ladder, ended)

    def _push(self, unit: Unit) -> list[AffectEvent]:
        events: list[AffectEvent]
        if isinstance(unit, ClockTick):
            events = self.session.advance(unit.pts_ns)
        elif isinstance(unit, VideoFrame):
            self.stats.frames += 1
            self._frame_ns = unit.pts_ns
            if self.on_frame is not None:
                self.on_frame(unit)
            events = self.session.push_frame(unit.image, pts_ns=unit.pts_ns)
        else:
            self.stats.samples += len(unit.samples)
            events = self.session.push_audio(unit.samples, pts_ns=unit.pts_ns, sample_rate_hz=unit.sample_rate_hz)
        return events

    def _make_calls(self) -> None:
        if not self._calls:
            return
        with self._lock:
            calls, self._calls = self._calls, []
        for call in calls:
            call(self.session)

    def _climb(self, ladder: Ladder, now_ns: int) -> None:
        counts, before = self._source.counts, ladder.step
        sources = () if self._group is None else self._group.sources
        waiting = max((source.inbox.sizes()[1] for source in sources), default=0.0)
        load = Load(self._busy_ns, counts.get("frames", 0), counts.get("frames_replaced", 0), waiting)
        step = ladder.observe(now_ns, load)
        if step is None:
            return
        self.session.degrade(step)
        kind = "degraded" if step > before else "restored"
        self.stats.degradations += step > before
        message = f"The worker is {ladder.busy_share:.0%} busy; work per frame now: {STEPS[step]}."
        numbers = {"step": step, "busy_share": round(ladder.busy_share, 3), "frames_replaced": load.frames_replaced}
        self._status.emit("runtime", kind, message, name="ladder", counts=numbers)

    def _deliver(self, events: list[AffectEvent]) -> None:
        if events:
            self._reached_ns = events[-1].pts_ns
            if self._group is not None:
                self._group.reached_ns = self._reached_ns
        for event in self._stamped(events) if self._live else events:
            if event.face is not None and not self._saw_face:
                self._saw_face = True
                message = "a face is being measured; the people in the frame should know."
                self._status.emit("runtime", "first_face", message, counts={"pts_ns": event.pts_ns})
            self.stats.events += 1
            name = event.status.value
            self.stats.events_by_status[name] = self.stats.events_by_status.get(name, 0) + 1
            self.last_event = time.monotonic()
            self._outlets.deliver(event)
        for change in self.session.take_changes():
            self._outlets.deliver_change(change)

    def _stamped(self, events: list[AffectEvent]) -> list[AffectEvent]:
        """Returns the events with what only a live runtime knows: latency, and inputs dropped since the last one."""
        if not events:
            return events
        now = None if self._group is None else self._group.now_ns()
        counts = self._source.counts
        lost = (counts.get("frames_replaced", 0), counts.get("samples_dropped", 0))
        new = lost[0] - self._lost[0] + (lost[1] > self._lost[1])  # frames, and 1 for audio that was lost
        self._lost = lost
        stamped = []
        for index, event in enumerate(events):
            latency_ms = self._latency_ms(event, now)
            if latency_ms is not None:
                self.measures.add("latency", latency_ms)
            stamped.append(dataclasses.replace(event, latency_ms=latency_ms, dropped_since_last=0 if index else new))
        return stamped

    def _latency_ms(self, event: AffectEvent, now_ns: int | None) -> float | None:
        """Returns the age of the event; None where its clock is not the one that reports the time."""
        elapsed = None if now_ns is None else now_ns - self._captured_ns(event)
        return None if elapsed is None or abs(elapsed) > JUMP_NS else max(0.0, round(elapsed / 1e6, 3))

    def _captured_ns(self, event: AffectEvent) -> int:
        """Returns the tick's time, or that of the frame where it was taken just before the tick."""
        frame_ns = self._frame_ns
        if frame_ns is not None and 0 < event.pts_ns - frame_ns < HALF_TICK_NS:
            return frame_ns
        return event.pts_ns


def _pieces(unit: Unit) -> Iterator[Unit]:
    """Yields the unit itself, or the pieces of a long chunk: the events do not depend on how audio is cut."""
    if not isinstance(unit, AudioChunk):
        yield unit
        return
    most = LONGEST_CHUNK_NS * unit.sample_rate_hz // NANOSECONDS
    for start in range(0, max(1, len(unit.samples)), most):
        pts_ns = unit.pts_ns + start * NANOSECONDS // unit.sample_rate_hz
        yield AudioChunk(pts_ns, unit.samples[start : start + most], unit.sample_rate_hz)

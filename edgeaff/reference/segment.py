"""All state between two restarts of the timeline: clocks, timelines, tracker and LLD stream; deliveries in, ticks out."""

from __future__ import annotations

from typing import Any

from edgeaff.preprocess.core import Setup
from edgeaff.preprocess.inputs import InputCounts, TickInput
from edgeaff.reference.audio import AudioFront, AudioSteps, audio_need_ns
from edgeaff.reference.faces import FaceFront
from edgeaff.reference.gate import Delivery
from edgeaff.reference.sync import HOLD_NS, FrameTimeline, TickScheduler
from edgeaff.spec import NANOSECONDS, STEP_BACK_NS


class Segment:
    """Turns deliveries into ticks. It refers to nothing that refers to it, so that dropping it frees its memory at once.

    Args:
        setup: options and parts.
        counts: where repairs and losses are counted.
        earliest_tick: after a jump forward, the tick after the last one before it; None without one.
    """

    def __init__(self, setup: Setup, counts: InputCounts, *, earliest_tick: int | None = None) -> None:
        spec = setup.parts.spec
        self._setup, self._counts, self._spec, self._earliest_tick = setup, counts, spec, earliest_tick
        self.scheduler = TickScheduler(spec, setup.skew_ns, setup.video, setup.audio, audio_need_ns(spec))
        self._faces = FaceFront(setup.parts, counts, setup.max_faces, setup.detector_stride) if setup.video else None
        self._frames = FrameTimeline(spec, _undeclared if self._faces is None else self._faces.process)
        self._audio = AudioFront(spec, counts, setup.parts.tap) if setup.audio else None
        self._steps = AudioSteps(spec, setup.parts.normalizer, setup.parts.speech) if setup.audio else None
        self._behind: set[str] = set()  # modalities whose time has stepped back and not caught up yet
        self._started = False

    def degrade(self, step: int) -> None:
        """Leaves out work from the next frame on; see Session.degrade."""
        if self._faces is not None:
            self._faces.degraded = step

    def deliver(self, item: Delivery) -> list[TickInput]:
        """Returns the ticks that go out because of one input."""
        if item.kind == "clock":
            self.scheduler.delivered("clock", item.start_ns)
        elif self._earliest_tick is not None and self._spec.frame_tick(item.start_ns) < self._earliest_tick:
            self._counts.inputs_before_jump += 1
            self._counts.note(item.kind, used=False)
        else:
            is_frame = item.kind in ("image", "faces")
            self._counts.note(item.kind, used=self._take_frame(item) if is_frame else self._take_audio(item))
        return self._ready_ticks()

    def finish(self) -> list[TickInput]:
        """Returns the ticks held back: those up to the end of the data."""
        if self._audio is not None:
            self._audio.finish()
        tick, last = self.scheduler.current_tick(), self.scheduler.last_tick()
        if tick is None or last is None:
            return []
        return [self._make(number) for number in range(tick, last + 1)]

    def _take_frame(self, item: Delivery) -> bool:
        """Returns whether a tick can use the frame."""
        newest, pts_ns = self._frames.newest_pts_ns, item.start_ns
        if newest is not None:
            self._note_step("video", newest - pts_ns)
            if pts_ns <= newest:
                self._counts.frames_not_newer += 1
                return False
        self._counts.frames_late += self._frames.push(pts_ns, item)
        self.scheduler.delivered("video", pts_ns)
        return self._is_in_time(pts_ns)

    def _take_audio(self, item: Delivery) -> bool:
        """Returns whether a tick can use the audio."""
        samples, scheduler = self._audio, self.scheduler
        assert samples is not None
        if samples.has_any:
            self._note_step("audio", samples.end_pts_ns - item.start_ns)
        if item.kind == "samples":
            late = scheduler.late_ns(item.start_ns) * item.rate_hz // NANOSECONDS
            self._counts.samples_late += min(late, len(item.data))
            new_ns = samples.push(item.start_ns, item.data, item.rate_hz)
        else:
            new_ns = samples.push_rows(item.start_ns, item.data)
        if new_ns is None:
            return False
        scheduler.delivered("audio", samples.end_pts_ns, first_pts_ns=new_ns)
        return self._is_in_time(samples.end_pts_ns - scheduler.audio_need_ns)

    def _note_step(self, modality: str, back_ns: int) -> None:
        """Counts a step back of 0.5 s or more once; what comes until the clock has caught up belongs to it."""
        if back_ns <= 0:
            self._behind.discard(modality)
        elif back_ns >= STEP_BACK_NS and modality not in self._behind:
            self._behind.add(modality)
            self._counts.steps_back += 1

    def _is_in_time(self, instant_ns: int) -> bool:
        """Returns whether what was true at an instant can stand in for a tick that has not gone."""
        tick = self.scheduler.next_tick
        return tick is None or self._spec.tick_pts_ns(tick) - instant_ns <= HOLD_NS

    def _ready_ticks(self) -> list[TickInput]:
        ticks = []
        tick = self.scheduler.current_tick()
        while tick is not None and self.scheduler.may_go(tick, video_ready=self._frames.ready(tick)):
            ticks.append(self._make(tick))
            tick += 1
        return ticks

    def _make(self, tick: int) -> TickInput:
        spec = self._spec
        pts_ns = spec.tick_pts_ns(tick)
        taken = self._frames.take(tick)
        limit = pts_ns - round(spec.face_staleness_seconds * NANOSECONDS)
        faces = tuple(face for face in taken.result if face.detected_pts_ns >= limit) if taken else ()
        audio = lld = center = None
        if self._audio is not None and self._steps is not None:
            step = self._audio.rows.select(pts_ns - spec.audio_lag_ns)
            audio = self._steps.push(step)
            if step is not None:
                lld, center = step.lld, step.center_ns
            self._audio.rows.forget_before(pts_ns - spec.audio_lag_ns)
        restart, self._started = not self._started, True
        self.scheduler.went(tick)
        frame_pts = taken.pts_ns if taken else None
        return TickInput(tick, pts_ns, restart, faces, frame_pts, audio, lld, center, self._stale(tick, pts_ns))

    def _stale(self, tick: int, pts_ns: int) -> bool:
        newest = [self._frames.newest_before(tick)]
        if self._audio is not None:
            newest.append(self._audio.newest_audio_before(pts_ns + self.scheduler.audio_need_ns))
        delivered = [value for value in newest if value is not None]
        if delivered:
            return pts_ns - max(delivered) > self._setup.staleness_ns
        first = self.scheduler.first_pts_ns
        return first is not None and pts_ns - first > self._setup.staleness_ns


def _undeclared(pts_ns: int, payload: Any) -> Any:
    raise AssertionError("a frame entered a session without video")

"""Preprocessor: detection + features + sync. THE path from raw frames and samples to the model's input, for Session and training.

```
frame   -> detector -> tracker -> crop -> face encoder -+
                                                        +-> one TickInput per tick of the model clock
samples -> clock -> resampler -> LLDs -> normaliser ----+
```
It knows no model. The same calls give the same ticks, however the sound was cut into chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.preprocess.faces import MOST_DEGRADED, FaceFront
from edgeaff.preprocess.inputs import (
    FaceInput,
    InputCounts,
    PreprocessParts,
    TickInput,
    check_samples,
)
from edgeaff.preprocess.sound import AudioSteps, SoundFront, audio_need_ns
from edgeaff.spec import LLD_SIZE, NANOSECONDS
from edgeaff.sync import FrameTimeline, JumpGate, TickScheduler
from edgeaff.types import TrackedFace, check_pts


class Preprocessor:
    """Frames and samples in, TickInputs out; sans-IO and deterministic.

    Args:
        parts: spec, detector, encoder and normaliser.
        video: whether a video modality is declared; one that is not is never waited for.
        audio: whether an audio modality is declared.
        max_faces: most faces per tick.
        detector_stride: the detector runs on every n-th taken frame, the tracker predicts between.
        staleness_seconds: after so long without any delivery a tick is stale.
        max_skew_seconds: how far one modality may run ahead before ticks stop waiting for the other.

    Raises:
        ArgumentError: an argument is out of range, or a part is missing for a declared modality.
    """

    def __init__(
        self,
        parts: PreprocessParts,
        *,
        video: bool = True,
        audio: bool = True,
        max_faces: int = 1,
        detector_stride: int = 1,
        staleness_seconds: float = 0.5,
        max_skew_seconds: float = 0.25,
    ) -> None:
        if not (video or audio):
            raise ArgumentError("video and audio must not both be off, got False and False; declare at least one.")
        for name, value in (("max_faces", max_faces), ("detector_stride", detector_stride)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ArgumentError(f"{name} must be an int >= 1, got {value!r}; pass 1 or more.")
        for name, seconds in (("staleness_seconds", staleness_seconds), ("max_skew_seconds", max_skew_seconds)):
            if not isinstance(seconds, (int, float)) or not 0 <= seconds <= 60:
                raise ArgumentError(f"{name} must be in [0, 60], got {seconds!r}; pass seconds.")
        self.parts = parts
        self.spec = parts.spec
        self.video, self.audio = video, audio
        self.counts = InputCounts()
        self._max_faces = max_faces
        self._detector_stride = detector_stride
        self._staleness_ns = round(staleness_seconds * NANOSECONDS)
        self._skew_ns = round(max_skew_seconds * NANOSECONDS)
        self.reset()

    def reset(self) -> None:
        """Starts anew, as after construction; the counts go on."""
        self._gate = JumpGate()
        self._first_tick: int | None = None  # after a jump: the tick after the last that went before it
        self._degraded = 0
        self._segment = self._new_segment()
        self._finished = False

    def push_frame(self, image: np.ndarray, *, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because of this frame. image: (H, W, 3) uint8 RGB.

        Raises:
            ArgumentError: image or pts_ns is not what it must be, or video is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_frame", self.video, "video")
        if (
            not isinstance(image, np.ndarray)
            or image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[2] != 3
            or image.size == 0
        ):
            shape = f"{getattr(image, 'shape', type(image).__name__)} {getattr(image, 'dtype', '')}".strip()
            raise ArgumentError(
                f"image must have shape (H, W, 3) and dtype uint8 (RGB), got {shape}; convert it first."
            )
        pts_ns = check_pts(pts_ns)
        return self._offer(pts_ns, lambda: self._segment.push_frame(pts_ns, image))

    def push_face(self, faces: Sequence[tuple[TrackedFace, np.ndarray]], *, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because of a frame whose faces are known. Enters after detection and tracking.

        Args:
            faces: (face, crop) pairs, primary first; crop: (crop_size_px, crop_size_px, 3) uint8 RGB. Empty: a frame without a face.
            pts_ns: time of the frame.

        Raises:
            ArgumentError: a pair, a crop or pts_ns is not what it must be, or video is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_face", self.video, "video")
        expected = (self.spec.crop_size_px, self.spec.crop_size_px, 3)
        if not isinstance(faces, Sequence):
            raise ArgumentError(f"faces must be a list of (TrackedFace, crop) pairs, got {faces!r}; [] means no face.")
        for pair in faces:
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], TrackedFace)):
                raise ArgumentError(
                    f"faces must hold (TrackedFace, crop) pairs, got {type(pair).__name__}; pass a list of tuples."
                )
            crop = pair[1]
            if not isinstance(crop, np.ndarray) or crop.shape != expected or crop.dtype != np.uint8:
                raise ArgumentError(
                    f"crop must have shape {expected} and dtype uint8, got {getattr(crop, 'shape', type(crop).__name__)}; crop it first."
                )
        known = tuple(faces[: self._max_faces])
        pts_ns = check_pts(pts_ns)
        return self._offer(pts_ns, lambda: self._segment.push_faces(pts_ns, known))

    def push_audio(self, samples: np.ndarray, *, pts_ns: int, sample_rate_hz: int) -> list[TickInput]:
        """Returns the ticks that went out because of this sound.

        Args:
            samples: (n,) int16, or float32/float64 in [-1, 1]; NaN and Inf become 0 and are counted.
            pts_ns: time of samples[0].
            sample_rate_hz: 8,000 to 96,000.

        Raises:
            ArgumentError: an argument is not what it must be, or audio is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_audio", self.audio, "audio")
        samples = check_samples(samples, sample_rate_hz)
        pts_ns, rate_hz = check_pts(pts_ns), int(sample_rate_hz)
        if samples.size == 0:
            return []
        return self._offer(pts_ns, lambda: self._segment.push_audio(pts_ns, samples, rate_hz))

    def push_lld(self, rows: np.ndarray, *, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because of final LLD rows. Enters after the LLD stream.

        Args:
            rows: (n, 65) float32, 10 ms apart, not normalised.
            pts_ns: start of rows[0].

        Raises:
            ArgumentError: an argument is not what it must be, or audio is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_lld", self.audio, "audio")
        rows = np.asarray(rows)
        if rows.ndim != 2 or rows.shape[1] != LLD_SIZE or not np.isfinite(rows).all():
            raise ArgumentError(
                f"rows must be finite with shape (n, {LLD_SIZE}), got {rows.shape}; pass LLDs without deltas."
            )
        pts_ns = check_pts(pts_ns)
        if len(rows) == 0:
            return []
        return self._offer(pts_ns, lambda: self._segment.push_lld(pts_ns, rows.astype(np.float32)))

    def degrade(self, step: int) -> None:
        """Leaves out work from the next frame on; see Session.degrade.

        Raises:
            ArgumentError: there is no such step.
        """
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step <= MOST_DEGRADED:
            raise ArgumentError(f"step must be an int in [0, {MOST_DEGRADED}], got {step!r}; 0 leaves out nothing.")
        self._degraded = step
        self._segment.degrade(step)

    def advance(self, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because time has come to pts_ns with nothing delivered.

        Raises:
            ArgumentError: pts_ns is no int.
            SessionStateError: after finish.
        """
        self._check_open("advance", True, "")
        pts_ns = check_pts(pts_ns)
        return self._offer(pts_ns, lambda: self._segment.advance(pts_ns))

    def finish(self) -> list[TickInput]:
        """Returns the ticks held back; afterwards only reset is allowed.

        Raises:
            SessionStateError: it was called already.
        """
        self._check_open("finish", True, "")
        self._finished = True
        self.counts.inputs_unconfirmed += self._gate.drop_held()
        return self._segment.finish()

    def _new_segment(self) -> _Segment:
        return _Segment(self)

    def _check_open(self, call: str, declared: bool, modality: str) -> None:
        if self._finished:
            raise SessionStateError(f"{call} must come before finish, got it after; call reset() to start anew.")
        if not declared:
            raise ArgumentError(
                f"{call} needs {modality}=True, got {modality}=False; declare the modality when constructing."
            )

    def _offer(self, pts_ns: int, deliver: Callable[[], None]) -> list[TickInput]:
        if self._first_tick is not None and self.spec.frame_tick(pts_ns) < self._first_tick:  # from before a jump: gone
            self.counts.inputs_before_jump += 1
            return []
        ticks: list[TickInput] = []
        dropped = self._gate.dropped
        jump, deliveries = self._gate.offer(pts_ns, self._segment.scheduler.newest_ns, deliver)
        self.counts.inputs_unconfirmed += self._gate.dropped - dropped
        if jump:
            self.counts.jumps += 1
            ticks += self._segment.finish()
            self._first_tick = self._segment.scheduler.current_tick()
            self._segment = self._new_segment()
        for call in deliveries:
            call()
            ticks += self._segment.ready_ticks()
        return ticks


class _Segment:
    """All state between two jumps: clock, timelines, tracker, LLD stream."""

    def __init__(self, owner: Preprocessor) -> None:
        self._owner = owner
        spec = owner.spec
        self.scheduler = TickScheduler(spec, owner._skew_ns, owner.video, owner.audio, audio_need_ns(spec))
        self._faces = FaceFront(owner.parts, owner._max_faces, owner._detector_stride) if owner.video else None
        self._frames = FrameTimeline(spec, self._process_frame)
        self._sound = SoundFront(spec, owner.counts, owner.parts.tap) if owner.audio else None
        self._steps = AudioSteps(spec, owner.parts.normaliser) if owner.audio else None
        self._started = False
        self.degrade(owner._degraded)

    def _process_frame(self, pts_ns: int, payload: Any) -> tuple[FaceInput, ...]:
        assert self._faces is not None
        return self._faces.process(pts_ns, payload)

    def degrade(self, step: int) -> None:
        if self._faces is not None:
            self._faces.degraded = step

    def push_frame(self, pts_ns: int, image: np.ndarray) -> None:
        self._deliver_frame(pts_ns, image)

    def push_faces(self, pts_ns: int, faces: tuple[tuple[TrackedFace, np.ndarray], ...]) -> None:
        self._deliver_frame(pts_ns, faces)

    def _deliver_frame(self, pts_ns: int, payload: Any) -> None:
        newest = self._frames.newest_pts_ns
        if newest is not None and pts_ns <= newest:
            self._owner.counts.frames_not_newer += 1
            return
        self._owner.counts.frames_late += self._frames.push(pts_ns, payload)
        self.scheduler.delivered("video", pts_ns)

    def push_audio(self, pts_ns: int, samples: np.ndarray, rate_hz: int) -> None:
        assert self._sound is not None
        late = self.scheduler.late_ns(pts_ns) * rate_hz // NANOSECONDS
        self._owner.counts.samples_late += min(late, len(samples))
        self._sound.push(pts_ns, samples, rate_hz)
        self.scheduler.delivered("audio", self._sound.end_pts_ns, first_pts_ns=pts_ns)

    def push_lld(self, pts_ns: int, rows: np.ndarray) -> None:
        assert self._sound is not None
        self._sound.push_rows(pts_ns, rows)
        self.scheduler.delivered("audio", self._sound.end_pts_ns, first_pts_ns=pts_ns)

    def advance(self, pts_ns: int) -> None:
        self.scheduler.delivered("clock", pts_ns)

    def ready_ticks(self) -> list[TickInput]:
        ticks = []
        tick = self.scheduler.current_tick()
        while tick is not None and self.scheduler.may_go(tick, video_ready=self._frames.ready(tick)):
            ticks.append(self._make(tick))
            tick += 1
        return ticks

    def finish(self) -> list[TickInput]:
        if self._sound is not None:
            self._sound.finish()
        tick, last = self.scheduler.current_tick(), self.scheduler.last_tick()
        if tick is None or last is None:
            return []
        return [self._make(number) for number in range(tick, last + 1)]

    def _make(self, tick: int) -> TickInput:
        spec = self._owner.spec
        pts_ns = spec.tick_pts_ns(tick)
        taken = self._frames.take(tick)
        limit = pts_ns - round(spec.face_staleness_seconds * NANOSECONDS)
        faces = tuple(face for face in taken.result if face.detected_pts_ns >= limit) if taken else ()
        audio = lld = centre = None
        if self._sound is not None and self._steps is not None:
            step = self._sound.rows.select(pts_ns - spec.audio_lag_ns)
            audio = self._steps.push(step)
            if step is not None:
                lld, centre = step.lld, step.centre_ns
            self._sound.rows.forget_before(pts_ns - spec.audio_lag_ns)
        restart, self._started = not self._started, True
        self.scheduler.went(tick)
        frame_pts = taken.pts_ns if taken else None
        return TickInput(tick, pts_ns, restart, faces, frame_pts, audio, lld, centre, self._stale(tick, pts_ns))

    def _stale(self, tick: int, pts_ns: int) -> bool:
        newest = [self._frames.newest_before(tick)]
        if self._sound is not None:
            newest.append(self._sound.newest_sound_before(pts_ns + self.scheduler.audio_need_ns))
        delivered = [value for value in newest if value is not None]
        if delivered:
            return pts_ns - max(delivered) > self._owner._staleness_ns
        first = self.scheduler.first_pts_ns
        return first is not None and pts_ns - first > self._owner._staleness_ns

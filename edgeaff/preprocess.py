"""Preprocessor: detection + features + sync. THE path from raw frames and samples to the model's input, for Session and training.

```
frame   -> detector -> tracker -> crop -> face encoder -+
                                                        +-> one TickInput per tick of the model clock
samples -> clock -> resampler -> LLDs -> normaliser ----+
```
It knows no model. The same calls give the same ticks, however the sound was cut into chunks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.spec import NANOSECONDS, PreprocessSpec
from edgeaff.sync import (
    HOP_NS,
    MILLISECOND,
    ColumnGroup,
    FrameTimeline,
    JumpGate,
    RowTimeline,
    SoundClock,
    TickScheduler,
)
from edgeaff.types import FaceDetection, TrackedFace

LLD_SIZE = 65
LLD_RATE_HZ = 16_000
SLOW_COLUMNS = (0, 1, 2, 3, 4, 5, 9)  # 60 ms analysis window: pitch group and zero crossings
FAST_COLUMNS = tuple(column for column in range(LLD_SIZE) if column not in SLOW_COLUMNS)
GROUPS = (
    ColumnGroup(FAST_COLUMNS, 10 * MILLISECOND, 20 * MILLISECOND),
    ColumnGroup(SLOW_COLUMNS, 30 * MILLISECOND, 60 * MILLISECOND),
)
RESAMPLER_DELAY_NS = 4 * MILLISECOND
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8_000, 192_000


class FaceDetector(Protocol):
    """Finds faces. id: recorded in bundles; boxes of another detector are another distribution of crops."""

    id: str

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the faces of one (H, W, 3) uint8 RGB picture."""
        ...


class FaceEncoder(Protocol):
    """Crops a face by the spec's rule and describes it."""

    descriptor_size: int

    def crop(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Returns the (96, 96, 3) uint8 RGB crop."""
        ...

    def encode(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns (n, D) float32 descriptors of crops."""
        ...


class Normaliser(Protocol):
    """Maps LLDs to the model's scale, causally."""

    def update_and_normalise(self, lld: np.ndarray) -> np.ndarray:
        """Returns (65,) float32 for (65,) float32, its statistics updated first."""
        ...

    def reset(self) -> None:
        """Forgets what was learned on this session."""
        ...


@dataclass(frozen=True, slots=True)
class FaceInput:
    """One usable face of a frame. crop: (96, 96, 3) uint8 RGB; descriptor: (D,) float32."""

    face: TrackedFace
    crop: np.ndarray
    descriptor: np.ndarray
    detected_pts_ns: int


@dataclass(frozen=True, slots=True)
class TickInput:
    """Everything the model gets at one tick.

    Attributes:
        tick: its number; pts_ns: its time.
        restart: all state starts anew with this tick (first tick, or after a jump).
        faces: usable faces, the primary one first; empty without one.
        frame_pts_ns: time of the frame taken, or None.
        audio: (audio_vector_size,) float32, normalised, or None when sound is missing.
        lld: (65,) float32 of this step before normalisation, or None.
        audio_centre_ns: centre of the newest analysis window used, or None.
        stale: no declared modality has delivered anything for the staleness time.
    """

    tick: int
    pts_ns: int
    restart: bool
    faces: tuple[FaceInput, ...]
    frame_pts_ns: int | None
    audio: np.ndarray | None
    lld: np.ndarray | None
    audio_centre_ns: int | None
    stale: bool


@dataclass(slots=True)
class InputCounts:
    """What was repaired or dropped, by cause."""

    frames_not_newer: int = 0
    frames_late: int = 0
    samples_overlapping: int = 0
    samples_filled: int = 0
    samples_not_finite: int = 0
    samples_late: int = 0
    sound_restarts: int = 0
    jumps: int = 0
    inputs_unconfirmed: int = 0


@dataclass(frozen=True)
class PreprocessParts:
    """The parts that a bundle provides. detector and encoder may be None when video is off, normaliser when audio is."""

    spec: PreprocessSpec
    detector: FaceDetector | None = None
    encoder: FaceEncoder | None = None
    normaliser: Normaliser | None = None


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
            if not 0 <= seconds <= 60:
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
        self._segment = self._new_segment()
        self._finished = False

    def push_frame(self, image: np.ndarray, *, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because of this frame. image: (H, W, 3) uint8 RGB.

        Raises:
            ArgumentError: image or pts_ns is not what it must be, or video is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_frame", self.video, "video")
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            shape = f"{getattr(image, 'shape', type(image).__name__)} {getattr(image, 'dtype', '')}".strip()
            raise ArgumentError(f"image must have shape (H, W, 3) and dtype uint8 (RGB), got {shape}; convert it first.")
        return self._offer(check_pts(pts_ns), lambda: self._segment.push_frame(pts_ns, image))

    def push_face(self, faces: Sequence[tuple[TrackedFace, np.ndarray]], *, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because of a frame whose faces are known. Enters after detection and tracking.

        Args:
            faces: (face, crop) pairs, primary first; crop: (crop_size_px, crop_size_px, 3) uint8 RGB. Empty: a frame without a face.
            pts_ns: time of the frame.

        Raises:
            ArgumentError: a crop or pts_ns is not what it must be, or video is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_face", self.video, "video")
        expected = (self.spec.crop_size_px, self.spec.crop_size_px, 3)
        for _, crop in faces:
            if not isinstance(crop, np.ndarray) or crop.shape != expected or crop.dtype != np.uint8:
                raise ArgumentError(f"crop must have shape {expected} and dtype uint8, got {getattr(crop, 'shape', type(crop).__name__)}; crop it first.")
        known = tuple(faces[: self._max_faces])
        return self._offer(check_pts(pts_ns), lambda: self._segment.push_faces(pts_ns, known))

    def push_audio(self, samples: np.ndarray, *, pts_ns: int, sample_rate_hz: int) -> list[TickInput]:
        """Returns the ticks that went out because of this sound.

        Args:
            samples: (n,) int16, or float32/float64 in [-1, 1]; NaN and Inf become 0 and are counted.
            pts_ns: time of samples[0].
            sample_rate_hz: 8,000 to 192,000.

        Raises:
            ArgumentError: an argument is not what it must be, or audio is not declared.
            SessionStateError: after finish.
        """
        self._check_open("push_audio", self.audio, "audio")
        samples = check_samples(samples, sample_rate_hz)
        check_pts(pts_ns)
        if samples.size == 0:
            return []
        return self._offer(pts_ns, lambda: self._segment.push_audio(pts_ns, samples, sample_rate_hz))

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
            raise ArgumentError(f"rows must be finite with shape (n, {LLD_SIZE}), got {rows.shape}; pass LLDs without deltas.")
        check_pts(pts_ns)
        if len(rows) == 0:
            return []
        return self._offer(pts_ns, lambda: self._segment.push_lld(pts_ns, rows.astype(np.float32)))

    def advance(self, pts_ns: int) -> list[TickInput]:
        """Returns the ticks that went out because time has come to pts_ns with nothing delivered.

        Raises:
            ArgumentError: pts_ns is no int.
            SessionStateError: after finish.
        """
        self._check_open("advance", True, "")
        return self._offer(check_pts(pts_ns), lambda: self._segment.advance(pts_ns))

    def finish(self) -> list[TickInput]:
        """Returns the ticks held back; afterwards only reset is allowed.

        Raises:
            SessionStateError: it was called already.
        """
        self._check_open("finish", True, "")
        self._finished = True
        return self._segment.finish()

    def _new_segment(self) -> _Segment:
        return _Segment(self)

    def _check_open(self, call: str, declared: bool, modality: str) -> None:
        if self._finished:
            raise SessionStateError(f"{call} must come before finish, got it after; call reset() to start anew.")
        if not declared:
            raise ArgumentError(f"{call} needs {modality}=True, got {modality}=False; declare the modality when constructing.")

    def _offer(self, pts_ns: int, deliver: Callable[[], None]) -> list[TickInput]:
        ticks: list[TickInput] = []
        jump, deliveries = self._gate.offer(pts_ns, self._segment.scheduler.newest_ns, deliver)
        self.counts.inputs_unconfirmed = self._gate.dropped
        if jump:
            self.counts.jumps += 1
            ticks += self._segment.finish()
            self._segment = self._new_segment()
        for call in deliveries:
            call()
            ticks += self._segment.ready_ticks()
        return ticks


def check_pts(pts_ns: int) -> int:
    """Returns pts_ns if it is an int.

    Raises:
        ArgumentError: it is not.
    """
    if isinstance(pts_ns, bool) or not isinstance(pts_ns, (int, np.integer)):
        raise ArgumentError(f"pts_ns must be an int (nanoseconds), got {pts_ns!r}; multiply seconds by 10**9 and round.")
    return int(pts_ns)


def check_samples(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Returns the samples as (n,) int16 or float32.

    Raises:
        ArgumentError: shape, dtype or rate is not what it must be.
    """
    samples = np.asarray(samples)
    if samples.ndim != 1 or samples.dtype not in (np.int16, np.float32, np.float64):
        raise ArgumentError(f"samples must be (n,) int16 or float32, got {samples.shape} {samples.dtype}; mix to mono and convert.")
    if isinstance(sample_rate_hz, bool) or not isinstance(sample_rate_hz, (int, np.integer)):
        raise ArgumentError(f"sample_rate_hz must be an int, got {sample_rate_hz!r}; pass hertz.")
    if not LOWEST_RATE_HZ <= sample_rate_hz <= HIGHEST_RATE_HZ:
        raise ArgumentError(f"sample_rate_hz must be in [{LOWEST_RATE_HZ}, {HIGHEST_RATE_HZ}], got {sample_rate_hz}; resample first.")
    return samples if samples.dtype == np.int16 else samples.astype(np.float32)


class _Segment:
    """All state between two jumps: clock, timelines, tracker, LLD stream."""

    def __init__(self, owner: Preprocessor) -> None:
        self._owner = owner
        spec = owner.spec
        need_ns = -spec.audio_lag_ns + HOP_NS // 2 + (SoundFront.complete_ns() - GROUPS[0].centre_ns) + RESAMPLER_DELAY_NS
        self.scheduler = TickScheduler(spec, owner._skew_ns, owner.video, owner.audio, need_ns)
        self._faces = FaceFront(owner.parts, owner._max_faces, owner._detector_stride) if owner.video else None
        self._frames = FrameTimeline(spec, self._process_frame)
        self._sound = SoundFront(spec, owner.counts) if owner.audio else None
        self._steps = AudioSteps(spec, owner.parts.normaliser) if owner.audio else None
        self._started = False

    def _process_frame(self, pts_ns: int, payload: Any) -> tuple[FaceInput, ...]:
        assert self._faces is not None
        return self._faces.process(pts_ns, payload)

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


class FaceFront:
    """From a frame to its usable faces: detector, tracker, crop, encoder."""

    def __init__(self, parts: PreprocessParts, max_faces: int, detector_stride: int) -> None:
        if parts.encoder is None:
            raise ArgumentError("encoder must be given when video is declared, got None; load a bundle with a face encoder.")
        from edgeaff.detection.tracker import FaceTracker

        self._parts = parts
        self._stride = detector_stride
        self._max_faces = max_faces
        self._tracker = FaceTracker(max_faces=max_faces, staleness_seconds=parts.spec.face_staleness_seconds)
        self._count = 0

    def process(self, pts_ns: int, payload: Any) -> tuple[FaceInput, ...]:
        """Returns the usable faces of one frame: a picture, or (face, crop) pairs known already."""
        assert self._parts.encoder is not None
        if isinstance(payload, tuple):
            pairs = [(face, crop, pts_ns) for face, crop in payload]
        else:
            pairs = [(face, self._parts.encoder.crop(payload, face.box), detected) for face, detected in self._track(pts_ns, payload)]
        if not pairs:
            return ()
        descriptors = self._parts.encoder.encode([crop for _, crop, _ in pairs])
        return tuple(
            FaceInput(face, crop, descriptor, detected) for (face, crop, detected), descriptor in zip(pairs, descriptors, strict=True)
        )

    def _track(self, pts_ns: int, image: np.ndarray) -> list[tuple[TrackedFace, int]]:
        if self._parts.detector is None:
            raise ArgumentError("detector must be given to push frames, got None; push faces with push_face instead.")
        due = self._count % self._stride == 0
        self._count += 1
        detections = self._parts.detector.detect(image) if due else None
        faces = self._tracker.update(pts_ns, image, detections)[: self._max_faces]
        return [(face, self._tracker.detected_pts_ns(face.track_id)) for face in faces]


@dataclass(slots=True)
class _Span:
    start_ns: int
    end_ns: int


class SoundFront:
    """From chunks to timed LLD rows: cleaning, clock, resampler, LLD stream; rows that touch a hole are masked."""

    def __init__(self, spec: PreprocessSpec, counts: InputCounts) -> None:
        self._spec = spec
        self._counts = counts
        self._clock = SoundClock()
        self._resampler: Any = None
        self._stream: Any = None
        self._row = 0
        self._spans: deque[_Span] = deque(maxlen=64)
        self._rows_end_ns: int | None = None
        self.rows = RowTimeline(GROUPS)

    @staticmethod
    def complete_ns() -> int:
        """Returns how long after its start a row of all 65 columns is final."""
        from edgeaff.features.lld import ROW_LATENCY_NS

        return ROW_LATENCY_NS

    @property
    def end_pts_ns(self) -> int:
        """Time after the last sample, or after the last row pushed."""
        return self._clock.end_pts_ns if self._rows_end_ns is None else self._rows_end_ns

    def push(self, pts_ns: int, samples: np.ndarray, rate_hz: int) -> None:
        """Accepts one chunk. samples: (n,) int16 or float32."""
        samples = self._clean(samples)
        place = self._clock.place(pts_ns, len(samples), rate_hz)
        if place.restart:
            self._restart(rate_hz)
        self._counts.samples_overlapping += place.skip
        self._counts.samples_filled += place.fill
        if place.fill:
            self._feed(np.zeros(place.fill, samples.dtype))
        kept = samples[place.skip :]
        if len(kept):
            self._feed(kept)
            end = self._clock.end_pts_ns
            self._note_span(end - len(kept) * NANOSECONDS // rate_hz, end)

    def push_rows(self, pts_ns: int, rows: np.ndarray) -> None:
        """Accepts final rows. rows: (n, 65) float32; pts_ns: start of the first."""
        for index, row in enumerate(rows):
            self.rows.push(pts_ns + index * HOP_NS, row, (False, False))
        self._rows_end_ns = pts_ns + (len(rows) - 1) * HOP_NS + self.complete_ns()
        self._note_span(pts_ns, self._rows_end_ns)

    def finish(self) -> None:
        """Flushes the rows that end of sound makes final."""
        if self._stream is None:
            return
        if self._resampler is not None:
            self._stream.push(self._resampler.finish())
        self._stream.finish()
        self._collect()
        self._stream = None

    def newest_sound_before(self, instant_ns: int) -> int | None:
        """Returns the time of the newest real sample before an instant, or None."""
        for span in reversed(self._spans):
            if span.start_ns < instant_ns:
                return min(span.end_ns, instant_ns)
        return None

    def _clean(self, samples: np.ndarray) -> np.ndarray:
        if samples.dtype == np.int16:
            return samples
        bad = ~np.isfinite(samples)
        if bad.any():
            self._counts.samples_not_finite += int(bad.sum())
            samples = np.where(bad, np.float32(0), samples)
        return samples

    def _restart(self, rate_hz: int) -> None:
        from edgeaff.features.lld import LldStream
        from edgeaff.features.resample import Resampler

        self._counts.sound_restarts += self._stream is not None
        self._stream = LldStream(sample_rate_hz=LLD_RATE_HZ, max_pitch_lag=self._spec.lld_max_pitch_lag)
        self._resampler = None if rate_hz == LLD_RATE_HZ else Resampler(rate_hz)
        self._row = 0

    def _feed(self, samples: np.ndarray) -> None:
        self._stream.push(samples if self._resampler is None else self._resampler.push(samples))
        self._collect()

    def _collect(self) -> None:
        for lld in self._stream.pop():
            start = self._row * HOP_NS
            masked = tuple(self._clock.touches_hole(start - HOP_NS, start + group.window_ns + HOP_NS) for group in GROUPS)
            self.rows.push(self._clock.pts_ns(start), lld, masked)
            self._row += 1

    def _note_span(self, start_ns: int, end_ns: int) -> None:
        if self._spans and start_ns - self._spans[-1].end_ns <= MILLISECOND:
            self._spans[-1].end_ns = end_ns
        else:
            self._spans.append(_Span(start_ns, end_ns))


@dataclass
class AudioSteps:
    """From the step of a tick to the model's audio vector: normalised once per new row, stacked oldest first, zero-padded.

    Paper: section 4.2.2 (63 steps x 65 LLDs and one zero: 4096). A missing step is zeros; before the first step too.
    """

    spec: PreprocessSpec
    normaliser: Normaliser | None
    _steps: deque[np.ndarray] = field(init=False)
    _row: int = -1

    def __post_init__(self) -> None:
        if self.normaliser is None:
            raise ArgumentError("normaliser must be given when audio is declared, got None; load a bundle with LLD statistics.")
        self.normaliser.reset()
        self._steps = deque([np.zeros(LLD_SIZE, np.float32)] * self.spec.audio_context_steps, self.spec.audio_context_steps)
        self._last = self._steps[-1]

    def push(self, step: Any) -> np.ndarray | None:
        """Returns the (audio_vector_size,) float32 vector of a tick, or None when its own step is missing."""
        assert self.normaliser is not None
        if step is None:
            self._steps.append(np.zeros(LLD_SIZE, np.float32))
            return None
        if step.row != self._row:
            self._row = step.row
            self._last = self.normaliser.update_and_normalise(step.lld).astype(np.float32)
        self._steps.append(self._last)
        vector = np.zeros(self.spec.audio_vector_size, np.float32)
        stacked = np.concatenate(self._steps)
        vector[: len(stacked)] = stacked
        return vector

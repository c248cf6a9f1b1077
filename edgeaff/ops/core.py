"""Interface to csrc/core: the classes of the native session core under the names and signatures of their Python twins.

| here | twin |
|---|---|
| AudioClock, RowTimeline, FrameTimeline, TickScheduler | `edgeaff.reference.sync` (AudioClock is AudioClock there) |
| ClockGate | `edgeaff.reference.gate` |
| Coverage, Uncertainty, Smoother | `edgeaff.inference`, `edgeaff.smoothing` |
| LldNormalizer | `edgeaff.features.normalize` |
| FaceTracker, assign | `edgeaff.detection.tracker`, `edgeaff.detection.assignment` |

Times are int nanoseconds of 64 bits, as the gate lets them through; both twins give the same bytes for the same calls (tests/core).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.ops import native
from edgeaff.spec import NANOSECONDS, PreprocessSpec
from edgeaff.types import FaceBox, FaceDetection, TrackedFace

KINDS = ("image", "faces", "samples", "rows", "clock")
_MODALITIES = {"video": 0, "audio": 1, "clock": 2}
_LARGEST = 2**63 - 1


class Placement(NamedTuple):
    """The action for one chunk: start a new stream or not, samples to skip at its head, zeros to put before it."""

    restart: bool
    skip: int
    fill: int


class Step(NamedTuple):
    """The audio of one tick. lld: (65,) float32, not normalized; center_ns: of its newest column group; row: its number."""

    lld: np.ndarray
    center_ns: int
    row: int


class TakenFrame(NamedTuple):
    """The frame that a tick takes: its time and the result of processing it."""

    pts_ns: int
    result: Any


class Verdict(NamedTuple):
    """Decision about the current inputs; see `edgeaff.reference.gate.Verdict`."""

    deliver: tuple[Any, ...] = ()
    dropped: tuple[Any, ...] = ()
    restart: bool = False


class Group(Protocol):
    """Columns that share one analysis window; see `edgeaff.reference.sync.ColumnGroup`."""

    columns: tuple[int, ...]
    center_ns: int
    window_ns: int


class Input(Protocol):
    """One input on its way; see `edgeaff.reference.gate.Delivery`."""

    kind: str
    start_ns: int
    end_ns: int


class AudioClock:
    """Time of every sample of one audio stream."""

    def __init__(self) -> None:
        self._core = native().AudioClock()

    @property
    def rate_hz(self) -> int:
        """Rate of the stream, 0 before the first chunk."""
        return self._core.rate_hz

    @property
    def nominal_end_ns(self) -> int:
        """Nominal time after the last sample."""
        return self._core.nominal_end_ns

    @property
    def end_pts_ns(self) -> int:
        """Session time after the last sample."""
        return self._core.end_pts_ns

    def pts_ns(self, nominal_ns: int) -> int:
        """Returns the session time of a nominal time."""
        return self._core.pts_ns(nominal_ns)

    def touches_hole(self, start_ns: int, end_ns: int) -> bool:
        """Returns whether [start, end) in nominal time overlaps zeros that were filled in."""
        return self._core.touches_hole(start_ns, end_ns)

    def place(self, pts_ns: int, count: int, rate_hz: int) -> Placement:
        """Returns the part of `count` samples at pts_ns to feed, and advances the clock over them."""
        return Placement(*self._core.place(pts_ns, count, rate_hz))


class RowTimeline:
    """LLD rows with their times; gives, per column group, the row whose window center is nearest to an instant."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._core = native().RowTimeline([(list(one.columns), one.center_ns, one.window_ns) for one in groups])

    def push(self, start_pts_ns: int, lld: np.ndarray, masked: tuple[bool, ...]) -> None:
        """Appends one final row. lld: (width,) float32; masked: one flag per column group."""
        self._core.push(start_pts_ns, lld, masked)

    def select(self, instant_ns: int) -> Step | None:
        """Returns the step at an instant, or None when audio is missing there."""
        found = self._core.select(instant_ns)
        return None if found is None else Step(*found)

    def forget_before(self, instant_ns: int) -> None:
        """Drops rows that no instant from here on can take."""
        self._core.forget_before(instant_ns)


class FrameTimeline:
    """Frames by tick. A frame that a tick takes is processed once, in time order, and let go at once."""

    def __init__(self, spec: PreprocessSpec, process: Callable[[int, Any], Any]) -> None:
        self._core = native().FrameTimeline(spec.model_rate_hz, process)

    @property
    def newest_pts_ns(self) -> int | None:
        """Time of the newest frame."""
        return self._core.newest_pts_ns

    @property
    def newest_tick(self) -> int | None:
        """Tick of the newest frame."""
        return self._core.newest_tick

    def push(self, pts_ns: int, payload: Any) -> bool:
        """Returns whether the tick of this frame, which is newer than all before it, was emitted without a frame."""
        return self._core.push(pts_ns, payload)

    def ready(self, tick: int) -> bool:
        """Returns whether the tick's frame, or anything later, is there."""
        return self._core.ready(tick)

    def take(self, tick: int) -> TakenFrame | None:
        """Returns the frame of a tick, or None when there is none recent enough. Ticks are taken in order."""
        found = self._core.take(tick)
        return None if found is None else TakenFrame(*found)

    def newest_before(self, tick: int) -> int | None:
        """Returns the pts of the newest frame that belongs to this tick or an earlier one; call it after take(tick)."""
        return self._core.newest_before()


class TickScheduler:
    """Decides which tick may go."""

    def __init__(self, spec: PreprocessSpec, skew_ns: int, video: bool, audio: bool, audio_need_ns: int) -> None:
        self._core = native().TickScheduler(spec.model_rate_hz, skew_ns, video, audio, audio_need_ns)
        self.audio_need_ns = audio_need_ns

    @property
    def first_pts_ns(self) -> int | None:
        """Start of the first delivery."""
        return self._core.first_pts_ns

    @property
    def next_tick(self) -> int | None:
        """The tick after the last one that was emitted."""
        return self._core.next_tick

    @property
    def newest_ns(self) -> int | None:
        """The latest instant that anything has reached."""
        return self._core.newest_ns

    def delivered(self, who: str, pts_ns: int, *, first_pts_ns: int | None = None) -> None:
        """Notes that a modality ("video", "audio", or "clock" for advance) has delivered up to pts_ns."""
        self._core.delivered(_MODALITIES[who], pts_ns, first_pts_ns)

    def late_ns(self, pts_ns: int) -> int:
        """Returns the duration of new audio from pts_ns on that is too late: only emitted ticks could have used it."""
        return self._core.late_ns(pts_ns)

    def current_tick(self) -> int | None:
        """Returns the next tick to go, or None before the first delivery."""
        return self._core.current_tick()

    def may_go(self, tick: int, *, video_ready: bool) -> bool:
        """Returns whether the tick waits for nothing any more, and the data (or advance) reach as far as it."""
        return self._core.may_go(tick, video_ready)

    def went(self, tick: int) -> None:
        """Records that the tick was emitted."""
        self._core.went(tick)

    def last_tick(self) -> int | None:
        """Returns the last tick of the data so far."""
        return self._core.last_tick()

    def frame_window_end_ns(self, tick: int) -> int:
        """Returns the first pts that belongs to the next tick."""
        return self._core.frame_window_end_ns(tick)


class ClockGate:
    """Judges inputs one by one: continue, restart, hold or drop."""

    def __init__(self, *, confirm: bool) -> None:
        self._core = native().ClockGate(confirm)

    def offer(self, item: Input) -> Verdict:
        """Returns the decisions on an input and on the one that was held."""
        end_ns = min(item.end_ns, _LARGEST)
        return Verdict(*self._core.offer(KINDS.index(item.kind), item.start_ns, end_ns, item))

    def drop_held(self) -> tuple[Any, ...]:
        """Returns the input that was held, if any, and forgets it."""
        return self._core.drop_held()


class FaceTracker:
    """Gives faces an identity over time, between and through detections."""

    def __init__(self, *, max_faces: int, staleness_seconds: float = 0.5) -> None:
        """Starts without tracks; see `edgeaff.detection.tracker.FaceTracker`.

        Raises:
            ArgumentError: max_faces is below 1 or staleness_seconds not positive.
        """
        if max_faces < 1:
            raise ArgumentError(
                f"max_faces must be at least 1, got {max_faces}; pass 1 to follow the primary face only."
            )
        if not staleness_seconds > 0:
            raise ArgumentError(
                f"staleness_seconds must be positive, got {staleness_seconds}; pass 0.5, the usual value."
            )
        self._core = native().FaceTracker(max_faces, round(staleness_seconds * NANOSECONDS))
        self._detected: dict[int, int] = {}

    @property
    def cuts(self) -> int:
        """Shot cuts seen so far."""
        return self._core.cuts

    def reset(self) -> None:
        """Forgets all tracks; identities count on."""
        self._core.reset()
        self._detected = {}

    def detected_pts_ns(self, track_id: int) -> int:
        """Returns when a face of the last `update` was last detected.

        Raises:
            ArgumentError: it gave no such face.
        """
        if track_id not in self._detected:
            raise ArgumentError(
                f"track_id must be one of {list(self._detected)}, got {track_id}; ask right after `update`."
            )
        return self._detected[track_id]

    def update(
        self, pts_ns: int, image: np.ndarray | None, detections: list[FaceDetection] | None
    ) -> list[TrackedFace]:
        """Returns the usable faces of one more frame, the primary one first.

        Args:
            pts_ns: time of the frame, later than that of the call before.
            image: (H, W, 3) uint8 RGB, to notice shot cuts; None where there is no image.
            detections: what the detector found on this frame; None when it did not run on it.

        Raises:
            ArgumentError: pts_ns does not grow.
        """
        before = self._core.pts_ns
        if before is not None and pts_ns <= before:
            raise ArgumentError(f"pts_ns must be above {before}, got {pts_ns}; drop frames that do not move on.")
        found = None if detections is None else [(*map(float, one.box), float(one.score)) for one in detections]
        rows = self._core.update(pts_ns, image, found)
        self._detected = {row[0]: row[3] for row in rows}
        return [TrackedFace(track_id, FaceBox(*box), score) for track_id, box, score, _ in rows]


def assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """Returns the pairs (row, column) of the cheapest complete assignment of the shorter side, by row. cost: (n, m), finite."""
    return native().assign(cost)


class LldNormalizer:
    """(row - mean) / std with fixed or running statistics, as the spec states."""

    def __init__(self, spec: PreprocessSpec, statistics: Mapping[str, Sequence[float]]) -> None:
        self._core = native().LldNormalizer(
            np.asarray(statistics["lld_mean"], np.float64),
            np.asarray(statistics["lld_std"], np.float64),
            spec.audio_normalization == "adaptive",
            spec.adaptive_half_life_seconds,
            spec.adaptive_prior_seconds,
            spec.adaptive_learning_seconds,
            spec.silence_gate_rms,
            1 / spec.model_rate_hz,
        )

    def reset(self) -> None:
        """Goes back to the fixed statistics."""
        self._core.reset()

    def update_and_normalize(self, row: np.ndarray) -> np.ndarray:
        """Returns the normalized row, (65,) float32. row: (65,) float32, finite."""
        return self._core.update_and_normalize(row)


class SpeechGate:
    """Decides step by step whether somebody speaks; see `edgeaff.features.speech`."""

    def __init__(self, arrays: Mapping[str, np.ndarray], *, step_seconds: float = 1 / 30) -> None:
        self._core = native().SpeechGate(
            {name: np.asarray(array, np.float64) for name, array in arrays.items()}, step_seconds
        )

    def reset(self) -> None:
        """Goes back to before the first step."""
        self._core.reset()

    def push(self, lld: np.ndarray) -> bool:
        """Returns whether somebody speaks at this step, or did within the hold. lld: (65,) float32, not normalized."""
        return self._core.push(lld)


class Coverage:
    """Share of the last 100 ticks in which a modality was there."""

    def __init__(self) -> None:
        self._core = native().Coverage()

    def push(self, present: bool) -> float:
        """Returns the coverage with this tick counted."""
        return self._core.push(present)


class Smoother:
    """Causal exponential smoothing of one value."""

    def __init__(self, time_constant_seconds: float) -> None:
        self._core = native().Smoother(time_constant_seconds)

    def push(self, pts_ns: int, value: float | None) -> float | None:
        """Returns the smoothed value, None for None."""
        return self._core.push(pts_ns, value)


class Uncertainty:
    """Standard deviation of the expected error by coverage. table: of a manifest, checked there."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        grids = [np.asarray(table[name], float).ravel().tolist() for name in ("valence_std", "arousal_std")]
        self._core = native().UncertaintyTable(list(table["video_coverage"]), list(table["audio_coverage"]), *grids)

    def std(self, video_coverage: float, audio_coverage: float) -> tuple[float, float]:
        """Returns (valence_std, arousal_std), interpolated between the calibrated coverages."""
        return self._core.std(video_coverage, audio_coverage)


def age_ms(now_ns: int, then_ns: int) -> float:
    """Returns the age in milliseconds, rounded to 1 us; 0 for a frame just after its tick."""
    return native().age_ms(now_ns, then_ns)

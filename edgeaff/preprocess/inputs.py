"""What the preprocessor is made of and what it gives: protocols of its parts, TickInput, counts, argument checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.features.samples import check_form
from edgeaff.parsing.boundary import boundary
from edgeaff.spec import LLD_SIZE, PreprocessSpec, check_rate
from edgeaff.types import FaceDetection, TrackedFace

FoundFace = tuple[TrackedFace, np.ndarray, int]  # face, (96, 96, 3) uint8 RGB crop, pts_ns of its last detection


class FaceDetector(Protocol):
    """Finds faces. id: recorded in bundles; boxes of another detector are another distribution of crops."""

    id: str

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the faces of one (H, W, 3) uint8 RGB frame."""
        ...


class FaceEncoder(Protocol):
    """Crops a face by the spec's rule and describes it."""

    def crop(self, image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
        """Returns the (96, 96, 3) uint8 RGB crop."""
        ...

    def encode_crops(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """Returns (n, D) float32 descriptors of crops."""
        ...


class SpeechGate(Protocol):
    """Decides, causally, whether somebody speaks."""

    def push(self, lld: np.ndarray) -> bool:
        """Returns whether somebody speaks at this step. lld: (65,) float32, not normalized."""
        ...

    def reset(self) -> None:
        """Goes back to before the first step."""
        ...


class Normalizer(Protocol):
    """Maps LLDs to the model's scale, causally."""

    def update_and_normalize(self, lld: np.ndarray) -> np.ndarray:
        """Returns (65,) float32 for (65,) float32, its statistics updated first."""
        ...

    def reset(self) -> None:
        """Forgets what was learned on this session."""
        ...


@dataclass(frozen=True, slots=True)
class FaceInput:
    """One usable face of a frame.

    Attributes:
        face: identity, box and score.
        crop: (96, 96, 3) uint8 RGB; (0, 0, 3) where crops are not kept.
        descriptor: (D,) float32, of the frame at encoded_pts_ns.
        detected_pts_ns: time of the last detection.
        encoded_pts_ns: time of the frame that the descriptor is of.
    """

    face: TrackedFace
    crop: np.ndarray
    descriptor: np.ndarray
    detected_pts_ns: int
    encoded_pts_ns: int


@dataclass(frozen=True, slots=True)
class TickInput:
    """Everything the model gets at one tick.

    Attributes:
        tick: its number; pts_ns: its time.
        restart: all state starts over with this tick (first tick, or after a jump).
        faces: usable faces, the primary one first; empty without one.
        frame_pts_ns: time of the frame taken, or None.
        audio: (audio_vector_size,) float32, normalized, or None when audio is missing or nobody speaks.
        lld: (65,) float32 of this step before normalization, or None.
        audio_center_ns: center of the newest analysis window used, or None.
        stale: no declared modality has delivered anything for the staleness time.
    """

    tick: int
    pts_ns: int
    restart: bool
    faces: tuple[FaceInput, ...]
    frame_pts_ns: int | None
    audio: np.ndarray | None
    lld: np.ndarray | None
    audio_center_ns: int | None
    stale: bool


@dataclass(slots=True)
class InputCounts:
    """What became of the input, by cause. An input is one frame or chunk.

    Attributes:
        frames_used: frames that a tick could take.
        frames_unused: frames that no tick can take any more, for any reason.
        chunks_used: chunks of audio with something new for a tick.
        chunks_unused: chunks that no tick can use any more.
        frames_not_newer: frames dropped because they are not newer than the one before.
        frames_late: frames whose tick had gone without a frame.
        samples_overlapping: samples dropped because their time was there already.
        samples_filled: zeros put into short holes.
        samples_not_finite: samples that were no number; they count as 0.
        samples_late: samples whose ticks had gone.
        rows_not_newer: pushed LLD rows dropped because they are not newer than the one before.
        audio_restarts: new LLD streams after a long hole or another rate.
        jumps: restarts after a step of more than 10 s.
        steps_back: steps back of 0.5 to 10 s; what comes is dropped until the clock has caught up.
        inputs_unconfirmed: inputs dropped because they lay more than 10 s away and no second one confirmed them.
        inputs_before_jump: inputs dropped because they began before the ticks that had gone when the clock jumped.
        values_rejected: ticks whose values, boxes or scores were no finite number in their range; the events abstain.
    """

    frames_used: int = 0
    frames_unused: int = 0
    chunks_used: int = 0
    chunks_unused: int = 0
    frames_not_newer: int = 0
    frames_late: int = 0
    samples_overlapping: int = 0
    samples_filled: int = 0
    samples_not_finite: int = 0
    samples_late: int = 0
    rows_not_newer: int = 0
    audio_restarts: int = 0
    jumps: int = 0
    steps_back: int = 0
    inputs_unconfirmed: int = 0
    inputs_before_jump: int = 0
    values_rejected: int = 0

    def note(self, kind: str, *, used: bool) -> None:
        """Counts one input as used or unused. kind: of a Delivery; the clock is no input."""
        if kind in ("image", "faces"):
            self.frames_used += used
            self.frames_unused += not used
        elif kind in ("samples", "rows"):
            self.chunks_used += used
            self.chunks_unused += not used


class InputTap(Protocol):
    """Stands where frames have become crops and audio has become LLDs: a recorder notes them, a replay gives them."""

    def faces(self, pts_ns: int, find: Callable[[], list[FoundFace]]) -> list[FoundFace]:
        """Returns the faces of the frame at pts_ns; `find` detects, tracks and crops them."""
        ...

    def rows(self, pop: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the LLD rows that became final, (n, 65) float32; `pop` computes them."""
        ...


@dataclass(frozen=True)
class PreprocessParts:
    """The parts that a bundle provides.

    detector and encoder may be None when video is off, normalizer when audio is. Without a speech gate all audio is evidence.
    """

    spec: PreprocessSpec
    detector: FaceDetector | None = None
    encoder: FaceEncoder | None = None
    normalizer: Normalizer | None = None
    tap: InputTap | None = None
    speech: SpeechGate | None = None


def check_samples(samples: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Returns the samples as (n,) int16 or float32, contiguous.

    Raises:
        ArgumentError: shape, dtype or rate is not what it must be.
    """
    samples = check_form(samples)
    check_rate("sample_rate_hz", sample_rate_hz)
    return np.ascontiguousarray(samples, np.int16 if samples.dtype == np.int16 else np.float32)


def check_rows(rows: np.ndarray) -> np.ndarray:
    """Returns LLD rows as (n, 65) float32.

    Raises:
        ArgumentError: they are no finite numbers, or have another shape.
    """
    with boundary(ArgumentError, f"rows must be numbers with shape (n, {LLD_SIZE})", "pass LLDs without deltas."):
        array = np.asarray(rows)
        numbers = array.dtype.kind in "fiu" and array.ndim == 2 and array.shape[1] == LLD_SIZE
        with np.errstate(over="ignore"):
            found = array.astype(np.float32) if numbers else None
    if found is None or not np.isfinite(found).all():
        raise ArgumentError(
            f"rows must be finite with shape (n, {LLD_SIZE}), got {array.dtype} of {array.shape}; pass LLDs without deltas."
        )
    return found

"""The native core of the preprocessor: csrc/core with the parts of a bundle, and with parts in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgeaff.detection.ssd import native_detector
from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.features.face import native_encoder
from edgeaff.features.normalize import native_normalizer
from edgeaff.features.speech import native_gate
from edgeaff.ops import native
from edgeaff.preprocess.inputs import FaceInput, InputCounts, PreprocessParts, TickInput
from edgeaff.spec import NANOSECONDS
from edgeaff.types import FaceBox, FaceDetection, TrackedFace

TYPES = {
    "tick": TickInput, "face_input": FaceInput, "face": TrackedFace, "box": FaceBox, "argument_error": ArgumentError,
    "state_error": SessionStateError,
}  # fmt: skip
OPTIONS = ("video", "audio", "live", "keep_crops", "max_faces", "detector_stride", "staleness_ns", "skew_ns")


@dataclass(frozen=True, slots=True)
class Setup:
    """The options of a Preprocessor, checked; see there."""

    parts: PreprocessParts
    video: bool
    audio: bool
    live: bool
    keep_crops: bool
    max_faces: int
    detector_stride: int
    staleness_ns: int
    skew_ns: int


class Core(Protocol):
    """What turns checked inputs into ticks; each call returns the ticks that it completes."""

    def push_frame(self, image: np.ndarray, pts_ns: int) -> list[TickInput]:
        """Takes an image, (H, W, 3) uint8 RGB."""
        ...

    def push_faces(self, faces: Sequence[tuple[TrackedFace, np.ndarray]], pts_ns: int) -> list[TickInput]:
        """Takes a frame whose faces are known, with their crops."""
        ...

    def push_samples(self, samples: np.ndarray, rate_hz: int, pts_ns: int, end_ns: int) -> list[TickInput]:
        """Takes samples, (n,) int16 or float32, n > 0."""
        ...

    def push_rows(self, rows: np.ndarray, pts_ns: int, end_ns: int) -> list[TickInput]:
        """Takes LLD rows, (n, 65) float32, n > 0, finite."""
        ...

    def advance(self, pts_ns: int) -> list[TickInput]:
        """Takes the time."""
        ...

    def finish(self) -> list[TickInput]:
        """Ends the data."""
        ...

    def reset(self) -> None:
        """Starts again; the counts go on."""
        ...

    def degrade(self, step: int) -> None:
        """Leaves out work; see `edgeaff.Session.degrade`."""
        ...

    def replace_encoder(self, encoder: Any) -> None:
        """Goes on with another face encoder, or with the same one on another graph."""
        ...


MakeCore = Callable[[Setup, InputCounts], Core]


class _NoDetector:
    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        raise ArgumentError("detector must be given to push frames, got None; push faces with push_face instead.")


def require_parts(setup: Setup) -> None:
    """Checks that no part is missing.

    Args:
        setup: options and parts.

    Raises:
        ArgumentError: a declared modality lacks one.
    """
    if setup.video and setup.parts.encoder is None:
        raise ArgumentError(
            "encoder must be given when video is declared, got None; load a bundle with a face encoder."
        )
    if setup.audio and setup.parts.normalizer is None:
        raise ArgumentError(
            "normalizer must be given when audio is declared, got None; load a bundle with LLD statistics."
        )


def native_core(setup: Setup, counts: InputCounts) -> Core:
    """Returns `Core` on csrc/core. Parts that have a native form run in it; the others are called.

    Args:
        setup: options and parts.
        counts: where repairs and losses are counted.
    """
    require_parts(setup)
    parts, spec = setup.parts, setup.parts.spec
    core: Core = native().Preprocessor(
        {
            "model_rate_hz": spec.model_rate_hz,
            "audio_lag_ns": spec.audio_lag_ns,
            "audio_context_steps": spec.audio_context_steps,
            "audio_vector_size": spec.audio_vector_size,
            "lld_max_pitch_lag": spec.lld_max_pitch_lag,
            "crop_margin": spec.crop_margin,
            "crop_size_px": spec.crop_size_px,
            "face_staleness_ns": round(spec.face_staleness_seconds * NANOSECONDS),
        },
        {name: getattr(setup, name) for name in OPTIONS},
        {
            "detector": _NoDetector() if parts.detector is None else native_detector(parts.detector) or parts.detector,
            "encoder": core_encoder(parts),
            "normalizer": native_normalizer(parts.normalizer) or parts.normalizer,
            "speech": native_gate(parts.speech) or parts.speech,
            "tap": parts.tap,
        },
        TYPES,
        counts,
    )
    return core


def core_encoder(parts: PreprocessParts) -> Any:
    """Returns the native form of the face encoder on the graph that it has now, or the encoder itself."""
    return native_encoder(parts.encoder) or parts.encoder

"""Parts at the public seam of the preprocessor: a detector that always sees one face, an encoder that measures brightness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeaff.preprocess import Preprocessor, PreprocessParts, TickInput
from edgeaff.spec import PreprocessSpec
from edgeaff.types import FaceBox, FaceDetection

MS = 1_000_000
SECOND = 1_000_000_000


class OneFace:
    """Sees a face in the middle of every frame that is not black."""

    id = "edgeaff-ssd"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        self.calls += 1
        height, width = image.shape[:2]
        box = FaceBox(width * 0.25, height * 0.25, width * 0.75, height * 0.75)
        return [FaceDetection(box, 0.99)] if image.max() > 0 else []


class Brightness:
    """Describes a crop by its mean level."""

    def crop(self, image: np.ndarray, box: Sequence[float]) -> np.ndarray:
        return np.full((96, 96, 3), image.mean(), np.uint8)

    def encode_crops(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([[crop.mean()] for crop in crops], np.float32)


class Identity:
    """Leaves LLDs unchanged."""

    def update_and_normalize(self, lld: np.ndarray) -> np.ndarray:
        return lld

    def reset(self) -> None:
        """Nothing to forget."""


def make(spec: PreprocessSpec | None = None, **options: Any) -> Preprocessor:
    return Preprocessor(PreprocessParts(spec or PreprocessSpec(), OneFace(), Brightness(), Identity()), **options)


def frame(level: int) -> np.ndarray:
    return np.full((24, 32, 3), level, np.uint8)


def tone(seconds: float, rate: int, *, frequency: float = 200.0, seed: int = 0) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 300, len(time))
    return (8000 * np.sin(2 * np.pi * frequency * time) * (1 + 0.5 * np.sin(7 * time)) + noise).astype(np.int16)


def same(one: list[TickInput], other: list[TickInput]) -> None:
    """Asserts that two runs gave bit-equal ticks."""
    assert [tick.tick for tick in one] == [tick.tick for tick in other]
    for a, b in zip(one, other, strict=True):
        assert (a.pts_ns, a.restart, a.frame_pts_ns, a.audio_center_ns, a.stale) == (
            b.pts_ns,
            b.restart,
            b.frame_pts_ns,
            b.audio_center_ns,
            b.stale,
        )
        for x, y in ((a.audio, b.audio), (a.lld, b.lld)):
            assert (x is None) == (y is None) and (x is None or np.array_equal(x, y))
        assert [face.face for face in a.faces] == [face.face for face in b.faces]
        assert all(np.array_equal(x.descriptor, y.descriptor) for x, y in zip(a.faces, b.faces, strict=True))

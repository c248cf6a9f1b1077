"""benchmarks/people.py: its measures on made cases."""

from __future__ import annotations

import numpy as np

from benchmarks.people import auc, returns, square
from edgeaff.people.identity import Identities
from edgeaff.preprocess import FaceInput
from edgeaff.types import FaceBox, TrackedFace


def faces(seed: int) -> list[FaceInput]:
    blocks = np.random.default_rng(seed).integers(20, 236, (6, 6, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    return [FaceInput(TrackedFace(0, FaceBox(0, 0, 9, 9), 0.9), blocks, np.zeros(0), 0, 0)] * 120


def test_auc_counts_pairs() -> None:
    assert auc([1, 2, 3], [0, 0]) == 1.0 and auc([0, 0], [1]) == 0.0 and auc([1, 2], [1, 2]) == 0.5


def test_returns_names_each_person_that_was_away() -> None:
    assert returns(faces(0), faces(1), Identities(), both=False) == {1: 1}
    assert returns(faces(0), faces(1), Identities(), both=True) == {0: 0, 1: 1}


def test_the_middle_of_an_image() -> None:
    image = np.arange(40 * 80 * 3, dtype=np.int64).reshape(40, 80, 3)
    assert square(image).shape == (360, 360, 3) and (square(image)[0, 0] == image[0, 20]).all()

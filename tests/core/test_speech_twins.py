"""The speech gate of the core against its NumPy twin."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaff.bundle import SPEECH, ModelBundle
from edgeaff.features.speech import SpeechGate
from edgeaff.ops import core

pytestmark = pytest.mark.needs_native


@pytest.mark.parametrize("seed", [0, 1])
def test_gates_agree_over_random_rows(seed: int) -> None:
    arrays = ModelBundle.load().arrays(SPEECH)
    random = np.random.default_rng(seed)
    twin, ours = SpeechGate(arrays), core.SpeechGate(arrays)
    answers = []
    for number in range(600):
        center = arrays["mean"] + arrays["std"] * random.normal(0.0, 1.5, 65) * (1 + number // 100 % 2)
        row = (np.sinh(center) / arrays["factor"]).astype(np.float32)
        row[8] = random.choice(np.float32([0.0, 0.01, 0.1]))
        answers.append((twin.push(row), ours.push(row)))
        if number == 400:
            twin.reset()
            ours.reset()
    assert all(expected == found for expected, found in answers)

"""The speech gate: its rule on made-up weights, and what the shipped one takes for speech."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgeaff.bundle import SPEECH, ModelBundle
from edgeaff.errors import BundleError
from edgeaff.features.lld import LldStream
from edgeaff.features.speech import RMS_COLUMN, SHORT_SECONDS, SLOW_SECONDS, SpeechGate

ROOT = Path(__file__).parents[2]
RATE = 16_000


def loudness_gate(*, hold: int = 3) -> dict[str, np.ndarray]:
    """Returns the weights of a gate whose odds are 10 times the short mean of the compressed loudness."""
    hidden = np.zeros((260, 2))
    hidden[RMS_COLUMN] = [10.0, -10.0]
    arrays = {
        "factor": np.ones(65),
        "mean": np.zeros(65),
        "std": np.ones(65),
        "hidden": hidden,
        "hidden_bias": np.zeros(2),
        "out": np.array([1.0, -1.0]),
        "out_bias": np.zeros(1),
        "rules": np.array([2.0, 1.0, hold, 0.01]),
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def row(loudness: float) -> np.ndarray:
    values = np.zeros(65, np.float32)
    values[RMS_COLUMN] = loudness
    return values


def shipped() -> SpeechGate:
    return SpeechGate(ModelBundle.load().arrays(SPEECH))


def open_share(samples: np.ndarray, *, after_seconds: float = 2.0) -> float:
    """Returns the share of steps at which the shipped gate is open. samples: (n,) in [-1, 1] at 16 kHz."""
    stream = LldStream(sample_rate_hz=RATE, max_pitch_lag=4)
    stream.push(np.round(32767 * np.clip(samples, -1, 1)).astype(np.int16))
    stream.finish()
    rows = stream.pop()[:: 10 // 3]
    gate = shipped()
    return float(np.mean([gate.push(lld) for lld in rows][int(after_seconds * len(rows) * RATE / len(samples)) :]))


def test_odds_equal_the_stated_recursion() -> None:
    random = np.random.default_rng(0)
    weights = loudness_gate()
    weights["hidden"] = random.standard_normal((260, 2)).astype(np.float32) * 0.1
    gate, state = SpeechGate(weights), np.zeros((4, 65))
    a, b = (1 - np.exp(-1 / 30 / t) for t in (SHORT_SECONDS, SLOW_SECONDS))
    for _ in range(50):
        lld = random.standard_normal(65)
        x = np.clip(np.arcsinh(lld), -4, 4)
        short = (1 - a) * state[0] + a * x
        slow = (1 - b) * state[1] + b * x
        rough = (1 - b) * state[2] + b * np.abs(x - short)
        swing = (1 - b) * state[3] + b * np.abs(short - slow)
        state = np.stack([short, slow, rough, swing])
        expected = np.maximum(state.reshape(-1) @ weights["hidden"].astype(float), 0) @ [1.0, -1.0]
        assert gate.odds(lld) == pytest.approx(expected, abs=1e-9)


def test_gate_opens_above_and_holds_before_it_closes() -> None:
    gate = SpeechGate(loudness_gate())
    assert not gate.push(row(0.0))
    assert [gate.push(row(1.0)) for _ in range(10)][-1]
    closing = [gate.push(row(-3.0)) for _ in range(30)]
    assert closing[:3] == [True] * 3 and not closing[-1]
    assert closing == sorted(closing, reverse=True)


def test_gate_is_closed_at_once_after_reset() -> None:
    gate = SpeechGate(loudness_gate())
    for _ in range(20):
        gate.push(row(1.0))
    gate.reset()
    assert not gate.push(row(0.0))


@pytest.mark.parametrize("name", ["factor", "hidden", "rules"])
def test_gate_refuses_weights_that_are_missing_or_not_finite(name: str) -> None:
    weights = loudness_gate()
    with pytest.raises(BundleError, match=f"speech.npz must hold {name}"):
        SpeechGate({key: value for key, value in weights.items() if key != name})
    with pytest.raises(BundleError, match=f"speech.npz must hold {name}"):
        SpeechGate(weights | {name: weights[name] * np.float32(np.nan)})


@pytest.mark.parametrize("level", [0.003, 0.05, 0.5])
@pytest.mark.parametrize("clip", ["silence", "white", "brown", "tone", "hum", "chord"])
def test_shipped_gate_stays_closed_where_nobody_speaks(clip: str, level: float) -> None:
    random, times = np.random.default_rng(7), np.arange(5 * RATE) / RATE
    made = {
        "silence": np.zeros(len(times)),
        "white": random.standard_normal(len(times)) / 3,
        "brown": np.cumsum(random.standard_normal(len(times))) / 300,
        "tone": np.sin(2 * np.pi * 440 * times),
        "hum": sum(np.sin(2 * np.pi * 50 * k * times) / k for k in range(1, 9)) / 2,
        "chord": sum(np.sin(2 * np.pi * f * times) for f in (261.6, 329.6, 392.0)) / 3,
    }[clip]
    assert open_share(level * made) <= 0.02


def test_shipped_gate_opens_for_a_voice() -> None:
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import demo_clip
    finally:
        sys.path.pop(0)
    voice = demo_clip.voice().astype(np.float64) / 32768
    times = np.arange(6 * RATE) / RATE
    samples = np.interp(times * demo_clip.RATE_HZ, np.arange(len(voice)), voice)
    assert open_share(samples, after_seconds=1.0) >= 0.9

"""What the speech gate costs a tick: `python benchmarks/speech_gate.py --json benchmarks/results/speech_gate.json`.

Two sessions on audio alone hear the same second of a voice in turn, one of the shipped bundle, one of the same bundle without
the gate; beside them the Python twin of the gate alone, on the LLDs of that second. Times are of the CPU, ratios of one interleaved run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.honesty import RATE_HZ
from edgeaff.bench.interleave import Timing, interleave, ratio
from edgeaff.bundle import SPEECH, ModelBundle
from edgeaff.features.speech import SpeechGate
from edgeaff.machine import stamp
from edgeaff.session import Session
from edgeaff.spec import PreprocessSpec
from recipes.default_bundle.sessions import lld_steps

TICKS = 30
CHUNK = 533


def voice(seconds: float = 1.0) -> np.ndarray:
    """Returns a made-up voice: syllables of a wavering pitch, (n,) int16."""
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(140 + 25 * np.sin(2 * np.pi * 2.3 * times)) / RATE_HZ
    tone = sum(np.sin(k * phase) / k for k in range(1, 20)) * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * times))
    return np.asarray(np.round(6000 * tone / np.abs(tone).max()), np.int16)


def without_gate(bundle: ModelBundle) -> ModelBundle:
    """Returns the bundle with all audio as evidence."""
    members = {name: data for name, data in bundle.members.items() if name != SPEECH}
    return ModelBundle(bundle.path, bundle.manifest, members)


def hear(session: Session, samples: np.ndarray) -> Callable[[], None]:
    """Returns a function that pushes a second of audio, the next one at each call."""
    position = 0

    def push() -> None:
        nonlocal position
        for start in range(0, len(samples), CHUNK):
            pts_ns = (position + start) * 1_000_000_000 // RATE_HZ
            session.push_audio(samples[start : start + CHUNK], pts_ns=pts_ns, sample_rate_hz=RATE_HZ)
        position += len(samples)

    return push


def measure(rounds: int) -> dict[str, Any]:
    """Returns CPU time a tick of each, and their ratios.

    Args:
        rounds: how often each hears a second.
    """
    bundle, samples = ModelBundle.load(), voice()
    rows, present = lld_steps(samples.astype(np.float32) / 32768, PreprocessSpec())
    steps = rows[present]
    gate = SpeechGate(bundle.arrays(SPEECH))

    def alone() -> None:
        for tick in range(TICKS):
            gate.push(steps[tick % len(steps)])

    timings: dict[str, Timing] = interleave(
        {
            "with": hear(Session(bundle, video=False), samples),
            "without": hear(Session(without_gate(bundle), video=False), samples),
            "gate in Python": alone,
        },
        rounds=rounds,
    )
    return {
        "model_id": bundle.manifest.model_id,
        "us_a_tick": {name: round(timing.row()["cpu_p50_us"] / TICKS, 2) for name, timing in timings.items()},
        "audio_tick_with_over_without": ratio(timings["with"], timings["without"]),
        "rounds": len(timings["with"].cpu_us),
    }


def main() -> None:
    """Measures from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = {**measure(options.rounds), **stamp()}
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

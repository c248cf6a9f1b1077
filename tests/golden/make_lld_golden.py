"""Makes tests/golden/lld_golden.npz: three short clips and their LLDs by the NumPy reference.

    python -m tests.golden.make_lld_golden

The samples are stored too, so the values can be checked on a machine whose random numbers or sines differ. Oracle: the NumPy
reference (`edgeaff.features.lld_stream`), itself compared with openSMILE in test_lld_golden.py and test_lld_peer.py. Run it
again only when the definition of the LLDs changes (raise PreprocessSpec.lld_version with it).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeaff.features.lld_stream import LldStream

TARGET = Path(__file__).parent / "lld_golden.npz"
RATE_HZ = 16_000


def pulses(pitch_hz: np.ndarray, harmonics: int) -> np.ndarray:
    """Returns a buzz with this pitch per sample, peak about 1."""
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    tone = sum(np.sin(k * phase + 0.3 * k * k) / k for k in range(1, harmonics))
    return tone / np.abs(tone).max()


def clips() -> dict[str, np.ndarray]:
    """Returns the clips by name, (n,) int16."""
    rng = np.random.default_rng(2_017)
    time = np.arange(int(1.2 * RATE_HZ)) / RATE_HZ
    voice = pulses(130 + 45 * np.sin(2 * np.pi * 1.1 * time), 20) * (np.sin(2 * np.pi * 2.1 * time) > -0.5)
    voice = 0.4 * voice + 0.004 * rng.standard_normal(len(time))
    time = np.arange(RATE_HZ) / RATE_HZ
    mixed = np.concatenate(
        [np.zeros(3_000), 0.1 * rng.standard_normal(5_000), 0.5 * np.sin(2 * np.pi * 1_000 * time[:8_000])]
    )
    clipped = 3 * pulses(260 * 2 ** (-0.7 * time), 9) + 0.05 * rng.standard_normal(len(time))
    recordings = {"voice": voice, "mixed": mixed, "clipped": clipped[:13_337]}
    return {name: (np.clip(audio, -1, 1) * 32_767).astype(np.int16) for name, audio in recordings.items()}


def reference(samples: np.ndarray, max_pitch_lag: int) -> np.ndarray:
    """Returns the LLDs by the NumPy stream, (n, 65) float32."""
    stream = LldStream(max_pitch_lag=max_pitch_lag)
    stream.push(samples)
    stream.finish()
    return stream.pop()


def main() -> None:
    """Writes the file."""
    arrays = {"numpy_version": np.array(np.__version__)}
    for name, samples in clips().items():
        arrays[f"{name}_samples"] = samples
        for lag in (4, 29):
            arrays[f"{name}_lld_{lag}"] = reference(samples, lag)
    np.savez_compressed(TARGET, **arrays)


if __name__ == "__main__":
    main()

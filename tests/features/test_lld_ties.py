"""Roll-offs of flat and symmetric spectra, where a share of the energy is met exactly at a bin and float32 rounding decides."""

import numpy as np
import pytest

from edgeaff.features import lld, lld_stream
from edgeaff.features.lld_reference_float import float_power
from edgeaff.features.lld_reference_spectral import hamming_window
from tests.features.lld_cases import extract_with

ROLL_OFFS = slice(38, 42)
BIN_HZ = 31.25
# One sample of 1 at positions 0 to 31 of the window: whether 25, 50 and 75 % are met one bin late. Read from openSMILE 2.6.0.
LATE_25 = "00101010011010011110011000010110"
LATE_50 = "00101010011010010010010111010111"
LATE_75 = "00101010011010010010010111010101"


def dither(seed: int, samples: int = 16_000, impulses: int = 200) -> np.ndarray:
    """Digital zero with a few samples of 1 and -1."""
    rng = np.random.default_rng(seed)
    audio = np.zeros(samples, np.int16)
    audio[rng.choice(samples, impulses, replace=False)] = rng.choice([-1, 1], impulses)
    return audio


def test_float_power_is_the_power_spectrum() -> None:
    frames = np.random.default_rng(2).standard_normal((3, 320)).astype(np.float32)
    windowed = frames * hamming_window()
    expected = np.abs(np.fft.rfft(windowed.astype(np.float64), 512)) ** 2
    np.testing.assert_allclose(float_power(windowed), expected, rtol=2e-5, atol=1e-6 * expected.max())


def test_float_power_does_not_depend_on_the_batch() -> None:
    windowed = np.random.default_rng(3).standard_normal((5, 320)).astype(np.float32)
    np.testing.assert_array_equal(float_power(windowed)[2], float_power(windowed[2:3])[0])


def test_float_power_decides_ties_as_the_peer() -> None:
    windowed = np.eye(320, dtype=np.float32)[:32] / np.float32(32_767) * hamming_window()
    running = np.cumsum(float_power(windowed)[:, 1:].astype(np.float64), axis=-1)
    for share, late in ((0.25, LATE_25), (0.5, LATE_50), (0.75, LATE_75)):
        met = np.argmax(running >= share * running[:, -1:], axis=-1) + 1
        assert "".join(str(bin_index - int(256 * share)) for bin_index in met) == late


@pytest.mark.needs_native
def test_native_decides_ties_as_its_twin(instruction_set) -> None:
    for seed in range(3):
        audio = dither(seed)
        options = {"compatible": True, "max_pitch_lag": 4}
        ours = extract_with(lld.LldStream, audio, None, **options)
        twin = extract_with(lld_stream.LldStream, audio, None, **options)
        np.testing.assert_array_equal(ours[:, ROLL_OFFS], twin[:, ROLL_OFFS])


def test_silence_has_its_roll_offs_in_the_first_bin() -> None:
    rows = extract_with(lld.LldStream, np.zeros(4_000, np.int16), None, compatible=True, max_pitch_lag=4)
    np.testing.assert_array_equal(rows[:, ROLL_OFFS], BIN_HZ)


@pytest.mark.peer
@pytest.mark.parametrize("stream", [lld_stream.LldStream, lld.LldStream], ids=["numpy", "default"])
def test_roll_offs_of_dithered_silence_equal_the_peer(stream) -> None:
    import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016, feature_level=opensmile.FeatureLevel.LowLevelDescriptors
    )
    for seed in range(4):
        audio = dither(seed, 32_000, 150 * (seed + 1))
        theirs = smile.process_signal(audio.astype(np.float32) / 32_768, 16_000).to_numpy()
        ours = extract_with(stream, audio, None, compatible=True, max_pitch_lag=29)
        np.testing.assert_array_equal(ours[:, ROLL_OFFS], theirs[:, ROLL_OFFS])

"""The streaming resampler against tones known in closed form, against soxr, and against itself in other chunks."""

import numpy as np
import pytest

from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.features.resample import Resampler
from edgeaff.features.resample_reference import Resampler as TwinResampler

pytestmark = pytest.mark.needs_native
RATES = [8000, 11025, 12345, 16001, 22050, 24000, 32000, 44100, 44101, 47999, 48000, 88200, 96000]
EDGE = 400  # output samples left out at either end: there the signal starts and stops


def resample(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    resampler = Resampler(rate_hz)
    return np.concatenate([resampler.push(samples), resampler.finish()])


def tone(frequency_hz: float, rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    return 0.9 * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * rate_hz)) / rate_hz)


def decibels(ratio: float) -> float:
    return 20 * np.log10(max(float(ratio), 1e-12))


@pytest.mark.parametrize("rate_hz", RATES)
def test_resampler_keeps_tones_in_time_and_level(rate_hz):
    # In place, in level, free of images: all that differs from the ideal; measured -93 dB (8 kHz) to -118 dB.
    for frequency in np.linspace(50, min(7000, rate_hz * 7 / 16), 8):
        output = resample(tone(frequency, rate_hz).astype(np.float32), rate_hz)
        ideal = tone(frequency, 16000, 0.6)[: len(output)]
        assert decibels(np.abs(output - ideal)[EDGE:-EDGE].max() / 0.9) < -90


@pytest.mark.parametrize("rate_hz", [rate for rate in RATES if rate > 20000])
def test_resampler_rejects_aliases_into_the_band_below_7_khz(rate_hz):
    for frequency in np.linspace(9001, rate_hz * 0.49, 12):  # folds to 6,999 Hz and below; measured -114 dB
        output = resample(tone(frequency, rate_hz).astype(np.float32), rate_hz)
        assert decibels(np.abs(output)[EDGE:-EDGE].max() / 0.9) < -90


@pytest.mark.parametrize("rate_hz", [8000, 24000, 32000, 44100, 44101, 48000, 96000])
def test_resampler_equals_soxr_vhq_below_7_khz(rate_hz):
    import soxr

    for frequency in np.linspace(100, min(7000, rate_hz * 7 / 16), 8):
        samples = tone(frequency, rate_hz, 1.0)
        ours = resample(samples.astype(np.float32), rate_hz)
        theirs = soxr.resample(samples, rate_hz, 16000, quality="VHQ")
        n = min(len(ours), len(theirs))
        ours, theirs = ours[2000 : n - 2000].astype(np.float64), theirs[2000 : n - 2000]
        gain = ours @ theirs / (theirs @ theirs)  # soxr itself loses 6e-4 of a 7 kHz tone at 44.1 kHz (ours 1e-6)
        assert abs(gain - 1) < 1e-3
        assert decibels(np.abs(ours - gain * theirs).max() / 0.9) < -90


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 44101, 48000, 96000])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_resampler_is_bit_exact_under_chunking(rate_hz, dtype):
    generator = np.random.default_rng(rate_hz)
    noise = generator.uniform(-1, 1, 9000)
    samples = (noise * 32767).astype(np.int16) if dtype == np.int16 else noise.astype(np.float32)
    whole = resample(samples, rate_hz)
    for size in (1, 7, 160, 533, None):
        resampler, parts, start = Resampler(rate_hz), [], 0
        while start < len(samples):
            step = size or int(generator.integers(0, 2000))
            parts.append(resampler.push(samples[start : start + step]))
            start += step
        parts.append(resampler.finish())
        assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("rate_hz", RATES)
def test_resampler_delay_is_within_4_ms_and_true(rate_hz):
    resampler = Resampler(rate_hz)
    assert 0 < resampler.delay_ns <= 4_000_000
    pushed = rate_hz // 3
    got = len(resampler.push(np.zeros(pushed, np.float32)))
    last_final = pushed / rate_hz - resampler.delay_ns * 1e-9
    assert got == pytest.approx(last_final * 16000, abs=1.01)
    total = got + len(resampler.finish())
    assert total == -(-pushed * 16000 // rate_hz)


def test_resampler_passes_equal_rates_through():
    samples = np.array([-32768, -32767, 0, 1, 32767], np.int16)
    resampler = Resampler(16000)
    assert resampler.delay_ns == 0
    assert np.array_equal(resampler.push(samples), samples.astype(np.float32) / np.float32(32768))
    assert resampler.finish().shape == (0,)


def test_resampler_saturates_floats():
    output = Resampler(16000).push(np.array([-9.0, 0.5, 9.0], np.float32))
    assert np.array_equal(output, np.array([-1.0, 0.5, 1.0], np.float32))


def test_resampler_starts_over_after_reset():
    samples = np.random.default_rng(5).uniform(-1, 1, 5000).astype(np.float32)
    resampler = Resampler(44100)
    first = resampler.push(samples)
    resampler.finish()
    with pytest.raises(SessionStateError, match="reset"):
        resampler.push(samples)
    resampler.reset()
    assert np.array_equal(resampler.push(samples), first)


def test_resampler_takes_strided_input_and_empty_pushes():
    stereo = np.random.default_rng(6).uniform(-1, 1, (3000, 2)).astype(np.float32)
    assert np.array_equal(resample(stereo[:, 0], 48000), resample(stereo[:, 0].copy(), 48000))
    assert Resampler(48000).push(np.zeros(0, np.int16)).shape == (0,)
    assert Resampler(48000).finish().shape == (0,)


@pytest.mark.parametrize("rate_hz", [*RATES, 15999, 95999])
def test_resampler_equals_its_numpy_twin(rate_hz):
    samples = np.random.default_rng(rate_hz).uniform(-1, 1, 4000).astype(np.float32)
    twin = TwinResampler(rate_hz)
    expected = np.concatenate([twin.push(samples), twin.finish()])
    assert twin.delay_ns == Resampler(rate_hz).delay_ns
    np.testing.assert_allclose(resample(samples, rate_hz), expected, atol=2e-6)  # measured 5e-7: float32 sums


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((4, 2), np.float32), r"got shape \(4, 2\)"),
        (np.zeros(4, np.int32), "int32"),
        (np.array([0, 0, np.nan], np.float32), "nan at index 2"),
        (np.array([0, np.inf] + [0] * 999, np.float32), "inf at index 1"),
    ],
)
def test_resampler_names_what_is_wrong_with_samples(samples, message):
    with pytest.raises(ArgumentError, match=message):
        Resampler(48000).push(samples)


@pytest.mark.parametrize("rate_hz", [0, -1, 7999, 768001, 44100.5, True, "48000", None])
def test_resampler_refuses_impossible_rates(rate_hz):
    with pytest.raises(ArgumentError, match="input_rate_hz must be a whole number"):
        Resampler(rate_hz)

"""The NumPy LldStream: chunking, timing, ends of the audio, wrong input, hard recordings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.features.lld_stream import LldStream
from tests.features.lld_cases import extract_with


def voice(seconds: float, seed: int = 0, level: float = 0.3) -> np.ndarray:
    """Glottal-like pulses with a moving pitch, pauses and noise, int16."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16_000)) / 16_000
    phase = 2 * np.pi * np.cumsum(140 + 50 * np.sin(2 * np.pi * 0.9 * time)) / 16_000
    tone = sum(np.sin(k * phase) / k for k in range(1, 12))
    gate = np.sin(2 * np.pi * 1.3 * time) > -0.4
    audio = level * 0.4 * gate * tone + 0.01 * level * rng.standard_normal(len(time))
    return (np.clip(audio, -1, 1) * 32_767).astype(np.int16)


def extract(samples, sizes=None, *, compatible=False, **options) -> np.ndarray:
    return extract_with(LldStream, samples, sizes, compatible=compatible, **options)


@pytest.mark.parametrize("size", [7, 160, 533, 16_000])
@pytest.mark.parametrize("max_pitch_lag", [4, 29])
def test_chunking_changes_no_bit(size, max_pitch_lag):
    samples = voice(1.5)
    whole = extract(samples, max_pitch_lag=max_pitch_lag)
    sizes = [size] * -(-len(samples) // size)
    np.testing.assert_array_equal(extract(samples, sizes, max_pitch_lag=max_pitch_lag), whole)


def test_single_samples_change_no_bit():
    samples = voice(0.15)
    np.testing.assert_array_equal(extract(samples, [1] * len(samples)), extract(samples))


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_chunking_changes_no_bit_at_other_rates(rate_hz):
    samples = voice(0.6)
    whole = extract(samples, sample_rate_hz=rate_hz)
    sizes = [777] * -(-len(samples) // 777)
    np.testing.assert_array_equal(extract(samples, sizes, sample_rate_hz=rate_hz), whole)
    assert len(whole) == (-(-len(samples) * 16_000 // rate_hz) - 960) // 160 + 2


def test_float_of_the_same_audio_gives_the_same_bits():
    samples = voice(0.5)
    np.testing.assert_array_equal(extract((samples / 32_768).astype(np.float32)), extract(samples))


def test_loud_floats_saturate():
    tone = np.sin(2 * np.pi * 200 * np.arange(4_000) / 16_000).astype(np.float32)
    np.testing.assert_array_equal(extract(5 * tone), extract(np.clip(5 * tone, -1, 1)))
    assert extract(5 * tone)[:, 8].max() <= 1.0001


@pytest.mark.parametrize(("count", "rows"), [(0, 0), (959, 0), (960, 2), (1_119, 2), (1_120, 3), (16_000, 96)])
@pytest.mark.parametrize("compatible", [False, True])
def test_row_count(count, rows, compatible):
    assert extract(voice(1.0)[:count], compatible=compatible).shape == (rows, 65)


def test_rows_come_within_the_latency():
    samples = voice(2.0)
    stream = LldStream()
    for end in range(160, len(samples) + 1, 160):
        stream.push(samples[end - 160 : end])
        now_ns = end * 62_500
        for group, latency_ns in stream.latency_ns.items():
            due = (now_ns - latency_ns) // 10_000_000 + 1
            assert stream.watermarks[group] >= due
        assert stream.rows_ready == min(stream.watermarks.values())
    assert stream.latency_ns == {"pitch": 110_000_000, "zcr": 70_000_000, "spectral": 30_000_000}


def test_push_counts_new_rows_and_pop_gives_each_row_once():
    samples = voice(1.0)
    stream = LldStream()
    counts = [stream.push(part) for part in np.array_split(samples, 9)]
    counts.append(stream.finish())
    rows = stream.pop()
    assert sum(counts) == len(rows) == 96
    assert stream.pop().shape == (0, 65)
    assert stream.rows_ready == 0
    np.testing.assert_array_equal(rows, extract(samples))


def test_later_audio_does_not_change_rows_already_given():
    samples = voice(1.0)
    stream = LldStream()
    stream.push(samples[:9_000])
    early = stream.pop()
    np.testing.assert_array_equal(early, extract(samples)[: len(early)])


def test_reset_starts_over():
    samples = voice(0.5)
    stream = LldStream(sample_rate_hz=44_100)
    stream.push(voice(0.7, seed=5))
    stream.finish()
    stream.reset()
    stream.push(samples)
    stream.finish()
    np.testing.assert_array_equal(stream.pop(), extract(samples, sample_rate_hz=44_100))


def test_compatible_end_changes_only_two_rows_of_columns_2_to_5():
    rng = np.random.default_rng(3)
    changed = []
    for end in rng.integers(6_000, 24_000, 12):
        samples = voice(1.6)[:end]
        plain, imitated = extract(samples), extract(samples, compatible=True)
        rows, columns = np.nonzero(plain != imitated)
        assert set(columns) <= {2, 3, 4, 5}
        assert len(set(rows)) <= 2
        assert not len(rows) or rows.min() >= len(plain) - 33
        changed.append(len(rows))
    assert max(changed) > 0


def test_memory_stays_bounded():
    stream = LldStream()
    longest = 0
    for second in range(20):
        stream.push(voice(1.0, seed=second))
        stream.pop()
        longest = max(longest, stream._buffer.nbytes)
    assert longest < 64 * 1_024


@pytest.mark.parametrize("level", [0, 1, -1, 12_000, 32_767, -32_768])
def test_constant_audio_is_finite(level):
    rows = extract(np.full(8_000, level, np.int16))
    assert np.isfinite(rows).all()
    assert not rows[:, 9].any() or level == 0


def test_silence_has_no_pitch():
    rows = extract(np.zeros(8_000, np.int16))
    assert not rows[:, :5].any()
    np.testing.assert_array_equal(rows[:, 5], -100)


def test_full_scale_square_is_finite():
    square = np.where(np.arange(16_000) // 40 % 2, 32_767, -32_768).astype(np.int16)
    rows = extract(square)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(rows[5:-5, 0], 200, rtol=2e-3)


def test_harmonic_tone_has_its_pitch_little_jitter_and_its_noise_ratio():
    phase = 2 * np.pi * 160 * np.arange(16_000) / 16_000  # 100 samples a period
    tone = 0.2 * sum(np.cos(k * phase) / k for k in range(1, 10))
    noise = 0.002 * np.random.default_rng(0).standard_normal(16_000)
    rows = extract((tone + noise).astype(np.float32))[10:-10]
    np.testing.assert_allclose(rows[:, 0], 160, rtol=5e-3)
    assert rows[:, 2].max() < 5e-3
    ratio_db = 20 * np.log10(tone.std() / 0.002)  # the average of two periods takes up to 3 dB of the noise along
    assert ratio_db - 1 < rows[:, 5].mean() < ratio_db + 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_not_finite_raises_states_where_and_takes_nothing(value, rate_hz):
    samples = (voice(0.5) / 32_768).astype(np.float32)
    broken = samples[:2_000].copy()
    broken[1_234] = value
    stream = LldStream(sample_rate_hz=rate_hz)
    with pytest.raises(ArgumentError, match="index 1234"):
        stream.push(broken)
    stream.push(samples)
    stream.finish()
    np.testing.assert_array_equal(stream.pop(), extract(samples, sample_rate_hz=rate_hz))


@pytest.mark.parametrize("samples", [np.zeros((9, 2), np.int16), np.zeros(9, np.int32), np.zeros(9, complex)])
def test_wrong_samples_raise(samples):
    with pytest.raises(ArgumentError, match="samples must be"):
        LldStream().push(samples)


@pytest.mark.parametrize(
    "options",
    [
        {"sample_rate_hz": 7_000},
        {"max_pitch_lag": 30},
        {"max_pitch_lag": -1},
        {"max_pitch_lag": 1.5},
        {"variant": "is13"},
    ],
)
def test_wrong_arguments_raise(options):
    with pytest.raises(ArgumentError, match=next(iter(options))):
        LldStream(**options)


def test_only_pop_and_reset_after_finish():
    stream = LldStream()
    stream.finish()
    with pytest.raises(SessionStateError, match="reset"):
        stream.push(np.zeros(3, np.int16))
    with pytest.raises(SessionStateError, match="reset"):
        stream.finish()
    assert stream.pop().shape == (0, 65)


def test_row_times():
    stream = LldStream()
    assert [stream.row_time_ns(row) for row in (0, 1, 250)] == [0, 10_000_000, 2_500_000_000]
    assert stream.center_offset_ns == {"pitch": 30_000_000, "zcr": 30_000_000, "spectral": 10_000_000}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    length=st.integers(0, 4_000),
    level=st.sampled_from([1e-5, 1e-3, 0.1, 1.0, 3.0]),
    sizes=st.lists(st.integers(0, 900), max_size=8),
    max_pitch_lag=st.sampled_from([0, 1, 4, 29]),
)
def test_any_audio_in_any_chunks_is_finite_and_the_same(seed, length, level, sizes, max_pitch_lag):
    rng = np.random.default_rng(seed)
    samples = (level * rng.standard_normal(length)).astype(np.float32)
    start = int(rng.integers(0, length + 1))
    samples[start : start + int(rng.integers(0, 1_500))] = 0
    whole = extract(samples, max_pitch_lag=max_pitch_lag)
    assert np.isfinite(whole).all()
    parts = extract(samples, [*sizes, length], max_pitch_lag=max_pitch_lag)
    np.testing.assert_array_equal(parts, whole)

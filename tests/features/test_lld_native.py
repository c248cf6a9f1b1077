"""The native LLD stream: equal to its NumPy twin and to openSMILE on every instruction set, any chunking, flat memory.

Errors are relative to the largest magnitude of a column. Against the twin nearly all values are equal to the bit.
"""

import resource
import threading
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaff.bench.latency_media import voice
from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.features import lld, lld_native, lld_stream
from edgeaff.ops import native
from tests.features.lld_cases import extract_with

pytestmark = pytest.mark.needs_native
INSTRUCTION_SETS = ("scalar", "neon", "avx2", "avx512")  # what the processor lacks runs as the next lower one
CLIPS = ("speech_m", "speech_f", "speech_levels_noise", "tones", "noise_silence", "speech_clipped")


def extract(samples, *, max_pitch_lag=29, sizes=None, compatible=True, make=lld.LldStream) -> np.ndarray:
    return extract_with(make, samples, sizes, compatible=compatible, max_pitch_lag=max_pitch_lag)


def relative_error(rows, expected) -> np.ndarray:
    expected = expected.astype(np.float64)
    return np.abs(rows - expected) / np.maximum(np.abs(expected).max(axis=0), 1e-30)


def mixed_audio() -> np.ndarray:
    """Voice, digital silence, an impulse, faint noise, clipped voice."""
    rng = np.random.default_rng(4)
    loud = np.clip(voice(0.5, 5).astype(np.int32) * 6, -32_768, 32_767)
    faint = rng.integers(-2, 3, 4_000)
    return np.concatenate([voice(0.6, 2), np.zeros(3_000), [20_000], np.zeros(2_000), faint, loud]).astype(np.int16)


def test_the_default_stream_is_native():
    assert isinstance(lld.LldStream()._stream, lld_native.LldStream)


@pytest.mark.parametrize("max_pitch_lag", [4, 29])
def test_equals_the_numpy_twin(instruction_set, max_pitch_lag):
    samples = np.concatenate([voice(1.0), mixed_audio()])
    expected = extract(samples, max_pitch_lag=max_pitch_lag, make=lld_stream.LldStream)
    rows = extract(samples, max_pitch_lag=max_pitch_lag)
    assert rows.dtype == np.float32
    assert relative_error(rows, expected).max() <= 5e-7  # measured 8e-18; 5 values of 10,000 differ at all
    np.testing.assert_array_equal(rows[:, 9], expected[:, 9])


def test_native_repeats_a_period_exactly(instruction_set):
    """A period that two frames examine has exactly the same length in both, so its jitter is exactly 0 or not at all."""
    samples = voice(2.5, 8)
    rows, expected = extract(samples), extract(samples, make=lld_stream.LldStream)
    np.testing.assert_array_equal(rows[:, 2:5] == 0, expected[:, 2:5] == 0)
    assert (rows[rows[:, 0] > 0, 3] == 0).any()


@pytest.mark.needs_shared
def test_meets_the_acceptance_bar_on_the_golden_clips(instruction_set, shared):
    """Measured on all instruction sets: at most 1.1e-5 (MFCC of pure tones), every voicing decision and crossing equal."""
    folder = shared / "data" / "lld_golden"
    for clip in CLIPS:
        with wave.open(str(folder / f"{clip}.wav")) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        golden = np.load(folder / f"{clip}.npz")["lld"]
        rows = extract(samples)
        assert rows.shape == golden.shape
        assert relative_error(rows, golden).max() <= 2e-5
        np.testing.assert_array_equal(rows[:, 9], golden[:, 9])
        np.testing.assert_array_equal(rows[:, 0] > 0, golden[:, 0] > 0)
        np.testing.assert_allclose(rows[:, 0], golden[:, 0], rtol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 160, 533, 16_000])
def test_chunking_changes_no_bit(size, instruction_set):
    samples = np.concatenate([voice(1.2), mixed_audio()])
    sizes = [size] * -(-len(samples) // size)
    for max_pitch_lag in (4, 29):
        whole = extract(samples, max_pitch_lag=max_pitch_lag)
        np.testing.assert_array_equal(extract(samples, max_pitch_lag=max_pitch_lag, sizes=sizes), whole)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    length=st.integers(0, 6_000),
    gain=st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 40.0, 1e30]),
    sizes=st.lists(st.integers(0, 2_000), max_size=12),
    max_pitch_lag=st.integers(0, 29),
    compatible=st.booleans(),
)
def test_any_audio_in_any_chunks_is_finite_and_the_same(seed, length, gain, sizes, max_pitch_lag, compatible):
    samples = (voice(0.4, seed)[:length] / np.float32(32_768) * np.float32(gain)).astype(np.float32)
    options = {"max_pitch_lag": max_pitch_lag, "compatible": compatible}
    whole = extract(samples, **options)
    assert whole.shape == ((len(samples) - 960) // 160 + 2 if len(samples) >= 960 else 0, 65)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(extract(samples, sizes=[*sizes, len(samples)], **options), whole)


def test_float_of_the_same_audio_gives_the_same_bits():
    samples = mixed_audio()
    np.testing.assert_array_equal(extract((samples / 32_768).astype(np.float32)), extract(samples))


@pytest.mark.parametrize("level", [0.0, 1e-5, 0.3, 1.0, -1.0])
def test_constant_audio_is_finite(level):
    assert np.isfinite(extract(np.full(8_000, level, np.float32))).all()


def test_full_scale_square_is_finite():
    square = np.where(np.arange(16_000) // 38 % 2, 32_767, -32_768).astype(np.int16)
    rows = extract(square)
    assert np.isfinite(rows).all()
    assert rows[50, 0] == pytest.approx(16_000 / 76, rel=0.01)


@pytest.mark.parametrize("max_pitch_lag", [4, 29])
def test_state_stays_below_64_kib(max_pitch_lag):
    stream = lld.LldStream(max_pitch_lag=max_pitch_lag)
    samples = voice(1.0)
    for start in range(0, len(samples), 533):
        stream.push(samples[start : start + 533])
        stream.pop()
    assert stream._stream.state_bytes < 65_536


def test_rows_wait_for_a_pop():
    samples = voice(3.0)
    stream = lld.LldStream()
    final = sum(stream.push(samples[start : start + 160]) for start in range(0, len(samples), 160))
    assert stream.rows_ready == final == min(stream.watermarks.values())
    assert stream.watermarks["spectral"] > stream.watermarks["zcr"] >= stream.watermarks["pitch"]
    first = stream.pop()
    assert len(first) == final
    assert stream.pop().shape == (0, 65)
    stream.finish()
    np.testing.assert_array_equal(
        np.concatenate([first, stream.pop()]), extract(samples, max_pitch_lag=4, compatible=False)
    )


@pytest.mark.parametrize(("value", "index"), [(np.nan, 0), (np.inf, 299), (-np.inf, 700)])
def test_not_finite_raises_states_where_and_takes_nothing(value, index):
    samples = voice(0.3).astype(np.float32) / 32_768
    broken = samples[:800].copy()
    broken[index] = value
    stream = lld.LldStream()
    with pytest.raises(ArgumentError, match=f"index {index}"):
        stream.push(broken)
    stream.push(samples)
    stream.finish()
    np.testing.assert_array_equal(stream.pop(), extract(samples, max_pitch_lag=4, compatible=False))


def test_reset_starts_over_and_finish_closes():
    samples = voice(0.4)
    stream = lld.LldStream()
    stream.push(voice(0.7, 3))
    stream.finish()
    for call in (lambda: stream.push(samples), stream.finish):
        with pytest.raises(SessionStateError, match="reset"):
            call()
    stream.reset()
    assert stream.rows_ready == 0
    stream.push(samples)
    stream.finish()
    np.testing.assert_array_equal(stream.pop(), extract(samples, max_pitch_lag=4, compatible=False))


def test_streams_in_parallel_threads_give_the_same_rows():
    samples, found = voice(1.5), {}
    expected = extract(samples)

    def work(name):
        found[name] = extract(samples, sizes=[160] * -(-len(samples) // 160))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rows in found.values():
        np.testing.assert_array_equal(rows, expected)
    assert len(found) == 4


def test_threads_may_share_a_stream():
    """The order of the pushes is then open, but no sample and no row is lost."""
    stream = native().LldStream(4)
    chunk = voice(0.1)
    rows = []

    def work():
        for _ in range(40):
            stream.push(chunk)
            rows.append(len(stream.pop()))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stream.finish(False)
    assert sum(rows) + len(stream.pop()) == (120 * len(chunk) - 960) // 160 + 2


def run_for(seconds: int) -> None:
    """Pushes so much audio; checks that the rows are finite and that neither the state nor the process grows."""
    stream = lld.LldStream()
    minute = voice(10.0)
    largest = 0
    for round_number in range(seconds // 10):
        stream.push(minute)
        assert np.isfinite(stream.pop()).all()
        largest = max(largest, stream._stream.state_bytes)
        if round_number == 1:
            size, resident = largest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert largest == size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= resident + 2_048  # KiB


def test_a_minute_of_audio_keeps_memory_flat():
    run_for(60)


@pytest.mark.slow
def test_an_hour_of_audio_keeps_memory_flat():
    run_for(3_600)

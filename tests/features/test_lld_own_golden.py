"""The LLDs of three short clips of our own, always at hand: values stored by tests/golden/make_lld_golden.py."""

from pathlib import Path

import numpy as np
import pytest

from edgeaff.features import lld, lld_stream

GOLDEN = Path(__file__).parents[1] / "golden" / "lld_golden.npz"
STREAMS = {"numpy": lld_stream.LldStream, "default": lld.LldStream}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("max_pitch_lag", [4, 29])
@pytest.mark.parametrize("clip", ["voice", "mixed", "clipped"])
def test_stored_values_come_out_again(clip, max_pitch_lag, stream):
    """Bound: the acceptance bar; the NumPy stream on the machine that made the file gives 0, a float32 FFT up to 1e-4."""
    golden = np.load(GOLDEN)
    extractor = STREAMS[stream](max_pitch_lag=max_pitch_lag)
    extractor.push(golden[f"{clip}_samples"])
    extractor.finish()
    rows, expected = extractor.pop(), golden[f"{clip}_lld_{max_pitch_lag}"]
    assert rows.shape == expected.shape
    scale = np.maximum(np.abs(expected).max(axis=0), 1e-30)
    error = np.abs(rows.astype(np.float64) - expected) / scale
    bound = 2e-5 if stream == "numpy" else 1e-4
    assert ((error > bound).sum(axis=0) <= 3).all(), np.argwhere(error > bound)[:9]
    np.testing.assert_array_equal(rows[:, 9], expected[:, 9])
    np.testing.assert_array_equal(rows[:, 0] > 0, expected[:, 0] > 0)
    np.testing.assert_allclose(rows[:, 0], expected[:, 0], rtol=1e-5)


def test_extract_is_the_stream():
    samples = np.load(GOLDEN)["voice_samples"]
    stream = lld.LldStream(max_pitch_lag=29)
    stream.push(samples)
    stream.finish(compatible=True)
    np.testing.assert_array_equal(lld.extract(samples), stream.pop())
    assert lld.extract(samples).dtype == np.float32


def test_extract_of_another_rate_follows_the_audio():
    """Level and pitch of a clip stay when it is pushed as 48 kHz with every sample repeated through linear steps."""
    samples = np.load(GOLDEN)["voice_samples"]
    time = np.arange(3 * len(samples)) / 3
    tripled = np.interp(time, np.arange(len(samples)), samples / 32_768).astype(np.float32)
    rows, expected = lld.extract(tripled, sample_rate_hz=48_000), lld.extract(samples)
    assert len(rows) == len(expected)
    both = (rows[:, 0] > 0) & (expected[:, 0] > 0)
    assert both.mean() > 0.9 * (expected[:, 0] > 0).mean()
    np.testing.assert_allclose(rows[both, 0], expected[both, 0], rtol=0.02)
    np.testing.assert_allclose(rows[:, 8], expected[:, 8], atol=0.02)


def test_timing_by_group():
    stream = lld.LldStream()
    assert stream.center_offset_ns == {"pitch": 30_000_000, "zcr": 30_000_000, "spectral": 10_000_000}
    assert max(stream.latency_ns.values()) == 110_000_000
    assert stream.row_time_ns(7) == 70_000_000
    assert sorted(column for columns in lld.GROUPS.values() for column in columns) == list(range(65))


def test_reset_gives_the_same_again():
    samples = np.load(GOLDEN)["clipped_samples"]
    stream = lld.LldStream()
    counts = [stream.push(samples), stream.finish()]
    first = stream.pop()
    assert sum(counts) == len(first)
    stream.reset()
    assert stream.rows_ready == 0
    stream.push(samples)
    stream.finish()
    np.testing.assert_array_equal(stream.pop(), first)

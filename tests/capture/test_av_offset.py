"""Half an hour of frame and audio whose clocks differ: what happened together is placed together, within 20 ms.

Every clock between device and LLD is the real one; devices, their delays and the hours are simulated.
"""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from edgeaff.capture.clocks import SampleClock, StreamClock
from edgeaff.capture.timeline import Timeline, to_ns
from edgeaff.reference.sync import AudioClock

MS = 1_000_000
SECOND = 1_000_000_000
HALF_AN_HOUR = 1800
BAR_MS = 20.0


def offsets_ms(audio, taken):
    """Returns, for each chunk, where AudioClock puts its first sample against the truth. taken: (pts, count, rate, truth)."""
    errors = []
    for pts, count, rate, truth in taken:
        assert not audio.place(pts, count, rate).skip
        errors.append((audio.pts_ns(audio.nominal_end_ns - count * SECOND // rate) - truth) / MS)
    return np.array(errors)


def microphone(ppm, rate, seed):
    """Yields (pts of SampleClock, count, rate, truth) of a microphone whose clock is ppm fast and whose chunks come in bursts."""
    random, clock, arrival = np.random.default_rng(seed), SampleClock(rate), 0
    chunk = rate // 100
    for index in range(HALF_AN_HOUR * 100):
        truth = 5 * SECOND + index * chunk / (rate * (1 + ppm * 1e-6)) * SECOND
        end = truth + chunk / rate * SECOND
        arrival = max(int(end + 0.3 * MS + random.exponential(6 * MS)), arrival + 10_000)
        yield clock.stamp(chunk, arrival), chunk, rate, truth


@pytest.mark.parametrize(("ppm", "rate"), itertools.product([-200, 200], [16_000, 44_100, 48_000]))
def test_microphone_and_camera_stay_together(ppm, rate):
    errors = offsets_ms(AudioClock(), microphone(ppm, rate, seed=rate))  # the camera's time is the truth: V4L2 stamps
    assert np.abs(errors).max() < BAR_MS
    assert np.abs(errors[6000:]).max() < 2.0  # measured: 1.4 once the skew is learned
    drift = np.polyfit(np.arange(len(errors)) / 100, errors, 1)[0] * HALF_AN_HOUR
    assert abs(drift) < 1.0  # uncorrected it would be 360 ms


def packets(start_ticks, ppm, seed):
    """Yields (stream, raw ns, ns of the packet, arrival, truth): 25 frames a second and MP2 frames, on a 33-bit clock."""
    random = np.random.default_rng(seed)
    base = Fraction(1, 90_000)
    frames = ((0, index * 3600, 3600) for index in range(HALF_AN_HOUR * 25))
    recordings = ((1, index * 2160, 2160) for index in range(HALF_AN_HOUR * 90_000 // 2160))
    arrival = 0
    for stream, ticks, length in sorted(itertools.chain(frames, recordings), key=lambda row: (row[1] + row[2], row[0])):
        raw = to_ns((start_ticks + ticks) % (1 << 33), base)
        truth = 7 * SECOND + to_ns(ticks, base) * (1 + ppm * 1e-6)
        end = truth + to_ns(length, base)
        arrival = max(int(end + 5 * MS + random.exponential(4 * MS)), arrival + 1000)
        yield stream, raw, to_ns(length, base), arrival, truth


@pytest.mark.parametrize("ppm", [-200, 0, 200])
@pytest.mark.parametrize("wraps", [True, False])
def test_stream_whose_clock_wraps_keeps_frame_and_audio_together(ppm, wraps):
    wrap_after = 900 * 90_000 + 1_234  # in the middle, in neither stream's grid
    start = (1 << 33) - wrap_after if wraps else 90_000
    timeline = Timeline(start_ns=to_ns(start, Fraction(1, 90_000)), wraps_at_33_bits=True)
    clock, audio, last = StreamClock(), AudioClock(), {0: -1, 1: -1}
    errors = {0: [], 1: []}
    for stream, raw, length, arrival, truth in packets(start, ppm, seed=3):
        at = raw + timeline.shift_ns(stream, decode_ns=raw, duration_ns=length)
        pts = max(at + clock.observe(at + length, arrival), last[stream] + 1)
        last[stream] = pts
        if stream == 0:
            errors[0].append((pts - truth) / MS)
        else:
            errors[1].extend(offsets_ms(audio, [(pts, 1152, 48_000, truth)]))
    assert timeline.jumps == int(wraps)
    frame, heard = np.array(errors[0]), np.array(errors[1])
    nearest = np.interp(np.arange(len(heard)) * 0.024, np.arange(len(frame)) * 0.04, frame)
    assert np.abs(heard - nearest)[50:].max() < BAR_MS
    assert np.abs(frame[50:]).max() < BAR_MS  # and both stay on our clock

"""The clocks of live sources against simulated devices whose truth is known."""

import numpy as np
import pytest

from edgeaff.capture.clocks import JumpFilter, SampleClock, StreamClock

MS = 1_000_000
SECOND = 1_000_000_000


def microphone(seconds, *, ppm=0.0, rate=48_000, chunk=480, burst=True, seed=0):
    """Yields (count, arrival, true time of the first sample) of a device whose clock is ppm fast."""
    random = np.random.default_rng(seed)
    previous_arrival = 0
    for index in range(int(seconds * rate / chunk)):
        true_ns = 10 * SECOND + index * chunk / (rate * (1 + ppm * 1e-6)) * SECOND
        end = true_ns + chunk / rate * SECOND
        delay = random.exponential(6 * MS) if burst else 0.0  # p95 24 ms and bursts: as measured on PulseAudio
        arrival = max(int(end + 0.3 * MS + delay), previous_arrival + 10_000)
        previous_arrival = arrival
        yield chunk, arrival, true_ns


@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_half_an_hour_of_skew_stays_under_two_milliseconds(ppm):
    clock = SampleClock(48_000)
    errors, skews = [], []
    for count, arrival, true_ns in microphone(1800, ppm=ppm):
        errors.append(clock.stamp(count, arrival) - true_ns)
        skews.append(clock.skew_ppm)
    errors = np.array(errors) / MS
    settled = slice(60 * 100, None)
    assert np.abs(errors[1000:]).max() < 3.5  # measured: 2.9, while the skew is being learned
    assert np.abs(errors[settled]).max() < 0.6  # measured: 0.43, of which 0.3 is the smallest delay
    assert np.mean(skews[settled]) == pytest.approx(-ppm, abs=5)
    assert clock.gaps == 0


def test_times_are_smooth_where_arrivals_are_not():
    clock = SampleClock(48_000)
    starts = [clock.stamp(count, arrival) for count, arrival, _ in microphone(60)]
    steps = np.diff(starts) / (10 * MS) - 1
    assert np.abs(steps).max() < 1.2e-3  # 1000 ppm of correction, and rounding


def test_first_chunk_of_a_late_burst_is_corrected_within_ten_seconds():
    clock = SampleClock(16_000)
    error = []
    for count, arrival, true_ns in microphone(60, rate=16_000, chunk=160):
        late = 15 * MS if not error else 0
        error.append((clock.stamp(count, arrival + late) - true_ns) / MS)
    assert error[0] > 14 and max(map(abs, error[2000:])) < 2


def test_first_chunks_half_a_second_late_do_not_put_audio_into_the_future():
    clock = SampleClock(48_000)
    errors = []
    for count, arrival, true_ns in microphone(20):
        late = max(0, 10 * SECOND + 500 * MS - arrival)  # a busy start: nothing is taken for half a second
        errors.append((clock.stamp(count, arrival + late) - true_ns) / MS)
    assert errors[0] > 480
    after = np.abs(errors[52:])  # the audio of that half second came in one burst
    assert after.max() < 110 and after[-1] < 35  # measured: 50 at once, then a millisecond a second
    assert clock.gaps == 0


def test_loss_that_the_device_reports_is_a_hole_of_its_length():
    clock = SampleClock(48_000)
    audio = list(microphone(10, burst=False))
    for count, arrival, _ in audio[:500]:
        before = clock.stamp(count, arrival)
    clock.mark_lost()
    after = clock.stamp(audio[530][0], audio[530][1])
    assert (after - before) / MS == pytest.approx(310, abs=1.5)
    assert clock.gaps == 1


def test_loss_that_nobody_reports_is_found_within_a_window():
    clock = SampleClock(48_000)
    audio = list(microphone(20, burst=False))
    del audio[500:540]
    errors = [clock.stamp(count, arrival) - true for count, arrival, true in audio]
    assert abs(errors[-1]) < 2 * MS and clock.gaps == 1
    assert min(errors) < -390 * MS  # the price: up to one window at the old time


def test_process_that_was_stopped_for_five_seconds_finds_its_time_again():
    clock = SampleClock(48_000)
    audio = list(microphone(30, burst=False))
    for index, (count, arrival, true) in enumerate(audio):
        if 1000 <= index < 1500:
            continue  # the driver kept nothing
        error = clock.stamp(count, arrival) - true
    assert abs(error) < 2 * MS and clock.gaps == 1


def test_time_never_steps_back():
    clock = SampleClock(48_000)
    random = np.random.default_rng(0)
    last, arrival = -1, SECOND
    for _ in range(5000):
        arrival += int(random.integers(0, 30 * MS))
        if random.random() < 0.01:
            clock.mark_lost()
        start = clock.stamp(480, arrival)
        assert start > last
        last = start


def network(seconds, *, ppm=0.0, buffered=0.9, seed=0):
    """Yields (stream time, arrival, capture time on our clock); the first `buffered` seconds come in one burst."""
    random = np.random.default_rng(seed)
    for index in range(int(seconds * 25)):
        stream = int(1.4 * SECOND + index * 40 * MS)
        captured = int(100 * SECOND + index * 40 * MS * (1 + ppm * 1e-6))
        arrival = captured + 5 * MS + int(random.exponential(4 * MS))
        arrival = max(arrival, int((100 + buffered) * SECOND) + index * 20_000)
        yield stream, arrival, captured


@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_stream_clock_survives_the_opening_burst_and_follows_skew(ppm):
    clock = StreamClock()
    units = network(1800, ppm=ppm)
    errors = np.array([stream + clock.observe(stream, arrival) - captured for stream, arrival, captured in units]) / MS
    assert errors[0] > 800  # the burst
    assert np.abs(errors[50:]).max() < 8  # measured: 5.8, of which 5 is the smallest delay


def test_damaged_timestamp_is_left_out_and_a_jump_that_stays_is_taken():
    jumps = JumpFilter()
    steady = [jumps.is_damaged(0, index * 40 * MS) for index in range(25)]
    assert not any(steady)
    assert jumps.is_damaged(0, 70_000 * SECOND) and not jumps.is_damaged(0, 1000 * MS)
    assert jumps.is_damaged(0, 0) and not jumps.is_damaged(0, 1040 * MS)
    assert [jumps.is_damaged(0, 500 * SECOND + index * 40 * MS) for index in range(3)] == [True, False, False]
    assert not jumps.is_damaged(1, 9 * SECOND) and not jumps.is_damaged(0, None)


def test_wrap_of_a_33_bit_clock_is_no_damage():
    wrap, jumps = (1 << 33) * SECOND // 90_000, JumpFilter()
    times = [(wrap - 100 * MS + index * 40 * MS) % wrap for index in range(10)]
    assert not any(jumps.is_damaged(0, time) for time in times)


def test_unit_from_the_future_is_found_and_late_ones_are_not():
    clock = StreamClock()
    for index in range(100):
        clock.observe(index * 40 * MS, 5 * SECOND + index * 40 * MS)
    assert not clock.is_from_the_future(4 * SECOND, 9 * SECOND) and not clock.is_from_the_future(
        4 * SECOND, 19 * SECOND
    )
    assert clock.is_from_the_future(5100 * MS, 9 * SECOND) and not StreamClock().is_from_the_future(9 * SECOND, 0)

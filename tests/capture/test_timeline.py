from fractions import Fraction

import pytest

from edgeaff.capture.file_clock import AudioClock, VideoClock
from edgeaff.capture.timeline import Timeline, to_ns

MS = 1_000_000
SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("ticks", "base", "expected"),
    [(1, Fraction(1, 3), 333_333_333), (2, Fraction(1, 3), 666_666_667), (-1, Fraction(1, 3), -333_333_333)],
)
def test_to_ns_rounds_to_nearest(ticks, base, expected):
    assert to_ns(ticks, base) == expected


def test_first_epoch_subtracts_the_start_for_all_streams():
    timeline = Timeline(start_ns=11 * SECOND)
    assert timeline.shift_ns(0, decode_ns=12 * SECOND) == -11 * SECOND
    assert timeline.shift_ns(1, decode_ns=11 * SECOND) == -11 * SECOND


def test_step_back_of_half_a_second_stays_in_the_epoch():
    timeline = Timeline(start_ns=0)
    timeline.shift_ns(0, decode_ns=2 * SECOND)
    assert timeline.shift_ns(0, decode_ns=2 * SECOND - 500 * MS) == 0
    assert timeline.jumps == 0


def test_jump_back_continues_at_the_latest_end_with_one_shift_for_all():
    timeline = Timeline(start_ns=0)
    timeline.shift_ns(0, decode_ns=4000 * MS, duration_ns=40 * MS)
    timeline.shift_ns(1, decode_ns=3900 * MS, duration_ns=23 * MS)
    shift = timeline.shift_ns(1, decode_ns=1000 * MS, duration_ns=23 * MS)
    assert shift == 3040 * MS
    assert timeline.shift_ns(0, decode_ns=1010 * MS) == shift
    assert timeline.jumps == 1


def test_packets_left_over_from_before_the_jump_keep_the_old_shift():
    timeline = Timeline(start_ns=0)
    timeline.shift_ns(0, decode_ns=4000 * MS)
    timeline.shift_ns(1, decode_ns=3900 * MS)
    assert timeline.shift_ns(1, decode_ns=1000 * MS) != 0
    assert timeline.shift_ns(0, decode_ns=4040 * MS) == 0


def test_stream_that_moves_forward_over_the_joint_still_enters_the_epoch():
    timeline = Timeline(start_ns=0)
    timeline.shift_ns(0, decode_ns=800 * MS)  # the frame stops at 0.8 s, the audio goes on to 5 s
    timeline.shift_ns(1, decode_ns=5000 * MS, duration_ns=20 * MS)
    shift = timeline.shift_ns(1, decode_ns=1000 * MS)
    assert timeline.shift_ns(0, decode_ns=1020 * MS) == shift == 4020 * MS


def test_wrap_of_the_33_bit_clock_is_undone_exactly():
    wrap = to_ns(1 << 33, Fraction(1, 90_000))
    timeline = Timeline(start_ns=0, wraps_at_33_bits=True)
    before, after = wrap - 40 * MS, 7 * MS
    timeline.shift_ns(0, decode_ns=before, duration_ns=40 * MS)
    assert abs(after + timeline.shift_ns(0, decode_ns=after) - (wrap + 7 * MS)) <= 1


def test_many_loops_never_step_back():
    timeline = Timeline(start_ns=0)
    last = {0: -1, 1: -1}
    for _ in range(50):
        for step in range(75):
            for stream, skew in ((0, 0), (1, 13 * MS)):
                raw = step * 40 * MS + skew
                now = raw + timeline.shift_ns(stream, decode_ns=raw, duration_ns=40 * MS)
                assert now > last[stream]
                last[stream] = now
    assert timeline.jumps == 49


def test_video_clock_fills_absent_times_and_repairs_steps_back():
    clock = VideoClock()
    given = [None, 40 * MS, None, 80 * MS, 80 * MS, 60 * MS, 160 * MS]
    times = [clock.stamp(pts, 40 * MS) for pts in given]
    assert times == [0, 40 * MS, 80 * MS, 81 * MS, 121 * MS, 122 * MS, 160 * MS]
    assert clock.repaired == 5
    assert clock.end_ns == 200 * MS


def test_audio_clock_counts_samples_where_the_container_rounds():
    clock = AudioClock()
    exact = [index * 1024 * SECOND / 44_100 for index in range(500)]
    for time in exact:
        rounded = round(time / MS) * MS
        assert abs(clock.stamp(rounded, count=1024, rate_hz=44_100, tick_ns=MS) - time) <= 1
    assert clock.repaired == 0


def test_audio_clock_follows_holes_and_never_steps_back():
    clock = AudioClock()
    assert clock.stamp(0, count=480, rate_hz=48_000, tick_ns=1) == 0
    assert clock.stamp(30 * MS, count=480, rate_hz=48_000, tick_ns=1) == 30 * MS
    assert clock.stamp(None, count=480, rate_hz=48_000, tick_ns=1) == 40 * MS
    assert clock.stamp(20 * MS, count=480, rate_hz=48_000, tick_ns=1) == 40 * MS + 1
    assert clock.repaired == 2

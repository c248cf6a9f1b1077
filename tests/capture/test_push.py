import threading

import numpy as np
import pytest

from edgeaff.capture.group import LiveGroup
from edgeaff.capture.health import Health
from edgeaff.capture.push import PushAudio, PushVideo
from edgeaff.capture.source import Source
from edgeaff.errors import ArgumentError
from edgeaff.types import VideoFrame

IMAGE = np.zeros((4, 6, 3), np.uint8)
SECOND = 1_000_000_000


class Clock:
    def __init__(self):
        self.now = 1000 * SECOND

    def __call__(self):
        return self.now


def test_push_sources_follow_the_protocol_and_are_live():
    for source in (PushVideo(), PushAudio()):
        assert isinstance(source, Source) and source.is_live


def test_pushed_units_come_out_merged_and_end_with_finish():
    video, audio = PushVideo(max_frames=3), PushAudio(sample_rate_hz=16_000)
    with LiveGroup([video, audio]) as group:
        for time in (0, 40, 80):
            assert video.push(IMAGE, pts_ns=time) == 0
        assert audio.push(np.zeros(16, np.int16), pts_ns=50) == 0
        video.finish()
        audio.finish()
        units = list(group)
    assert [unit.pts_ns for unit in units] == [0, 40, 50, 80]
    assert isinstance(units[0], VideoFrame) and units[2].sample_rate_hz == 16_000


def test_push_never_blocks_and_states_what_was_dropped():
    video = PushVideo(max_frames=2)
    assert [video.push(IMAGE, pts_ns=time) for time in range(4)] == [0, 0, 1, 1]
    audio = PushAudio(sample_rate_hz=8_000, max_audio_seconds=1.0)
    assert [audio.push(np.zeros(4_000, np.float32), pts_ns=time) for time in range(4)] == [0, 0, 4_000, 4_000]
    video.finish()
    assert video.push(IMAGE) == 1 and [unit.pts_ns for unit in video] == [2, 3]


def test_time_defaults_to_the_clock_and_audio_counts_samples():
    clock = Clock()
    video, audio = PushVideo(clock=clock), PushAudio(sample_rate_hz=8_000, clock=clock)
    video.push(IMAGE)
    assert video.take(0).pts_ns == clock.now and video.now_ns() == clock.now
    starts = []
    for _ in range(3):
        clock.now += SECOND // 10
        audio.push(np.zeros(800, np.float32))
        starts.append(audio.take(0).pts_ns)
    assert starts == [1000 * SECOND + index * SECOND // 10 for index in range(3)]


def test_now_follows_the_callers_clock():
    clock = Clock()
    video = PushVideo(clock=clock)
    assert video.now_ns() is None
    video.push(IMAGE, pts_ns=7)
    clock.now += 100
    assert video.now_ns() == 107


def test_stall_is_seen():
    clock = Clock()
    video = PushVideo(clock=clock)
    video.push(IMAGE)
    assert video.health().state is Health.OK
    clock.now += 2 * SECOND
    assert video.health().state is Health.STALLED and video.health().age_seconds == 2


@pytest.mark.parametrize(
    "image", [np.zeros((4, 6), np.uint8), np.zeros((4, 6, 4), np.uint8), IMAGE.astype(np.float32), IMAGE[:0]]
)
def test_wrong_frame_is_refused(image):
    with pytest.raises(ArgumentError, match="image must be"):
        PushVideo().push(image)


@pytest.mark.parametrize("samples", [np.zeros((2, 5), np.float32), np.zeros(5, np.float16), np.zeros(5, np.int32)])
def test_wrong_audio_is_refused(samples):
    with pytest.raises(ArgumentError, match="samples must be"):
        PushAudio().push(samples)


@pytest.mark.parametrize("pts", [0.5, "1", True])
def test_time_that_is_no_int_is_refused(pts):
    with pytest.raises(ArgumentError, match="pts_ns must be an int"):
        PushVideo().push(IMAGE, pts_ns=pts)


def test_wrong_options_are_refused():
    with pytest.raises(ArgumentError, match="sample_rate_hz"):
        PushAudio(sample_rate_hz=44)
    with pytest.raises(ArgumentError, match="max_frames"):
        PushVideo(max_frames=0)


def test_reader_on_another_thread_wakes_up():
    video, got = PushVideo(), []
    reader = threading.Thread(target=lambda: got.extend(video))
    reader.start()
    video.push(IMAGE, pts_ns=1)
    video.finish()
    reader.join(2.0)
    assert [unit.pts_ns for unit in got] == [1]


@pytest.mark.parametrize("step", [3600, -3600])
def test_the_present_follows_a_clock_that_steps_once_a_second_push_confirms_it(step):
    clock = Clock()
    video = PushVideo(clock=clock)
    video.push(IMAGE, pts_ns=5 * SECOND)
    video.push(IMAGE, pts_ns=(5 + step) * SECOND)
    clock.now += SECOND // 2
    assert video.now_ns() == 5 * SECOND + SECOND // 2  # a single time may be damaged
    video.push(IMAGE, pts_ns=(5 + step) * SECOND + SECOND // 2)
    assert video.now_ns() == (5 + step) * SECOND + SECOND // 2


def test_damaged_times_do_not_move_the_present():
    clock = Clock()
    video = PushVideo(clock=clock)
    for index in range(10):
        clock.now += SECOND // 30
        video.push(IMAGE, pts_ns=clock.now if index % 2 == 0 else (-1) ** (index // 2) * 10**18)
        assert abs(video.now_ns() - clock.now) <= SECOND // 30

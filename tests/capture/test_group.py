import time

import numpy as np
import pytest

from edgeaff.capture.camera import Camera
from edgeaff.capture.group import LiveGroup, MergedSource
from edgeaff.capture.media_file import MediaFile
from edgeaff.capture.microphone import Microphone
from edgeaff.capture.open import combine
from edgeaff.capture.paced import PacedFile
from edgeaff.capture.push import PushAudio, PushVideo
from edgeaff.errors import ArgumentError
from edgeaff.types import ClockTick
from tests.capture.test_microphone import FakePortAudio
from tests.media_maker import frame_times, write_clip

IMAGE = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    times = frame_times(25, 1)
    frames = [np.zeros((16, 16, 3), np.uint8)] * len(times)
    path = tmp_path_factory.mktemp("clip") / "clip.mov"
    return write_clip(path, frames=frames, times=times, samples=np.zeros(16_000, np.float32), sample_rate_hz=16_000)


def test_inputs_are_units_and_the_instant_while_nothing_comes():
    video, audio = PushVideo(), PushAudio(sample_rate_hz=16_000)
    with combine(video, audio) as group:
        inputs = group.inputs(idle_seconds=0.01)
        video.push(IMAGE, pts_ns=1_000)
        audio.push(np.zeros(16, np.int16), pts_ns=500)
        assert [next(inputs).pts_ns for _ in range(2)] == [500, 1_000]
        ticks = [next(inputs) for _ in range(3)]
        assert all(isinstance(tick, ClockTick) for tick in ticks)
        instants = [tick.pts_ns for tick in ticks]
        steps = np.diff(instants) / 1e6
        assert (steps >= 9).all() and instants[0] < 1e9  # on the caller's clock, which began at 500 ns
        video.finish()
        audio.finish()
        assert list(inputs) == []


def test_no_instant_is_given_before_the_clock_is_known():
    video = PushVideo()
    group = combine(video, None)
    inputs = group.inputs(idle_seconds=0.01)
    video.finish()
    assert list(inputs) == []


def test_instants_of_devices_are_the_monotonic_clock():
    group = LiveGroup([Microphone("default", portaudio=FakePortAudio())])
    assert abs(group.now_ns() - time.monotonic_ns()) < 1e9


@pytest.mark.needs_media
def test_files_are_merged_and_live_sources_grouped(clip):
    assert isinstance(combine(clip, None), MediaFile)
    assert isinstance(combine(None, clip), MediaFile) and not combine(None, clip).has_video
    assert isinstance(combine(str(clip), str(clip)), MediaFile) and combine(str(clip), str(clip)).has_audio
    assert isinstance(combine(MediaFile(clip, audio=False), clip), MergedSource)
    group = combine(PacedFile(clip, audio=False), Microphone("default", portaudio=FakePortAudio()))
    assert isinstance(group, LiveGroup) and group.has_video and group.has_audio
    assert isinstance(combine("push:", None), LiveGroup) and len(combine("push:", None).sources) == 2


@pytest.mark.needs_media
def test_file_and_device_cannot_be_mixed(clip):
    with pytest.raises(ArgumentError, match="PacedFile"):
        combine(clip, Microphone("default", portaudio=FakePortAudio()))
    with pytest.raises(ArgumentError, match="got neither"):
        combine(None, None)


@pytest.mark.needs_cv2
def test_camera_alone_is_a_group_without_audio():
    group = combine("camera:0", None)
    assert isinstance(group.sources[0], Camera) and not group.has_audio


def test_of_clocks_that_differ_the_session_s_reports_the_present():
    now = [0]
    video, audio = PushVideo(clock=lambda: now[0]), PushAudio(sample_rate_hz=16_000, clock=lambda: now[0])
    group = LiveGroup([video, audio])
    video.push(np.zeros((4, 6, 3), np.uint8), pts_ns=3600 * 10**9)
    audio.push(np.zeros(160, np.int16), pts_ns=5 * 10**9)
    assert group.now_ns() == 5 * 10**9  # nothing has gone yet: the earliest
    for reached in (3600 * 10**9, 5 * 10**9):
        group.reached_ns = reached - 40_000_000
        assert group.now_ns() == reached

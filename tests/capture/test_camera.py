"""Camera against an object that behaves like cv2.VideoCapture."""

import itertools
import threading
import time

import numpy as np
import pytest

from edgeaff.capture.camera import Camera, has_gstreamer
from edgeaff.capture.health import Health
from edgeaff.errors import ArgumentError, BackendUnavailableError, DeviceError
from tests.capture.test_live import take_one, wait_until


class FakeCapture:
    """A camera of 200 fps that can be unplugged, frozen or blocked."""

    def __init__(self):
        self.plugged, self.frozen, self.blocked = True, False, threading.Event()
        self.blocked.set()
        self.opened = self.released = 0
        self.position_ms = 0.0
        self._numbers = itertools.count(1)
        self._image = None

    def __call__(self):
        self.opened += 1
        return self

    def isOpened(self):
        return self.plugged

    def read(self):
        time.sleep(0.005)
        self.blocked.wait(10.0)
        if not self.plugged:
            return False, None
        if self._image is None or not self.frozen:
            self._image = np.full((24, 32, 3), (next(self._numbers) % 256, 10, 200), np.uint8)
        return True, self._image

    def get(self, prop):
        assert prop == 0  # CAP_PROP_POS_MSEC
        return self.position_ms

    def release(self):
        self.released += 1


@pytest.fixture
def capture():
    fake = FakeCapture()
    yield fake
    fake.blocked.set()


def camera(capture, **options):
    return Camera(0, opener=capture, stall_seconds=0.2, **options)


def test_frames_are_rgb_and_on_the_monotonic_clock(capture):
    with camera(capture) as source:
        before = time.monotonic_ns()
        frame = [take_one(source) for _ in range(3)][-1]
    assert frame.image.shape == (24, 32, 3) and frame.image.flags.c_contiguous
    assert (frame.image[0, 0, :2] == (200, 10)).all()
    assert before < frame.pts_ns < time.monotonic_ns()
    assert capture.released == 1 and source.has_video and not source.has_audio


def test_buffer_time_of_the_driver_is_used_where_it_is_monotonic(capture):
    capture.position_ms = time.monotonic_ns() / 1e6 - 100.0
    with camera(capture) as source:
        assert take_one(source).pts_ns == pytest.approx(capture.position_ms * 1e6, abs=1000)
        capture.position_ms = 1.7e12  # since 1970: not our clock
        take_one(source)
        assert abs(take_one(source).pts_ns - time.monotonic_ns()) < 1e9


def test_unplugged_camera_is_lost_and_comes_back_within_three_seconds(capture):
    with camera(capture) as source:
        take_one(source)
        capture.plugged = False
        wait_until(lambda: source.health().state is Health.LOST)
        time.sleep(0.5)
        capture.plugged, plugged = True, time.monotonic()
        wait_until(lambda: source.health().state is Health.OK)
        assert time.monotonic() - plugged < 3.0
        assert any("unplugged" in warning for warning in source.warnings)


def test_frozen_camera_delivers_nothing_until_it_moves(capture):
    with camera(capture, freeze_seconds=0.2) as source:
        take_one(source)
        capture.frozen = True
        wait_until(lambda: source.health().state is Health.FROZEN)
        while source.take(0.05) is not None:
            pass
        assert source.take(0.1) is None
        capture.frozen, moved = False, time.monotonic()
        take_one(source)
        assert time.monotonic() - moved < 3.0


def test_blocked_driver_does_not_hold_up_closing(capture):
    source = camera(capture).start()
    take_one(source)
    capture.blocked.clear()
    wait_until(lambda: source.health().state is Health.STALLED)
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 1.0


def test_gray_camera_gives_three_equal_channels(capture):
    capture.read = lambda: (True, np.random.default_rng().integers(0, 255, (8, 8), dtype=np.uint8))
    with camera(capture) as source:
        image = take_one(source).image
    assert image.shape == (8, 8, 3) and (image[..., 0] == image[..., 2]).all()


def test_camera_that_does_not_open_is_an_error(capture):
    capture.plugged = False
    with pytest.raises(DeviceError, match="close other programs"):
        camera(capture).start()


@pytest.mark.needs_cv2
def test_camera_that_is_not_there_is_an_error_that_lists_the_others(capfd):
    with pytest.raises(DeviceError, match=r"got no /dev/video97 \(cameras found: .*\); plug it in"):
        Camera(97).start()
    for device in ("front", -1, "video0"):
        with pytest.raises(ArgumentError, match="number of a camera, or a path"):
            Camera(device)
    assert capfd.readouterr() == ("", "")


@pytest.mark.needs_cv2
def test_file_through_opencv_comes_out_as_from_a_camera(tmp_path):
    import cv2

    from tests.media_maker import write_clip

    images = [np.full((32, 48, 3), (200, 40, 60 + index), np.uint8) for index in range(5)]
    path = write_clip(tmp_path / "c.avi", frames=images, times=[index / 25 for index in range(5)])
    with Camera(0, opener=lambda: cv2.VideoCapture(str(path)), max_frames=10, reconnect=False) as source:
        frames = list(source)
    assert len(frames) == 5
    np.testing.assert_allclose(frames[0].image[5, 5].astype(int), (200, 40, 60), atol=6)


@pytest.mark.needs_cv2
def test_pipeline_without_gstreamer_names_what_to_do():
    import cv2

    if has_gstreamer(cv2):
        with Camera(pipeline="videotestsrc ! videoconvert ! video/x-raw,format=BGR ! appsink") as source:
            assert take_one(source).image.ndim == 3
    else:
        with pytest.raises(BackendUnavailableError, match="OpenCV of the system or of JetPack"):
            Camera(pipeline="videotestsrc ! appsink")


def test_wrong_pixel_format_is_refused(capture):
    with pytest.raises(ArgumentError, match="four characters"):
        camera(capture, pixel_format="JPEG2000")

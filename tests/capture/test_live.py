"""The base of all live sources, with devices that misbehave on command."""

import threading
import time

import numpy as np
import pytest

from edgeaff.capture.group import LiveGroup
from edgeaff.capture.health import Health
from edgeaff.capture.live import LiveSource
from edgeaff.errors import ArgumentError, DeviceError
from edgeaff.types import AudioChunk, VideoFrame
from tests.waiting import wait_until

BLACK = np.zeros((16, 16, 3), np.uint8)


def frame(pts_ns=None, seed=None):
    image = BLACK if seed is None else np.random.default_rng(seed).integers(0, 255, BLACK.shape, dtype=np.uint8)
    return VideoFrame(time.monotonic_ns() if pts_ns is None else pts_ns, image)


def samples(pts_ns, size=160, rate=16_000):
    return AudioChunk(pts_ns, np.zeros(size, np.float32), rate)


class ScriptedSource(LiveSource):
    """Every opening plays the next script: an exception to raise on opening, or a function that yields units."""

    has_video = True

    def __init__(self, *scripts, name="camera:test", **options):
        super().__init__(name, stall_seconds=0.1, **options)
        self.scripts, self.opened, self.shut = list(scripts), 0, 0

    def _open(self):
        self.opened += 1
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if isinstance(script, Exception):
            raise script
        return script

    def _read(self, device):
        yield from device(self)

    def _shut(self, device):
        self.shut += 1


def endless(source):
    seed = 0
    while True:
        seed += 1
        time.sleep(0.005)
        yield frame(seed=seed)


def take_one(source):
    unit = source.take(3.0)
    assert unit is not None
    return unit


def test_slow_reader_gets_the_newest_frame_and_the_count_of_the_others():
    def burst(source):
        yield from (frame(pts) for pts in range(1, 11))
        source._stop.wait()

    with ScriptedSource(burst) as source:
        wait_until(lambda: source.counts["frames"] == 10)
        assert take_one(source).pts_ns == 10
        assert source.counts["frames_replaced"] == 9
        assert source.take(0.01) is None


def test_audio_is_kept_up_to_the_limit_and_then_loses_its_oldest():
    def burst(source):
        yield from (samples(index * 10_000_000) for index in range(150))
        source._stop.wait()

    with ScriptedSource(burst, max_audio_seconds=1.0) as source:
        wait_until(lambda: source.counts["samples"] == 150 * 160)
        chunks = [take_one(source) for _ in range(100)]
        assert source.take(0.01) is None
    assert source.counts["samples_dropped"] == 50 * 160
    assert [chunk.pts_ns for chunk in chunks] == [index * 10_000_000 for index in range(50, 150)]


def test_frames_and_audio_come_in_the_order_of_time():
    def both(source):
        yield samples(20)
        yield samples(30)
        yield frame(25)
        source._stop.wait()

    with ScriptedSource(both) as source:
        wait_until(lambda: source.counts["frames"] == 1)
        assert [take_one(source).pts_ns for _ in range(3)] == [20, 25, 30]


def test_device_that_does_not_open_is_an_error_at_the_start():
    with pytest.raises(DeviceError, match="is not there"):
        ScriptedSource(DeviceError("camera:9 is not there; plug it in.")).start()


def test_device_that_never_answers_is_an_error_at_the_start():
    release = threading.Event()

    class Mute(ScriptedSource):
        def _open(self):
            release.wait()
            raise DeviceError("too late")

    started = time.monotonic()
    with pytest.raises(DeviceError, match="did not open within"):
        Mute(None, connect_seconds=0.1).start()
    assert time.monotonic() - started < 1.0
    release.set()


def test_lost_device_is_opened_again_with_back_off():
    def dies(source):
        yield frame(1)
        raise DeviceError("camera:test was unplugged.")

    gone = DeviceError("camera:test is not there.")
    source = ScriptedSource(dies, gone, gone, endless)
    states = set()
    with source:
        take_one(source)
        wait_until(lambda: states.add(source.health().state) or source.opened == 4)
        take_one(source)
        assert source.health().state is Health.OK
    assert Health.LOST in states
    assert source.counts["reconnects"] == 3 and source.shut == 2
    assert source.warnings == ["camera:test was unplugged.", "camera:test is not there."]


def test_silent_device_is_stalled_then_abandoned_and_reopened():
    release = threading.Event()

    def hangs(source):
        yield frame(1)
        release.wait()  # a driver that never returns
        yield frame(2)

    with ScriptedSource(hangs, endless) as source:
        take_one(source)
        wait_until(lambda: source.health().state is Health.STALLED)
        wait_until(lambda: source.health().state is Health.OK)
        assert source.counts["abandoned_threads"] == 1 and source.opened == 2
        release.set()
        wait_until(lambda: source.shut == 1)  # the old thread closes its device and goes; its frame is not delivered
        assert all(take_one(source).pts_ns != 2 for _ in range(20))


def test_threads_that_hang_are_never_more_than_three():
    release = threading.Event()

    def hangs(source):
        yield frame()
        release.wait()

    with ScriptedSource(hangs) as source:
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            source.health()
            time.sleep(0.02)
        assert sum(thread.is_alive() for thread in source._threads) == 3
        release.set()


def test_frozen_frame_is_withheld_and_the_device_opened_again():
    def freezes(source):
        for pts in range(200):
            time.sleep(0.002)
            yield frame(pts * 33_000_000)
        source._stop.wait()

    with ScriptedSource(freezes, endless, freeze_seconds=1.0) as source:
        wait_until(lambda: source.health().state is Health.FROZEN)
        delivered = source.counts["frames"]
        assert 30 <= delivered <= 32
        wait_until(lambda: source.opened == 2 and source.health().state is Health.OK)
        assert source.counts["frozen_frames"] == 90


def test_still_frame_is_no_freeze_unless_asked():
    def still(source):
        yield from (frame(pts * 1_000_000_000) for pts in range(100))
        source._stop.wait()

    with ScriptedSource(still) as source:
        wait_until(lambda: source.counts["frames"] == 100)
        assert source.health().state is Health.OK


@pytest.mark.parametrize("state", ["reading", "hanging", "backing off"])
def test_close_takes_less_than_a_second(state):
    def hangs(source):
        yield frame(1)
        threading.Event().wait(5.0)

    def dies(source):
        yield frame(1)
        source.scripts[:] = [DeviceError("gone")]

    source = ScriptedSource({"reading": endless, "hanging": hangs, "backing off": dies}[state]).start()
    take_one(source)
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 1.0
    assert source.health().state is Health.ENDED and list(source) == []


def test_source_that_does_not_reconnect_ends():
    def two(source):
        yield frame(1)
        time.sleep(0.05)
        yield frame(2)

    with ScriptedSource(two, reconnect=False) as source:
        assert [unit.pts_ns for unit in source] == [1, 2]
        assert source.ended and source.health().state is Health.ENDED


def test_group_merges_by_time_and_ends_with_the_last():
    def frames(source):
        yield from (frame(pts) for pts in (10, 30))

    def recordings(source):
        yield from (samples(pts) for pts in (5, 20, 40))

    video = ScriptedSource(frames, reconnect=False, max_frames=5)
    audio = ScriptedSource(recordings, reconnect=False, name="mic:test")
    audio.has_video, audio.has_audio = False, True
    group = LiveGroup([video, audio])
    with group:
        wait_until(lambda: video.inbox.closed and audio.inbox.closed)
        assert [unit.pts_ns for unit in group] == [5, 10, 20, 30, 40]
    assert group.has_video and group.has_audio and group.ended
    assert set(group.health()) == {"camera:test", "mic:test"} and group.counts["frames"] == 2


def test_group_does_not_wait_for_a_source_that_gives_nothing():
    def nothing(source):
        yield None
        source._stop.wait()

    mute = ScriptedSource(nothing, name="mic:test")
    mute.has_video, mute.has_audio = False, True
    with LiveGroup([ScriptedSource(endless), mute]) as group:
        assert isinstance(take_one(group), VideoFrame)


def test_group_closes_the_first_when_the_second_does_not_open():
    first = ScriptedSource(endless)
    second = ScriptedSource(DeviceError("mic:test is not there."), name="mic:test")
    second.has_video, second.has_audio = False, True
    with pytest.raises(DeviceError, match="is not there"):
        LiveGroup([first, second]).__enter__()
    assert first.health().state is Health.ENDED


def test_group_refuses_two_of_a_kind_and_files():
    with pytest.raises(ArgumentError, match="has_video"):
        LiveGroup([ScriptedSource(endless), ScriptedSource(endless)])
    with pytest.raises(ArgumentError, match="must be live"):
        LiveGroup([object()])

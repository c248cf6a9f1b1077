"""A whole Runtime: a camera at the public seam, a real microphone, a real broker, a scrape of what it states about itself."""

import itertools
import json
import time
from urllib.request import urlopen

import numpy as np
import pytest

import edgeaff
from edgeaff.capture.camera import Camera
from edgeaff.delivery.open import open_sink
from tests.media_maker import write_clip
from tests.test_session import RATE, clip
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.needs_media]


class PortraitCamera:
    """What cv2.VideoCapture would be with the demo's portrait before it: 30 frames a second, BGR."""

    def __init__(self):
        frames = [image for kind, _, image in clip() if kind == "video"]
        self._frames = itertools.cycle(frames + frames[::-1])
        self._due = time.monotonic()

    def isOpened(self):
        return True

    def read(self):
        self._due += 1 / 30
        time.sleep(max(0.0, self._due - time.monotonic()))
        return True, np.ascontiguousarray(next(self._frames)[:, :, ::-1])

    def get(self, _):
        return 0.0

    def release(self):
        pass


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    spoken = np.concatenate([samples for kind, _, samples in clip() if kind == "audio"])
    samples = np.tile(spoken, 12).astype(np.float32) / 32_768
    return write_clip(tmp_path_factory.mktemp("voice") / "voice.wav", samples=samples, sample_rate_hz=RATE)


def test_camera_microphone_and_broker_give_and_get_every_tick(virtual_microphone, voice, broker, received):
    sink = open_sink(f"mqtt://127.0.0.1:{broker.port}/test/affect")
    player = virtual_microphone.play(voice)
    events, end = [], time.monotonic() + 30.0
    camera = Camera(opener=PortraitCamera)
    with edgeaff.Runtime(video=camera, audio="mic:default", sinks=[sink], serve=0) as runtime:
        while len(events) < 240 and time.monotonic() < end:
            if (event := runtime.poll(0.2)) is not None:
                events.append(event)
        stats = runtime.stats()
        with urlopen(f"{runtime.serve_url}/status", timeout=5) as answer:
            shown = json.load(answer)
    player.kill()
    player.wait(3.0)
    ticks = [round(event.pts_ns * 30 / 1e9) for event in events]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks))) and len(ticks) >= 210
    settled = events[90:]
    assert {event.status.value for event in settled} == {"OK"}, (stats, shown["health"])
    assert all(event.face is not None and event.audio_age_ms < 500 for event in settled)
    assert np.median([event.latency_ms for event in settled]) < 150  # PulseAudio's bursts are in it
    assert stats.source["audio_overflows"] == stats.source["samples_dropped"] == stats.events_dropped == 0
    assert {row["state"] for row in shown["health"]["sources"].values()} == {"ok"}
    assert shown["stats"]["skew_ppm"] is not None and shown["stats"]["stages_ms"]["latency"]["p99"] > 0
    wait_until(lambda: len(received) > len(events) - 30, 10.0, "delivery")
    heard = {row["seq"]: row for row in received}
    assert all(heard[event.seq] == event.to_dict() for event in events[30:-30])

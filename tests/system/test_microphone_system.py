"""Microphone over PortAudio, ALSA and PulseAudio: what is played into a null sink is heard, on time and without a loss."""

import time

import numpy as np
import pytest

from edgeaff.capture.health import Health
from edgeaff.capture.microphone import Microphone
from tests.media_maker import write_clip
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.needs_media]


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    """Ten clicks, half a second apart, from 0.5 s on."""
    samples = np.zeros(48_000 * 6, np.float32)
    for index in range(10):
        first = 24_000 * (index + 1)
        samples[first : first + 240] = 0.8
    return write_clip(tmp_path_factory.mktemp("clicks") / "clicks.wav", samples=samples, sample_rate_hz=48_000)


def record(source, seconds):
    chunks, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        chunk = source.take(0.2)
        if chunk is not None:
            chunks.append(chunk)
    return chunks


def click_times(chunks):
    """Times of the clicks, in seconds on the monotonic clock."""
    times = []
    for chunk in chunks:
        loud = np.flatnonzero(chunk.samples > 8_000)
        if loud.size and (not times or chunk.pts_ns / 1e9 > times[-1] + 0.25):
            times.append(chunk.pts_ns / 1e9 + loud[0] / chunk.sample_rate_hz)
    return np.array(times)


@pytest.mark.parametrize("rate", [None, 16_000, 44_100])
def test_clicks_are_heard_evenly_and_without_a_loss(virtual_microphone, clicks, rate):
    with Microphone("default", sample_rate_hz=rate) as source:
        player = virtual_microphone.play(clicks)
        chunks = record(source, 7.0)
        player.wait(5.0)
        counts = source.counts
    times = click_times(chunks)
    assert len(times) == 10
    np.testing.assert_allclose(np.diff(times), 0.5, atol=0.005)
    assert counts["audio_overflows"] == counts["audio_gaps"] == counts["samples_dropped"] == 0
    assert source.sample_rate_hz == (rate or source.sample_rate_hz)
    starts = np.array([chunk.pts_ns for chunk in chunks])
    lengths = np.array([chunk.samples.size / chunk.sample_rate_hz * 1e9 for chunk in chunks[:-1]])
    assert np.abs(np.diff(starts) - lengths).max() < 0.1e6


def test_delivery_is_prompt(virtual_microphone):
    ages = []
    with Microphone("pulse") as source:
        for _ in range(300):
            chunk = source.take(2.0)
            assert chunk is not None
            end = chunk.pts_ns + chunk.samples.size * 1_000_000_000 // chunk.sample_rate_hz
            ages.append((time.monotonic_ns() - end) / 1e6)
    assert np.median(ages[100:]) < 40.0  # PulseAudio delivers in bursts of up to 56 ms


def test_server_that_dies_and_returns_is_found_again(virtual_microphone):
    with Microphone("default") as source:
        assert source.take(3.0) is not None
        virtual_microphone.kill()
        wait_until(lambda: (source.take(0), source.health().state is Health.LOST)[1], 10.0, "loss of the microphone")
        time.sleep(1.0)
        virtual_microphone.start()
        returned = time.monotonic()
        wait_until(lambda: source.take(0.1) is not None and source.health().state is Health.OK, 10.0, "recovery")
        assert time.monotonic() - returned < 3.0

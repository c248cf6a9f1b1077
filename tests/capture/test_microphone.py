"""Microphone against an object that behaves like the module sounddevice."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from edgeaff.capture.health import Health
from edgeaff.capture.microphone import Microphone
from edgeaff.errors import ArgumentError, DeviceError
from tests.capture.test_live import take_one, wait_until


class FakePortAudio:
    """Three devices; opens at 44100 Hz only, with one or two channels."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *, rates=(44_100,), channels=(1,), speed=1.0):
        self.rates, self.channels, self.speed = rates, channels, speed
        self.plugged, self.silent, self.overflow = True, False, False
        self.opened, self.rescans = [], 0
        self.default_rate = 44_100.0
        self.devices = [
            {"name": "HDMI output", "max_input_channels": 0, "default_samplerate": 48_000.0},
            {"name": "Built-in Audio", "max_input_channels": 2, "default_samplerate": 44_100.0},
            {"name": "USB PnP Audio Device", "max_input_channels": 1, "default_samplerate": 44_100.0},
        ]

    def query_devices(self, device=None, kind=None):
        if not self.plugged:
            raise self.PortAudioError("Error querying device -1")
        return self.devices[1] if kind else self.devices

    def _terminate(self):
        self.rescans += 1

    def _initialize(self):
        pass

    def InputStream(self, *, device, samplerate, channels, dtype, blocksize, callback):
        assert dtype == "int16"
        if not self.plugged or samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        if channels not in self.channels:
            raise self.PortAudioError("Invalid number of channels [PaErrorCode -9998]")
        stream = FakeStream(self, samplerate, channels, blocksize, callback)
        self.opened.append((device, samplerate, channels))
        return stream


class FakeStream:
    def __init__(self, owner, rate, channels, blocksize, callback):
        self.owner, self.rate, self.channels, self.blocksize, self.callback = owner, rate, channels, blocksize, callback
        self._stop = threading.Event()

    @property
    def active(self):
        return self.owner.plugged and not self._stop.is_set()

    def start(self):
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        ramp = np.arange(self.blocksize, dtype=np.int16)
        samples = np.stack([ramp + 100 * channel for channel in range(self.channels)], axis=1)
        while not self._stop.wait(self.blocksize / self.rate / self.owner.speed):
            if self.owner.plugged and not self.owner.silent:
                status = SimpleNamespace(input_overflow=self.owner.overflow)
                self.owner.overflow = False
                self.callback(samples, self.blocksize, None, status)

    def close(self):
        self._stop.set()


def microphone(fake, device="default", **options):
    return Microphone(device, portaudio=fake, stall_seconds=0.2, **options)


def test_native_rate_is_opened_and_audio_is_on_the_monotonic_clock():
    fake = FakePortAudio()
    with microphone(fake) as source:
        before = time.monotonic_ns()
        chunks = [take_one(source) for _ in range(10)]
    assert fake.opened == [(None, 44_100, 1)] and source.sample_rate_hz == 44_100
    assert chunks[0].samples.dtype == np.int16 and chunks[0].samples.size == 441
    assert before - 1e9 < chunks[0].pts_ns < time.monotonic_ns()
    np.testing.assert_allclose(np.diff([chunk.pts_ns for chunk in chunks]), 1e7, rtol=2e-3)


def test_microphone_that_refuses_16_khz_runs_at_its_own_rate_and_reports_it():
    fake = FakePortAudio()
    with microphone(fake, sample_rate_hz=16_000) as source:
        assert take_one(source).sample_rate_hz == 44_100
    assert source.warnings == ["mic:default does not run at 16000 Hz; it runs at 44100 Hz and is resampled."]


def test_device_with_two_channels_only_is_mixed():
    fake = FakePortAudio(channels=(2,))
    with microphone(fake) as source:
        samples = take_one(source).samples
    assert fake.opened == [(None, 44_100, 2)]
    assert samples.ndim == 1 and samples[0] == 50 and samples[10] == 60


@pytest.mark.parametrize(("device", "index"), [("usb", 2), ("Built-in", 1), ("2", 2)])
def test_device_is_found_by_part_of_its_name_or_number(device, index):
    fake = FakePortAudio()
    with microphone(fake, device) as source:
        take_one(source)
    assert fake.opened[0][0] == index


def test_unknown_device_is_refused_with_the_names_that_there_are():
    with pytest.raises(DeviceError, match=r"got 'Bluetooth' \(found: 'Built-in Audio', 'USB PnP Audio Device'\)"):
        microphone(FakePortAudio(), "Bluetooth").start()


def test_no_device_at_all_is_an_error():
    fake = FakePortAudio()
    fake.plugged = False
    with pytest.raises(DeviceError, match="no microphone at all"):
        microphone(fake).start()


def test_device_that_takes_no_rate_is_an_error():
    with pytest.raises(DeviceError, match="opened at none of 44100, 48000.*Invalid sample rate"):
        microphone(FakePortAudio(rates=())).start()


def test_overflow_becomes_an_explicit_gap():
    fake = FakePortAudio()
    with microphone(fake) as source:
        for _ in range(20):
            before = take_one(source)
        fake.silent = True
        time.sleep(0.1)
        fake.silent, fake.overflow = False, True
        gap = 0
        for _ in range(20):
            chunk = take_one(source)
            if chunk.pts_ns - before.pts_ns > gap:
                gap, heard_ns = chunk.pts_ns - before.pts_ns, time.monotonic_ns() - before.pts_ns
            before = chunk
    assert 80e6 < gap < heard_ns  # silence and no more: what comes after it is not in the future
    assert source.counts["audio_overflows"] == 1 and source.counts["audio_gaps"] == 1


def test_unplugged_microphone_is_lost_and_comes_back_within_three_seconds():
    fake = FakePortAudio()
    with microphone(fake) as source:
        take_one(source)
        fake.plugged = False
        wait_until(lambda: source.health().state is Health.LOST)
        fake.plugged, plugged = True, time.monotonic()
        wait_until(lambda: source.health().state is Health.OK)
        assert time.monotonic() - plugged < 3.0 and fake.rescans >= 1


def test_silent_driver_is_stalled_then_opened_again():
    fake = FakePortAudio()
    with microphone(fake) as source:
        take_one(source)
        fake.silent = True
        wait_until(lambda: source.health().state is Health.STALLED)
        wait_until(lambda: source.health().state is Health.LOST)
        fake.silent = False
        wait_until(lambda: source.health().state is Health.OK)
    assert len(fake.opened) >= 2


def test_constant_latency_is_taken_off():
    starts = {}
    for latency in (0.0, 0.5):
        with microphone(FakePortAudio(), latency_seconds=latency) as source:
            starts[latency] = take_one(source).pts_ns - time.monotonic_ns()
    assert starts[0.0] - starts[0.5] == pytest.approx(0.5e9, abs=0.1e9)


def test_a_native_rate_that_is_not_taken_is_passed_over():
    fake = FakePortAudio(rates=(1_536_000, 48_000))
    fake.devices[1]["default_samplerate"] = 1_536_000.0
    with microphone(fake) as source:
        assert take_one(source).sample_rate_hz == 48_000
    with pytest.raises(
        ArgumentError, match="sample_rate_hz must be a whole number of Hz from 8000 to 768000, got 1536000"
    ):
        Microphone(portaudio=fake, sample_rate_hz=1_536_000)

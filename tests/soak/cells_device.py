"""The fault matrix, cameras and microphones."""

from __future__ import annotations

import signal
import time
from typing import Any

import numpy as np

import edgeaff
from edgeaff.capture.camera import Camera
from edgeaff.capture.microphone import Microphone
from tests.capture.test_microphone import FakePortAudio
from tests.soak.devices import FaultyCamera
from tests.soak.rig import Rig
from tests.soak.trial import Cell, Trial, bundle, running


def camera_cell(mode: str, kind: str) -> Cell:
    """Returns the cell of a camera that breaks in one way; its clip goes on meanwhile."""

    def cell(rig: Rig) -> float:
        device = FaultyCamera()
        runtime = edgeaff.Runtime(bundle(), video=Camera(0, opener=device.opener), audio=Microphone())
        with running(Trial(runtime, "video", "audio")) as trial:
            device.break_it(mode)
            trial.expect(kind, "camera")
            if kind != "corrupt_input":  # the microphone goes on
                trial.must(trial.last is not None and trial.last.audio_age_ms is not None, "the clip stopped too")
            trial.follow(1.0)
            return trial.recover(kind, "camera", device.repair())

    return cell


def slow_reader(make_source: Any, needs: str) -> Cell:
    """Returns the cell of a reader that stands still for 3 s."""

    def cell(rig: Rig) -> float:
        name = "video" if needs != "audio" else "audio"
        sources = {name: make_source(rig)}
        runtime = edgeaff.Runtime(bundle(), **sources, policy=edgeaff.Policy(capacity=30))
        with running(Trial(runtime, *needs.split("+"))) as trial:
            time.sleep(3.0)
            repaired = time.monotonic()
            trial.expect("dropped", "reader")
            return trial.recover("dropped", "reader", repaired)

    return cell


def raising_callback(make_source: Any, needs: str) -> Cell:
    """Returns the cell of a callback that raises: it surfaces where events are read, and the next runtime gets the device."""

    def cell(rig: Rig) -> float:
        name = "video" if needs != "audio" else "audio"
        runtime = edgeaff.Runtime(bundle(), **{name: make_source(rig)})
        broken: list[bool] = []

        def callback(event: edgeaff.AffectEvent) -> None:
            if broken:
                raise ZeroDivisionError("a mistake in the callback")

        runtime.on_event(callback)
        surfaced = False
        with running(Trial(runtime, *needs.split("+"))) as trial:
            broken.append(True)
            try:
                trial.follow(5.0)
            except ZeroDivisionError:
                surfaced = True
            trial.must(surfaced, "the exception did not surface")
            trial.must(_soon(lambda: trial.was_reported("failed", "reader")), "failed of reader was not reported")
        repaired = time.monotonic()
        with running(Trial(edgeaff.Runtime(bundle(), **{name: make_source(rig)}), *needs.split("+"))) as again:
            return again.recover(None, "reader", repaired) - 0.5  # `start` reads half a second before it returns

    return cell


def _soon(condition: Any) -> bool:
    deadline = time.monotonic() + 2.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def make_camera(rig: Rig) -> Camera:
    """Returns a camera that works."""
    return Camera(0, opener=FaultyCamera().opener)


def make_microphone(rig: Rig) -> Microphone:
    """Returns the virtual microphone."""
    return Microphone()


def microphone_lost(rig: Rig) -> float:
    """PulseAudio dies and is started again; the camera goes on."""
    runtime = edgeaff.Runtime(bundle(), video=make_camera(rig), audio=Microphone())
    with running(Trial(runtime, "video", "audio")) as trial:
        rig.microphone.kill()
        try:
            trial.expect("lost", "mic")
            trial.must(trial.last is not None and (trial.last.video_age_ms or 0) < 500, "the frames stopped too")
        finally:
            rig.microphone.start()
        return trial.recover("lost", "mic")


def microphone_stalled(rig: Rig) -> float:
    """PulseAudio is stopped for 1.6 s and goes on."""
    runtime = edgeaff.Runtime(bundle(), video=make_camera(rig), audio=Microphone())
    with running(Trial(runtime, "video", "audio")) as trial:
        assert rig.microphone.process is not None
        rig.microphone.process.send_signal(signal.SIGSTOP)
        try:
            trial.expect("stalled", "mic")
        finally:
            rig.microphone.process.send_signal(signal.SIGCONT)
        return trial.recover("stalled", "mic")


class PushedAudio:
    """Pushes clip in real time into a runtime, every chunk through a filter."""

    def __init__(self, runtime: edgeaff.Runtime) -> None:
        import threading

        self.runtime, self.spoil = runtime, False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        due, index = time.monotonic(), 0
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            times = (np.arange(480) + index * 480) / 48_000
            samples = (0.1 * np.sin(2 * np.pi * 150 * times)).astype(np.float32)
            if self.spoil:
                samples[::7] = np.nan
            self.runtime.push_audio(samples)
            due, index = due + 0.01, index + 1

    def close(self) -> None:
        self._stop.set()
        self._thread.join(2.0)


def microphone_garbage(rig: Rig) -> float:
    """Samples that are no numbers."""
    runtime = edgeaff.Runtime(bundle(), audio=edgeaff.PushAudio(sample_rate_hz=48_000))
    clip = PushedAudio(runtime)
    try:
        with running(Trial(runtime, "audio")) as trial:
            clip.spoil = True
            trial.expect("corrupt_input", "mic")
            trial.follow(1.0)
            clip.spoil = False
            return trial.recover("corrupt_input", "mic")
    finally:
        clip.close()


def microphone_overflow(rig: Rig) -> float:
    """The driver states that it lost clip."""
    device = FakePortAudio()
    runtime = edgeaff.Runtime(bundle(), audio=Microphone(portaudio=device))
    with running(Trial(runtime, "audio")) as trial:
        device.overflow = True
        trial.expect("overflow", "mic")
        recovery = trial.recover("overflow", "mic")
        trial.must(runtime.stats().source["audio_overflows"] == 1, "the overflow is not counted")
        return recovery


def microphone_refuses(rig: Rig) -> float:
    """A microphone that refuses 16 kHz runs at its own rate, and that is stated."""
    device = FakePortAudio(rates=(48_000,))
    device.default_rate = 48_000.0
    runtime = edgeaff.Runtime(bundle(), audio=Microphone(sample_rate_hz=16_000, portaudio=device))
    with running(Trial(runtime, "audio")) as trial:
        trial.must(any(event.kind == "setting_rejected" for event in trial.reported), "refused of mic was not reported")
        trial.must([rate for _, rate, _ in device.opened] == [48_000], "it runs at another rate")
    return 0.0


CELLS: dict[str, Cell] = {
    "lost/camera": camera_cell("lost", "lost"),
    "frozen/camera": camera_cell("frozen", "frozen"),
    "stalled/camera": camera_cell("stalled", "stalled"),
    "garbage/camera": camera_cell("garbage", "corrupt_input"),
    "driver raises/camera": camera_cell("raising", "lost"),
    "slow consumer/camera": slow_reader(make_camera, "video"),
    "raising callback/camera": raising_callback(make_camera, "video"),
    "lost/mic": microphone_lost,
    "stalled/mic": microphone_stalled,
    "garbage/mic": microphone_garbage,
    "overflow/mic": microphone_overflow,
    "16-kHz refusal/mic": microphone_refuses,
    "slow consumer/mic": slow_reader(make_microphone, "audio"),
    "raising callback/mic": raising_callback(make_microphone, "audio"),
}

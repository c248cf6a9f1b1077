"""Cameras with their modes, microphones with the rates they accept. No frame is taken and no audio is heard."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from edgeaff.capture.devices import CameraInfo, MicrophoneInfo, list_cameras, list_microphones
from edgeaff.capture.microphone import import_audiodevice
from edgeaff.capture.v4l2 import CameraMode, Ioctl, list_modes
from edgeaff.cli.doctor.finding import OK, WARN, Finding
from edgeaff.cli.doctor.machine import _split, installed
from edgeaff.errors import BackendUnavailableError

RATES_HZ = (8_000, 16_000, 32_000, 44_100, 48_000)
_FACE_SIZE = 640 * 480  # the detector looks at 320 pixels: more costs time and finds no more faces near the device
_PUSH = "or push your own with edgeaff.PushVideo() and PushAudio()"


def check_cameras(cameras: list[CameraInfo] | None = None, *, ioctl: Ioctl | None = None) -> list[Finding]:
    """Returns a finding per camera.

    Args:
        cameras: what to look at; None lists them.
        ioctl: see `edgeaff.capture.v4l2.list_modes`.
    """
    if cameras is None and sys.platform != "linux":
        text = "only Linux lists its cameras"
        return [Finding("camera", WARN, text, f"try `edgeaff run camera:0`, then camera:1; {_PUSH}.")]
    cameras = list_cameras() if cameras is None else cameras
    if not cameras:
        return [Finding("camera", WARN, "none found in /dev/video*", f"plug one in, pass a file or stream, {_PUSH}.")]
    findings = []
    if installed("opencv-python-headless") is None:
        findings.append(
            Finding(
                "camera", WARN, f"{len(cameras)} found, OpenCV is not installed", "run `pip install 'edgeaff[live]'`."
            )
        )
    return findings + [_describe_camera(camera, ioctl) for camera in cameras]


def _describe_camera(camera: CameraInfo, ioctl: Ioctl | None) -> Finding:
    path = camera.uri.removeprefix("camera:")
    try:
        modes = list_modes(path, ioctl=ioctl)
    except PermissionError:
        return Finding("camera", WARN, f"{camera.name}: no right to open {path}", "add the user to the group `video`.")
    except OSError as error:
        return Finding("camera", WARN, f"{camera.name}: {error.strerror}", "plug it in again.")
    data: dict[str, Any] = {**asdict(camera), "modes": [asdict(mode) for mode in modes]}
    best = best_mode(modes)
    if best is None:
        return Finding("camera", WARN, f"{camera.uri} {camera.name}: names no mode", "try it with `edgeaff run`.", data)
    data["uri"] = f"{camera.uri}?fps={best.fps:g}&size={best.width}x{best.height}&format={best.pixel_format}"
    text = f"{camera.name}: {len(modes)} modes, best for a face: {data['uri']}"
    if best.fps and best.fps < 24:
        return Finding(
            "camera", WARN, text, "more light, a smaller size or MJPG makes it faster; the model wants 30.", data
        )
    return Finding("camera", OK, text, "", data)


def best_mode(modes: list[CameraMode]) -> CameraMode | None:
    """Returns the mode to use: 30 fps or the nearest to it, then the size nearest to 640 x 480; None without any."""
    readable = [mode for mode in modes if mode.pixel_format in ("MJPG", "YUYV", "NV12", "UYVY", "BGR3", "RGB3", "GRAY")]
    return min(
        readable or modes,
        key=lambda mode: (max(0.0, 30 - mode.fps) > 6, abs(mode.width * mode.height - _FACE_SIZE), abs(mode.fps - 30)),
        default=None,
    )


def check_microphones(portaudio: Any = None) -> list[Finding]:
    """Returns a finding per microphone.

    Args:
        portaudio: the module sounddevice, or what behaves like it; None imports it.
    """
    try:
        with quiet_stderr():
            portaudio = import_audiodevice() if portaudio is None else portaudio
            microphones = list_microphones(portaudio)
    except BackendUnavailableError as error:
        return [Finding("microphone", WARN, *_split(error))]
    version = getattr(portaudio, "get_portaudio_version", lambda: (0, ""))()[1]
    if not microphones:
        text = f"PortAudio finds none{f' ({version})' if version else ''}"
        return [Finding("microphone", WARN, text, f"plug one in, start PulseAudio or PipeWire, {_PUSH}.")]
    with quiet_stderr():
        return [_describe_microphone(microphone, portaudio) for microphone in microphones]


def _describe_microphone(microphone: MicrophoneInfo, portaudio: Any) -> Finding:
    accepted = [rate for rate in RATES_HZ if _accepts(portaudio, microphone, rate)]
    data = {**asdict(microphone), "accepted_rates_hz": accepted}
    text = f"{microphone.uri}: {microphone.channels} channels, native rate {microphone.native_rate_hz} Hz"
    if microphone.is_default:
        text += ", the default"
    if not accepted:
        return Finding("microphone", WARN, f"{text}; refuses {', '.join(map(str, RATES_HZ))} Hz", "is it in use?", data)
    refused = "" if 16_000 in accepted else "; refuses 16000 Hz, so it is resampled"
    return Finding("microphone", OK, text + f"; accepts {', '.join(map(str, accepted))}{refused}", "", data)


def _accepts(portaudio: Any, microphone: MicrophoneInfo, rate: int) -> bool:
    names = [info["name"] for info in portaudio.query_devices()]
    for channels in {1, microphone.channels}:
        try:
            portaudio.check_input_settings(
                device=names.index(microphone.name), channels=channels, dtype="int16", samplerate=rate
            )
        except (portaudio.PortAudioError, ValueError):
            continue
        return True
    return False


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keeps what ALSA writes to standard error by itself from the report."""
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nothing)
        os.close(kept)

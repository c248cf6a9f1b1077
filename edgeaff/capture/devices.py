"""Lists cameras and microphones, for `edgeaff doctor` and for messages. Opens none of them."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeaff.capture.microphone import import_audiodevice


@dataclass(frozen=True, slots=True)
class CameraInfo:
    """uri: what opens it; name: what its driver calls it."""

    uri: str
    name: str


@dataclass(frozen=True, slots=True)
class MicrophoneInfo:
    """uri: what opens it; native_rate_hz: rate at which it will be opened; is_default: `mic:default` is this one."""

    uri: str
    name: str
    channels: int
    native_rate_hz: int
    is_default: bool


def list_cameras(*, folder: str = "/dev", sysfs: str = "/sys/class/video4linux") -> list[CameraInfo]:
    """Returns the V4L2 devices that can capture, in the order of their numbers.

    Args:
        folder: where the device files are.
        sysfs: where the kernel describes them; a device whose index there is not 0 carries metadata, no frames.
    """
    found = []
    for path in sorted(glob.glob(f"{folder}/video*"), key=lambda text: (len(text), text)):
        about = Path(sysfs) / Path(path).name
        if _read_text(about / "index") in ("", "0"):
            found.append(CameraInfo(f"camera:{path}", _read_text(about / "name") or path))
    return found


def list_microphones(portaudio: Any = None) -> list[MicrophoneInfo]:
    """Returns the devices with inputs that PortAudio knows.

    Args:
        portaudio: the module sounddevice, or an object with its query_devices and PortAudioError; None imports it, which
            is a BackendUnavailableError where it or the PortAudio library is not installed.
    """
    sd = import_audiodevice() if portaudio is None else portaudio
    try:
        devices = list(sd.query_devices())
        default = sd.query_devices(None, "input")["name"]
    except (sd.PortAudioError, ValueError):
        return []
    return [
        MicrophoneInfo(
            f"mic:{info['name']}",
            info["name"],
            int(info["max_input_channels"]),
            int(info["default_samplerate"]),
            info["name"] == default,
        )
        for info in devices
        if info["max_input_channels"]
    ]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

"""Cameras by a driver that answers ioctls as V4L2 does, microphones by a PortAudio, GPUs by a libcuda: all of them made up."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from edgeaff.capture.devices import CameraInfo
from edgeaff.capture.v4l2 import ENUM_FORMAT, ENUM_INTERVAL, ENUM_SIZE, CameraMode, list_modes
from edgeaff.cli.doctor import devices, gpu
from edgeaff.cli.doctor.gpu import Driver, Gpu
from edgeaff.errors import BackendUnavailableError

from ...capture.test_microphone import FakePortAudio

MJPG, YUYV = (int.from_bytes(text, "little") for text in (b"MJPG", b"YUYV"))
MODES = {MJPG: {(1920, 1080): (30,), (640, 480): (60, 30)}, YUYV: {(640, 480): (15, 7.5)}}


class Driver4:
    """Answers as a USB camera's driver; the lists end with an error, as the interface states."""

    def __init__(self, modes: Any = MODES, *, stepwise: bool = False) -> None:
        self.modes, self.stepwise = modes, stepwise

    def __call__(self, descriptor: int, request: int, buffer: bytearray) -> None:
        index, first, width, height = struct.unpack_from("<4I", buffer)
        try:
            if request == ENUM_FORMAT:
                assert first == 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
                struct.pack_into("<I", buffer, 44, list(self.modes)[index])
            elif request == ENUM_SIZE:
                self._size(buffer, list(self.modes[first])[index])
            elif request == ENUM_INTERVAL:
                rate = self.modes[first][width, height][index]
                struct.pack_into("<III", buffer, 16, 1, 2, int(2 * rate))
        except (IndexError, KeyError):
            raise OSError(22, "Invalid argument") from None

    def _size(self, buffer: bytearray, size: tuple[int, int]) -> None:
        if self.stepwise:
            struct.pack_into("<I6I", buffer, 8, 3, 32, size[0], 8, 32, size[1], 8)
        else:
            struct.pack_into("<III", buffer, 8, 1, *size)


@pytest.fixture
def device(tmp_path: Path) -> CameraInfo:
    (tmp_path / "video0").touch()
    return CameraInfo(f"camera:{tmp_path}/video0", "USB Camera")


def test_numbers_are_those_of_the_kernel() -> None:
    assert (ENUM_FORMAT, ENUM_SIZE, ENUM_INTERVAL) == (0xC0405602, 0xC02C564A, 0xC034564B)


def test_modes_are_listed_with_their_fastest_rate(device: CameraInfo) -> None:
    assert list_modes(device.uri[7:], ioctl=Driver4()) == [
        CameraMode("MJPG", 1920, 1080, 30.0),
        CameraMode("MJPG", 640, 480, 60.0),
        CameraMode("YUYV", 640, 480, 15.0),
    ]


def test_range_of_sizes_gives_its_largest_and_the_usual_one(device: CameraInfo) -> None:
    modes = list_modes(device.uri[7:], ioctl=Driver4({YUYV: {(1280, 720): (30,), (640, 480): (30,)}}, stepwise=True))
    assert [(mode.width, mode.height) for mode in modes] == [(1280, 720), (640, 480)]


def test_what_is_no_camera_has_no_modes(tmp_path: Path) -> None:
    (tmp_path / "video9").touch()
    assert list_modes(str(tmp_path / "video9")) == []  # the real ioctl, on a plain file


def test_camera_is_described_by_the_uri_that_opens_it_best(device: CameraInfo) -> None:
    (finding,) = devices.check_cameras([device], ioctl=Driver4())
    assert finding.level == "OK" and finding.data["uri"] == f"{device.uri}?fps=60&size=640x480&format=MJPG"
    assert len(finding.data["modes"]) == 3


def test_slow_camera_is_a_warning(device: CameraInfo) -> None:
    (finding,) = devices.check_cameras([device], ioctl=Driver4({YUYV: {(640, 480): (15,)}}))
    assert finding.level == "WARN" and "MJPG makes it faster" in finding.advice


def test_no_camera_no_right_and_no_opencv_say_what_to_do(device: CameraInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = devices.check_cameras([])
    assert finding.level == "WARN" and "PushVideo" in finding.advice

    def refuse(path: str, *, ioctl: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(devices, "list_modes", refuse)
    monkeypatch.setattr(devices, "installed", lambda name: None)
    findings = devices.check_cameras([device])
    assert [finding.level for finding in findings] == ["WARN", "WARN"]
    assert "edgeaff[live]" in findings[0].advice and "group `video`" in findings[1].advice
    (finding,) = [f for f in devices.check_cameras([CameraInfo("camera:/dev/none", "gone")]) if "gone" in f.text]
    assert finding.level == "WARN"


class CheckedPortAudio(FakePortAudio):
    def check_input_settings(self, *, device: int, channels: int, dtype: str, samplerate: int) -> None:
        assert self.devices[device]["max_input_channels"] and dtype == "int16"
        if samplerate not in self.rates or channels not in self.channels:
            raise self.PortAudioError("Invalid sample rate [PaErrorCode -9997]")


def test_microphones_are_listed_with_the_rates_they_accept() -> None:
    first, second = devices.check_microphones(CheckedPortAudio(rates=(44_100, 48_000)))
    assert first.level == second.level == "OK" and "the default" in first.text and "the default" not in second.text
    assert first.data["accepted_rates_hz"] == [44_100, 48_000] and first.data["native_rate_hz"] == 44_100
    assert "refuses 16000 Hz, so it is resampled" in first.text


def test_microphone_trouble_states_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.level for finding in devices.check_microphones(CheckedPortAudio(rates=()))] == ["WARN", "WARN"]
    unplugged = CheckedPortAudio()
    unplugged.plugged = False
    (finding,) = devices.check_microphones(unplugged)
    assert finding.level == "WARN" and "PulseAudio" in finding.advice

    def absent() -> Any:
        raise BackendUnavailableError(
            "microphones need the PortAudio library, got: none; run `apt install libportaudio2`."
        )

    monkeypatch.setattr(devices, "import_audiodevice", absent)
    (finding,) = devices.check_microphones()
    assert finding.level == "WARN" and finding.advice == "run `apt install libportaudio2`."


# --- GPUs -----------------------------------------------------------------------------------------------------------------------

ORIN = Gpu("Orin", 87, 7_600)
BUILD = {"cuda": True, "cuda_version": "12.6", "cuda_architectures": "87-real"}


class LibCuda:
    """libcuda.so.1 with one device of compute capability 8.7."""

    def __init__(self, code: int = 0) -> None:
        self.code = code

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 13_000
        return 0

    def cuInit(self, flags: int) -> int:
        return self.code

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = 1
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = b"Orin"
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> int:
        memory._obj.value = 7_600 * 2**20
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:
        value._obj.value = {75: 8, 76: 7}[attribute]
        return 0


def test_driver_is_asked_for_its_devices() -> None:
    assert gpu.query_driver(LibCuda()) == Driver("13.0", (ORIN,))
    assert gpu.query_driver(LibCuda(100)) == Driver("13.0")
    assert gpu.query_driver(LibCuda(999)) == Driver("13.0", error="cuInit gave 999")


@pytest.mark.parametrize(
    ("driver", "build", "level", "stated"),
    [
        (Driver("13.0", (ORIN,)), BUILD, "OK", "sm_87"),
        (Driver("13.0", (ORIN,)), {"cuda": False}, "WARN", "EDGEAFF_CUDA=ON"),
        (Driver("12.2", (ORIN,)), BUILD, "WARN", "update the driver"),
        (Driver("13.0", (Gpu("H100", 90, 80_000),)), BUILD, "WARN", "EDGEAFF_CUDA_ARCHS=90-real"),
        (Driver("13.0", (Gpu("Nano", 53, 4_000),)), BUILD, "WARN", "use the processor"),
        (Driver("13.0", error="cuInit gave 999"), BUILD, "WARN", "restart"),
        (Driver("13.0"), BUILD, "OK", "no GPU"),
    ],
)
def test_gpu_is_judged_against_the_compiled_module(
    tmp_path: Path, driver: Driver, build: dict[str, Any], level: str, stated: str
) -> None:
    (finding,) = gpu.check_gpu(driver, build=build, root=str(tmp_path))
    assert finding.level == level and stated in finding.text + finding.advice


@pytest.mark.parametrize(
    ("architecture", "capability", "runs"),
    [
        ("87-real", 87, True),
        ("80-real", 87, True),
        ("87-real", 90, False),
        ("87-real", 86, False),
        ("80", 120, True),
        ("90a", 90, True),
        ("90a", 100, False),
    ],
)
def test_which_code_runs_where(architecture: str, capability: int, runs: bool) -> None:
    assert gpu._runs(architecture, capability) is runs


def test_jetson_states_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "nv_tegra_release").write_text("# R36 (release), REVISION: 4.0, GCID: 3, BOARD: generic\n")
    (finding,) = gpu.check_gpu(Driver("12.6", (ORIN,)), build=BUILD, root=str(tmp_path))
    assert finding.text.startswith("R36 (release), REVISION: 4.0: Orin")
    (finding,) = gpu.check_gpu(Driver("12.6"), build=BUILD, root=str(tmp_path))
    assert finding.level == "WARN" and "nvidia-l4t-cuda" in finding.advice


# --- engines ----------------------------------------------------------------------------------------------------------------------


def keep_engine(folder: Path, name: str, *, version: str = "10.9", targets: tuple[str, ...] = ("sm_87",)) -> None:
    plan = name.encode()
    figures = {
        "toolchain": "tensorrt",
        "version": version,
        "targets": list(targets),
        "sha256": hashlib.sha256(plan).hexdigest(),
    }
    (folder / f"{name}.engine").write_bytes(plan)
    (folder / f"{name}.json").write_text(json.dumps(figures))


@pytest.fixture
def tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    import edgeaff.backends.tensorrt_build as build

    monkeypatch.setattr(build, "find_toolchain", lambda: "tensorrt")
    monkeypatch.setattr(build, "package_version", lambda package: "10.9")


def test_tensorrt_is_no_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import edgeaff.backends.tensorrt_build as build

    def absent() -> str:
        raise BackendUnavailableError("TensorRT must be installed, got none; install it.")

    monkeypatch.setattr(build, "find_toolchain", absent)
    (finding,) = gpu.check_tensorrt(str(tmp_path), driver=Driver("12.6", (ORIN,)))
    assert finding.level == "OK" and "not installed" in finding.text


def test_engines_are_matched_with_toolchain_and_gpu(tmp_path: Path, tensorrt: None) -> None:
    keep_engine(tmp_path, "here")
    keep_engine(tmp_path, "by_name", targets=("Orin sm_87 12.6",))
    keep_engine(tmp_path, "anywhere", targets=("portable",))
    keep_engine(tmp_path, "older", version="10.3")
    keep_engine(tmp_path, "other_gpu", targets=("sm_90",))
    keep_engine(tmp_path, "other_driver", targets=("Orin sm_87 12.2",))
    (finding,) = gpu.check_tensorrt(str(tmp_path), driver=Driver("12.6", (ORIN,)))
    assert finding.level == "OK" and "3 of 6 built engines fit" in finding.text
    (finding,) = gpu.check_tensorrt(str(tmp_path), driver=Driver("12.6"))
    assert "1 of 6 built engines fit" in finding.text


def test_damaged_engine_is_named(tmp_path: Path, tensorrt: None) -> None:
    keep_engine(tmp_path, "good")
    keep_engine(tmp_path, "bad")
    (tmp_path / "bad.engine").write_bytes(b"flipped")
    (tmp_path / "orphan.engine").write_bytes(b"no figures")
    (finding,) = gpu.check_tensorrt(str(tmp_path), driver=Driver("12.6", (ORIN,)))
    assert finding.level == "WARN" and "2 damaged" in finding.text
    assert "bad.engine" in finding.advice and "orphan.engine" in finding.advice and "good" not in finding.advice

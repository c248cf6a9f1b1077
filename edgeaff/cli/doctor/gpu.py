"""NVIDIA: driver, devices, whether the compiled module has code for them, TensorRT. No GPU is no fault."""

from __future__ import annotations

import ctypes
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgeaff.cli.doctor.finding import OK, WARN, Finding
from edgeaff.errors import BackendUnavailableError, EdgeaffError

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_NO_DEVICE = 100
_LEAST_CAPABILITY = 75


@dataclass(frozen=True, slots=True)
class Gpu:
    """A device. capability: 87 for 8.7."""

    name: str
    capability: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver. cuda_version: the newest that it runs, "13.0"; error: why it gives no device, or empty."""

    cuda_version: str
    gpus: tuple[Gpu, ...] = ()
    error: str = ""


def query_driver(library: Any = None) -> Driver | None:
    """Returns driver and devices, None where there is no driver.

    Args:
        library: what ctypes would load as libcuda.so.1, for tests.
    """
    if library is None:
        try:
            library = ctypes.CDLL("libcuda.so.1")
        except OSError:
            return None
    version = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    text = f"{version.value // 1000}.{version.value % 1000 // 10}"
    code = library.cuInit(0)
    if code:
        return Driver(text, error="" if code == _NO_DEVICE else f"cuInit gave {code}")
    count = ctypes.c_int()
    library.cuDeviceGetCount(ctypes.byref(count))
    return Driver(text, tuple(_describe(library, index) for index in range(count.value)))


def _describe(library: Any, index: int) -> Gpu:
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_size_t()
    library.cuDeviceGet(ctypes.byref(device), index)
    library.cuDeviceGetName(name, 128, device)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    parts = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        parts.append(value.value)
    return Gpu(name.value.decode(errors="replace"), 10 * parts[0] + parts[1], memory.value // 2**20)


def check_gpu(driver: Driver | None = None, *, build: dict[str, Any] | None = None, root: str = "/") -> list[Finding]:
    """Returns driver, devices, and whether the compiled module has code for them.

    Args:
        driver: what to judge; None asks the system.
        build: build_info() of the compiled module; None asks it.
        root: of the file system, where a Jetson has its model files.
    """
    driver = query_driver() if driver is None else driver
    jetson = _jetson(Path(root))
    if driver is None or not (driver.gpus or driver.error):
        text = "no NVIDIA driver" if driver is None else f"driver for CUDA {driver.cuda_version}, no GPU"
        if jetson:
            return [Finding("gpu", WARN, f"{jetson}: {text}", "install JetPack's nvidia-l4t-cuda.", {"jetson": jetson})]
        return [Finding("gpu", OK, f"{text}: everything runs on the processor", "", {"gpus": []})]
    data = {"driver_cuda_version": driver.cuda_version, "gpus": [asdict(gpu) for gpu in driver.gpus], "jetson": jetson}
    if driver.error:
        advice = "restart, or install the driver again; until then the processor computes."
        return [Finding("gpu", WARN, f"driver for CUDA {driver.cuda_version}: {driver.error}", advice, data)]
    names = ", ".join(f"{gpu.name} (sm_{gpu.capability}, {gpu.memory_mib} MiB)" for gpu in driver.gpus)
    text = f"{f'{jetson}: ' if jetson else ''}{names}, driver for CUDA {driver.cuda_version}"
    lack = missing_code(driver, _build_info() if build is None else build)
    return [
        Finding("gpu", WARN if lack else OK, text + (f"; {lack[0]}" if lack else ""), lack[1] if lack else "", data)
    ]


def missing_code(driver: Driver, build: dict[str, Any]) -> tuple[str, str] | None:
    """Returns the parts that the compiled module lacks for these devices, with advice; None where it lacks nothing."""
    if not build.get("cuda"):
        return "the compiled module has no CUDA", "install with EDGEAFF_CUDA=ON to compute on the GPU."
    if _version(driver.cuda_version) < _version(str(build.get("cuda_version"))):
        return (
            f"the compiled module was made with CUDA {build['cuda_version']}, newer than the driver's",
            "update the driver, or build with the older CUDA.",
        )
    architectures = str(build.get("cuda_architectures")).replace(",", ";").split(";")
    for gpu in driver.gpus:
        if gpu.capability < _LEAST_CAPABILITY:
            return f"sm_{gpu.capability} is older than any of our kernels", "use the processor."
        if not any(_runs(architecture, gpu.capability) for architecture in architectures):
            return (
                f"the compiled module has code for {', '.join(architectures)} only",
                f"install with EDGEAFF_CUDA_ARCHS={gpu.capability}-real.",
            )
    return None


def _runs(architecture: str, capability: int) -> bool:
    """Returns whether code for "87-real" (this and later minors), "87-virtual" or "87" (anything later) runs on a device."""
    number, _, kind = architecture.strip().partition("-")
    if not number.isdigit():  # 90a: that device alone
        return number.rstrip("af").isdigit() and int(number.rstrip("af")) == capability
    same_major = int(number) // 10 == capability // 10 and int(number) <= capability
    return same_major if kind == "real" else int(number) <= capability


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _build_info() -> dict[str, Any]:
    from edgeaff.ops import build_info

    try:
        return build_info()
    except EdgeaffError:
        return {"cuda": False}


def _jetson(root: Path) -> str:
    try:
        return (root / "etc/nv_tegra_release").read_text(encoding="utf-8").split("\n")[0].strip("# ").split(", GCID")[0]
    except OSError:
        return ""


def check_tensorrt(folder: str | None = None, *, driver: Driver | None = None) -> list[Finding]:
    """Returns the version of TensorRT where it is installed, and whether the engines it built fit this machine.

    Args:
        folder: of the engine cache; None for the usual one.
        driver: of this machine; None asks the system.
    """
    from edgeaff.backends.tensorrt_build import EngineCache, find_toolchain, package_version

    engines = read_engines(EngineCache(folder).folder)
    try:
        toolchain = find_toolchain()
    except BackendUnavailableError:
        text = "not installed: needed for the backend tensorrt alone" + (
            f"; {len(engines)} engines wait" if engines else ""
        )
        return [Finding("tensorrt", OK, text, "", {"version": None, "engines": engines})]
    version = package_version(toolchain)
    data: dict[str, Any] = {"toolchain": toolchain, "version": version, "engines": engines}
    driver = query_driver() if driver is None else driver
    here = [] if driver is None else [_names(gpu, driver) for gpu in driver.gpus]
    fitting = [engine for engine in engines if fits(engine, toolchain, version, here)]
    text = f"{toolchain} {version}, {len(fitting)} of {len(engines)} built engines fit this machine"
    damaged = [engine["name"] for engine in engines if engine["damaged"]]
    if damaged:
        return [Finding("tensorrt", WARN, f"{text}, {len(damaged)} damaged", f"delete {', '.join(damaged)}.", data)]
    if len(fitting) < len(engines):
        text += "; the others are not used, new ones are built when they are needed"
    return [Finding("tensorrt", OK, text, "", data)]


def read_engines(folder: Path | None) -> list[dict[str, Any]]:
    """Returns name, toolchain, version, targets and whether it is damaged of each engine in the cache."""
    found = []
    for path in sorted(folder.glob("*.engine")) if folder is not None else ():
        try:
            figures = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            damaged = figures.get("sha256") != hashlib.sha256(path.read_bytes()).hexdigest()
        except (OSError, ValueError):
            figures, damaged = {}, True
        facts = {key: figures.get(key) for key in ("toolchain", "version", "targets")}
        found.append({"name": str(path), **facts, "damaged": damaged})
    return found


def fits(engine: dict[str, Any], toolchain: str, version: str, here: list[set[str]]) -> bool:
    """Returns whether an engine was built by this toolchain for one of these GPUs (each by its names) or for any."""
    built = (engine["toolchain"], engine["version"]) == (toolchain, version) and not engine["damaged"]
    targets = set(engine["targets"] or ())
    return built and ("portable" in targets or any(targets & names for names in here))


def _names(gpu: Gpu, driver: Driver) -> set[str]:
    return {f"sm_{gpu.capability}", f"{gpu.name} sm_{gpu.capability} {driver.cuda_version}"}

"""The machine: interpreter, compiled module, processor and thread limits, memory, disk, installed extras."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgeaff.cli.doctor.finding import FAIL, OK, WARN, Finding
from edgeaff.errors import EdgeaffError
from edgeaff.machine import load_average, thread_limit, usable_cores

EXTRAS = {  # extra -> (distributions, what it is for)
    "media": (("av",), "media files and network streams"),
    "live": (("opencv-python-headless", "sounddevice"), "cameras and microphones"),
    "view": (("rich", "matplotlib"), "plots and progress bars"),
    "serve": (("websockets",), "events over a WebSocket"),
    "mqtt": (("paho-mqtt",), "events to an MQTT broker"),
    "onnxruntime": (("onnxruntime",), "the ONNX Runtime backend"),
    "openvino": (("openvino",), "the OpenVINO backend"),
    "tensorrt": (("tensorrt",), "the TensorRT backend"),
    "train": (("torch",), "training"),
}
_SAME = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "tensorrt": ("tensorrt-rtx-cu13", "tensorrt-cu12", "tensorrt-cu13"),
}
LEAST_MEMORY_MIB, LEAST_DISK_MIB = 300, 200
THREADS_NEEDED = 24  # of a live runtime with camera, microphone, two sinks, status server and two graph engines


def check_python() -> list[Finding]:
    """Returns versions and platform."""
    from edgeaff.version import __version__

    text = f"edgeaff {__version__}, Python {platform.python_version()}, {platform.platform(terse=True)}, {platform.machine()}"
    data = {"edgeaff": __version__, "python": platform.python_version(), "platform": platform.platform(terse=True)}
    return [Finding("python", OK, text, "", {**data, "machine": platform.machine()})]


def check_native() -> list[Finding]:
    """Returns whether the compiled module is there, and which instructions it uses of those that the processor has."""
    from edgeaff.ops import build_info

    try:
        info = build_info()
    except EdgeaffError as error:
        return [Finding("native", FAIL, *_split(error))]
    used, built = info["instruction_set_used"], info["instruction_sets_built"]
    text = f"{used} of {built}; compiler {info['compiler']}, CUDA {info.get('cuda_version') if info['cuda'] else 'off'}"
    flags = cpu_flags()
    best = best_instruction_set(flags) if flags else used  # only Linux names them
    data = {**info, "processor_has": best}
    if used != best and best in str(built).split():
        return [Finding("native", WARN, f"{text}; the processor has {best}", "unset EDGEAFF_ISA.", data)]
    if used == "scalar":
        return [Finding("native", WARN, f"{text}: slow", "use a processor with AVX2, AVX-512 or NEON.", data)]
    return [Finding("native", OK, text, "", data)]


def cpu_flags(path: str = "/proc/cpuinfo") -> set[str]:
    """Returns the processor features that the kernel reports; empty if it reports none."""
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() in ("flags", "Features"):
                    return set(value.split())
    except OSError:
        pass
    return set()


def best_instruction_set(flags: set[str]) -> str:
    """Returns the best of our instruction sets that a processor with these flags has."""
    if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        return "avx512"
    if {"avx2", "fma"} <= flags:
        return "avx2"
    return "neon" if {"asimd", "neon"} & flags else "scalar"


def check_threads(cgroup: str = "/sys/fs/cgroup") -> list[Finding]:
    """Returns processors and threads that this process may use."""
    cores = usable_cores()
    quota = cpu_quota(Path(cgroup))
    usable = cores if quota is None else min(float(cores), quota)
    threads = min(
        (limit for limit in (thread_limit(), _number(Path(cgroup) / "pids.max")) if limit is not None), default=None
    )
    load = next(iter(load_average()), 0.0)
    data = {"cores": cores, "cpu_quota": quota, "thread_limit": threads, "load_1_minute": load}
    text = f"{usable:g} of {os.cpu_count()} cores, {'no limit on' if threads is None else f'at most {threads}'} threads, load {load:.1f}"
    if threads is not None and threads < THREADS_NEEDED:
        return [
            Finding("threads", FAIL, text, f"raise `ulimit -u` or pids.max to {THREADS_NEEDED} more than now.", data)
        ]
    if usable < 1:
        return [Finding("threads", WARN, text, "give the container at least one whole core.", data)]
    if load > 1.5 * cores:
        return [Finding("threads", WARN, text, "stop other programs: ticks will come late.", data)]
    return [Finding("threads", OK, text, "", data)]


def cpu_quota(cgroup: Path) -> float | None:
    """Returns the processors that a container may use, None without a limit. cgroup: root of version 2 or 1."""
    try:
        limit, period = (cgroup / "cpu.max").read_text(encoding="utf-8").split()[:2]
    except (OSError, ValueError):
        limit = str(_number(cgroup / "cpu" / "cpu.cfs_quota_us") or "max")
        period = str(_number(cgroup / "cpu" / "cpu.cfs_period_us") or 100_000)
    return int(limit) / int(period) if limit.isdigit() and int(period) else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def check_memory(path: str = "/proc/meminfo") -> list[Finding]:
    """Returns the memory that is free for a runtime."""
    try:
        with open(path, encoding="utf-8") as lines:
            free = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return [Finding("memory", WARN, "the system does not say what is free", "see that 300 MiB are.")]
    level = OK if free >= LEAST_MEMORY_MIB else WARN
    advice = "" if level == OK else f"free {LEAST_MEMORY_MIB} MiB: the default run takes about 200."
    return [Finding("memory", level, f"{free} MiB free", advice, {"free_mib": free})]


def check_disk(folder: str = ".") -> list[Finding]:
    """Returns the disk space where outputs would go."""
    free = shutil.disk_usage(folder).free // 2**20
    writable = os.access(folder, os.W_OK)
    text = f"{free} MiB free in {Path(folder).resolve()}" + ("" if writable else ", which cannot be written")
    data = {"free_mib": free, "writable": writable}
    if not writable or free < LEAST_DISK_MIB:
        return [Finding("disk", WARN, text, "record to another folder: a session takes about 30 MiB a minute.", data)]
    return [Finding("disk", OK, text, "", data)]


def check_extras() -> list[Finding]:
    """Returns which optional packages are installed; none of them is needed for pushed frames and audio."""
    found: dict[str, str | None] = {"numpy": installed("numpy")}
    absent = []
    for extra, (names, purpose) in EXTRAS.items():
        versions = {name: installed(name) for name in names}
        found.update(versions)
        if None in versions.values():
            absent.append(f"{extra} ({purpose})")
    text = ", ".join(f"{name} {found[name]}" for name in found if found[name])
    if absent:
        text += "; not installed: " + ", ".join(absent)
    if sys.version_info < (3, 11):
        found["tomli"] = installed("tomli")
    return [Finding("packages", OK, text, "", {"versions": found})]


def installed(name: str) -> str | None:
    """Returns the version of a distribution, or of one that gives the same module; None without any."""
    for candidate in (name, *_SAME.get(name, ())):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return None


def _split(error: Exception) -> tuple[str, str]:
    """Returns text and advice of one of our errors, whose form is `... must be ..., got ...; what to do`."""
    text, _, advice = " ".join(str(error).split()).rpartition("; ")
    return (text, advice) if text else (advice, "")

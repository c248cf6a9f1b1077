"""What a reader needs to know about the machine, the versions and the moment of a run; memory of this process."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "torch", "onnx", "onnxruntime", "openvino")


def describe_machine() -> dict[str, Any]:
    """Returns processor, cores, versions, build and load average."""
    from edgeaff.ops import build_info

    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "platform": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: package_version(name) for name in PACKAGES},
        "build": build_info(),
        "load_average": load_average(),
    }


def describe_run() -> dict[str, str | None]:
    """Returns the date, and the commit of this source folder; None for that where edgeaff is installed without one."""
    return {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "commit": commit(Path(__file__))}


def stamp() -> dict[str, Any]:
    """Returns what every file of results begins with: `run` and `machine`."""
    return {"run": describe_run(), "machine": describe_machine()}


def processor_name() -> str:
    """Returns the processor's name where the system gives one."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def load_average() -> list[float]:
    """Returns the load of the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def package_version(name: str) -> str | None:
    """Returns the version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit(file: Path) -> str | None:
    """Returns the commit of a source file's folder, with "+" where files differ from it; None where git does not keep that file."""
    git = ["git", "-C", str(file.parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", file.name], capture_output=True, check=True)
        described = [*git, "describe", "--always", "--dirty=+", "--exclude=*"]
        return subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def resident_mib() -> float:
    """Returns the resident memory of this process, MiB. Linux only."""
    return _status_mib("VmRSS")


def peak_mib() -> float:
    """Returns the highest resident memory of this process so far, MiB. Linux only."""
    return _status_mib("VmHWM")


def _status_mib(field: str) -> float:
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) / 1_024

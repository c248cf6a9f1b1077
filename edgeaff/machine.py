"""Facts about the machine, the package versions and the run; wrappers of features that only some systems have."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
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
    """Returns the head of every file of results: `run` and `machine`."""
    return {"run": describe_run(), "machine": describe_machine()}


def processor_name() -> str:
    """Returns the processor's name where the system gives one."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def load_average() -> list[float]:
    """Returns the load of the last 1, 5 and 15 minutes; empty if the system does not report it."""
    return [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else []


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


def usable_cores() -> int:
    """Returns the number of cores that this process may use; all cores if the system does not report it."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_limit() -> int | None:
    """Returns the largest number of threads and processes of the user; None without a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    if not hasattr(resource, "RLIMIT_NPROC"):
        return None
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def resident_mib(pid: int | None = None) -> float:
    """Returns the resident memory of a process in MiB; 0 if the system does not report it or the process has ended.

    Args:
        pid: its number (Linux only); None for this process, for which macOS gives the peak.
    """
    found = _status_mib("self" if pid is None else pid, "VmRSS")
    return found or (peak_mib() if pid is None else 0.0)


def peak_mib() -> float:
    """Returns the peak resident memory of this process in MiB; 0 if the system does not report it."""
    if found := _status_mib("self", "VmHWM"):
        return found
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1_024  # of ru_maxrss, bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _status_mib(pid: int | str, field: str) -> float:
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            return next((int(line.split()[1]) / 1_024 for line in status if line.startswith(field)), 0.0)
    except OSError:
        return 0.0


def prefer_for_oom_kill() -> None:
    """Makes this process the first candidate of the out-of-memory killer (Linux only)."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:
        score.write("800")


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Locks a file for this process; the system releases it when the process ends.

    Args:
        path: created if missing.

    Yields:
        Nothing.

    Raises:
        BlockingIOError: another process holds it.
    """
    with path.open("a", encoding="utf-8") as file:
        try:
            import fcntl
        except ImportError:  # Windows
            _lock_byte(file)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _lock_byte(file: Any) -> None:
    """Locks the first byte of a file, if the system has such locks.

    Raises:
        BlockingIOError: another process has it.
    """
    try:
        import msvcrt
    except ImportError:
        return
    file.seek(0)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError as error:
        raise BlockingIOError(error.errno, error.strerror) from error

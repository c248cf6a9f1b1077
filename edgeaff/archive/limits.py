"""Limits of a worker process, where the system has them."""

from __future__ import annotations

import contextlib
import os


def limit_memory(megabytes: int | None) -> None:
    """Bounds the address space of this process; None, or a system without such limits, leaves it unchanged."""
    if megabytes is None:
        return
    try:
        import resource
    except ImportError:  # Windows
        return
    size = megabytes << 20
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS has the name, not the limit
        resource.setrlimit(resource.RLIMIT_AS, (size, hard))


def lower_priority() -> None:
    """Lets programs that somebody waits for go first."""
    if hasattr(os, "nice"):
        with contextlib.suppress(OSError):
            os.nice(5)


def cores_at_hand() -> int:
    """Returns the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

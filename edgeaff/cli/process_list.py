"""Hides the secrets of URIs in the process list on Linux.

The kernel shows the memory in which it put the arguments at the start (`/proc/PID/cmdline`, `ps`). That memory is ours to
write. Between the start of the process and this call, about a tenth of a second, the arguments can be seen as they were given;
a URI that stands in a file for `--config` never can.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edgeaff.naming import public_name

_ARG_START, _ARG_END = 45, 46  # places behind the name in /proc/self/stat
_MARKS = ("://", "@", "?", "gst:", "=")  # an argument without one of these holds no secret that can be recognized


def hide_secrets() -> bool:
    """Returns whether the system shows no secret of a URI any more, after overwriting those in our command line."""
    if sys.platform != "linux":
        return False
    try:
        shown = Path("/proc/self/cmdline").read_bytes()
        hidden = b"\0".join(_without_secrets(argument) for argument in shown.split(b"\0"))
        if hidden != shown:
            _overwrite(shown, hidden)
        return Path("/proc/self/cmdline").read_bytes() == hidden
    except (OSError, ValueError, ImportError):
        return False


def _without_secrets(argument: bytes) -> bytes:
    """Returns an argument of the same length; the value alone of --option=value is looked at."""
    text = os.fsdecode(argument)
    if not any(mark in text for mark in _MARKS):
        return argument
    option, equals, value = text.partition("=") if text.startswith("--") else ("", "", text)
    name = public_name(value)
    if name == value:
        return argument
    return os.fsencode(option + equals + name)[: len(argument)].ljust(len(argument))


def _overwrite(shown: bytes, hidden: bytes) -> None:
    import ctypes

    fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if (
        end - start == len(shown) == len(hidden)
        and _is_writable(start, end)
        and ctypes.string_at(start, len(shown)) == shown
    ):
        ctypes.memmove(start, hidden, len(hidden))


def _is_writable(start: int, end: int) -> bool:
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        area, rights = line.split()[:2]
        first, _, last = area.partition("-")
        if int(first, 16) <= start and end <= int(last, 16):
            return rights.startswith("rw")
    return False

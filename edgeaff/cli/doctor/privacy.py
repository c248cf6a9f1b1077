"""Runs the default session for half a second and watches what it asks the system for: no socket, no file to write."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from edgeaff.backends.engines import OPT_OUT, telemetry_is_off
from edgeaff.bundle import ModelBundle
from edgeaff.cli.doctor.finding import FAIL, OK, WARN, Finding
from edgeaff.errors import BundleError
from edgeaff.spec import SAMPLE_RATE_HZ

_WATCHED: list[list[str]] = []  # the lists of the watches that run; an audit hook cannot be taken out again
_installed = False


class Watch:
    """Notes every socket and every file opened for writing while it is entered, in all threads of this process."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __enter__(self) -> Watch:
        """Returns the watch, begun."""
        global _installed
        if not _installed:
            sys.addaudithook(_note)
            _installed = True
        _WATCHED.append(self.seen)
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the watch."""
        _WATCHED[:] = [seen for seen in _WATCHED if seen is not self.seen]


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if not _WATCHED:
        return
    if event.startswith("socket."):
        what = event
    elif event == "open" and _writes(arguments) and _is_kept(arguments[0]):
        what = f"open {arguments[0]}"
    else:
        return
    for seen in _WATCHED:
        seen.append(what)


def _is_kept(path: Any) -> bool:
    """Returns whether a path is a file that stays: no device, no descriptor that is open already, no cache of Python's."""
    return not isinstance(path, int) and not str(path).startswith("/dev/") and "__pycache__" not in str(path)


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str):
        return bool(set(mode) & set("wax+"))
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def check_privacy(bundle: str | None) -> list[Finding]:
    """Returns whether a session of frames and audio opened a socket or wrote a file.

    Args:
        bundle: path, None for the shipped one.
    """
    try:
        ModelBundle.load(bundle)
    except BundleError:
        return [Finding("privacy", WARN, "not looked at: there is no session without a bundle", "see bundle.")]
    with Watch() as watch:
        events = _run_session(bundle)
    return [judge_watch(watch, events)]


def judge_watch(watch: Watch, events: int) -> Finding:
    """Returns the finding of a watch that has ended.

    Args:
        watch: ended.
        events: that were computed meanwhile.
    """
    seen = sorted(set(watch.seen))
    if seen:
        return Finding("privacy", FAIL, f"a session asked for {', '.join(seen[:5])}", "report this.", {"seen": seen})
    text = f"{events} ticks computed: no socket opened, no file written"
    data = {"seen": [], "events": events, "telemetry_off": telemetry_is_off()}
    if not data["telemetry_off"]:
        text += f"; ONNX Runtime may report to its maker: {OPT_OUT} is {os.environ.get(OPT_OUT)!r}"
        return Finding("privacy", WARN, text, f"unset {OPT_OUT}.", data)
    return Finding("privacy", OK, text, "", data)


def _run_session(bundle: str | None) -> int:
    from edgeaff.session import Session

    session = Session(bundle)
    random = np.random.default_rng(0)
    count = 0
    for tick in range(15):
        pts = round(tick * 1e9 / 30)
        samples = random.normal(0, 500, 534).astype(np.int16)
        count += len(session.push_audio(samples, pts_ns=pts, sample_rate_hz=SAMPLE_RATE_HZ))
        count += len(session.push_frame(random.integers(0, 255, (240, 320, 3), np.uint8), pts_ns=pts))
    return count + len(session.finish())

"""Displays of a running `edgeaff run`: a live line for devices and streams, a progress bar for files.

The live line is rewritten ten times a second on a terminal, with rich if installed. Without a terminal, as in the journal of a
service, one line per second goes to standard error.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from edgeaff.cli.process import print_message
from edgeaff.parsing.boundary import printable
from edgeaff.types import AffectEvent, Status, circumplex

LINES_PER_SECOND = 10
STYLES = {Status.OK: "green", Status.WARMUP: "cyan"}  # of rich; any other status is yellow


class Display:
    """Prints messages only; base of the other displays."""

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        """Restores the terminal."""

    def update(self, event: AffectEvent) -> None:
        """Shows an event."""

    def print_message(self, text: str) -> None:
        """Prints a message; from any thread."""
        print_message(text)


def make_display(runtime: Any, *, quiet: bool, writes_stdout: bool) -> Display:
    """Returns the display of a run.

    Args:
        runtime: a Runtime.
        quiet: show nothing.
        writes_stdout: standard output is reserved for events.
    """
    if quiet:
        return Display()
    if not runtime.is_live:
        return FileBar(runtime.duration_seconds) if is_terminal(sys.stderr) else Display()
    if is_terminal(sys.stdout):
        return Display() if writes_stdout else _on_terminal(sys.stdout, runtime)  # events scroll by already
    return _on_terminal(sys.stderr, runtime) if is_terminal(sys.stderr) else LiveLog(Rates(runtime))


def is_terminal(stream: Any) -> bool:
    """Returns True if the stream is a terminal whose line can be rewritten."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # it was closed
        return False


def _on_terminal(stream: TextIO, runtime: Any) -> Display:
    try:
        return RichLine(stream, Rates(runtime))
    except ImportError:
        return PlainLine(stream, Rates(runtime))


class Rates:
    """Formats the live line; measures frames per second and latency over the last second."""

    def __init__(self, runtime: Any, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts counting.

        Args:
            runtime: its `stats()` is read once a second.
            clock: monotonic seconds.
        """
        self._runtime, self._clock = runtime, clock
        self._since, self._frames, self._ticks = clock(), 0, 0
        self._latencies: list[float] = []
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._text = "Ctrl-C ends it"

    def add(self, event: AffectEvent) -> bool:
        """Returns True once per second, after counting the event."""
        self._first_ns = event.pts_ns if self._first_ns is None else self._first_ns
        self._ticks += event.pts_ns != self._last_ns
        self._last_ns = event.pts_ns
        if event.latency_ms is not None:
            self._latencies.append(event.latency_ms)
        passed = self._clock() - self._since
        if passed < 1.0:
            return False
        frames = self._runtime.stats().frames
        parts = [f"{(frames - self._frames) / passed:.1f} fps" if frames else f"{self._ticks / passed:.1f} ticks/s"]
        if self._latencies:
            parts.append(f"latency {statistics.median(self._latencies):.0f} ms")
        self._text = "  ".join(parts)
        self._since, self._frames, self._ticks = self._clock(), frames, 0
        self._latencies.clear()
        return True

    def line(self, event: AffectEvent) -> str:
        """Returns the live line of an event."""
        seconds = 0.0 if self._first_ns is None else (event.pts_ns - self._first_ns) / 1e9
        values = (
            f"valence {_value(event.valence, event.valence_std)}  arousal {_value(event.arousal, event.arousal_std)}"
        )
        label = "" if event.valence is None or event.arousal is None else circumplex(event.valence, event.arousal)
        return f"{seconds:7.1f} s  {values}  {label:<10}  {event.status.value:<8}  {self._text}".rstrip()


def _value(value: float | None, std: float | None) -> str:
    if value is None:
        return f"{'--':>5}      "
    return f"{value:+.2f} " + ("     " if std is None else f"±{std:.2f}")


class LiveLog(Display):
    """One line per second on standard error."""

    def __init__(self, rates: Rates) -> None:
        """Prints the lines of `rates`."""
        self._rates = rates

    def update(self, event: AffectEvent) -> None:
        """Prints a line once per second."""
        if self._rates.add(event):
            print_message(self._rates.line(event), prefix="")


class _Line(Display):
    """A terminal line that is rewritten in place."""

    def __init__(self, rates: Rates) -> None:
        self._rates, self._shown, self._lock = rates, 0.0, threading.Lock()

    def update(self, event: AffectEvent) -> None:
        """Rewrites the line, at most ten times per second."""
        self._rates.add(event)
        now = time.monotonic()
        if now - self._shown >= 1 / LINES_PER_SECOND:
            self._shown = now
            with self._lock, contextlib.suppress(OSError, ValueError):  # the terminal went away
                self._rewrite(self._rates.line(event), event.status)

    def _rewrite(self, line: str, status: Status) -> None:
        raise NotImplementedError


class PlainLine(_Line):
    """The live line by carriage return and erase."""

    def __init__(self, stream: TextIO, rates: Rates) -> None:
        """Prepares the line.

        Args:
            stream: the terminal.
            rates: formats the line.
        """
        super().__init__(rates)
        self._stream, self._is_begun = stream, False

    def _rewrite(self, line: str, status: Status) -> None:
        width = shutil.get_terminal_size().columns
        self._stream.write(f"\r{line[: width - 1]}\x1b[K")
        self._stream.flush()
        self._is_begun = True

    def print_message(self, text: str) -> None:
        """Prints a message above the line."""
        with self._lock:
            self._leave("\r\x1b[K")
            print_message(text)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._leave("\n")

    def _leave(self, by: str) -> None:
        if self._is_begun:
            self._is_begun = False
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(by)
                self._stream.flush()


class RichLine(_Line):
    """The live line by rich."""

    def __init__(self, stream: TextIO, rates: Rates) -> None:
        """Prepares the line; raises ImportError if rich is not installed.

        Args:
            stream: the terminal.
            rates: formats the line.
        """
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        super().__init__(rates)
        self._text = Text
        self._console = Console(file=stream, highlight=False)
        self._live = Live(
            Text(""), console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> RichLine:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._live.stop()

    def _rewrite(self, line: str, status: Status) -> None:
        self._live.update(
            self._text(line, style=STYLES.get(status, "yellow"), no_wrap=True, overflow="crop"), refresh=True
        )

    def print_message(self, text: str) -> None:
        """Prints a message above the line."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._console.print(self._text(f"edgeaff: {printable(text)}"))


class FileBar(Display):
    """A progress bar on standard error, if rich is installed."""

    def __init__(self, duration_seconds: float | None) -> None:
        """Prepares the bar.

        Args:
            duration_seconds: of the file; None if unknown.
        """
        self._duration = duration_seconds
        self._bar: Any = None
        with contextlib.suppress(ImportError):
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)

    def __enter__(self) -> FileBar:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("edgeaff", total=self._duration)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            with contextlib.suppress(OSError, ValueError):
                self._bar.stop()

    def update(self, event: AffectEvent) -> None:
        """Moves the bar to the event's time."""
        if self._bar is not None:
            self._bar.update(self._task, completed=event.pts_ns / 1e9)

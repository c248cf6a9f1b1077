"""Process-level concerns of the command line: standard streams, interruption, exit."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import io
import os
import select
import signal
import stat
import sys
import threading
import time
from typing import Any, NoReturn

from edgeaff.parsing.boundary import printable

INTERRUPTED = 130
PATIENCE_SECONDS = 2.0  # an earlier second Ctrl-C is ignored, a later one ends the process at once
JOIN_SECONDS = 2.0


class Interruption:
    """Handler of SIGINT and SIGTERM while a command runs: raises KeyboardInterrupt once, so that the command can clean up.

    Attributes:
        seen: True after a signal.
    """

    def __init__(self) -> None:
        self._at: float | None = None

    @property
    def seen(self) -> bool:
        """True after a signal."""
        return self._at is not None

    def __call__(self, number: int, frame: Any) -> None:
        """Raises once and ignores later signals; a late Ctrl-C ends a process whose cleanup takes too long.

        Raises:
            KeyboardInterrupt: the first signal.
        """
        if self._at is None:
            self._at = time.monotonic()
            raise KeyboardInterrupt
        if number == signal.SIGINT and time.monotonic() - self._at > PATIENCE_SECONDS:
            os._exit(INTERRUPTED)

    def raise_again(self) -> None:
        """Schedules another KeyboardInterrupt, after one was lost in code that cannot raise, such as a destructor."""
        timer = threading.Timer(0.01, self._signal_again)
        timer.daemon = True
        timer.start()

    def _signal_again(self) -> None:
        self._at = None
        if hasattr(signal, "pthread_kill"):  # wakes a system call too
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        else:
            _thread.interrupt_main()


interruption = Interruption()
_while_starting: list[Any] = []  # the handler of SIGINT that `prepare` was given


def prepare(handler: Any) -> None:
    """Opens closed standard streams on the null device, and escapes characters that they cannot encode.

    Must be called before anything opens a file.

    Args:
        handler: of SIGINT until a command runs.
    """
    _while_starting.append(handler)
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def accept_interruption() -> None:
    """Makes Ctrl-C raise KeyboardInterrupt, once; does nothing unless `entry` handles SIGINT."""
    if signal.getsignal(signal.SIGINT) not in _while_starting:
        return
    signal.signal(signal.SIGINT, interruption)
    sys.unraisablehook = _unraisable
    sys.excepthook = _uncaught


def _unraisable(unraisable: Any) -> None:
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        interruption.raise_again()
    else:
        sys.__unraisablehook__(unraisable)


def _uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    if not issubclass(kind, KeyboardInterrupt):  # some libraries print it while they are imported
        sys.__excepthook__(kind, error, trace)


def print_message(text: str, *, prefix: str = "edgeaff: ") -> None:
    """Prints a message on standard error; ignores broken streams and escapes control characters.

    Args:
        text: one line, or several with an empty prefix.
        prefix: before it.
    """
    if sys.stderr is not None:
        shown = "\n".join(printable(line) for line in text.split("\n"))
        with contextlib.suppress(OSError, ValueError):  # the terminal went away, or the stream was closed
            print(f"{prefix}{shown}", file=sys.stderr, flush=True)


def stdout_is_broken() -> bool:
    """Returns True if stdout is a closed pipe (e.g. `| head -1`), and discards further output."""
    try:
        descriptor = sys.stdout.fileno()
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(descriptor, 0)
            gone = any(event & select.POLLERR for _, event in poll.poll(0))
        else:
            gone = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except (AttributeError, OSError, ValueError):  # no stream, or one without a descriptor
        return sys.stdout is None
    if gone:
        _discard(sys.stdout)
    return gone


def _discard(stream: Any) -> None:
    """Redirects a stream to the null device, its buffered output included."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def ignore_signals() -> None:
    """Ignores SIGINT and SIGTERM until the process ends."""
    with contextlib.suppress(ValueError):  # not the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def finish(code: int) -> NoReturn:
    """Ends the process; signals and broken streams no longer change the exit code.

    If a thread still hangs in a driver or a library, the interpreter is not finalized: that would end the thread in the middle
    of foreign code, which aborts.

    Args:
        code: of the command.
    """
    ignore_signals()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # missing or broken: keeps the exit code
            _discard(stream)
    deadline = time.monotonic() + JOIN_SECONDS
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    for thread in others:
        if not thread.daemon:
            thread.join(max(0.0, deadline - time.monotonic()))
    if interruption.seen or any(thread.is_alive() for thread in others):
        limit = threading.Timer(JOIN_SECONDS, os._exit, (code,))
        limit.daemon = True
        limit.start()
        atexit._run_exitfuncs()
        os._exit(code)
    sys.exit(code)

"""Signals that end a live run: delivered events are flushed, the summary is printed, the exit code is 0."""

from __future__ import annotations

import atexit
import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from edgeaff.cli.process import Interruption, ignore_signals, interruption


@contextlib.contextmanager
def interruptible(runtime: Any) -> Iterator[None]:
    """Treats SIGTERM like Ctrl-C; either ends the block of a live runtime quietly, like the end of its source.

    Only the first signal counts, also after the block, so that cleanup and exit are not interrupted. Has no effect outside the
    main thread.

    Args:
        runtime: the Runtime that the block reads.

    Yields:
        Nothing.

    Raises:
        KeyboardInterrupt: a signal arrived while a file was read, or before the block.
    """
    if interruption.seen:
        raise KeyboardInterrupt
    installed = signal.getsignal(signal.SIGINT)
    handler = installed if isinstance(installed, Interruption) else Interruption()
    before: dict[Any, Any] = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, handler)
    except ValueError:  # not the main thread
        before.clear()
    try:
        yield
    except BaseException:
        if not handler.seen or not runtime.is_live:
            raise
    finally:
        if handler.seen:
            atexit.register(ignore_signals)  # the interpreter takes handlers off before it ends, but not this
        else:
            for number, previous in before.items():
                signal.signal(number, previous)

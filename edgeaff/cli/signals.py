"""Signals that end a live run: what was delivered so far is flushed, the summary is written, the exit code is 0."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def interruptible(runtime: Any) -> Iterator[None]:
    """Makes SIGTERM what Ctrl-C is; either ends the block quietly where the runtime is live, as a source does that is over.

    Only the first signal counts, so that closing is not interrupted. On other threads than the main one nothing changes.

    Args:
        runtime: the Runtime that the block reads.

    Yields:
        Nothing.

    Raises:
        KeyboardInterrupt: a signal came while a file was read.
    """

    def interrupt(number: int, frame: Any) -> None:
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_IGN)
        raise KeyboardInterrupt

    before: dict[Any, Any] = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, interrupt)
    except ValueError:  # not the main thread
        before.clear()
    try:
        yield
    except KeyboardInterrupt:
        if not runtime.is_live:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

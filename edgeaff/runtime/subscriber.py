"""User code on its own thread: behind a bounded queue, its exception handed to the reader."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from edgeaff.awaiting import BackgroundLoop, Caller
from edgeaff.runtime.origin import Origin
from edgeaff.runtime.queue import EventQueue

T = TypeVar("T")


class Subscriber(Generic[T]):
    """Calls a function with every item that is put, on its own thread."""

    def __init__(
        self,
        call: Callable[[T], Any],
        queue: EventQueue[T],
        *,
        origin: Origin,
        on_error: Callable[[Origin, BaseException], None],
        background: BackgroundLoop,
        at_end: Callable[[], Any] | None = None,
    ) -> None:
        """Makes the subscriber; `start` begins.

        Args:
            call: the user's function, plain or async.
            queue: what waits for it.
            origin: whose function it is; names the thread.
            on_error: called with origin and exception when the function raises; it is not called again after that.
            background: where async functions run that were registered outside of any event loop.
            at_end: called on the same thread after the last item; plain or async.
        """
        self.queue, self._origin = queue, origin
        self._call, self._on_error = Caller(call, background), on_error
        self._at_end = None if at_end is None else Caller(at_end, background)
        self._thread = threading.Thread(target=self._work, name=f"edgeaff-{origin.name}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop in which the user's function runs; None for a plain one, and for the background loop."""
        return self._call.loop

    def join(self, timeout_seconds: float | None = None) -> bool:
        """Returns whether the thread has ended, waiting for it up to a time limit."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while (item := self.queue.get()) is not None:
                self._call(item)
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self.queue.close(discard=True)
            self._on_error(self._origin, error)
        finally:
            self._end()

    def _end(self) -> None:
        if self._at_end is None:
            return
        try:
            self._at_end()
        except BaseException as error:  # noqa: BLE001 - handed to the reader, who raises it
            self._on_error(self._origin, error)

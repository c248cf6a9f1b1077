"""The reader's side of a Runtime: iterator, poll, async iterator, callbacks, status, and the errors that surface there."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, TypeVar

from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.runtime.monitor import Monitor
from edgeaff.runtime.outlets import Outlets
from edgeaff.runtime.policy import Policy, as_policy
from edgeaff.runtime.status import StatusChannel
from edgeaff.runtime.worker import Worker
from edgeaff.types import AffectEvent, StatusEvent

Callback = TypeVar("Callback", bound=Callable[..., Any])


def check_callback(callback: Callback) -> Callback:
    """Returns the callback.

    Raises:
        ArgumentError: it cannot be called.
    """
    if not callable(callback):
        raise ArgumentError(f"callback must be a function of one argument, the event, got {callback!r}; pass it without ().")
    return callback


class EventReader:
    """Delivers events and status events, and raises what went wrong elsewhere.

    Attributes:
        status: the channel of StatusEvents; `status.recent()` gives the last 256.
    """

    _worker: Worker

    def __init__(self, sinks: Sequence[Any], policy: Policy, *, live: bool) -> None:
        self._error: BaseException | None = None
        self._failed = False
        self._error_lock = threading.Lock()
        self._pid: int | None = None  # of the process that started it
        self.status = StatusChannel(self._fail)
        self._outlets = Outlets(sinks, policy, live=live, on_error=self._fail)
        self._monitor = Monitor(self.status, self._outlets, on_error=self._fail)

    def __iter__(self) -> Iterator[AffectEvent]:
        """Yields events until the source ends; raises what the worker or a callback raised. Needs a runtime that was started."""
        while True:
            event = self._next(None)
            if event is None:
                return
            yield event

    def poll(self, timeout_seconds: float = 0.0) -> AffectEvent | None:
        """Returns the next event, or None when there is none within the timeout."""
        return self._next(timeout_seconds)

    async def __aiter__(self) -> AsyncIterator[AffectEvent]:
        """Yields events without blocking the event loop."""
        while True:
            event = await asyncio.to_thread(self._next, None)
            if event is None:
                return
            yield event

    def _next(self, timeout_seconds: float | None) -> AffectEvent | None:
        self._check_process()
        event = self._outlets.queue.get(timeout_seconds)
        if event is None:
            self._raise_error()
        return event

    def on_event(self, callback: Callable[[AffectEvent], None], *, policy: Policy | str = "every") -> None:
        """Calls back for every event on a thread of its own; an exception in it surfaces in join, iteration or poll.

        Args:
            callback: called with each AffectEvent.
            policy: which events it gets when it is slower than they come.

        Raises:
            ArgumentError: callback is no function.
            SessionStateError: the runtime runs already.
        """
        check_callback(callback)
        if self._pid is not None:
            raise SessionStateError("on_event must be called before start, got it after; register callbacks first.")
        self._outlets.add_callback(callback, as_policy(policy))

    def add_sink(self, sink: Any, *, name: str | None = None) -> None:
        """Adds a sink to those of the constructor.

        Args:
            sink: object with write(event) and close(); no Recorder, for that must see the whole session.
            name: for messages; default the class of the sink.

        Raises:
            SessionStateError: the runtime runs already.
        """
        if self._pid is not None:
            raise SessionStateError("add_sink must be called before start, got it after; add sinks first.")
        self._outlets.add_sink(sink, name)

    def on_status(self, callback: Callable[[StatusEvent], None]) -> None:
        """Calls back for every StatusEvent from now on, on a thread of its own; an exception surfaces as in `on_event`."""
        self.status.subscribe(check_callback(callback))

    def on_first_face(self, callback: Callable[[StatusEvent], None]) -> None:
        """Calls back once, when the first face of the session is measured: the place for the notice that people are owed."""
        check_callback(callback)

        def notice(event: StatusEvent) -> None:
            if event.kind == "first_face":
                callback(event)

        self.status.subscribe(notice)

    def join(self) -> None:
        """Waits until the source has ended and every callback has returned, without reading events oneself."""
        self._check_process()
        queue = self._outlets.queue
        while not queue.finished:
            queue.get()
        self._outlets.join_callbacks()
        self._monitor.close()
        self.status.close()
        self._raise_error()

    @property
    def finished(self) -> bool:
        """Whether the source has ended and every event has been read."""
        return self._outlets.queue.finished

    # --- errors -------------------------------------------------------------------------------------------------------------

    def _fail(self, name: str, error: BaseException) -> None:
        """Keeps the first error for the reader and ends the run; called on any thread but the user's."""
        with self._error_lock:
            self._failed = True
            self._error = self._error or error
        if name != "worker":
            message = f"{name} must not raise, got {type(error).__name__}: {error}; it surfaces where events are read."
            self.status.emit("sink" if self._is_sink(name) else "reader", "failed", message, name=name)
        self._worker.stop.set()
        self._outlets.queue.close()

    def _is_sink(self, name: str) -> bool:
        return name not in ("callback", "status")

    def _check_process(self) -> None:
        if self._pid is None and not self._outlets.queue.finished:
            raise SessionStateError(
                "Runtime must be started before its events are read, got one that is not; use it in a with block, or call start()."
            )
        if self._pid is not None and self._pid != os.getpid():
            raise SessionStateError(
                "Runtime must be used in the process that started it, got its forked child; make a new one there."
            )

    def _raise_error(self) -> None:
        if self._error is not None and self._outlets.queue.finished:
            error, self._error = self._error, None
            raise error

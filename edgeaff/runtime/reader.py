"""The reader's side of a Runtime: iterator, poll, async iterator, callbacks, status, and the errors raised there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgeaff.awaiting import is_async, require_function, running_loop
from edgeaff.delivery.queued import Sink
from edgeaff.errors import SessionStateError
from edgeaff.forking import ProcessBound
from edgeaff.runtime.failure import FirstError
from edgeaff.runtime.monitor import Monitor
from edgeaff.runtime.outlets import Outlets
from edgeaff.runtime.policy import Policy, as_policy
from edgeaff.runtime.status import StatusChannel
from edgeaff.types import AffectEvent, ChangeEvent, StatusEvent

if TYPE_CHECKING:
    from typing import Self


class EventReader(ProcessBound):
    """Delivers events and status events, and raises errors of other threads.

    Callbacks are plain or async functions. An async one runs in the event loop in which it was registered, or else in one on
    a separate thread. In a forked child every call raises a SessionStateError.
    """

    def __init__(self, sinks: Sequence[Sink], policy: Policy, *, live: bool) -> None:
        self._failure = FirstError()
        self._started = False
        self._outlets = Outlets(sinks, policy, live=live, on_error=self._failure.keep)
        self._status = StatusChannel(self._failure.keep, background=self._outlets.background)
        self._monitor = Monitor(self._status, self._outlets)
        self._failure.report_to(self._status)
        self._failure.then(self._outlets.queue.close)

    @property
    def status(self) -> StatusChannel:
        """The channel of StatusEvents; `status.recent()` gives the last 256."""
        self._require_own_process()
        return self._status

    def __iter__(self) -> Iterator[AffectEvent]:
        """Yields events until the source ends; raises what the worker or a callback raised. Needs a runtime that was started."""
        self._require_free_loop("iteration")
        while True:
            event = self._next(None)
            if event is None:
                return
            yield event

    def poll(self, timeout_seconds: float = 0.0) -> AffectEvent | None:
        """Returns the next event, or None when there is none within the timeout."""
        return self._next(timeout_seconds)

    def __aiter__(self) -> AsyncIterator[AffectEvent]:
        """Returns an iterator over the events that needs no thread and loses no event to a wait that is canceled."""
        return _AsyncEvents(self)

    async def _next_async(self) -> AffectEvent | None:
        self._require_started()
        event = await self._outlets.queue.get_async()
        if event is None:
            self._raise_error()
        return event

    def _next(self, timeout_seconds: float | None) -> AffectEvent | None:
        self._require_started()
        event = self._outlets.queue.get(timeout_seconds)
        if event is None:
            self._raise_error()
        return event

    def on_event(self, callback: Callable[[AffectEvent], Any], *, policy: Policy | str = "every") -> None:
        """Calls back for every event on its own thread; an exception in it is raised in join, iteration or poll.

        Args:
            callback: called with each AffectEvent; plain or async.
            policy: which events it gets if it is too slow.

        Raises:
            ArgumentError: callback is no function, or a generator.
            SessionStateError: the runtime runs already.
        """
        self._require_callback("on_event", callback)
        self._outlets.add_callback(callback, as_policy(policy))

    def on_change(self, callback: Callable[[ChangeEvent], Any]) -> None:
        """Calls back for every lasting change, on its own thread, after the event at which it was found. Needs changes=True.

        Args:
            callback: called with each ChangeEvent; plain or async.

        Raises:
            ArgumentError: callback is no function, or a generator.
            SessionStateError: the runtime runs already.
        """
        self._require_callback("on_change", callback)
        self._outlets.add_change_callback(callback)

    def _require_callback(self, name: str, callback: Callable[..., Any]) -> None:
        self._require_own_process()
        require_function(callback)
        if self._started:
            raise SessionStateError(f"{name} must be called before start, got it after; register callbacks first.")

    def add_sink(self, sink: Sink, *, name: str | None = None) -> None:
        """Adds a sink to those of the constructor.

        Args:
            sink: object with write(event) and close(), plain or async; no Recorder, because it must record the whole session.
            name: for messages; default the class of the sink.

        Raises:
            SessionStateError: the runtime runs already.
        """
        self._require_own_process()
        if self._started:
            raise SessionStateError("add_sink must be called before start, got it after; add sinks first.")
        self._outlets.add_sink(sink, name)

    def on_status(self, callback: Callable[[StatusEvent], Any]) -> None:
        """Calls back for every StatusEvent from now on, on its own thread; an exception is raised as in `on_event`."""
        require_function(callback)
        self.status.subscribe(callback)

    def on_first_face(self, callback: Callable[[StatusEvent], Any]) -> None:
        """Calls back once, when the first face of the session is measured: the place for the notice to people."""
        require_function(callback)
        if is_async(callback):

            async def notice_async(event: StatusEvent) -> None:
                if event.kind == "first_face":
                    await callback(event)

            self.status.subscribe(notice_async)
            return

        def notice(event: StatusEvent) -> Any:
            return callback(event) if event.kind == "first_face" else None

        self.status.subscribe(notice)

    def join(self) -> None:
        """Waits until the source has ended and every callback has returned, without reading events."""
        self._require_started()
        self._require_free_loop("join")
        queue = self._outlets.queue
        while not queue.finished:
            queue.get()
        self._outlets.join_callbacks()
        self._monitor.close()
        self._status.close()
        self._outlets.background.close()
        self._raise_error()

    @property
    def finished(self) -> bool:
        """True once the source has ended and every event has been read."""
        self._require_own_process()
        return self._outlets.queue.finished

    # --- checks and errors --------------------------------------------------------------------------------------------------

    def _require_started(self) -> None:
        """Checks, without taking a lock first, that events can be read here.

        Raises:
            SessionStateError: the runtime was not started, or belongs to the parent process.
        """
        self._require_own_process()
        if not self._started and not self._outlets.queue.finished:
            raise SessionStateError(
                "Runtime must be started before its events are read, got one that is not; use it in a with block, or call start()."
            )

    def _require_free_loop(self, what: str) -> None:
        """Checks that a wait does not block the event loop in which callbacks are to run.

        Raises:
            SessionStateError: it would.
        """
        if running_loop() in self._outlets.loops | self._status.loops:
            raise SessionStateError(
                f"{what} must not block the event loop that runs its callbacks, got a call in that loop; use `async for`, or "
                "await asyncio.to_thread(runtime.join)."
            )

    def _raise_error(self) -> None:
        if self._outlets.queue.finished and (error := self._failure.take()) is not None:
            raise error


class _AsyncEvents:
    """The events of a runtime for `async for`; a wait that is canceled ends neither the iterator nor the runtime."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AffectEvent:
        event = await self._reader._next_async()
        if event is None:
            raise StopAsyncIteration
        return event

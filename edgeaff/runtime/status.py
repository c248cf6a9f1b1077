"""The status channel: StatusEvents from any thread to callbacks, each on its own thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from edgeaff.awaiting import BackgroundLoop
from edgeaff.errors import ArgumentError
from edgeaff.runtime.origin import Origin
from edgeaff.runtime.queue import EventQueue
from edgeaff.runtime.subscriber import Subscriber
from edgeaff.types import STATUS_KINDS, STATUS_SOURCES, StatusEvent

LOG_SIZE = 256


class StatusChannel:
    """Distributes StatusEvents. `emit` never waits and never runs user code.

    Args:
        on_error: called with the origin and the exception when a callback raises.
        background: where async callbacks run that were registered outside of any event loop; None makes one.
        clock: monotonic nanoseconds.
    """

    def __init__(
        self,
        on_error: Callable[[Origin, BaseException], None],
        *,
        background: BackgroundLoop | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._on_error, self._clock = on_error, clock
        self._background = background or BackgroundLoop()
        self._log: deque[StatusEvent] = deque(maxlen=LOG_SIZE)
        self._subscribers: list[Subscriber[StatusEvent]] = []
        self._observers: list[Callable[[StatusEvent], None]] = []
        self._lock = threading.Lock()
        self._started = False

    def emit(
        self,
        source: str,
        kind: str,
        message: str = "",
        *,
        name: str = "",
        counts: Mapping[str, int | float] | None = None,
    ) -> StatusEvent:
        """Returns the event, after handing it to all callbacks and the log.

        Args:
            source: one of STATUS_SOURCES.
            kind: one of STATUS_KINDS.
            message: what is wrong and what to do.
            name: which camera, sink or engine; default the source itself.
            counts: counters that belong to it.

        Raises:
            ArgumentError: source or kind is unknown.
        """
        if source not in STATUS_SOURCES or kind not in STATUS_KINDS:
            raise ArgumentError(
                f"source and kind must be among {', '.join(STATUS_SOURCES)} and {', '.join(STATUS_KINDS)}, got "
                f"{source!r} and {kind!r}; choose from these."
            )
        event = StatusEvent(self._clock(), source, name or source, kind, message, dict(counts or {}))
        with self._lock:
            self._log.append(event)
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            subscriber.queue.put(event)
        for observe in self._observers:
            observe(event)
        return event

    def observe(self, observer: Callable[[StatusEvent], None]) -> None:
        """Calls an observer of ours for every event, on any thread: it must neither wait nor raise."""
        self._observers.append(observer)

    def subscribe(self, callback: Callable[[StatusEvent], Any]) -> None:
        """Calls back for every event from now on, on its own thread; keeps 256 waiting events and drops the oldest."""
        queue: EventQueue[StatusEvent] = EventQueue(lossless=False)
        subscriber = Subscriber(
            callback, queue, origin=Origin("reader", "status"), on_error=self._on_error, background=self._background
        )
        with self._lock:
            self._subscribers.append(subscriber)
            started = self._started
        if started:
            subscriber.start()

    @property
    def loops(self) -> set[asyncio.AbstractEventLoop]:
        """The event loops in which callbacks run."""
        with self._lock:
            return {one.loop for one in self._subscribers if one.loop is not None}

    def recent(self) -> list[StatusEvent]:
        """Returns the last 256 events, oldest first."""
        with self._lock:
            return list(self._log)

    def start(self) -> None:
        """Starts the threads of the callbacks."""
        with self._lock:
            self._started = True
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            subscriber.start()

    def close(self, timeout_seconds: float | None = None) -> None:
        """Delivers the waiting events and ends the threads.

        Args:
            timeout_seconds: how long to wait for callbacks; None waits without limit.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        for subscriber in self._subscribers:
            subscriber.queue.close()
        for subscriber in self._subscribers:
            subscriber.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

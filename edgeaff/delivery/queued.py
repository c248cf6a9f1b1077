"""A queue and a thread before any sink: the inference thread never waits for a disk, a socket or a broker."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from edgeaff.awaiting import BackgroundLoop, Caller
from edgeaff.closing import Closing
from edgeaff.errors import ArgumentError, EdgeaffError
from edgeaff.forking import ProcessBound
from edgeaff.naming import public_name, without_secrets
from edgeaff.types import AffectEvent, StatusEvent

RETRY_SECONDS = 0.5


class Sink(Protocol):
    """Takes events. Where `write` raises an OSError or EdgeaffError, the event is tried again; `close` may be called twice.

    Both may be async. A sink may have two methods more: `set_provenance(metadata)`, which a Runtime calls before the first event
    (keys and values as in `edgeaff.delivery.provenance`), and, behind a QueuedSink, `write_status(event)` for every StatusEvent.
    """

    def write(self, event: AffectEvent) -> object:
        """Delivers one event; returns nothing, or an awaitable."""

    def close(self) -> object:
        """Delivers what is left and frees everything; returns nothing, or an awaitable."""


def hand_provenance(sink: object, metadata: Mapping[str, str]) -> None:
    """Calls `set_provenance` of a sink that has it.

    Args:
        sink: any sink.
        metadata: see `edgeaff.delivery.provenance`.
    """
    take = getattr(sink, "set_provenance", None)
    if callable(take):
        take(metadata)


class QueuedSink(ProcessBound, Closing):
    """Hands events to another sink on its own thread. When that sink is slow or broken the oldest events go.

    An event that fails is tried again every half second: a full disk or a killed broker is survived, and what was lost
    meanwhile is counted. An exception that is neither an OSError nor an EdgeaffError is a mistake in the sink's code: that event
    is dropped, the next one is tried. No exception ends the sink.

    Attributes:
        error: the last such exception.
        warnings: what failed so far, one sentence each, at most 20.
    """

    def __init__(self, sink: Sink, *, capacity: int = 256, name: str | None = None) -> None:
        """Starts the thread.

        Args:
            sink: where the events go.
            capacity: most events that wait; 256 is 8.5 s at 30 Hz.
            name: for messages; default the class of the sink.

        Raises:
            ArgumentError: capacity is not positive.
        """
        if capacity < 1:
            raise ArgumentError(f"capacity must be at least 1, got {capacity}; leave it out for 256.")
        self.name = public_name(name or type(sink).__name__)
        self.warnings: list[str] = []
        self._sink, self._capacity = sink, capacity
        self._background = BackgroundLoop()
        self._write, self._close = Caller(sink.write, self._background), Caller(sink.close, self._background)
        of_status = getattr(sink, "write_status", None)
        self._write_status = None if of_status is None else Caller(of_status, self._background)
        self._events: deque[AffectEvent | StatusEvent] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._failing = False
        self.error: Exception | None = None
        self._counts = {"written": 0, "dropped": 0, "failures": 0}
        self._thread = threading.Thread(target=self._work, name=f"edgeaff-{self.name}", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> dict[str, int]:
        """Returns events written and dropped, failed attempts, and values that were not finite."""
        with self._changed:
            counts = dict(self._counts)
        counts["not_finite"] = int(getattr(self._sink, "not_finite", 0))
        lost = int(getattr(self._sink, "lost", 0))  # taken over by the sink, but lost by it
        counts["written"] -= lost
        counts["dropped"] += lost
        return counts

    @property
    def notices(self) -> list[str]:
        """Returns warnings about the sink's safety, one sentence each."""
        return list(getattr(self._sink, "notices", ()))

    @property
    def takes_changes(self) -> bool:
        """Returns whether the sink writes changes too."""
        return bool(getattr(self._sink, "takes_changes", False))

    @property
    def failing(self) -> bool:
        """Returns whether the last attempt failed, or the sink itself states that its receiver is gone (`connected`)."""
        return self._failing or getattr(self._sink, "connected", True) is False

    @property
    def waiting(self) -> int:
        """Returns the number of events that wait."""
        return len(self._events)

    def write(self, event: AffectEvent) -> None:
        """Takes an event over at once; when the queue is full the oldest event goes."""
        self._require_own_process()
        self._take(event)

    def write_status(self, event: StatusEvent) -> None:
        """Takes a StatusEvent over at once, in the order of the events; where the sink has no `write_status` it does nothing."""
        if self._write_status is not None and not self._is_inherited:
            self._take(event)

    def set_provenance(self, metadata: Mapping[str, str]) -> None:
        """Hands the provenance of the events to the sink, where it takes one.

        Args:
            metadata: see `edgeaff.delivery.provenance`.
        """
        hand_provenance(self._sink, metadata)

    def _take(self, event: AffectEvent | StatusEvent) -> None:
        with self._changed:
            if self._closing:
                self._count("dropped", event)
                return
            while len(self._events) >= self._capacity:
                self._count("dropped", self._events.popleft())
            self._events.append(event)
            self._changed.notify()

    def _count(self, name: str, event: AffectEvent | StatusEvent) -> None:
        self._counts[name] += isinstance(event, AffectEvent)

    def end(self) -> None:
        """Asks the thread to deliver what waits and to end; does not wait for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def close(self, *, timeout_seconds: float = 0.8) -> None:
        """Delivers what waits, within a time limit, then closes the sink.

        Args:
            timeout_seconds: what still waits then is dropped and counted.
        """
        if self._is_inherited:
            return
        self.end()
        self._thread.join(timeout_seconds)
        with self._changed:
            while self._events:
                self._count("dropped", self._events.popleft())
            self._changed.notify()

    def _work(self) -> None:
        while (event := self._next()) is not None:
            self._deliver(event)
        try:
            self._close()
        except Exception as error:  # noqa: BLE001 - any exception of the sink's code is counted and reported
            self._failed(error)
        self._background.close()

    def _next(self) -> AffectEvent | StatusEvent | None:
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._closing)
            return self._events.popleft() if self._events else None

    def _deliver(self, event: AffectEvent | StatusEvent) -> None:
        write = self._write_status if isinstance(event, StatusEvent) and self._write_status else self._write
        while True:
            try:
                write(event)
            except Exception as error:  # noqa: BLE001 - the same
                self._failed(error)
                may_work_later = isinstance(error, (OSError, EdgeaffError))
                with self._changed:
                    if not may_work_later or self._closing or self._changed.wait_for(self._is_useless, RETRY_SECONDS):
                        self._count("dropped", event)
                        return
                continue
            with self._changed:
                self._count("written", event)
                self._failing = False
            return

    def _is_useless(self) -> bool:
        """Returns whether trying the event in hand again makes no sense: newer ones fill the queue, or it has ended."""
        return self._closing or len(self._events) >= self._capacity

    def _failed(self, error: Exception) -> None:
        text = without_secrets(str(error))
        if not isinstance(error, (OSError, EdgeaffError)):
            self.error = error
            text = f"{type(error).__name__}: {text}"
        with self._changed:
            self._counts["failures"] += 1
            self._failing = True
            sentence = f"{self.name}: {text}"
            if sentence not in self.warnings and len(self.warnings) < 20:
                self.warnings.append(sentence)

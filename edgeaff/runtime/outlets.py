"""Destinations of events: the reader's queue, callbacks, sinks. Only the Recorder runs on the worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgeaff.awaiting import BackgroundLoop
from edgeaff.delivery.queued import QueuedSink, Sink, hand_provenance
from edgeaff.recording.recorder import Recorder
from edgeaff.runtime.origin import Origin
from edgeaff.runtime.policy import Policy
from edgeaff.runtime.queue import EventQueue
from edgeaff.runtime.subscriber import Subscriber
from edgeaff.types import AffectEvent, ChangeEvent, StatusEvent

CLOSE_SECONDS = 0.8


class Outlets:
    """Delivers events without ever waiting for user code in live mode, and without a loss in file mode.

    Live, every sink except a Recorder has a QueuedSink in front of it: its errors are counted and reported. In file mode it
    has a lossless queue: its errors end the run and are raised where the user reads.
    """

    def __init__(
        self, sinks: Sequence[Sink], policy: Policy, *, live: bool, on_error: Callable[[Origin, BaseException], None]
    ) -> None:
        self.queue: EventQueue[AffectEvent] = EventQueue(policy, lossless=not live)
        self.queued_sinks: list[QueuedSink] = []
        self.recorders = [sink for sink in sinks if isinstance(sink, Recorder)]
        self.background = BackgroundLoop()
        self._live, self._on_error = live, on_error
        self._callbacks: list[Subscriber[AffectEvent]] = []
        self._plain_sinks: list[Sink] = []
        self._file_sinks: list[Subscriber[AffectEvent]] = []
        self._observers: list[Callable[[AffectEvent], None]] = []
        self._change_callbacks: list[Subscriber[ChangeEvent]] = []
        self._closed = False
        self._change_sinks: list[Callable[[Any], object]] = []
        for sink in sinks:
            if not isinstance(sink, Recorder):
                self.add_sink(sink)

    def add_sink(self, sink: Sink, name: str | None = None) -> None:
        """Adds a sink; name: for messages, default its class."""
        takes_changes = bool(getattr(sink, "takes_changes", False))
        if self._live or isinstance(sink, QueuedSink):
            queued = sink if isinstance(sink, QueuedSink) else QueuedSink(sink, name=name)
            self.queued_sinks.append(queued)
            self._change_sinks += [queued.write] if takes_changes else []
        else:
            self._plain_sinks.append(sink)
            waiting: EventQueue[AffectEvent] = EventQueue(lossless=True)
            self._file_sinks.append(
                Subscriber(
                    sink.write,
                    waiting,
                    origin=Origin("sink", name or type(sink).__name__),
                    on_error=self._on_error,
                    background=self.background,
                    at_end=sink.close,
                )
            )
            self._change_sinks += [waiting.put] if takes_changes else []

    def add_callback(self, callback: Callable[[AffectEvent], Any], policy: Policy) -> None:
        """Calls back for every event, on its own thread."""
        waiting: EventQueue[AffectEvent] = EventQueue(policy, lossless=not self._live)
        self._callbacks.append(
            Subscriber(
                callback,
                waiting,
                origin=Origin("reader", "callback"),
                on_error=self._on_error,
                background=self.background,
            )
        )

    def add_change_callback(self, callback: Callable[[ChangeEvent], Any]) -> None:
        """Calls back for every change, on its own thread."""
        origin, waiting = Origin("reader", "callback"), EventQueue[ChangeEvent](lossless=not self._live)
        made = Subscriber(callback, waiting, origin=origin, on_error=self._on_error, background=self.background)
        self._change_callbacks.append(made)

    def observe(self, observer: Callable[[AffectEvent], None]) -> None:
        """Calls an observer of ours for every event, on the worker: it must neither wait nor raise."""
        self._observers.append(observer)

    @property
    def _all_callbacks(self) -> tuple[Subscriber[Any], ...]:
        return (*self._callbacks, *self._change_callbacks)

    @property
    def loops(self) -> set[asyncio.AbstractEventLoop]:
        """The event loops in which callbacks and sinks run."""
        return {one.loop for one in (*self._all_callbacks, *self._file_sinks) if one.loop is not None}

    def start(self) -> None:
        """Starts all threads."""
        for subscriber in (*self._all_callbacks, *self._file_sinks):
            subscriber.start()

    def deliver(self, event: AffectEvent) -> None:
        """Hands one event to all; called on the worker."""
        for recorder in self.recorders:
            recorder.write(event)
        for sink in self.queued_sinks:
            sink.write(event)
        for subscriber in (*self._file_sinks, *self._callbacks):
            subscriber.queue.put(event)
        for observe in self._observers:
            observe(event)
        self.queue.put(event)

    def write_status(self, event: StatusEvent) -> None:
        """Hands a StatusEvent to the sinks that take them; from any thread."""
        for sink in self.queued_sinks:
            sink.write_status(event)

    def set_provenance(self, metadata: Mapping[str, str]) -> None:
        """Hands the provenance of the events to the sinks that take it; before `start`."""
        for sink in self.queued_sinks:
            sink.set_provenance(metadata)
        for plain in self._plain_sinks:
            hand_provenance(plain, metadata)

    def deliver_change(self, change: ChangeEvent) -> None:
        """Hands a change to the callbacks for it, and to sinks that write changes too; called on the worker, after its event."""
        for sink in self._change_sinks:
            sink(change)
        for subscriber in self._change_callbacks:
            subscriber.queue.put(change)

    def finish(self) -> None:
        """Flushes and closes the sinks, then lets readers and callbacks end after what waits for them."""
        self._close_sinks(None if not self._live else CLOSE_SECONDS)
        for subscriber in self._all_callbacks:
            subscriber.queue.close()
        self.queue.close()

    def discard(self) -> None:
        """Throws away what readers and callbacks have not had yet. Sinks get everything."""
        self.queue.close(discard=True)
        for subscriber in self._all_callbacks:
            subscriber.queue.close(discard=True)

    def close_sinks(self) -> None:
        """Flushes and closes the sinks within their time limit; may be called again."""
        self._close_sinks(CLOSE_SECONDS)

    def join_callbacks(self) -> None:
        """Waits until every callback has returned."""
        for subscriber in self._all_callbacks:
            subscriber.join()

    def _close_sinks(self, timeout_seconds: float | None) -> None:
        if self._closed:
            return
        self._closed = True
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        for subscriber in self._file_sinks:
            subscriber.queue.close()
        for sink in self.queued_sinks:
            sink.end()
        for recorder in self.recorders:
            recorder.close(timeout_seconds=_left(deadline, 2.0))
        for subscriber in self._file_sinks:
            subscriber.join(None if deadline is None else _left(deadline, 0.0))
        for sink in self.queued_sinks:
            sink.close(timeout_seconds=_left(deadline, CLOSE_SECONDS))

    @property
    def dropped(self) -> int:
        """Events that slow callbacks missed, and a slow reader if anyone reads."""
        missed = sum(subscriber.queue.dropped for subscriber in self._callbacks)
        return missed + (self.queue.dropped if self.queue.read else 0)


def _left(deadline: float | None, otherwise: float) -> float:
    return otherwise if deadline is None else max(0.0, deadline - time.monotonic())

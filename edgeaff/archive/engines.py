"""Engines: what runs orders side by side. `local` runs supervisors on threads of this process; `ray` has its own module."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edgeaff.archive.supervisor import Supervisor
from edgeaff.archive.task import Task


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of one order.

    Attributes:
        task: the file.
        kind: done, failed, died (the worker, over this file) or lost (the machine of the worker: not the file's fault).
        reason: of all but done.
        summary: of done.
    """

    task: Task
    kind: str
    reason: str = ""
    summary: Mapping[str, Any] | None = None


class Engine(Protocol):
    """Takes orders and gives replies, in any order."""

    capacity: int

    def submit(self, task: Task) -> None:
        """Takes an order; at most `capacity` are open at once."""

    def next(self, timeout_seconds: float) -> Reply | None:
        """Returns the next reply, None after the time."""

    def seconds_open(self) -> float:
        """Returns the seconds of media annotated of the orders that are open."""

    def close(self) -> None:
        """Ends all workers; what is open is given up."""


def as_reply(task: Task, message: Mapping[str, Any]) -> Reply:
    """Returns the reply in a message of a supervisor."""
    return Reply(task, message["kind"], str(message.get("reason", "")), message.get("summary"))


class LocalEngine:
    """Worker processes of this machine, each behind a thread that waits for it."""

    def __init__(
        self, settings: Mapping[str, Any], workers: int, *, make: Callable[[Mapping[str, Any]], Supervisor] = Supervisor
    ) -> None:
        """Starts the threads; a process starts with its first order.

        Args:
            settings: of the supervisors.
            workers: processes.
            make: makes a supervisor.
        """
        self.capacity = workers
        self._orders: queue.Queue[Task | None] = queue.Queue()
        self._replies: queue.Queue[Reply] = queue.Queue()
        self._seconds: dict[str, float] = {}
        self._supervisors = [make(settings) for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(supervisor,), daemon=True) for supervisor in self._supervisors
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> None:
        """Takes an order."""
        self._orders.put(task)

    def next(self, timeout_seconds: float) -> Reply | None:
        """Returns the next reply, None after the time."""
        try:
            return self._replies.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def seconds_open(self) -> float:
        """Returns the seconds of media annotated of the orders that are open."""
        return sum(list(self._seconds.values()))

    def close(self) -> None:
        """Ends all workers; what is open is given up."""
        for _ in self._threads:
            self._orders.put(None)
        for supervisor in self._supervisors:
            supervisor.close()
        for thread in self._threads:
            thread.join(5)

    def _work(self, supervisor: Supervisor) -> None:
        while (task := self._orders.get()) is not None:
            if supervisor.closed:
                return

            def note(seconds: float, key: str = task.id) -> None:
                self._seconds[key] = seconds

            message = supervisor.run(task.file, note)
            self._seconds.pop(task.id, None)
            if supervisor.closed:
                return
            self._replies.put(as_reply(task, message))

"""The driver: gives tasks to an engine, longest first, and keeps the ledger. The attempt is counted before the work starts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from edgeaff.archive.engines import Engine, Reply
from edgeaff.archive.ledger import MOST_ATTEMPTS, Entry, Ledger
from edgeaff.archive.task import Task

POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Attributes:
        files: done, failed or quarantined in this run, and to do in it.
        seconds: of media annotated in this run.
        rate: seconds of media per second.
        eta_seconds: expected time to the end, None before there is a rate.
        poison: files quarantined in this run.
    """

    files: tuple[int, int]
    seconds: float
    rate: float
    eta_seconds: float | None
    poison: int


class Driver:
    """Runs all open tasks of a ledger once."""

    def __init__(
        self,
        ledger: Ledger,
        engine: Engine,
        *,
        progress: Callable[[Progress], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the parts.

        Args:
            ledger: of the output.
            engine: runs the orders.
            progress: called at every reply and twice a second.
            clock: seconds.
        """
        self._ledger, self._engine, self._progress, self._clock = ledger, engine, progress, clock
        self._entries: dict[str, Entry] = {}
        self._bytes_left = self._bytes_done = 0
        self._seconds_done = 0.0
        self._ended = self._poison = 0

    def run(self, tasks: Iterable[Task]) -> None:
        """Returns when every task has a final entry.

        Args:
            tasks: in the order in which they are begun.
        """
        todo = deque(self._ledger.open_tasks(tasks))
        total = len(todo)
        self._bytes_left = sum(task.size for task, _ in todo)
        started = self._clock()
        while todo or self._entries:
            while todo and len(self._entries) < self._engine.capacity:
                self._begin(*todo.popleft())
            reply = self._engine.next(POLL_SECONDS)
            if reply is not None:
                again = self._end(reply)
                if again is not None:
                    todo.append(again)
            if self._progress is not None:
                self._progress(self._state(total, self._clock() - started))

    def _begin(self, task: Task, entry: Entry) -> None:
        entry = replace(entry, state="running")
        self._ledger.write(entry)
        self._entries[task.id] = entry
        self._engine.submit(task)

    def _end(self, reply: Reply) -> tuple[Task, Entry] | None:
        """Returns the task that is to be begun again, after noting the end of an order."""
        entry = self._entries.pop(reply.task.id)
        if reply.kind == "lost":
            return reply.task, replace(entry, interruptions=entry.interruptions + 1)
        if reply.kind == "died":
            entry = replace(entry, deaths=entry.deaths + 1, reason=reply.reason)
            if entry.deaths < MOST_ATTEMPTS:
                self._ledger.write(entry)
                return reply.task, entry
        state = {"done": "done", "failed": "failed", "died": "poison"}[reply.kind]
        summary = reply.summary or {}
        self._ledger.write(replace(entry, state=state, reason=reply.reason, summary=summary))
        self._ended += 1
        self._poison += state == "poison"
        self._bytes_left -= reply.task.size
        if reply.kind == "done":
            self._bytes_done += reply.task.size
            self._seconds_done += float(summary.get("seconds", 0.0))
        return None

    def _state(self, total: int, elapsed: float) -> Progress:
        seconds = self._seconds_done + self._engine.seconds_open()
        rate = seconds / elapsed if elapsed > 0 else 0.0
        eta = None
        if self._bytes_done and rate > 0:
            left = self._bytes_left * self._seconds_done / self._bytes_done - self._engine.seconds_open()
            eta = max(0.0, left) / rate
        return Progress((self._ended, total), seconds, rate, eta, self._poison)

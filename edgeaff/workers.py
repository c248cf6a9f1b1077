"""A pool of worker processes that survives killed workers: a dead worker is replaced, and its job is retried once, then skipped.

```
                      counted, then sent                    "alive" (beat) ... result | error
jobs --> [parent] ----------------------> [worker process] ----------------------------------> JobEnd
             ^                                  |
             +--- killed, silent, too large ----+   tried again after all others; after `attempts` the job ends without a result
```
Each worker has a separate pipe, so the death of one does not affect the others. Workers exit when the parent exits for any
reason, and ignore Ctrl-C, which the parent handles.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from edgeaff.errors import ArgumentError, EdgeaffError
from edgeaff.machine import prefer_for_oom_kill, resident_mib

Job = TypeVar("Job")
Result = TypeVar("Result")

MOST_STARTS = 3  # successive workers that die before their first job: none of them can work
LOOK_SECONDS = 0.25
BEAT_SECONDS = 1.0
CLOSE_SECONDS = 2.0
_OF_THE_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}
)  # would end every job


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of a worker (None = none), and number of attempts per job.

    Attributes:
        silence_seconds: longest time without a sign of life (`beat`) or a result.
        memory_mib: largest resident memory. Linux only.
        attempts: how often a job is begun that ends its worker or raises.
    """

    silence_seconds: float | None = None
    memory_mib: float | None = None
    attempts: int = 2


@dataclass(frozen=True, slots=True)
class JobEnd(Generic[Job, Result]):
    """The outcome of a job.

    Attributes:
        job: the job.
        result: of the work; None if there is none.
        failure: reason without a result, one line; else None.
        attempts: number of times it was started.
    """

    job: Job
    result: Result | None
    failure: str | None
    attempts: int


def run_jobs(
    jobs: Iterable[Job],
    work: Callable[[Job], Result],
    *,
    workers: int,
    prepare: Callable[[], None] | None = None,
    limits: Limits | None = None,
    on_attempt: Callable[[Job, int], None] | None = None,
) -> Iterator[JobEnd[Job, Result]]:
    """Yields the outcome of every job, in the order in which jobs end.

    An EdgeaffError ends its job. After any other exception, or the death of its worker, the job is retried.

    Args:
        jobs: in the order in which they are started; taken when a worker is free.
        work: module-level function, called with one job.
        workers: number of processes; 0 runs all jobs in this process, without isolation.
        prepare: called once in each process before its first job.
        limits: of a worker and of a job.
        on_attempt: called in this process, with the job and the number of the attempt from 1, before the job is begun.

    Yields:
        JobEnd.

    Raises:
        ArgumentError: workers or attempts is out of range.
    """
    limits = limits or Limits()
    if workers < 0 or limits.attempts < 1:
        raise ArgumentError(
            f"workers must be at least 0 and attempts 1, got {workers} and {limits.attempts}; leave them out."
        )
    note = on_attempt or (lambda job, attempt: None)
    if workers == 0:
        yield from _run_here(jobs, work, prepare, limits.attempts, note)
        return
    pool = _Pool[Job, Result](jobs, (work, prepare), workers, limits, note)
    try:
        yield from pool.run()
    finally:
        pool.close()


def beat() -> None:
    """Signals progress of the current job, which resets `Limits.silence_seconds`. Does nothing outside a worker."""
    if _Reply.current is not None:
        _Reply.current.beat()


# --- in the worker --------------------------------------------------------------------------------------------------------------


class _Reply:
    """The worker's end of its pipe."""

    current: _Reply | None = None

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock, self._beaten = connection, threading.Lock(), 0.0

    def send(self, kind: str, content: Any = None) -> None:
        try:
            data = pickle.dumps((kind, content))
        except Exception as error:  # noqa: BLE001 - pickling a result may raise anything
            data = pickle.dumps(("failed", f"its result cannot be sent: {type(error).__name__}: {error}"))
        with self._lock:
            self._connection.send_bytes(data)

    def beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten >= BEAT_SECONDS:
            self._beaten = now
            self.send("alive")


def _serve(connection: Connection, work: Callable[[Any], Any], prepare: Callable[[], None] | None) -> None:
    """Works until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    prefer_for_oom_kill()
    reply = _Reply.current = _Reply(connection)
    with contextlib.suppress(EOFError, OSError):  # the parent has closed the pipe
        try:
            if prepare is not None:
                prepare()
        except Exception as error:  # noqa: BLE001 - sent to the parent, which raises it
            reply.send("unprepared", error if isinstance(error, EdgeaffError) else EdgeaffError(_describe(error)))
            return
        reply.send("ready")
        while True:
            job = connection.recv()
            reply.send(*_attempt(work, job))


def _attempt(work: Callable[[Any], Any], job: Any) -> tuple[str, Any]:
    """Returns ("done", result), ("ended", failure), ("failed", failure) to be tried again, or ("machine", error)."""
    try:
        return "done", work(job)
    except EdgeaffError as error:
        return "ended", " ".join(str(error).split())
    except OSError as error:
        return ("machine", error) if error.errno in _OF_THE_MACHINE else ("failed", _describe(error))
    except Exception as error:  # noqa: BLE001 - a failing job must not end the others
        return "failed", _describe(error)


def _describe(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}{place}".split())


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


# --- in the parent --------------------------------------------------------------------------------------------------------------


def _run_here(
    jobs: Iterable[Job],
    work: Callable[[Job], Result],
    prepare: Callable[[], None] | None,
    attempts: int,
    note: Callable[[Job, int], None],
) -> Iterator[JobEnd[Job, Result]]:
    prepared = prepare is None
    content: Any
    for job in jobs:
        if not prepared and prepare is not None:
            prepare()
            prepared = True
        kind, content, attempt = "failed", None, 0
        while kind == "failed" and attempt < attempts:
            attempt += 1
            note(job, attempt)
            kind, content = _attempt(work, job)
        if kind == "machine":
            raise content
        yield JobEnd(job, content, None, attempt) if kind == "done" else JobEnd(job, None, str(content), attempt)


@dataclass(slots=True)
class _Task(Generic[Job]):
    """A job and its number of attempts."""

    job: Job
    attempts: int = 0


@dataclass(slots=True)
class _Worker(Generic[Job]):
    """A process, its pipe and its current task; last_sign: time.monotonic() of its last message."""

    process: Any
    connection: Connection
    last_sign: float
    is_ready: bool = False
    task: _Task[Job] | None = None
    over: str = field(default="")  # the exceeded limit, once it was killed for one


class _Pool(Generic[Job, Result]):
    """The parent's side: one thread, no locks."""

    def __init__(
        self,
        jobs: Iterable[Job],
        target: tuple[Any, ...],
        workers: int,
        limits: Limits,
        note: Callable[[Job, int], None],
    ) -> None:
        self._jobs = iter(jobs)
        self._again: deque[_Task[Job]] = deque()
        self._waiting: deque[_Task[Job]] = deque()  # the next ones, as many as there are workers
        self._workers: list[_Worker[Job]] = []
        self._target, self._most, self._limits, self._note = target, workers, limits, note
        self._context = multiprocessing.get_context("spawn")
        self._died_unready = 0

    def run(self) -> Iterator[JobEnd[Job, Result]]:
        """Yields the ends of all jobs."""
        while True:
            yield from self._assign()
            if not self._unbegun() and not any(worker.task for worker in self._workers):
                return
            awaited = [thing for worker in self._workers for thing in (worker.connection, worker.process.sentinel)]
            limited = self._limits.silence_seconds is not None or self._limits.memory_mib is not None
            wait(awaited, LOOK_SECONDS if limited else None)
            for worker in list(self._workers):
                yield from self._hear(worker)
                if not worker.process.is_alive():
                    yield from self._hear(worker)  # what it sent before it died
                    yield from self._bury(worker)
            self._enforce_limits()

    def close(self) -> None:
        """Ends all workers; jobs in progress are lost."""
        for worker in self._workers:
            worker.connection.close()
            if worker.task is not None or not worker.is_ready:
                worker.process.kill()
        deadline = time.monotonic() + CLOSE_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self._workers.clear()

    def _unbegun(self) -> int:
        """Returns the number of waiting jobs, looking ahead by one new job per worker."""
        self._waiting.extend(_Task(job) for job in islice(self._jobs, self._most - len(self._waiting)))
        return len(self._waiting) + len(self._again)

    def _assign(self) -> Iterator[JobEnd[Job, Result]]:
        """Sends a job to every free worker, and starts workers for waiting jobs.

        Yields:
            The outcome of a job whose worker had died while free.
        """
        for worker in list(self._workers):
            if worker.is_ready and worker.task is None and self._unbegun():
                task = (self._waiting or self._again).popleft()
                task.attempts += 1
                self._note(task.job, task.attempts)
                worker.task, worker.last_sign = task, time.monotonic()
                try:
                    worker.connection.send(task.job)
                except OSError:  # it died while it was free
                    yield from self._bury(worker)
        starting = sum(not worker.is_ready for worker in self._workers)
        while len(self._workers) < self._most and starting < self._unbegun():
            self._workers.append(self._start())
            starting += 1

    def _start(self) -> _Worker[Job]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, *self._target), name="edgeaff-worker", daemon=True)
        with _interruptions_held():  # a process that is still starting would print a traceback at Ctrl-C
            process.start()
        theirs.close()
        return _Worker(process, ours, time.monotonic())

    def _hear(self, worker: _Worker[Job]) -> Iterator[JobEnd[Job, Result]]:
        """Reads the pending messages of a worker.

        Yields:
            The outcomes in them.
        """
        while True:
            try:
                if not worker.connection.poll():
                    return
                kind, content = pickle.loads(worker.connection.recv_bytes())
            except (EOFError, OSError, pickle.UnpicklingError):  # it died in the middle of one
                worker.process.kill()
                worker.process.join()
                return
            worker.last_sign = time.monotonic()
            if kind == "ready":
                worker.is_ready, self._died_unready = True, 0
            elif kind in ("unprepared", "machine"):
                raise content
            elif kind != "alive" and worker.task is not None:
                task, worker.task = worker.task, None
                yield from self._conclude(task, kind, content)

    def _conclude(self, task: _Task[Job], kind: str, content: Any) -> Iterator[JobEnd[Job, Result]]:
        if kind == "done":
            yield JobEnd(task.job, content, None, task.attempts)
        elif kind == "ended" or task.attempts >= self._limits.attempts:
            yield JobEnd(task.job, None, str(content), task.attempts)
        else:
            self._again.append(task)

    def _bury(self, worker: _Worker[Job]) -> Iterator[JobEnd[Job, Result]]:
        """Removes a dead worker; its job is retried or ends.

        Yields:
            The outcome of its job.

        Raises:
            EdgeaffError: workers keep dying before their first job.
        """
        worker.process.kill()  # where its pipe broke and it still lives
        worker.process.join()
        how = worker.over or _ending(worker.process.exitcode)
        worker.connection.close()
        worker.process.close()
        self._workers.remove(worker)
        if worker.task is not None:
            times = "" if worker.task.attempts == 1 else f", {worker.task.attempts} times"
            yield from self._conclude(worker.task, "failed", f"its worker process {how}{times}")
        elif not worker.is_ready:
            self._died_unready += 1
            if self._died_unready >= MOST_STARTS:
                raise EdgeaffError(
                    f"{self._died_unready} workers died before their first job; the last one {how}. "
                    "Give fewer --workers (memory?) and run the command again."
                )

    def _enforce_limits(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            silence, memory = self._limits.silence_seconds, self._limits.memory_mib
            if worker.over or worker.task is None:
                continue
            if silence is not None and now - worker.last_sign > silence:
                worker.over = f"was ended after {silence:g} s without a sign of life"
            elif memory is not None and resident_mib(worker.process.pid) > memory:
                worker.over = f"was ended for using more than {memory:g} MiB"
            if worker.over:
                worker.process.kill()


def _ending(exit_code: int | None) -> str:
    """Returns the exit of a process in words."""
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    if exit_code == -getattr(signal, "SIGKILL", 9):
        return "was killed (SIGKILL; is there too little memory?)"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"


@contextlib.contextmanager
def _interruptions_held() -> Iterator[None]:
    """Blocks SIGINT; a process started inside inherits the mask and never receives it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

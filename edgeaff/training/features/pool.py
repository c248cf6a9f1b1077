"""Processes that work on jobs, and end with the process that started them however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from edgeaff.errors import EdgeaffError

Job = TypeVar("Job")
Result = TypeVar("Result")


def run_jobs(
    jobs: Sequence[Job],
    work: Callable[[Job], Result],
    *,
    workers: int,
    prepare: Callable[..., None] | None = None,
    given: tuple[Any, ...] = (),
) -> Iterator[tuple[Job, Result]]:
    """Yields each job with its result, in the order in which they are done.

    Args:
        jobs: in the order in which they are begun.
        work: of a module, called with a job in some process.
        workers: processes; with 1, or one job, everything happens in this one.
        prepare: called once in each process before its first job.
        given: its arguments.

    Yields:
        Job and result.

    Raises:
        EdgeaffError: a process was killed, or could not prepare.
    """
    if workers == 1 or len(jobs) < 2:
        if prepare is not None and jobs:
            prepare(*given)
        for job in jobs:
            yield job, work(job)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _start, (prepare, given))
    try:
        futures: dict[Future[Result], Job] = {pool.submit(_do, work, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise EdgeaffError(
            f"workers must live to the end, got {error}; give fewer --workers (memory?) and run the command again, it goes on."
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class _Worker:
    """What a process keeps: why it could not prepare, or None. An error while a process starts would reach nobody."""

    failure: EdgeaffError | None = None


def _do(work: Callable[[Job], Result], job: Job) -> Result:
    if _Worker.failure is not None:
        raise _Worker.failure
    return work(job)


def _start(prepare: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    if prepare is not None:
        try:
            prepare(*given)
        except EdgeaffError as error:
            _Worker.failure = error


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)

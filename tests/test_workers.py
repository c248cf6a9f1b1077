"""Worker processes: one that dies in any way is replaced, its job tried again and then named; all other jobs are done."""

from __future__ import annotations

import errno
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgeaff.errors import ArgumentError, EdgeaffError, MediaError
from edgeaff.workers import JobEnd, Limits, beat, run_jobs


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")
        self.lock = threading.Lock()


class Worker:
    folder: Path


def prepare(folder: Path) -> None:
    Worker.folder = folder


def work(job: str) -> Any:
    """Performs the action named by the job."""
    what, _, rest = job.partition(" ")
    if what == "once":  # dies at the first attempt only
        mark = Worker.folder / rest
        if mark.exists():
            return "second"
        mark.touch()
        what, rest = "kill", "9"
    if what == "kill":
        os.kill(os.getpid(), int(rest))
    elif what == "exit":
        os._exit(int(rest))
    elif what == "sleep":
        time.sleep(float(rest))
    elif what == "beating":
        for _ in range(10):
            time.sleep(0.25)
            beat()
    elif what == "large":
        kept = b"x" * int(rest)
        time.sleep(60)
        return len(kept)
    elif what == "lock":
        return threading.Lock()
    elif what == "media":
        raise MediaError("a.mp4 must be a media file, got none; copy it again.")
    elif what == "unpicklable":
        raise Unpicklable(1, 2)
    elif what == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    return job.upper()


def never() -> None:
    raise ArgumentError("weights must be there, got none; fetch them.")


def breaks() -> None:
    raise RuntimeError("no")


def dies() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def ends(jobs: list[str], tmp_path: Path, **options: Any) -> dict[str, JobEnd[str, Any]]:
    found = list(run_jobs(jobs, work, prepare=functools.partial(prepare, tmp_path), **options))
    assert sorted(end.job for end in found) == sorted(jobs)
    return {end.job: end for end in found}


def test_killed_workers_cost_no_other_job(tmp_path: Path) -> None:
    begun: list[tuple[str, int]] = []
    jobs = ["kill 11", "a", "once x", "b", "exit 3", "lock", "media", "unpicklable", "c", "kill 9"]
    found = ends(jobs, tmp_path, workers=2, on_attempt=lambda job, attempt: begun.append((job, attempt)))
    assert {job: (end.result, end.attempts) for job, end in found.items() if end.failure is None} == {
        "a": ("A", 1),
        "b": ("B", 1),
        "c": ("C", 1),
        "once x": ("second", 2),
    }
    assert {job: (end.failure, end.attempts) for job, end in found.items() if end.failure is not None} == {
        "kill 11": ("its worker process was killed by SIGSEGV, 2 times", 2),
        "kill 9": ("its worker process was killed (SIGKILL; is there too little memory?), 2 times", 2),
        "exit 3": ("its worker process ended with exit code 3, 2 times", 2),
        "lock": ("its result cannot be sent: TypeError: cannot pickle '_thread.lock' object", 2),
        "media": ("a.mp4 must be a media file, got none; copy it again.", 1),
        "unpicklable": (f"Unpicklable: 1 2 (test_workers.py:{line_of('raise Unpicklable')})", 2),
    }
    again = [job for job, attempt in begun if attempt == 2]
    assert begun.index((again[0], 2)) > begun.index(("kill 9", 1))  # after all others were begun
    assert sorted(begun) == sorted({*begun})


def line_of(text: str) -> int:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(text))


def test_worker_that_is_silent_is_ended(tmp_path: Path) -> None:
    found = ends(["sleep 60", "beating"], tmp_path, workers=2, limits=Limits(attempts=1, silence_seconds=2.0))
    assert found["beating"].result == "BEATING"
    assert found["sleep 60"].failure == "its worker process was ended after 2 s without a sign of life"


def test_worker_that_is_too_large_is_ended(tmp_path: Path) -> None:
    found = ends(["large 300000000", "a"], tmp_path, workers=2, limits=Limits(attempts=1, memory_mib=250))
    assert found["a"].result == "A"
    assert found["large 300000000"].failure == "its worker process was ended for using more than 250 MiB"


@pytest.mark.parametrize("workers", [0, 2])
def test_disk_that_is_full_ends_the_run(tmp_path: Path, workers: int) -> None:
    with pytest.raises(OSError, match="No space left"):
        list(run_jobs(["full", "a"], work, workers=workers, prepare=functools.partial(prepare, tmp_path)))


@pytest.mark.parametrize(
    ("first", "error", "message"),
    [
        (never, ArgumentError, "weights must be there"),
        (breaks, EdgeaffError, "RuntimeError: no"),
        (dies, EdgeaffError, "3 workers died before their first job; the last one was killed by SIGSEGV"),
    ],
)
def test_workers_that_cannot_begin_end_the_run(first: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        list(run_jobs(["1", "2"], work, workers=1, prepare=first))


def test_in_this_process_errors_end_as_in_another(tmp_path: Path) -> None:
    found = ends(["a", "media", "unpicklable"], tmp_path, workers=0)
    assert found["a"].result == "A" and found["media"].attempts == 1
    assert found["unpicklable"].failure == f"Unpicklable: 1 2 (test_workers.py:{line_of('raise Unpicklable')})"
    with pytest.raises(ArgumentError, match="workers must be"):
        next(run_jobs([], work, workers=-1))


def test_jobs_are_taken_as_workers_become_free_and_leaving_early_ends_the_workers(tmp_path: Path) -> None:
    taken: list[int] = []

    def endless() -> Any:
        while True:
            taken.append(1)
            yield "a"

    running = run_jobs(endless(), work, workers=1, prepare=functools.partial(prepare, tmp_path))
    assert [next(running).result for _ in range(3)] == ["A"] * 3
    started = time.monotonic()
    running.close()
    assert len(taken) <= 6 and time.monotonic() - started < 1.5


ORPHANS = """
import functools, os, time
from edgeaff.workers import run_jobs
from tests.test_workers import Worker, prepare, work
from pathlib import Path
def note(job, attempt):
    print("begun", flush=True)
if __name__ == "__main__":
    list(run_jobs(["sleep 60"] * 2, work, workers=2, prepare=functools.partial(prepare, Path(".")), on_attempt=note))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent_and_leave_ctrl_c_to_it(tmp_path: Path, root: Path, number: int) -> None:
    (tmp_path / "orphans.py").write_text(ORPHANS)
    parent = subprocess.Popen(
        [sys.executable, "orphans.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None
    assert [parent.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
    os.killpg(parent.pid, number) if number == signal.SIGINT else parent.send_signal(number)
    _, errors = parent.communicate(timeout=20)  # the workers hold these pipes too: it returns when all have ended
    assert errors.count("Traceback") == (number == signal.SIGINT)  # the parent's own


def test_extraction_workers_load_no_torch(root: Path) -> None:
    program = (
        "import sys, edgeaff.training.features.corpus\n"
        "from edgeaff.training.features.recipe import ExtractRecipe\n"
        "ExtractRecipe().load()\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(root)}).returncode == 0

"""The driver and the ledger with an engine of numbers: attempts, poison, resumption, efficiency on a simulated cluster."""

from __future__ import annotations

import heapq
import random
from dataclasses import replace

import pytest

from edgeaff.archive.driver import Driver, Progress
from edgeaff.archive.engines import Reply
from edgeaff.archive.ledger import MOST_INTERRUPTIONS, Entry, Ledger
from edgeaff.archive.report import status_report
from edgeaff.archive.storage import LocalStore
from edgeaff.archive.task import Task
from edgeaff.errors import ArgumentError, MediaError


class MemoryStore:
    """A store without a disk."""

    root = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def read(self, name):
        return self.objects.get(name)

    def write(self, name, data):
        self.objects[name] = data

    def names(self, folder):
        return iter([name for name in self.objects if name.startswith(folder + "/")])


class SimulatedEngine:
    """Workers that take simulated seconds; `ends` gives the kinds of a file's replies, done where it is exhausted."""

    def __init__(self, capacity, seconds, ends=None):
        self.capacity, self.now, self.busy = capacity, 0.0, 0.0
        self._seconds, self._ends, self._open = seconds, ends or {}, []
        self.most_open = 0
        self.begun: list[str] = []

    def submit(self, task):
        self.begun.append(task.file)
        self.busy += self._seconds(task)
        heapq.heappush(self._open, (self.now + self._seconds(task), task.file, task))
        self.most_open = max(self.most_open, len(self._open))

    def next(self, timeout_seconds):
        self.now, _, task = heapq.heappop(self._open)
        kinds = self._ends.get(task.file, [])
        kind = kinds.pop(0) if kinds else "done"
        return Reply(task, kind, "" if kind == "done" else f"{kind}!", {"seconds": 1.0} if kind == "done" else None)

    def seconds_open(self):
        return 0.0

    def close(self):
        pass


def tasks(count):
    return [Task(f"{number}.mp4", 1000 - number) for number in range(count)]


def run(engine, given, store=None, **options):
    ledger = Ledger(store or MemoryStore())
    Driver(ledger, engine, clock=lambda: engine.now, **options).run(given)
    return {entry.file: entry for entry in ledger.entries()}


def test_every_task_is_done_once_and_longest_first():
    engine = SimulatedEngine(2, lambda task: 1.0)
    entries = run(engine, tasks(7))
    assert engine.begun == [task.file for task in tasks(7)]
    assert {entry.state for entry in entries.values()} == {"done"}
    assert engine.most_open == 2


def test_death_costs_an_attempt_and_the_second_is_poison():
    engine = SimulatedEngine(1, lambda task: 1.0, {"0.mp4": ["died", "died"], "1.mp4": ["died"], "2.mp4": ["failed"]})
    entries = run(engine, tasks(4))
    assert (entries["0.mp4"].state, entries["0.mp4"].reason) == ("poison", "died!")
    assert (entries["1.mp4"].state, entries["1.mp4"].deaths) == ("done", 1)
    assert entries["2.mp4"].state == "failed"
    assert entries["3.mp4"].state == "done"
    report = status_report(list(entries.values()), "out")
    assert report == {
        "done": 2,
        "failed": [{"file": "2.mp4", "reason": "failed!"}],
        "poison": [{"file": "0.mp4", "reason": "died!"}],
        "output": "out",
    }


def test_lost_machine_is_not_the_fault_of_the_file():
    entries = run(SimulatedEngine(1, lambda task: 1.0, {"0.mp4": ["lost"] * 4}), tasks(1))
    assert (entries["0.mp4"].state, entries["0.mp4"].deaths) == ("done", 0)


def test_attempt_is_in_the_ledger_before_the_work_starts():
    store = MemoryStore()

    class Watching(SimulatedEngine):
        def submit(self, task):
            states.append(next(entry.state for entry in Ledger(store).entries() if entry.id == task.id))
            super().submit(task)

    states: list[str] = []
    run(Watching(1, lambda task: 1.0), tasks(3), store)
    assert states == ["running"] * 3


def test_second_run_begins_only_what_has_no_final_entry():
    store = MemoryStore()
    ledger = Ledger(store)
    done, failed, running, fresh = tasks(4)
    ledger.write(Entry(done.id, done.file, "done"))
    ledger.write(Entry(failed.id, failed.file, "failed"))
    ledger.write(Entry(running.id, running.file, "running", deaths=1))
    engine = SimulatedEngine(2, lambda task: 1.0)
    entries = run(engine, [done, failed, running, fresh], store)
    assert engine.begun == [running.file, fresh.file]
    assert (entries[running.file].deaths, entries[running.file].interruptions) == (1, 1)


def test_file_over_which_drivers_end_becomes_poison():
    store = MemoryStore()
    ledger = Ledger(store)
    (task,) = tasks(1)
    for _ in range(MOST_INTERRUPTIONS):
        ((_, entry),) = ledger.open_tasks([task])
        ledger.write(replace(entry, state="running"))
    assert ledger.open_tasks([task]) == []
    assert [entry.state for entry in ledger.entries()] == ["poison"]


def test_ledger_of_another_run_is_refused_by_name(tmp_path):
    ledger = Ledger(LocalStore(tmp_path))
    ledger.check_run({"bundle": "a", "version": "1"})
    ledger.check_run({"bundle": "a", "version": "1"})
    with pytest.raises(ArgumentError, match="bundle 'b' where .* was begun with 'a'"):
        ledger.check_run({"bundle": "b", "version": "1"})


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"id": 1}', b"[" * 100_000])
def test_damaged_entry_is_named(tmp_path, data):
    store = LocalStore(tmp_path)
    store.write("ledger/tasks/ab/abcd.json", data)
    with pytest.raises(MediaError, match=r"ledger/tasks/ab/abcd.json: .*remove it"):
        list(Ledger(store).entries())


def test_progress_counts_media_and_expects_an_end():
    seen: list[Progress] = []
    run(SimulatedEngine(1, lambda task: 2.0), tasks(4), progress=seen.append)
    assert [progress.files for progress in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert seen[1].rate == pytest.approx(0.5)
    assert seen[1].eta_seconds == pytest.approx(4.0, rel=0.02)


def test_simulated_cluster_of_512_workers_is_busy():
    """Longest first: 20,000 files of 5 to 400 s, log-normal; the bound is max(total / N, longest)."""
    draw = random.Random(0)
    sizes = [min(400, max(5, int(draw.lognormvariate(3.5, 0.8)))) for _ in range(20_000)]
    given = sorted((Task(f"{number}", size) for number, size in enumerate(sizes)), key=lambda task: -task.size)
    engine = SimulatedEngine(512, lambda task: float(task.size))
    run(engine, given)
    assert engine.busy / (512 * engine.now) >= 0.95


def test_shards_split_the_tasks_deterministically():
    given = tasks(300)
    shards = [[task for task in given if task.in_shard(index, 7)] for index in range(7)]
    assert sorted(task.file for shard in shards for task in shard) == sorted(task.file for task in given)
    assert all(20 <= len(shard) <= 70 for shard in shards)

"""The ledger: what became of each task, one small object per task, written whole. Readers and resumption follow it alone.

| state | meaning |
|---|---|
| running | begun: the attempt is counted before the work starts |
| done | its part is complete under its name |
| failed | the file cannot be used; it is not tried again |
| poison | the worker died `MOST_ATTEMPTS` times over it; it is not tried again |

An entry that still reads "running" when a driver starts is of a driver that ended. It is begun again; after
`MOST_INTERRUPTIONS` such ends it is poison, since the file may be what ends the machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edgeaff.archive.storage import Store
from edgeaff.archive.task import Task
from edgeaff.errors import ArgumentError, MediaError

RUN = "ledger/run.json"
TASKS = "ledger/tasks"
MOST_ATTEMPTS = 2
MOST_INTERRUPTIONS = 5
FINAL = ("done", "failed", "poison")


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one task.

    Attributes:
        id: of the task.
        file: its path as given.
        state: see the table of this module.
        deaths: workers that died over it.
        interruptions: drivers that ended while it ran.
        reason: why it failed or is poison.
        summary: of a file that is done: rows, seconds, status counts, means, warnings.
    """

    id: str
    file: str
    state: str
    deaths: int = 0
    interruptions: int = 0
    reason: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Returns whether the task is not begun again."""
        return self.state in FINAL


class Ledger:
    """The entries of one output folder."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check_run(self, description: Mapping[str, Any]) -> None:
        """Notes what makes the parts, or compares it with what made those that are there.

        Args:
            description: bundle, versions and options, plain values.

        Raises:
            ArgumentError: the folder holds parts that were made otherwise.
        """
        held = self._store.read(RUN)
        if held is None:
            self._store.write(RUN, _json(description))
            return
        before = _parsed(held, RUN)
        for name in sorted({*before, *description}):
            if before.get(name) != description.get(name):
                raise ArgumentError(
                    f"output must hold parts of one run, got {name} {description.get(name)!r} where {self._store.root} was begun "
                    f"with {before.get(name)!r}; choose another output, or run it as before."
                )

    def run(self) -> dict[str, Any] | None:
        """Returns the description of the run; None before the first run."""
        held = self._store.read(RUN)
        return None if held is None else _parsed(held, RUN)

    def write(self, entry: Entry) -> None:
        """Notes an entry, durably."""
        self._store.write(_name(entry.id), _json(asdict(entry)))

    def entries(self) -> Iterator[Entry]:
        """Yields all entries.

        Raises:
            MediaError: one cannot be read.
        """
        for name in self._store.names(TASKS):
            data = self._store.read(name)
            if data is not None:
                try:
                    yield Entry(**_parsed(data, name))
                except TypeError as error:
                    raise MediaError(
                        f"{name}: not an entry of a ledger ({error}); remove it to annotate the file again."
                    ) from error

    def open_tasks(self, tasks: Iterable[Task]) -> list[tuple[Task, Entry]]:
        """Returns the tasks that are to be done, in their order, with the entry that each begins from."""
        known = {entry.id: entry for entry in self.entries()}
        todo = []
        for task in tasks:
            entry = known.get(task.id, Entry(task.id, task.file, "todo"))
            if entry.state == "running":
                entry = replace(entry, interruptions=entry.interruptions + 1)
                if entry.interruptions >= MOST_INTERRUPTIONS:
                    reason = f"the driver ended {MOST_INTERRUPTIONS} times while this file was annotated"
                    entry = replace(entry, state="poison", reason=reason)
                    self.write(entry)
            if not entry.is_final:
                todo.append((task, entry))
        return todo


def _name(task_id: str) -> str:
    return f"{TASKS}/{task_id[:2]}/{task_id}.json"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, allow_nan=False).encode()


def _parsed(data: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MediaError(f"{name}: not JSON ({error}); remove it to annotate the file again.") from error
    if not isinstance(value, dict):
        raise MediaError(
            f"{name}: must hold an object, got {type(value).__name__}; remove it to annotate the file again."
        )
    return value

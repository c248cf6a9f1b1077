"""What a worker does with one file: read it as `analyze` does, write its events as a part, return what became of it."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from edgeaff.archive.sources import MEMBER, open_tar
from edgeaff.archive.storage import Store, fetch, scheme_of
from edgeaff.archive.task import Task
from edgeaff.bundle import ModelBundle
from edgeaff.delivery.arrow import ParquetSink
from edgeaff.delivery.files import JsonlSink
from edgeaff.delivery.provenance import provenance
from edgeaff.errors import MediaError
from edgeaff.output_file import PRIVATE
from edgeaff.runtime import Runtime
from edgeaff.types import DIMENSIONS, AffectEvent

FORMATS = ("parquet", "jsonl")
EVENTS = "events"
Report = Callable[[dict[str, Any]], None]


def part_name(task: Task, kind: str) -> str:
    """Returns the name of a task's part: it depends on the path of the file and the format alone."""
    return f"{EVENTS}/part-{task.id}.{kind}"


def annotate_file(
    task: Task, store: Store, bundle: ModelBundle, *, options: Mapping[str, Any], kind: str, report: Report
) -> dict[str, Any]:
    """Writes the part of one file.

    Args:
        task: the file.
        store: where the part goes.
        bundle: the model.
        options: of Runtime.
        kind: one of `FORMATS`.
        report: called with {"kind": "opened", "seconds": ...}, and every 10 s of media with {"kind": "progress", "seconds": ...}.

    Returns:
        The summary for the ledger.

    Raises:
        MediaError: the file cannot be used, or holds nothing.
    """
    part = store.temporary()
    try:
        with local_media(task.file) as path, Runtime(bundle, video=path, **options) as runtime:
            report({"kind": "opened", "seconds": runtime.duration_seconds})
            backend = str(runtime.health().backend["name"])
            summary = _Summary()
            with _sink(part, task, kind, provenance(runtime.bundle, backend=backend)) as sink:
                for event in runtime:
                    sink.write(event)
                    summary.add(event)
                    if summary.rows % 300 == 0:
                        report({"kind": "progress", "seconds": event.pts_ns / 1e9})
            if not summary.rows:
                raise MediaError(
                    f"{os.path.basename(task.file)}: holds no frame and less than 60 ms of audio; check the file."
                )
            part.chmod(PRIVATE)
            store.commit(part, part_name(task, kind))
            return summary.to_dict(runtime.duration_seconds, runtime.warnings)
    finally:
        part.unlink(missing_ok=True)


def _sink(path: Path, task: Task, kind: str, metadata: Mapping[str, str]) -> Any:
    if kind == "jsonl":
        return JsonlSink(path, append=False)
    return ParquetSink(path, metadata=metadata, file=task.file)


@contextmanager
def local_media(name: str) -> Iterator[str]:
    """Gives the path of a file on this machine: the file itself, or a copy that is removed afterwards.

    Args:
        name: path, URI, or `ARCHIVE.tar::MEMBER`.

    Yields:
        The path.

    Raises:
        MediaError: the tar has no such member.
    """
    archive, separator, member = name.partition(MEMBER)
    in_tar = bool(separator) and archive.lower().endswith(".tar")
    if not in_tar and scheme_of(name) is None:
        yield name
        return
    folder = Path(tempfile.mkdtemp(prefix="edgeaff-"))
    try:
        yield os.fspath(_from_tar(archive, member, folder) if in_tar else fetch(name, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _from_tar(archive: str, member: str, folder: Path) -> Path:
    with open_tar(archive) as tar:
        try:
            stream = tar.extractfile(member)
        except KeyError:
            stream = None
        if stream is None:
            raise MediaError(f"{archive}: has no file {member!r}; the tar has changed.")
        target = folder / PurePosixPath(member).name
        with open(target, "wb") as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
    return target


@dataclass(slots=True)
class _Summary:
    """Counts and weighted means of the events of one file; weights are 1 / std^2."""

    rows: int = 0
    last_ns: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    sums: dict[str, list[float]] = field(default_factory=lambda: {name: [0.0, 0.0, 0.0] for name in DIMENSIONS})

    def add(self, event: AffectEvent) -> None:
        """Takes one event."""
        self.rows += 1
        self.last_ns = max(self.last_ns, event.pts_ns)
        self.statuses[event.status.value] += 1
        for name in DIMENSIONS:
            value, std = getattr(event, name), getattr(event, f"{name}_std")
            if value is not None:
                weight = 1.0 / max(std, 1e-3) ** 2 if std is not None else 1.0
                total = self.sums[name]
                total[0] += weight
                total[1] += weight * value
                total[2] += weight * value * value

    def to_dict(self, duration_seconds: float | None, warnings: list[str]) -> dict[str, Any]:
        """Returns plain values for the ledger."""
        seconds = self.last_ns / 1e9 if duration_seconds is None else duration_seconds
        row: dict[str, Any] = {
            "rows": self.rows,
            "seconds": round(seconds, 3),
            "statuses": dict(self.statuses),
            "warnings": list(warnings)[:20],
        }
        for name, (weight, first, second) in self.sums.items():
            mean = first / weight if weight else None
            row[f"{name}_mean"] = mean
            row[f"{name}_sd"] = None if mean is None else math.sqrt(max(second / weight - mean * mean, 0.0))
        return row

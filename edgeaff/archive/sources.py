"""What a SOURCE names: a file, a folder, a glob, a manifest in CSV or Parquet, a tar of WebDataset, the same in an object store."""

from __future__ import annotations

import contextlib
import csv
import glob
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from edgeaff.archive.storage import remote_filesystem, scheme_of
from edgeaff.archive.task import Task
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.naming import public_name

MEDIA = frozenset(
    (
        ".3gp",
        ".aac",
        ".aif",
        ".aiff",
        ".avi",
        ".flac",
        ".flv",
        ".m2ts",
        ".m4a",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp3",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".oga",
        ".ogg",
        ".ogv",
        ".opus",
        ".ts",
        ".wav",
        ".webm",
        ".wma",
        ".wmv",
    )
)  # endings that are taken from a folder, a tar or an object store; a file that is named is always taken
MANIFESTS = (".csv", ".parquet")
PATH_COLUMNS = ("file", "path")
SEGMENT_COLUMNS = ("start", "end")
MEMBER = "::"


def find_tasks(sources: Sequence[str | os.PathLike[str]]) -> list[Task]:
    """Returns the tasks of all sources, each file once, longest first by its bytes.

    Args:
        sources: paths and URIs.

    Raises:
        ArgumentError: a source names nothing, or a manifest lacks its column.
        BackendUnavailableError: a package for an object store is missing.
    """
    tasks: dict[str, Task] = {}
    for source in sources:
        found = list(_expand(os.fspath(source)))
        if not found:
            raise ArgumentError(f"source must name media files, got none in {public_name(source)!r}; check the path.")
        for task in found:
            tasks.setdefault(task.file, task)
    return sorted(tasks.values(), key=lambda task: (-task.size, task.file))


def _expand(source: str) -> Iterator[Task]:
    if scheme_of(source) not in (None, "file"):
        yield from _expand_remote(source)
        return
    path = Path(source.removeprefix("file://"))
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in MEDIA and file.is_file():
                yield _local(os.fspath(file))
            elif file.suffix.lower() == ".tar":
                yield from _members(os.fspath(file))
    elif path.is_file():
        yield from _one_file(source, path.suffix.lower())
    else:
        for name in sorted(glob.glob(source, recursive=True)):
            if os.path.isfile(name):
                yield from _one_file(name, Path(name).suffix.lower())


def _one_file(name: str, suffix: str) -> Iterator[Task]:
    if suffix in MANIFESTS:
        yield from _manifest(name, suffix)
    elif suffix == ".tar":
        yield from _members(name)
    else:
        yield _local(name)


def _local(name: str) -> Task:
    with contextlib.suppress(OSError):
        return Task(name, os.path.getsize(name))
    return Task(name)


def _expand_remote(source: str) -> Iterator[Task]:
    system, path = remote_filesystem(source)
    scheme = source.partition("://")[0]
    if "*" in path or "?" in path:
        found = system.glob(path, detail=True)
    elif system.isdir(path):
        found = system.find(path, detail=True)
    else:
        found = {path: system.info(path)}
    for name, info in sorted(found.items()):
        suffix = PurePosixPath(name).suffix.lower()
        uri = f"{scheme}://{name}"
        if suffix == ".tar":
            yield from _members(uri)
        elif suffix in MEDIA or len(found) == 1:
            yield Task(uri, int(info.get("size") or 0))


@contextlib.contextmanager
def open_tar(name: str) -> Iterator[tarfile.TarFile]:
    """Opens a tar, local or remote, without compression.

    Args:
        name: path or URI.

    Yields:
        The tar.

    Raises:
        MediaError: it is no tar.
    """
    stream: IO[bytes] | Any
    if scheme_of(name) is None:
        stream = open(name, "rb")  # noqa: SIM115
    else:
        system, path = remote_filesystem(name)
        stream = system.open(path, "rb")
    with stream:
        try:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                yield tar
        except tarfile.TarError as error:
            raise MediaError(f"{public_name(name)}: not a tar file ({error}); check the file.") from error


def _members(name: str) -> Iterator[Task]:
    with open_tar(name) as tar:
        for member in tar:
            if member.isfile() and PurePosixPath(member.name).suffix.lower() in MEDIA:
                yield Task(f"{name}{MEMBER}{member.name}", member.size)


def _manifest(name: str, suffix: str) -> Iterator[Task]:
    rows = _csv_rows(name) if suffix == ".csv" else _parquet_rows(name)
    folder = os.path.dirname(name)
    for row in rows:
        column = next((column for column in PATH_COLUMNS if row.get(column)), None)
        if column is None:
            raise ArgumentError(
                f"manifest must have a column file or path with a value in each row, got {name!r}; add it."
            )
        cut = [column for column in SEGMENT_COLUMNS if row.get(column) not in (None, "")]
        if cut:
            raise ArgumentError(
                f"manifest must name whole files, got a column {cut[0]} in {name!r}; cut the files first."
            )
        file = str(row[column])
        if scheme_of(file) is None and not os.path.isabs(file) and not os.path.exists(file):
            file = os.path.join(folder, file)
        yield _local(file) if scheme_of(file) is None else Task(file)


def _csv_rows(name: str) -> Iterator[dict[str, Any]]:
    try:
        with open(name, encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ArgumentError(f"manifest must be CSV in UTF-8, got {name!r} ({error}); convert it.") from error


def _parquet_rows(name: str) -> Iterator[dict[str, Any]]:
    from edgeaff.delivery.arrow import load_pyarrow

    arrow = load_pyarrow()
    try:
        with arrow.parquet.ParquetFile(name) as file:
            known = [column for column in (*PATH_COLUMNS, *SEGMENT_COLUMNS) if column in file.schema_arrow.names]
            for batch in file.iter_batches(columns=known):
                yield from batch.to_pylist()
    except arrow.ArrowException as error:
        raise ArgumentError(f"manifest must be a Parquet file, got {name!r} ({error}); check it.") from error

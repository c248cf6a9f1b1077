"""Stored events back as AffectEvents: JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from edgeaff.delivery.arrow import INTEGERS, TEXTS, load_pyarrow
from edgeaff.delivery.files import CSV_COLUMNS, FACE_COLUMNS
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.types import AffectEvent, FaceBox, Status, TrackedFace

LONGEST_LINE = 1 << 20  # characters; an event takes some 500


def read_events(path: str | os.PathLike[str]) -> list[AffectEvent]:
    """Returns the events of a stored file, in its order.

    Args:
        path: events.jsonl, .csv or .parquet, as a sink of edgeaff wrote it.

    Raises:
        ArgumentError: the suffix is not one of these.
        MediaError: the file cannot be read, or a row of it is not an event.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ArgumentError(f"path must end in {', '.join(READERS)}, got {path.name!r}; convert it first.")
    events: list[AffectEvent] = []
    try:
        for row in reader(path):
            events.append(event_of(row))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, csv.Error) as error:
        raise MediaError(
            f"{path}: row {len(events) + 1} is not an event of edgeaff ({type(error).__name__}: {error}); write the file again."
        ) from error
    return events


def event_of(row: Mapping[str, Any]) -> AffectEvent:
    """Returns the event of a flat row.

    Args:
        row: `CSV_COLUMNS` by name; None for what the event lacks. Columns that are missing are None.

    Raises:
        ValueError: a value is not of its column's kind, or not finite.
    """
    values = {
        field.name: _value(field.name, row.get(field.name)) for field in fields(AffectEvent) if field.name != "face"
    }
    values["status"] = Status(values["status"])
    track, *numbers = (row.get(name) for name in FACE_COLUMNS)
    face = None
    if track is not None:
        x0, y0, x1, y1, score = (_number(number) for number in numbers)
        face = TrackedFace(int(track), FaceBox(x0, y0, x1, y1), score)
    return AffectEvent(face=face, **values)


def event_of_dict(row: Mapping[str, Any]) -> AffectEvent:
    """Returns the event of which `AffectEvent.to_dict` made a dict.

    Args:
        row: fields by name; those that are missing are None.

    Raises:
        ValueError: a value is not of its field's kind, or not finite.
    """
    return event_of(_flat(row))


def _flat(row: Mapping[str, Any]) -> Mapping[str, Any]:
    values = dict(row)
    face = values.pop("face", None)
    if face is not None:
        values.update(zip(FACE_COLUMNS, (face["track_id"], *face["box"], face["score"]), strict=True))
    return values


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in TEXTS:
        return str(value)
    return int(value) if name in INTEGERS else _number(value)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"must be finite, got {value!r}")
    return number


def _rows_of_jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    with open(path, encoding="utf-8") as file:
        while line := file.readline(LONGEST_LINE):
            if not line.strip():
                continue
            row = json.loads(line)
            if not (isinstance(row, dict) and row.get("type") == "change"):
                yield _flat(row)


def _rows_of_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: row[name] or None for name in CSV_COLUMNS if name in row}


def _rows_of_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    arrow = load_pyarrow()
    try:
        with arrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except arrow.ArrowException as error:
        raise ValueError(str(error)) from error


READERS: dict[str, Callable[[Path], Iterator[Mapping[str, Any]]]] = {
    ".jsonl": _rows_of_jsonl,
    ".csv": _rows_of_csv,
    ".parquet": _rows_of_parquet,
}

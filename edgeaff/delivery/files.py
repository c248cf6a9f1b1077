"""Sinks that append to a file, unbuffered, so that a crash loses nothing that was written, and a full disk leaves no half line."""

from __future__ import annotations

import csv
import json
import math
import numbers
import os
from dataclasses import fields
from typing import Any

from edgeaff.closing import Closing
from edgeaff.delivery.line_file import LineFile, RecordForm, begins_with
from edgeaff.output_file import PRIVATE, opening
from edgeaff.types import EVENT_SCHEMA, PEOPLE_FIELDS, AffectEvent, ChangeEvent

_FIELDS = tuple(field.name for field in fields(AffectEvent))
FACE_COLUMNS = ("face_track_id", "face_x0", "face_y0", "face_x1", "face_y1", "face_score")


def _csv_columns() -> tuple[str, ...]:
    columns: list[str] = []
    for name in _FIELDS:
        columns += FACE_COLUMNS if name == "face" else (name,)
    return tuple(columns)


CSV_COLUMNS = _csv_columns()
OLDER_COLUMNS = CSV_COLUMNS[: -len(PEOPLE_FIELDS)]  # of a file that an edgeaff before event schema 2 began


def finite_row(event: AffectEvent) -> tuple[dict[str, Any], int]:
    """Returns the fields of an event by name, and how many of them were not finite: those are None in the row.

    A Session gives no such event; user code may.
    """
    row, lost = event.to_dict(), 0
    for name, value in row.items():
        values = [*value["box"], value["score"]] if name == "face" and value is not None else [value]
        if not all(math.isfinite(value) for value in values if isinstance(value, numbers.Real)):
            row[name] = None
            lost += 1
    return row, lost


def event_json(event: AffectEvent) -> str:
    """Returns one line of JSON with every field of the event's schema, no value as null, without a newline."""
    return _json(finite_row(event)[0])


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, allow_nan=False, separators=(",", ":"), default=lambda number: number.item())  # of NumPy


def event_row(event: AffectEvent) -> list[Any]:
    """Returns the values of `CSV_COLUMNS`; None where there is none."""
    return _spread(finite_row(event)[0])


def _spread(fields_by_name: dict[str, Any]) -> list[Any]:
    row: list[Any] = []
    for name in _FIELDS:
        value = fields_by_name.get(name)
        if name != "face":
            row.append(value)
        elif value is None:
            row += [None] * len(FACE_COLUMNS)
        else:
            row += [value["track_id"], *value["box"], value["score"]]
    return row


class EventEncoder:
    """What sinks write of an event.

    Attributes:
        not_finite: how many values were NaN or infinite so far, and were written as no value.
    """

    not_finite = 0

    def as_row(self, event: AffectEvent) -> dict[str, Any]:
        """Returns the fields of an event by name, every number of it finite."""
        row, lost = finite_row(event)
        self.not_finite += lost
        return row

    def as_json(self, event: AffectEvent | ChangeEvent) -> str:
        """Returns the same as one line of JSON; a change has `"type": "change"`, which no event has."""
        if isinstance(event, ChangeEvent):
            return _json({"schema": EVENT_SCHEMA, **event.to_dict()})
        return _json(self.as_row(event))


class FileSink(EventEncoder, Closing):
    """A text file that is written record by record, private by default, continued when it is there."""

    _HEAD = b""
    _BEGINS = b""
    _ENDS = b"\n"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        append: bool = True,
        mode: int = PRIVATE,
        max_mb: float | None = None,
        keep: int = 1,
    ) -> None:
        """Opens the file.

        Args:
            path: what to write; the folder must exist. Another process may rotate it.
            append: keep what is there and write behind it; a last record that was cut off is removed.
            mode: rights of a file that is made here; one that is there keeps its own.
            max_mb: where the file would grow beyond this many megabytes, it becomes PATH.1 and a new one begins; None never.
            keep: how many of PATH.1, PATH.2, ... stay.

        Raises:
            ArgumentError: the file cannot be written, or holds something else.
            DeviceError: the disk is full.
        """
        with opening(path):
            form = RecordForm(self._HEAD, self._BEGINS, self._ENDS, self._is_whole)
            max_bytes = None if max_mb is None else int(max_mb * 1e6)
            self._file = LineFile(path, append=append, mode=mode, max_bytes=max_bytes, keep=keep, form=form)

    def close(self) -> None:
        """Closes the file; may be called again."""
        self._file.close()

    @staticmethod
    def _is_whole(record: bytes) -> bool:
        return False


class JsonlSink(FileSink):
    """One JSON object per event and line, its keys the fields of AffectEvent, every field of its schema in every line."""

    _BEGINS = b'{"schema":'
    takes_changes = True

    def write(self, event: AffectEvent | ChangeEvent) -> None:
        """Appends the event or change and flushes. OSError if the disk refuses."""
        self._file.write(self.as_json(event) + "\n")

    @staticmethod
    def _is_whole(record: bytes) -> bool:
        try:
            return isinstance(json.loads(record), dict)
        except ValueError:
            return False


class CsvSink(FileSink):
    """A header of `CSV_COLUMNS`, then one line per event; None is empty. Times are integers, floats keep all digits.

    A file that an edgeaff before event schema 2 began is continued with its own columns (`OLDER_COLUMNS`).
    """

    _HEAD = (",".join(CSV_COLUMNS) + "\n").encode()
    _OLDER_HEAD = (",".join(OLDER_COLUMNS) + "\n").encode()

    def __init__(self, path: str | os.PathLike[str], **options: Any) -> None:
        """Opens the file, and writes the header where it is empty.

        Args:
            path: what to write; the folder must exist.
            options: of FileSink.
        """
        if options.get("append", True) and begins_with(path, self._OLDER_HEAD):
            self._HEAD = self._OLDER_HEAD
        self._columns = self._HEAD.count(b",") + 1
        super().__init__(path, **options)
        self._writer = csv.writer(self._file, lineterminator="\n")

    def write(self, event: AffectEvent) -> None:
        """Appends the event and flushes. OSError if the disk refuses."""
        self._writer.writerow(_spread(self.as_row(event))[: self._columns])

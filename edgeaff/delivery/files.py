"""Sinks that append to a file, unbuffered, so that a crash loses nothing that was written, and a full disk leaves no half line."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from dataclasses import fields
from typing import Any

from edgeaff.closing import Closing, opening
from edgeaff.types import AffectEvent

FACE_COLUMNS = ("face_track_id", "face_x0", "face_y0", "face_x1", "face_y1", "face_score")


def _csv_columns() -> tuple[str, ...]:
    columns: list[str] = []
    for field in fields(AffectEvent):
        columns += FACE_COLUMNS if field.name == "face" else (field.name,)
    return tuple(columns)


CSV_COLUMNS = _csv_columns()


def event_json(event: AffectEvent) -> str:
    """Returns one line of JSON with every field of the event, no value as null, without a newline."""
    return json.dumps(event.to_dict(), allow_nan=False, separators=(",", ":"))


def event_row(event: AffectEvent) -> list[Any]:
    """Returns the values of `CSV_COLUMNS`; None where there is none."""
    row: list[Any] = []
    for name, value in event.to_dict().items():
        if name != "face":
            row.append(value)
        elif value is None:
            row += [None] * len(FACE_COLUMNS)
        else:
            row += [value["track_id"], *value["box"], value["score"]]
    return row


class LineFile:
    """A file that takes whole texts or nothing: where the disk fills up in the middle of one, its beginning is taken back.

    Nothing is buffered, so a text that failed may be written again without a trace of the first attempt.
    """

    def __init__(self, path: str | os.PathLike[str], *, append: bool) -> None:
        self._file = open(path, "ab" if append else "wb", buffering=0)  # noqa: SIM115
        self._end = self._file.tell() if self._file.seekable() else None

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._file.closed

    def tell(self) -> int:
        """Returns how much is written; 0 for a pipe."""
        return self._end or 0

    def write(self, text: str) -> None:
        """Writes all of the text.

        Raises:
            OSError: the disk refuses; nothing of the text is in the file.
        """
        data = memoryview(text.encode())
        size = len(data)
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError:
            self._take_back()
            raise
        if self._end is not None:
            self._end += size

    def _take_back(self) -> None:
        if self._end is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
                self._file.seek(self._end)

    def close(self) -> None:
        """Closes the file; may be called again."""
        self._file.close()


class _FileSink(Closing):
    """A text file that is written line by line."""

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        """Opens the file.

        Args:
            path: what to write; the folder must exist.
            append: keep what is there and write behind it.

        Raises:
            ArgumentError: the file cannot be opened for writing.
        """
        with opening(path):
            self._file = LineFile(path, append=append)

    def close(self) -> None:
        """Closes the file; may be called again."""
        self._file.close()


class JsonlSink(_FileSink):
    """One JSON object per event and line, its keys the fields of AffectEvent, every field in every line."""

    def write(self, event: AffectEvent) -> None:
        """Appends the event and flushes. OSError if the disk refuses."""
        self._file.write(event_json(event) + "\n")


class CsvSink(_FileSink):
    """A header of `CSV_COLUMNS`, then one line per event; None is empty. Times are integers, floats keep all digits."""

    def __init__(self, path: str | os.PathLike[str], *, append: bool = False) -> None:
        """Opens the file and writes the header, unless it appends to a file that has one.

        Args:
            path: what to write; the folder must exist.
            append: keep what is there and write behind it.
        """
        super().__init__(path, append=append)
        self._writer = csv.writer(self._file, lineterminator="\n")
        if self._file.tell() == 0:
            self._writer.writerow(CSV_COLUMNS)

    def write(self, event: AffectEvent) -> None:
        """Appends the event and flushes. OSError if the disk refuses."""
        self._writer.writerow(event_row(event))

"""analyze: a file in, a table of events out; lossless, deterministic."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.runtime.runtime import Runtime
from edgeaff.types import AffectEvent

COLUMNS = tuple(field.name for field in fields(AffectEvent))


class AffectTable:
    """The events of a file, by row and by column.

    `table["valence"]` is an array, one entry per event: float64 with NaN for None, or objects for status, face and backend.
    `len(table)`, `table.events` and iteration give the AffectEvents.
    """

    columns = COLUMNS

    def __init__(self, events: list[AffectEvent], warnings: list[str]) -> None:
        self.events = events
        self.warnings = warnings

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[AffectEvent]:
        return iter(self.events)

    def __repr__(self) -> str:
        return f"AffectTable({len(self.events)} events, columns={', '.join(self.columns)})"

    def __getitem__(self, column: str) -> np.ndarray:
        """Returns one column.

        Raises:
            ArgumentError: there is none of that name.
        """
        if column not in COLUMNS:
            raise ArgumentError(f"column must be one of {', '.join(COLUMNS)}, got {column!r}; see AffectEvent.")
        values = [getattr(event, column) for event in self.events]
        if column in ("status", "face", "backend"):
            array = np.empty(len(values), object)
            array[:] = [value.value if column == "status" else value for value in values]
            return array
        if column in ("schema", "seq", "pts_ns"):
            return np.array(values, np.int64)
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Writes one JSON object per line, every field in every line, None as null."""
        from edgeaff.delivery.files import JsonlSink

        self._write(JsonlSink(path, append=False))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes a CSV file; face becomes face_track_id, face_x0, ...; None is empty."""
        from edgeaff.delivery.files import CsvSink

        self._write(CsvSink(path, append=False))

    def _write(self, sink: Any) -> None:
        try:
            for event in self.events:
                sink.write(event)
        finally:
            sink.close()


def analyze(
    path: str | os.PathLike[str],
    *,
    audio: str | os.PathLike[str] | None = None,
    progress: Callable[[AffectEvent], None] | None = None,
    **options: Any,
) -> AffectTable:
    """Returns the events of a media file, one per tick and face.

    Args:
        path: video or audio file of any kind that FFmpeg reads.
        audio: another file for the sound; both start at the same instant.
        progress: called with every event as it comes.
        options: bundle, backend, max_faces, detector_stride, smoothing, staleness_seconds as in Runtime.

    Raises:
        ArgumentError: path or audio is no path.
        MediaError: the file cannot be used.
    """
    events = []
    with Runtime(
        video=_as_path("path", path), audio=None if audio is None else _as_path("audio", audio), **options
    ) as runtime:
        for event in runtime:
            events.append(event)
            if progress is not None:
                progress(event)
        return AffectTable(events, runtime.warnings)


def _as_path(name: str, path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ArgumentError(f"{name} must be the path of a media file, got {path!r}; pass for example 'clip.mp4'.")
    return Path(path)

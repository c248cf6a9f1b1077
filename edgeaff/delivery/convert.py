"""Stored events from one format to another. What an input lacks (an older event schema) is empty in the output.

| from | to |
|---|---|
| `.jsonl`, `.csv`, `.parquet` | `.jsonl`, `.csv`, `.parquet`, `.vtt` |
| the same | `.eaf` (ELAN), `.TextGrid` (Praat), `.annotation` (NOVA), `_physio.tsv.gz` (BIDS) |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeaff.delivery.annotations import bids, elan, nova, praat
from edgeaff.delivery.arrow import ParquetSink
from edgeaff.delivery.files import CsvSink, JsonlSink
from edgeaff.delivery.reading import READERS, read_events
from edgeaff.delivery.subtitles import WebVttSink
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.output_file import PRIVATE, opening
from edgeaff.types import AffectEvent

INPUTS = tuple(READERS)


def convert(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, face: int | None = None, media: str | None = None
) -> list[Path]:
    """Writes the events of one stored file in another format.

    Args:
        source: events.jsonl, .csv or .parquet.
        target: file to write; its suffix names the format.
        face: track id, for formats with one subject per file.
        media: media file to link, for ELAN.

    Returns:
        The files that were written.

    Raises:
        ArgumentError: a suffix is unknown, source and target are one file, or the format cannot hold these events.
        MediaError: the source cannot be read, or holds no events.
    """
    path, suffix = Path(target), suffix_of(target)
    if suffix not in WRITERS:
        raise ArgumentError(f"target must end in {', '.join(WRITERS)}, got {path.name!r}; choose one of these.")
    if path.exists() and Path(source).exists() and path.samefile(source):
        raise ArgumentError(f"target must be another file than the source, got {path.name!r} twice; choose another.")
    if not path.parent.is_dir():
        raise ArgumentError(f"target must be in a folder that exists, got {str(path)!r}; make the folder first.")
    events = read_events(source)
    if not events:
        raise MediaError(f"{source}: holds no events; check the file.")
    there = set(path.parent.iterdir())
    with opening(path):
        written = WRITERS[suffix](events, path, face, media)
    for made in set(written) - there:
        made.chmod(PRIVATE)
    return written


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Returns the ending that names the format: the last suffix, or `_physio.tsv.gz`."""
    name = Path(path).name
    return bids.SUFFIX if name.endswith(bids.SUFFIX) else Path(name).suffix


def _write_sink(
    events: Sequence[AffectEvent], sink: JsonlSink | CsvSink | ParquetSink | WebVttSink, path: Path
) -> list[Path]:
    with sink:
        for event in events:
            sink.write(event)
    return [path]


def _write_eaf(events: Sequence[AffectEvent], path: Path, face: int | None, media: str | None) -> list[Path]:
    elan.write(events, path, media=media)
    return [path]


def _write_textgrid(events: Sequence[AffectEvent], path: Path, face: int | None, media: str | None) -> list[Path]:
    praat.write(events, path)
    return [path]


Writer = Callable[[Sequence[AffectEvent], Path, "int | None", "str | None"], list[Path]]
WRITERS: dict[str, Writer] = {
    ".jsonl": lambda events, path, face, media: _write_sink(events, JsonlSink(path, append=False), path),
    ".csv": lambda events, path, face, media: _write_sink(events, CsvSink(path, append=False), path),
    ".parquet": lambda events, path, face, media: _write_sink(events, ParquetSink(path), path),
    ".vtt": lambda events, path, face, media: _write_sink(events, WebVttSink(path, append=False), path),
    ".eaf": _write_eaf,
    ".TextGrid": _write_textgrid,
    ".annotation": lambda events, path, face, media: nova.write(events, path, face=face),
    bids.SUFFIX: lambda events, path, face, media: bids.write(events, path, face=face),
}

"""Events as Arrow columns and Parquet files: the fields of AffectEvent in order, `face` flattened as in the CSV.

| columns | type |
|---|---|
| schema, seq, pts_ns, face_track_id, dropped_since_last | int64 |
| status, backend | dictionary of strings |
| all others | float64 |

A value that an event lacks is null, never NaN. The metadata of the schema hold the provenance of the events.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeaff.closing import Closing
from edgeaff.delivery.files import CSV_COLUMNS, event_row
from edgeaff.delivery.provenance import provenance
from edgeaff.errors import BackendUnavailableError
from edgeaff.output_file import PRIVATE, free_name, opening
from edgeaff.types import AffectEvent

if TYPE_CHECKING:
    import pyarrow

INTEGERS = frozenset(("schema", "seq", "pts_ns", "face_track_id", "dropped_since_last"))
TEXTS = frozenset(("status", "backend"))
ROWS_PER_GROUP = 300  # 10 s of one face


def load_pyarrow() -> Any:
    """Returns pyarrow.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    try:
        pyarrow = import_module("pyarrow")
        import_module("pyarrow.parquet")
    except ImportError as error:
        raise BackendUnavailableError(
            f"Arrow tables and Parquet files need pyarrow, got: {error}; pip install 'edgeaff[table]'."
        ) from error
    return pyarrow


def event_schema(metadata: Mapping[str, str] | None = None, *, with_file: bool = False) -> pyarrow.Schema:
    """Returns the Arrow schema of events.

    Args:
        metadata: entries of the schema; None for the versions alone.
        with_file: whether a first column `file` names the media file.
    """
    arrow = load_pyarrow()
    text = arrow.dictionary(arrow.int32(), arrow.string())
    fields = [arrow.field("file", text)] if with_file else []
    for name in CSV_COLUMNS:
        kind = arrow.int64() if name in INTEGERS else text if name in TEXTS else arrow.float64()
        fields.append(arrow.field(name, kind))
    return arrow.schema(fields, metadata=dict(metadata if metadata is not None else provenance()))


def to_arrow(
    events: Sequence[AffectEvent], *, metadata: Mapping[str, str] | None = None, file: str | None = None
) -> pyarrow.Table:
    """Returns events as an Arrow table.

    Args:
        events: in the order of the rows.
        metadata: entries of the schema; None for the versions alone.
        file: value of the column `file`; None leaves the column out.
    """
    arrow = load_pyarrow()
    schema = event_schema(metadata, with_file=file is not None)
    rows = [event_row(event) for event in events]
    columns: dict[str, list[Any]] = {name: [row[index] for row in rows] for index, name in enumerate(CSV_COLUMNS)}
    if file is not None:
        columns["file"] = [file] * len(rows)
    return arrow.Table.from_pydict(columns, schema=schema)


class ParquetSink(Closing):
    """Writes events to a Parquet file in row groups of 10 s; the file appears under its name when it is complete.

    Until `close` the rows are in `NAME.part` beside it, so a crash never leaves a broken file under the name that readers use.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        metadata: Mapping[str, str] | None = None,
        file: str | None = None,
        rows_per_group: int = ROWS_PER_GROUP,
        mode: int = PRIVATE,
        keep_previous: bool = False,
    ) -> None:
        """Opens the file.

        Args:
            path: file to write; its folder must exist.
            metadata: entries of the schema; None for the versions alone.
            file: value of a first column `file`; None leaves the column out.
            rows_per_group: events per row group.
            mode: rights of the file.
            keep_previous: rename a file that is there to NAME.1.parquet (or the next free number); False overwrites it.

        Raises:
            ArgumentError: the file cannot be opened for writing.
            BackendUnavailableError: pyarrow is not installed.
        """
        load_pyarrow()
        self._path, self._part = Path(path), Path(f"{os.fspath(path)}.part")
        self._metadata, self._file, self._rows_per_group = metadata, file, rows_per_group
        self._keep_previous = keep_previous
        self._waiting: list[AffectEvent] = []
        with opening(path):
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        self._stream = os.fdopen(descriptor, "wb")
        self._writer: Any = None  # made with the first row group: the provenance may come after the file is open
        self._open = True

    def set_provenance(self, metadata: Mapping[str, str]) -> None:
        """Sets the entries of the schema, where the constructor got none and no row is written yet.

        Args:
            metadata: see `edgeaff.delivery.provenance`.
        """
        if self._metadata is None and self._writer is None:
            self._metadata = metadata

    def write(self, event: AffectEvent) -> None:
        """Takes one event; writes a row group when enough wait. OSError if the disk is full."""
        self._waiting.append(event)
        if len(self._waiting) >= self._rows_per_group:
            self._flush()

    def close(self) -> None:
        """Writes the last rows and the footer, then renames the file; may be called again."""
        if not self._open:
            return
        self._open = False
        self._flush()
        self._writer.close()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        if self._keep_previous and self._path.exists():
            os.replace(self._path, free_name(self._path))
        os.replace(self._part, self._path)

    def _flush(self) -> None:
        if self._writer is None:
            schema = event_schema(self._metadata, with_file=self._file is not None)
            self._writer = load_pyarrow().parquet.ParquetWriter(self._stream, schema, compression="zstd")
        if self._waiting:
            table = to_arrow(self._waiting, metadata=self._metadata, file=self._file)
            self._writer.write_table(table, row_group_size=len(self._waiting))
            self._waiting.clear()

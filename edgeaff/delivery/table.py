"""AffectTable: the events of a file by row and by column, and the doors to pandas, polars, Arrow and Parquet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from edgeaff.delivery.arrow import ParquetSink, to_arrow
from edgeaff.delivery.files import CSV_COLUMNS, CsvSink, JsonlSink, event_row
from edgeaff.delivery.html import table_html
from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.types import AffectEvent

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

COLUMNS = tuple(field.name for field in fields(AffectEvent))
OBJECTS = ("status", "face", "backend")
INDEXES = (None, "time", "segments")
TICKS_HZ = 30


class AffectTable:
    """The events of a file, by row and by column.

    | expression | result |
    |---|---|
    | `table["valence"]` | one column, (n,): float64 with NaN for None, or objects for status, face and backend |
    | `table[["valence", "arousal"]]` | several columns of numbers, (n, k) float64 |
    | `table[0]`, `table[2:5]` | one AffectEvent, a table of several |

    Iteration and `table.events` give the AffectEvents.

    Attributes:
        events: AffectEvents in order.
        warnings: what the source reported, one sentence each.
        source: path of the media file, or "".
        metadata: provenance of the events, as Parquet files carry it.
    """

    columns = COLUMNS

    def __init__(
        self,
        events: list[AffectEvent],
        warnings: list[str],
        *,
        source: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.events = events
        self.warnings = warnings
        self.source = source
        self.metadata = dict(metadata or {})

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[AffectEvent]:
        return iter(self.events)

    def __repr__(self) -> str:
        return f"AffectTable({len(self.events)} events, columns={', '.join(self.columns)})"

    def _repr_html_(self) -> str:
        """Returns counts per status and a small drawing of both traces, for notebooks."""
        return table_html(self.events, source=Path(self.source).name)

    @overload
    def __getitem__(self, key: int | np.integer) -> AffectEvent: ...
    @overload
    def __getitem__(self, key: slice) -> AffectTable: ...
    @overload
    def __getitem__(self, key: str | Sequence[str]) -> np.ndarray: ...
    def __getitem__(self, key: Any) -> Any:
        """Returns a column, several columns, an event or a part of the table; see the class.

        Raises:
            ArgumentError: there is no such column, or several are asked for that are not all numbers.
            IndexError: there is no such row.
        """
        if isinstance(key, str):
            return self._column(key)
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            return self.events[int(key)]
        if isinstance(key, slice):
            return AffectTable(self.events[key], self.warnings, source=self.source, metadata=self.metadata)
        if not isinstance(key, (list, tuple)) or not key or any(name in OBJECTS for name in key):
            raise ArgumentError(
                f"key must be a column, a list of columns of numbers, a row or a slice, got {key!r}; see AffectTable."
            )
        return np.stack([self._column(name).astype(np.float64) for name in key], axis=1)

    def _column(self, name: str) -> np.ndarray:
        if name not in COLUMNS:
            raise ArgumentError(f"column must be one of {', '.join(COLUMNS)}, got {name!r}; see AffectEvent.")
        values = [getattr(event, name) for event in self.events]
        if name in OBJECTS:
            array = np.empty(len(values), object)
            array[:] = [value.value if name == "status" else value for value in values]
            return array
        if name in ("schema", "seq", "pts_ns"):
            return np.array(values, np.int64)
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def to_jsonl(self, path: str | os.PathLike[str]) -> None:
        """Writes one JSON object per line, every field in every line, None as null."""
        self._write(JsonlSink(path, append=False))

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes a CSV file; face becomes face_track_id, face_x0, ...; None is empty."""
        self._write(CsvSink(path, append=False))

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Writes a Parquet file: the columns of the CSV, typed, with the provenance as metadata.

        Raises:
            BackendUnavailableError: pyarrow is not installed.
        """
        self._write(ParquetSink(path, metadata=self.metadata or None))

    def to_arrow(self) -> pyarrow.Table:
        """Returns an Arrow table: the columns of the CSV, typed, None as null, the provenance as metadata.

        Raises:
            BackendUnavailableError: pyarrow is not installed.
        """
        return to_arrow(self.events, metadata=self.metadata or None)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Returns the table as an Arrow C stream: what polars, DuckDB and pandas read without a copy."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_polars(self) -> polars.DataFrame:
        """Returns a polars DataFrame with the columns of the CSV.

        Raises:
            BackendUnavailableError: polars is not installed.
        """
        try:
            import polars
        except ImportError as error:
            raise BackendUnavailableError(f"to_polars needs polars, got: {error}; pip install polars.") from error
        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def to_pandas(self, *, index: str | None = None) -> pandas.DataFrame:
        """Returns a pandas DataFrame with the columns of the CSV; NaN, or <NA> in integer columns, for None.

        Args:
            index: None counts the rows; "time" is the tick as a timedelta; "segments" is (file, start, end), the convention
                of audformat, with the tick's length as the segment.

        Raises:
            ArgumentError: index is none of these.
            BackendUnavailableError: pandas is not installed.
        """
        if index not in INDEXES:
            raise ArgumentError(f"index must be one of {INDEXES}, got {index!r}; leave it out to count the rows.")
        try:
            import pandas
        except ImportError as error:
            raise BackendUnavailableError(f"to_pandas needs pandas, got: {error}; pip install pandas.") from error
        rows = [event_row(event) for event in self.events]
        columns = {
            name: pandas.Series([row[place] for row in rows], dtype=_pandas_type(name))
            for place, name in enumerate(CSV_COLUMNS)
        }
        frame = pandas.DataFrame(columns)
        frame.attrs = dict(self.metadata)
        if index is None:
            return frame
        start = pandas.to_timedelta(self._column("pts_ns"), unit="ns")
        if index == "time":
            return frame.set_index(pandas.Index(start, name="time"))
        end = start + pandas.to_timedelta(round(1e9 / TICKS_HZ), unit="ns")
        return frame.set_index(
            pandas.MultiIndex.from_arrays([[self.source] * len(rows), start, end], names=["file", "start", "end"])
        )

    def _write(self, sink: JsonlSink | CsvSink | ParquetSink) -> None:
        with sink:
            for event in self.events:
                sink.write(event)


def _pandas_type(name: str) -> str:
    if name in ("schema", "seq", "pts_ns"):
        return "int64"
    if name in ("face_track_id", "dropped_since_last"):
        return "Int64"
    return "object" if name in ("status", "backend") else "float64"

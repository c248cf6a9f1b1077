"""AffectTable: rows, columns, and what pandas, polars, Arrow, DuckDB and Parquet readers get."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaff.delivery.arrow import ParquetSink
from edgeaff.delivery.files import CSV_COLUMNS, event_row
from edgeaff.delivery.open import open_sink
from edgeaff.delivery.reading import read_events
from edgeaff.delivery.table import AffectTable
from edgeaff.errors import ArgumentError, MediaError
from tests.delivery.events import EMPTY, FULL, events

METADATA = {"edgeaff.bundle": "test", "edgeaff.version": "0"}


@pytest.fixture
def table() -> AffectTable:
    return AffectTable([FULL, EMPTY], [], source="clip.mp4", metadata=METADATA)


def test_row_slice_and_columns(table):
    assert table[0] is FULL
    assert table[-1] is EMPTY
    assert table[1:].events == [EMPTY]
    assert table[1:].source == "clip.mp4"
    values = table[["valence", "arousal"]]
    assert values.shape == (2, 2)
    assert values[0].tolist() == [FULL.valence, FULL.arousal]
    assert np.isnan(values[1]).all()


@pytest.mark.parametrize("key", ["volume", ["status"], [], ["valence", "volume"], True, None])
def test_wrong_key_is_refused(table, key):
    with pytest.raises(ArgumentError, match=r"must be .*, got "):
        table[key]


def test_row_outside_is_an_index_error(table):
    with pytest.raises(IndexError):
        table[2]


@pytest.mark.parametrize("count", [0, 1, 400])
def test_html_is_self_contained(count):
    text = AffectTable(events(count), [], source="/home/me/<b>.mp4")._repr_html_()
    assert "home" not in text  # a notebook that is shared names no folder
    assert "<b>" not in text
    assert "script" not in text
    assert ("<svg" in text) == (count > 0)
    assert len(text) < 40_000


@pytest.mark.needs_table
def test_pandas_holds_the_csv_columns(table):
    frame = table.to_pandas()
    assert tuple(frame.columns) == CSV_COLUMNS
    assert frame.attrs == METADATA
    assert frame["valence"].isna().tolist() == [False, True]
    assert frame["face_track_id"].dtype == "Int64"
    assert frame["status"].tolist() == ["OK", "STALE"]


@pytest.mark.needs_table
def test_pandas_segments_follow_audformat(table):
    frame = table.to_pandas(index="segments")
    assert frame.index.names == ["file", "start", "end"]
    file, start, end = frame.index[0]
    assert (file, start.value) == ("clip.mp4", FULL.pts_ns)
    assert (end - start).value == pytest.approx(1e9 / 30, abs=1)
    assert table.to_pandas(index="time").index[1].value == EMPTY.pts_ns


@pytest.mark.needs_table
def test_pandas_index_is_checked(table):
    with pytest.raises(ArgumentError, match="index must be one of"):
        table.to_pandas(index="frames")


@pytest.mark.needs_table
def test_arrow_stream_serves_polars_and_duckdb(table):
    import duckdb
    import polars

    arrow = table.to_arrow()
    assert arrow.schema.metadata == {name.encode(): value.encode() for name, value in METADATA.items()}
    assert arrow.to_pylist()[0] == dict(zip(CSV_COLUMNS, event_row(FULL), strict=True))
    assert polars.DataFrame(table)["pts_ns"].to_list() == [FULL.pts_ns, EMPTY.pts_ns]
    assert table.to_polars().columns == list(CSV_COLUMNS)
    assert duckdb.sql("select count(valence), count(*) from arrow").fetchall() == [(1, 2)]


@pytest.mark.needs_table
@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_stored_table_reads_back_as_the_same_events(table, tmp_path, suffix):
    path = tmp_path / f"events.{suffix}"
    getattr(table, f"to_{suffix}")(path)
    assert read_events(path) == table.events
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.needs_table
def test_parquet_sink_writes_row_groups_and_appears_when_complete(tmp_path):
    import pyarrow.parquet

    path = tmp_path / "x.parquet"
    with ParquetSink(path, metadata=METADATA, rows_per_group=7) as sink:
        for event in events(20):
            sink.write(event)
        assert not path.exists()
    file = pyarrow.parquet.ParquetFile(path)
    assert file.num_row_groups == 3
    assert file.schema_arrow.metadata[b"edgeaff.bundle"] == b"test"
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]
    assert read_events(path) == events(20)


@pytest.mark.needs_table
def test_parquet_sink_of_a_live_source_keeps_the_previous_file(tmp_path):
    path = tmp_path / "x.parquet"
    for count in (3, 5):
        with open_sink(path, live=True, append=True) as sink:
            for event in events(count):
                sink.write(event)
    assert len(read_events(path)) == 5
    assert len(read_events(tmp_path / "x.1.parquet")) == 3


@pytest.mark.needs_table
def test_parquet_sink_cannot_rotate(tmp_path):
    with pytest.raises(ArgumentError, match="max_mb and keep must not be set"):
        open_sink(f"{tmp_path}/x.parquet?max_mb=3")


@pytest.mark.needs_table
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", b"{}\n"),
        ("x.jsonl", b'{"schema":1,"status":"NOBODY"}\n'),
        ("x.jsonl", b"[" * 100_000),
        ("x.jsonl", b"\xff\xfe\n"),
        ("x.jsonl", b'{"schema":1,"status":"OK","valence":NaN}\n'),
        ("x.jsonl", b"[1]\n"),
        ("x.csv", b"schema,status\n1,OK,3,4\n1,\n"),
        ("x.parquet", b"PAR1 is not enough PAR1"),
        ("x.parquet", b""),
        ("missing.csv", None),
    ],
)
def test_broken_events_are_a_media_error(tmp_path, name, content):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError, match="not an event of edgeaff"):
        read_events(path)


def test_events_of_an_unknown_format_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="path must end in"):
        read_events(tmp_path / "x.xlsx")

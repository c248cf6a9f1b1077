import csv
import json
from dataclasses import fields, replace

import numpy as np
import pytest

from edgeaff.delivery.files import CSV_COLUMNS, OLDER_COLUMNS, CsvSink, JsonlSink
from edgeaff.delivery.reading import read_events
from edgeaff.delivery.subtitles import WebVttSink
from edgeaff.errors import ArgumentError, DeviceError
from edgeaff.types import AffectEvent, FaceBox
from tests.delivery.events import EMPTY, FULL


def test_jsonl_has_every_field_in_every_line(tmp_path):
    with JsonlSink(tmp_path / "e.jsonl") as sink:
        sink.write(FULL)
        sink.write(EMPTY)
    rows = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    names = [field.name for field in fields(AffectEvent)]
    assert [list(row) for row in rows] == [names, names]
    assert rows[0]["status"] == "OK" and rows[0]["face"] == {
        "track_id": 7,
        "box": [1.0, 2.5, 30.0, 40.25],
        "score": 0.875,
    }
    assert rows[1]["valence"] is None and rows[1]["face"] is None and rows[1]["pts_ns"] == 66_666_667


def test_numbers_of_numpy_are_written(tmp_path):
    with JsonlSink(tmp_path / "e.jsonl") as sink:
        sink.write(replace(FULL, valence=np.float32(0.5), arousal=np.float32("nan"), seq=np.int64(3)))
    row = json.loads((tmp_path / "e.jsonl").read_text())
    assert (row["valence"], row["arousal"], row["seq"]) == (0.5, None, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_number_that_is_not_finite_is_written_as_no_value_and_counted(tmp_path, value):
    with JsonlSink(tmp_path / "e.jsonl") as sink:
        sink.write(replace(FULL, valence=value, face=replace(FULL.face, box=FaceBox(0.0, 0.0, value, 1.0))))
        assert sink.not_finite == 2
    row = json.loads((tmp_path / "e.jsonl").read_text())
    assert row == {**FULL.to_dict(), "valence": None, "face": None}


def test_csv_spreads_the_face_and_leaves_none_empty(tmp_path):
    with CsvSink(tmp_path / "e.csv") as sink:
        sink.write(FULL)
        sink.write(EMPTY)
    header, first, second = csv.reader((tmp_path / "e.csv").open(newline=""))
    assert tuple(header) == CSV_COLUMNS and header[:3] == ["schema", "seq", "pts_ns"]
    start = header.index("face_track_id")
    assert header[start : start + 6] == ["face_track_id", "face_x0", "face_y0", "face_x1", "face_y1", "face_score"]
    assert "face" not in header and first[start : start + 6] == ["7", "1.0", "2.5", "30.0", "40.25", "0.875"]
    assert second[start : start + 6] == [""] * 6 and second[header.index("valence")] == ""
    assert first[header.index("pts_ns")] == "33333333"


def test_event_without_people_is_a_line_as_before_schema_2(tmp_path):
    plain = replace(FULL, schema=1, speaking=None, valence_relative=None, arousal_relative=None)
    with JsonlSink(tmp_path / "e.jsonl") as sink:
        sink.write(plain)
    assert (tmp_path / "e.jsonl").read_text().endswith('"backend":"onnxruntime","dropped_since_last":null}\n')
    assert read_events(tmp_path / "e.jsonl") == [plain]


def test_csv_of_an_older_version_is_continued_with_its_columns(tmp_path):
    path = tmp_path / "e.csv"
    assert OLDER_COLUMNS[-1] == "dropped_since_last"
    path.write_text(",".join(OLDER_COLUMNS) + "\n")
    with CsvSink(path) as sink:
        sink.write(FULL)
    header, row = csv.reader(path.open(newline=""))
    assert tuple(header) == OLDER_COLUMNS and len(row) == len(header)
    assert read_events(path) == [replace(FULL, speaking=None, valence_relative=None, arousal_relative=None)]
    with CsvSink(path, append=False) as sink:
        sink.write(FULL)
    assert read_events(path) == [FULL]


def test_csv_keeps_all_digits_of_a_float(tmp_path):
    value = 0.1 + 0.2
    with CsvSink(tmp_path / "e.csv") as sink:
        sink.write(replace(FULL, valence=value))
    row = list(csv.DictReader((tmp_path / "e.csv").open(newline="")))[0]
    assert float(row["valence"]) == value


@pytest.mark.parametrize(("kind", "lines"), [(JsonlSink, 1), (CsvSink, 2)])
def test_event_is_on_disk_before_the_next_comes(tmp_path, kind, lines):
    sink = kind(tmp_path / "e")
    sink.write(FULL)
    assert len((tmp_path / "e").read_text().splitlines()) == lines
    sink.close()
    sink.close()


@pytest.mark.parametrize("kind", [JsonlSink, CsvSink])
def test_append_keeps_what_is_there_and_writes_no_second_header(tmp_path, kind):
    for append in (False, True):
        with kind(tmp_path / "e", append=append) as sink:
            sink.write(FULL)
    lines = (tmp_path / "e").read_text().splitlines()
    assert lines[-1] == lines[-2] and len(lines) == (3 if kind is CsvSink else 2)


@pytest.mark.parametrize("kind", [JsonlSink, CsvSink])
def test_file_that_cannot_be_written_is_refused(tmp_path, kind):
    with pytest.raises(ArgumentError, match="make its folder"):
        kind(tmp_path / "no" / "such" / "folder.jsonl")


def test_full_disk_is_an_os_error():
    sink = JsonlSink("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        sink.write(FULL)


def test_full_disk_at_the_start_is_a_device_error():
    for kind in (CsvSink, WebVttSink):
        with pytest.raises(DeviceError, match="/dev/full must be .*, got: No space left on device; free space"):
            kind("/dev/full")


def test_full_disk_leaves_no_half_line_and_the_event_may_be_written_again(tmp_path):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "e.jsonl"
    with JsonlSink(path) as sink:
        sink.write(FULL)
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + size // 2, limits[1]))
        try:
            for _ in range(3):
                with pytest.raises(OSError, match="File too large"):
                    sink.write(EMPTY)
                assert path.stat().st_size == size
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        sink.write(EMPTY)
    assert [json.loads(line)["pts_ns"] for line in path.read_text().splitlines()] == [FULL.pts_ns, EMPTY.pts_ns]


def test_pipe_is_written_as_a_file_is(tmp_path):
    import os
    import threading

    os.mkfifo(tmp_path / "pipe")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend((tmp_path / "pipe").open()))
    reader.start()
    with JsonlSink(tmp_path / "pipe") as sink:
        sink.write(FULL)
    reader.join(5)
    assert len(lines) == 1 and json.loads(lines[0])["seq"] == FULL.seq

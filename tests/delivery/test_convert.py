"""convert: round trips through the readers that users have: pympi, textgrid, gzip and XML."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from edgeaff.cli.main import main
from edgeaff.delivery.annotations.series import spans, tick_ns, tick_of
from edgeaff.delivery.convert import convert
from edgeaff.delivery.files import JsonlSink
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.types import FaceBox, Status, TrackedFace
from tests.delivery.events import EMPTY, FULL

TICKS = 12


def clip():
    """Returns ten ticks with numbers, one without a face, a hole of one tick, one more."""
    rows = [replace(FULL, seq=k, pts_ns=tick_ns(k), valence=k / 20, arousal=-k / 25) for k in range(10)]
    return [*rows, replace(EMPTY, seq=10, pts_ns=tick_ns(10)), replace(rows[0], seq=11, pts_ns=tick_ns(12))]


def two_faces():
    other = TrackedFace(9, FaceBox(50.0, 2.5, 80.0, 40.25), 0.5)
    return [event for one in clip()[:10] for event in (one, replace(one, face=other, valence=-0.5))]


@pytest.fixture
def stored(tmp_path):
    def store(events):
        path = tmp_path / "events.jsonl"
        with JsonlSink(path, append=False) as sink:
            for event in events:
                sink.write(event)
        return path

    return store


def test_tick_arithmetic_is_exact():
    assert all(tick_of(tick_ns(tick)) == tick for tick in [0, 1, 2, 3, 10**6, 10**9 + 1])
    assert all(tick_ns(tick) == round(tick * 10**9 / 30) for tick in range(1000))


def test_spans_end_at_a_change_of_status_and_at_a_hole():
    found = [(tick_of(span.start_ns), tick_of(span.end_ns), span.status) for span in spans(clip())]
    assert found == [(0, 10, Status.OK), (10, 11, Status.STALE), (12, 13, Status.OK)]


@pytest.mark.needs_lab
def test_elan_file_reads_back(stored, tmp_path):
    import pympi

    convert(stored(clip()), tmp_path / "x.eaf", media="clip.mp4")
    eaf = pympi.Elan.Eaf(str(tmp_path / "x.eaf"))
    assert set(eaf.get_tier_names()) == {"status", "valence", "arousal"}
    assert eaf.get_linked_files()[0]["MEDIA_URL"] == "clip.mp4"
    rows = sorted(eaf.get_annotation_data_for_tier("valence"))
    expected = [event for event in clip() if event.valence is not None]
    assert len(rows) == len(expected)
    for (start, end, text), event in zip(rows, expected, strict=True):
        assert abs(start - event.pts_ns / 1e6) <= 1
        assert abs(end - start - 1000 / 30) <= 1.5
        assert abs(float(text) - event.valence) <= 1e-6
    assert [row[2] for row in sorted(eaf.get_annotation_data_for_tier("status"))] == ["OK", "STALE", "OK"]


@pytest.mark.needs_lab
def test_elan_file_of_two_faces_has_a_tier_for_each(stored, tmp_path):
    import pympi

    convert(stored(two_faces()), tmp_path / "x.eaf")
    names = pympi.Elan.Eaf(str(tmp_path / "x.eaf")).get_tier_names()
    assert {"valence (face 7)", "valence (face 9)"} <= set(names)


@pytest.mark.needs_lab
def test_textgrid_reads_back(stored, tmp_path):
    import textgrid

    convert(stored(clip()), tmp_path / "x.TextGrid")
    grid = textgrid.TextGrid.fromFile(str(tmp_path / "x.TextGrid"))
    tiers = {tier.name: tier for tier in grid.tiers}
    marks = [mark.mark for mark in tiers["status"] if mark.mark]
    assert marks == ["OK", "STALE", "OK"]
    expected = [event for event in clip() if event.arousal is not None]
    for point, event in zip(tiers["arousal"], expected, strict=True):
        assert abs(point.time - event.pts_ns / 1e9) <= 1e-5  # five digits in the file
        assert abs(float(point.mark) - event.arousal) <= 1e-6
    assert grid.maxTime == pytest.approx(13 / 30, abs=1e-5)


@pytest.mark.needs_lab
def test_nova_annotation_has_a_line_per_tick(stored, tmp_path):
    written = convert(stored(clip()), tmp_path / "x.annotation")
    assert [path.name for path in written] == [
        "x.valence.annotation",
        "x.valence.annotation~",
        "x.arousal.annotation",
        "x.arousal.annotation~",
    ]
    root = ElementTree.parse(written[0]).getroot()
    assert root.find("scheme").attrib == {"name": "valence", "type": "CONTINUOUS", "sr": "30", "min": "-1", "max": "1"}
    lines = written[1].read_text().splitlines()
    assert len(lines) == int(root.find("info").get("size")) == TICKS + 1
    assert [lines[10], lines[11]] == ["nan;0", "nan;0"]
    assert float(lines[4].split(";")[0]) == pytest.approx(4 / 20, abs=1e-6)


@pytest.mark.needs_lab
def test_bids_recording_has_a_row_per_tick(stored, tmp_path):
    tsv, sidecar = convert(stored(clip()[2:]), tmp_path / "sub-01_physio.tsv.gz")
    description = json.loads(sidecar.read_text())
    rows = [line.split("\t") for line in gzip.decompress(tsv.read_bytes()).decode().splitlines()]
    assert description["SamplingFrequency"] == 30
    assert description["StartTime"] == pytest.approx(2 / 30)
    assert {len(row) for row in rows} == {len(description["Columns"])}
    assert len(rows) == TICKS + 1 - 2
    assert float(rows[1][0]) == pytest.approx(3 / 20, abs=1e-6)
    assert set(rows[9]) == {"n/a"}
    assert description["status"]["Levels"][rows[0][-1]] == "OK"


@pytest.mark.needs_lab
def test_one_subject_formats_ask_for_the_face(stored, tmp_path):
    source = stored(two_faces())
    with pytest.raises(ArgumentError, match=r"face must be one of \[7, 9\]"):
        convert(source, tmp_path / "x.annotation")
    written = convert(source, tmp_path / "x.annotation", face=9)
    assert {line.split(";")[0] for line in written[1].read_text().splitlines()} == {"-0.500000"}


@pytest.mark.needs_lab
@pytest.mark.needs_table
@pytest.mark.parametrize("name", ["x.csv", "x.parquet", "x.vtt", "x.eaf", "x.TextGrid", "x_physio.tsv.gz"])
def test_converted_files_are_private(stored, tmp_path, name):
    for path in convert(stored(clip()), tmp_path / name):
        assert path.stat().st_size > 0
        assert path.stat().st_mode & 0o077 == 0


def test_wrong_targets_are_refused_and_destroy_nothing(stored, tmp_path):
    source = stored(clip())
    before = source.read_bytes()
    with pytest.raises(ArgumentError, match="target must be another file"):
        convert(source, source)
    with pytest.raises(ArgumentError, match="target must end in"):
        convert(source, tmp_path / "x.docx")
    with pytest.raises(ArgumentError, match="folder that exists"):
        convert(source, tmp_path / "absent" / "x.csv")
    assert source.read_bytes() == before


def test_no_events_is_an_error(stored, tmp_path):
    with pytest.raises(MediaError, match="holds no events"):
        convert(stored([]), tmp_path / "x.csv")


def test_command_converts_and_names_what_it_wrote(stored, tmp_path, capsys):
    assert main(["convert", str(stored(clip())), str(tmp_path / "x.csv")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "x.csv")
    assert main(["convert", str(tmp_path / "none.jsonl"), str(tmp_path / "y.csv")]) == 3
    assert main(["convert", str(tmp_path / "x.csv"), str(tmp_path / "y.doc")]) == 2

"""Event files over days: private, continued after a restart, followed through rotation, bounded on request."""

from __future__ import annotations

import csv
import json
import os
import shutil
import stat
import time
from dataclasses import replace

import numpy as np
import pytest

import edgeaff
from edgeaff.cli.main import main
from edgeaff.delivery.files import CSV_COLUMNS, CsvSink, JsonlSink
from edgeaff.delivery.open import open_sink, open_sinks, split_options
from edgeaff.delivery.subtitles import WebVttSink
from edgeaff.errors import ArgumentError
from edgeaff.recording.format import Recording, read_records
from edgeaff.recording.recorder import Recorder
from tests.cli.test_run import write_wav
from tests.delivery.events import FULL, events

IMAGE = np.zeros((48, 64, 3), np.uint8)
KINDS = {"jsonl": JsonlSink, "csv": CsvSink, "vtt": WebVttSink}


def rights(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def numbers(path):
    """Returns the seq of every event of a JSONL or CSV file; the header of a CSV file stands once."""
    lines = path.read_text().splitlines()
    if path.suffix == ".jsonl":
        return [json.loads(line)["seq"] for line in lines]
    assert lines[0] == ",".join(CSV_COLUMNS) and lines.count(lines[0]) == 1
    return [int(row["seq"]) for row in csv.DictReader(lines)]


def write(sink, *which):
    for number in which:
        sink.write(replace(FULL, seq=number))


def recorded_events(recording):
    return [record.head["seq"] for call in recording.calls() for record in call.events]


# --- rights ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "vtt"])
def test_event_file_is_private(tmp_path, suffix):
    open_sink(tmp_path / f"e.{suffix}").close()
    assert rights(tmp_path / f"e.{suffix}") == 0o600


def test_recording_is_private(tmp_path):
    with Recorder(tmp_path / "s.eaffrec", options={}):
        assert rights(tmp_path / "s.eaffrec") == 0o600


def test_rights_can_be_chosen_under_any_umask(tmp_path):
    before = os.umask(0o077)
    try:
        open_sink(f"{tmp_path}/e.jsonl?mode=640").close()
        Recorder(tmp_path / "s.eaffrec", mode=0o644).close()
    finally:
        os.umask(before)
    assert rights(tmp_path / "e.jsonl") == 0o640 and rights(tmp_path / "s.eaffrec") == 0o644


def test_file_that_is_there_keeps_its_rights(tmp_path):
    (tmp_path / "e.jsonl").touch(mode=0o640)
    for append in (True, False):
        JsonlSink(tmp_path / "e.jsonl", append=append).close()
    assert rights(tmp_path / "e.jsonl") == 0o640


# --- restart --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_restart_continues_the_file(tmp_path, suffix):
    path = tmp_path / f"e.{suffix}"
    for first in (0, 2):
        sink = open_sink(path)
        write(sink, first, first + 1)
        sink.close()
    assert numbers(path) == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize("cut", [1, 2, 40, 10_000])
def test_record_that_was_cut_off_is_removed(tmp_path, suffix, cut):
    path = tmp_path / f"e.{suffix}"
    sink = open_sink(path)
    write(sink, 0, 1)
    sink.close()
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole[: -min(cut, len(last) - 1)])
    sink = open_sink(path)
    write(sink, 2)
    sink.close()
    assert numbers(path) == ([0, 1, 2] if suffix == "jsonl" and cut == 1 else [0, 2])


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "vtt"])
def test_file_cut_anywhere_is_continued_as_a_whole_one(tmp_path, suffix):
    sink = open_sink(tmp_path / f"whole.{suffix}", live=True)
    for event in events(40):
        sink.write(event)
    sink.close()
    whole = (tmp_path / f"whole.{suffix}").read_bytes()
    for cut in range(0, len(whole), 97):
        path = tmp_path / f"cut.{suffix}"
        path.write_bytes(whole[:cut])
        sink = open_sink(path, live=True)
        write(sink, 77)
        sink.close()
        if suffix == "vtt":
            assert path.read_text().startswith("WEBVTT\n\n") and path.read_text().count("WEBVTT") == 1
            assert all(cue.count("\n") == 1 and "-->" in cue for cue in path.read_text().strip().split("\n\n")[1:])
        else:
            seen = numbers(path)
            assert seen == [*range(len(seen) - 1), 77] and len(seen) - 1 in (
                at := whole[:cut].count(b"\n") - (suffix == "csv"),
                at + 1,
                0,
            )


def test_zeros_that_a_power_loss_left_are_removed(tmp_path):
    path = tmp_path / "e.jsonl"
    write(JsonlSink(path), 0)
    with path.open("ab") as file:
        file.write(bytes(5000))
    write(JsonlSink(path), 1)
    assert numbers(path) == [0, 1]


@pytest.mark.parametrize("suffix", ["csv", "vtt"])
def test_file_of_another_kind_is_refused_and_stays(tmp_path, suffix):
    path = tmp_path / f"e.{suffix}"
    path.write_text("a,b\n1,2")
    with pytest.raises(ArgumentError, match="got another beginning; move it away"):
        KINDS[suffix](path, append=True)
    assert path.read_text() == "a,b\n1,2"


def test_lines_of_others_in_a_jsonl_file_stay(tmp_path):
    (tmp_path / "e.jsonl").write_text('{"note": "before"}\n["cut')
    write(JsonlSink(tmp_path / "e.jsonl"), 0)
    assert (tmp_path / "e.jsonl").read_text().startswith('{"note": "before"}\n["cut\n{"schema":')


def test_live_subtitles_go_on_behind_the_last_cue(tmp_path):
    for start in (10**15, 5 * 10**15):
        sink = open_sink(tmp_path / "e.vtt", live=True)
        sink.write(replace(FULL, pts_ns=start))
        sink.close()
    assert [line for line in (tmp_path / "e.vtt").read_text().splitlines() if "-->" in line] == [
        "00:00:00.000 --> 00:00:00.033",
        "00:00:00.033 --> 00:00:00.066",
    ]


def test_restarted_runtime_continues_its_files_and_keeps_its_recordings(tmp_path):
    for _ in range(2):
        sinks = [f"{tmp_path}/e.jsonl", f"{tmp_path}/e.csv", f"{tmp_path}/s.eaffrec"]
        with edgeaff.Runtime(video=edgeaff.PushVideo(), sinks=sinks) as runtime:
            for _ in range(200):
                runtime.push_frame(IMAGE)
                if runtime.stats().events >= 3:
                    break
                time.sleep(1 / 30)
        assert len(numbers(tmp_path / "e.jsonl")) == len(numbers(tmp_path / "e.csv"))
    seen = numbers(tmp_path / "e.jsonl")
    assert seen.count(0) == 2 and seen[0] == 0
    recordings = [Recording(tmp_path / name) for name in ("s.1.eaffrec", "s.eaffrec")]
    assert [recorded_events(recording)[0] for recording in recordings] == [0, 0]


@pytest.mark.needs_media
def test_second_run_over_a_file_gives_its_events_once(tmp_path):
    clip = str(write_wav(tmp_path / "a.wav", 0.5))
    for _ in range(2):
        outputs = [f"--output={tmp_path}/e.{suffix}" for suffix in KINDS]
        assert main(["run", clip, "--quiet", *outputs]) == 0
        assert main(["record", clip, "--quiet", f"--output={tmp_path}/s.eaffrec"]) == 0
        with edgeaff.Runtime(audio=clip, sinks=[tmp_path / "r.jsonl"]) as runtime:
            runtime.join()
        assert main(["replay", f"{tmp_path}/s.eaffrec", "--quiet", f"--output={tmp_path}/p.jsonl"]) == 0
        edgeaff.analyze(clip).to_csv(tmp_path / "t.csv")
    for name in ("e.jsonl", "e.csv", "r.jsonl", "p.jsonl", "t.csv"):
        assert numbers(tmp_path / name) == list(range(15)), name
    assert (tmp_path / "e.vtt").read_text().count("-->") == 1 and not list(tmp_path.glob("s.*.eaffrec"))


# --- rotation -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_renamed_file_is_followed(tmp_path, suffix):
    path = tmp_path / f"e.{suffix}"
    with KINDS[suffix](path) as sink:
        write(sink, 0)
        path.rename(tmp_path / f"old.{suffix}")
        write(sink, 1, 2)
        path.unlink()
        write(sink, 3)
    assert numbers(tmp_path / f"old.{suffix}") == [0] and numbers(path) == [3]
    assert rights(path) == 0o600


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_copied_and_truncated_file_has_no_hole(tmp_path, suffix):
    path = tmp_path / f"e.{suffix}"
    with KINDS[suffix](path) as sink:
        write(sink, 0, 1)
        shutil.copy(path, tmp_path / f"old.{suffix}")
        os.truncate(path, 0)
        write(sink, 2, 3)
    assert numbers(tmp_path / f"old.{suffix}") == [0, 1] and numbers(path) == [2, 3]


def test_file_that_the_rotation_made_keeps_its_rights(tmp_path):
    path = tmp_path / "e.jsonl"
    with JsonlSink(path) as sink:
        write(sink, 0)
        path.rename(tmp_path / "old")
        path.touch(mode=0o640)
        write(sink, 1)
    assert rights(path) == 0o640 and numbers(path) == [1]


def test_folder_that_is_gone_is_an_error_until_it_is_back(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    with JsonlSink(folder / "e.jsonl") as sink:
        write(sink, 0)
        folder.rename(tmp_path / "gone")
        with pytest.raises(OSError, match="No such file"):
            write(sink, 1)
        folder.mkdir()
        write(sink, 1)
    assert numbers(folder / "e.jsonl") == [1]


def test_pipe_in_the_place_of_the_file_does_not_hang_the_sink(tmp_path):
    path = tmp_path / "e.jsonl"
    with JsonlSink(path) as sink:
        write(sink, 0)
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(OSError, match="replaced by something else"):
            write(sink, 1)


# --- limits ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize("keep", [1, 3])
def test_file_with_a_limit_never_grows_beyond_it_and_keeps_the_newest(tmp_path, suffix, keep):
    path = tmp_path / f"e.{suffix}"
    with open_sink(f"{path}?max_mb=0.005&keep={keep}") as sink:
        write(sink, *range(150))
    files = [path, *(tmp_path / f"e.{suffix}.{number}" for number in range(1, keep + 1))]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert all(file.stat().st_size <= 5000 and rights(file) == 0o600 for file in files)
    if suffix == "csv":
        return
    kept = [json.loads(line)["seq"] for file in reversed(files) for line in file.read_text().splitlines()]
    assert kept == list(range(150 - len(kept), 150)) and len(kept) > 8 * keep


def test_recording_with_a_limit_ends_there_with_a_warning(tmp_path):
    with Recorder(tmp_path / "s.eaffrec", options={}, max_mb=0.002) as recorder:
        for event in events(100):
            recorder.write(event)
    assert recorder.warnings == ["the recording ended early: it has reached max_mb."]
    assert 1500 < (tmp_path / "s.eaffrec").stat().st_size <= 2000
    kinds = [record.kind for record in read_records(tmp_path / "s.eaffrec")]
    assert kinds == ["H", *"E" * (len(kinds) - 1)] and len(kinds) > 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e.jsonl", ("e.jsonl", {})),
        ("e.jsonl?max_mb=2.5&keep=3&mode=0640", ("e.jsonl", {"max_mb": 2.5, "keep": 3, "mode": 0o640})),
        ("a?b.jsonl", ("a?b.jsonl", {})),
        ("s.eaffrec?max_mb=9", ("s.eaffrec", {"max_mb": 9.0})),
        ("udp://host:1?max_mb=2", ("udp://host:1?max_mb=2", {})),
    ],
)
def test_options_of_a_file_are_split_from_its_path(text, expected):
    assert split_options(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "e.jsonl?max_mbs=1",
        "e.jsonl?max_mb=x",
        "e.csv?mode=9",
        "s.eaffrec?keep=2",
        "e.jsonl?max_mb=0",
        "e.jsonl?max_mb=nan",
    ],
)
def test_option_that_is_none_is_an_error(tmp_path, monkeypatch, text):
    import contextlib

    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as opened, pytest.raises(ArgumentError, match="must"):
        open_sinks([text], opened, live=True)

"""annotate with real worker processes: equal to analyze, resumed, poison named, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import edgeaff
from edgeaff.archive import annotate, supervisor
from edgeaff.archive.annotate import read_status
from edgeaff.archive.task import Task
from edgeaff.archive.work import part_name
from edgeaff.cli.main import main
from edgeaff.delivery.reading import read_events
from edgeaff.errors import ArgumentError
from tests.archive.clips import faulty_reader, write_clips

pytestmark = [pytest.mark.needs_media, pytest.mark.needs_native]


def part_of(output: Path, file: Path, kind: str) -> Path:
    return output / part_name(Task(str(file)), kind)


def test_parts_equal_analyze_byte_for_byte(tmp_path):
    clips = write_clips(tmp_path / "in", ["a.wav", "b.wav", "c.wav"])
    report = annotate([tmp_path / "in"], tmp_path / "out", workers=2, kind="jsonl")
    assert report == {"done": 3, "failed": [], "poison": [], "output": str(tmp_path / "out")}
    for clip in clips:
        edgeaff.analyze(clip).to_jsonl(tmp_path / "one.jsonl")
        assert part_of(tmp_path / "out", clip, "jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert len(list((tmp_path / "out" / "events").iterdir())) == 3
    assert list((tmp_path / "out" / "tmp").iterdir()) == []


@pytest.mark.needs_table
def test_parquet_parts_hold_the_file_and_the_same_events(tmp_path):
    import duckdb
    import pyarrow.parquet

    (clip,) = write_clips(tmp_path / "in", ["a.wav"])
    annotate([clip], tmp_path / "out", workers=1)
    part = part_of(tmp_path / "out", clip, "parquet")
    assert read_events(part) == edgeaff.analyze(clip).events
    assert set(pyarrow.parquet.read_table(part)["file"].to_pylist()) == {str(clip)}
    assert part.stat().st_mode & 0o077 == 0
    (row,) = duckdb.sql(f"select * from '{tmp_path}/out/files.parquet'").fetchall()
    assert row[:2] == (str(clip), "done")


def test_second_run_does_nothing_and_a_new_file_is_added(tmp_path):
    write_clips(tmp_path / "in", ["a.wav"])
    annotate([tmp_path / "in"], tmp_path / "out", workers=1, kind="jsonl")
    (part,) = (tmp_path / "out" / "events").iterdir()
    before = part.stat().st_mtime_ns
    write_clips(tmp_path / "in", ["a.wav", "b.wav"])
    assert annotate([tmp_path / "in"], tmp_path / "out", workers=1, kind="jsonl")["done"] == 2
    assert part.stat().st_mtime_ns == before


def test_other_options_are_refused_by_name(tmp_path):
    write_clips(tmp_path / "in", ["a.wav"])
    annotate([tmp_path / "in"], tmp_path / "out", workers=1, kind="jsonl")
    with pytest.raises(ArgumentError, match="max_faces 2 where .* was begun with None"):
        annotate([tmp_path / "in"], tmp_path / "out", workers=1, kind="jsonl", options={"max_faces": 2})


def test_options_about_people_reach_the_parts(tmp_path):
    (clip,) = write_clips(tmp_path / "in", ["a.wav"])
    options = {"identity": True, "baseline": True}
    annotate([clip], tmp_path / "out", workers=1, kind="jsonl", options=options)
    edgeaff.analyze(clip, **options).to_jsonl(tmp_path / "one.jsonl")
    part = part_of(tmp_path / "out", clip, "jsonl").read_bytes()
    assert part == (tmp_path / "one.jsonl").read_bytes() and b"valence_relative" in part


def test_baseline_of_one_person_is_refused_for_an_archive(tmp_path):
    with pytest.raises(ArgumentError, match="baseline must be True"):
        annotate([tmp_path], tmp_path / "out", options={"baseline": "me.json"})


def test_poison_is_named_with_its_cause_and_the_rest_is_done(tmp_path, monkeypatch, capsys):
    for name, value in faulty_reader(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(supervisor, "OPEN_SECONDS", 3.0)
    names = ["a.wav", "segfault.wav", "hang.wav", "memory.wav", "exit.wav", "b.wav"]
    write_clips(tmp_path / "in", names)
    (tmp_path / "in" / "empty.mp4").write_bytes(b"")
    assert (
        main(
            ["annotate", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--format", "jsonl", "--workers", "2"]
        )
        == 3
    )
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["done"] == 2
    causes = {Path(row["file"]).stem: row["reason"] for row in report["poison"]}
    clean = {Path(row["file"]).stem: row["reason"] for row in report["failed"]}
    assert "SIGSEGV" in causes["segfault"]
    assert "limit of time" in causes["hang"]
    assert "139" in causes["exit"]
    assert set(clean) == {"empty", "memory"}
    assert "memory" in clean["memory"]
    assert read_status(tmp_path / "out") == report
    assert main(["annotate", "--status", str(tmp_path / "out"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out) == report


@pytest.mark.slow
def test_killed_workers_and_drivers_lose_nothing_and_double_nothing(tmp_path):
    write_clips(tmp_path / "in", [f"{number:03d}.wav" for number in range(200)])
    command = [
        sys.executable,
        "-m",
        "edgeaff",
        "annotate",
        str(tmp_path / "in"),
        "--output",
        str(tmp_path / "out"),
        "--quiet",
        "--format",
        "jsonl",
        "--workers",
        "2",
    ]
    for round_number in range(4):
        driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(3):
            time.sleep(1.5)
            workers = subprocess.run(["pgrep", "-P", str(driver.pid)], capture_output=True, text=True).stdout.split()
            if workers:
                os.kill(int(workers[round_number % len(workers)]), signal.SIGKILL)
        driver.kill()
        driver.wait()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    report = json.loads(done.stdout.splitlines()[-1])
    parts = sorted((tmp_path / "out" / "events").iterdir())
    assert report["done"] + len(report["poison"]) == 200
    assert len(parts) == report["done"]
    assert list((tmp_path / "out" / "tmp").iterdir()) == []


def test_workers_end_with_their_driver(tmp_path, monkeypatch):
    for name, value in faulty_reader(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    write_clips(tmp_path / "in", ["hang.wav"])
    code = f"from edgeaff.archive import annotate; annotate([{str(tmp_path / 'in')!r}], {str(tmp_path / 'out')!r}, kind='jsonl')"
    driver = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 120  # a loaded machine takes its time to import
    workers: list[str] = []
    while not workers and time.monotonic() < deadline:
        workers = subprocess.run(["pgrep", "-P", str(driver.pid)], capture_output=True, text=True).stdout.split()
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 120
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": 0}, "workers must be at least 1"),
        ({"kind": "csv"}, "kind must be one of"),
        ({"engine": "dask"}, "engine must be one of"),
        ({"shard": (3, 3)}, "shard must be i/n"),
        ({"options": {"volume": 3}}, "options must be among"),
    ],
)
def test_wrong_argument_is_refused_before_anything_is_written(tmp_path, arguments, message):
    write_clips(tmp_path / "in", ["a.wav"])
    with pytest.raises(ArgumentError, match=message):
        annotate([tmp_path / "in"], tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()

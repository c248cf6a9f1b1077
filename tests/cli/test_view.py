"""`edgeaff view` and `edgeaff run --live`: which events are shown, and that the address is printed and nothing is opened."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import edgeaff
from edgeaff.cli.main import main, make_parser
from edgeaff.cli.view import stored_events
from edgeaff.delivery.files import JsonlSink
from edgeaff.delivery.reading import read_events
from edgeaff.errors import MediaError
from tests.cli.test_run import write_wav
from tests.delivery.events import events

ADDRESS = re.compile(r"^live: http://127\.0\.0\.1:\d+/#[\w-]{22,}$", re.MULTILINE)


def shown(path: Path) -> list[edgeaff.AffectEvent]:
    return stored_events(make_parser().parse_args(["view", str(path)]))


def write_lines(path: Path, count: int) -> Path:
    with JsonlSink(path, append=False) as sink:
        for event in events(count):
            sink.write(event)
    return path


def test_view_shows_the_events_of_a_file(tmp_path: Path) -> None:
    assert shown(write_lines(tmp_path / "a.jsonl", 5)) == events(5)


@pytest.mark.needs_media
def test_view_shows_the_events_of_a_recording_as_they_were_delivered(tmp_path: Path) -> None:
    clip, lines, session = tmp_path / "a.wav", tmp_path / "a.jsonl", tmp_path / "a.eaffrec"
    write_wav(clip, 1.0)
    with edgeaff.Runtime(audio=str(clip), sinks=[str(lines), str(session)]) as runtime:
        runtime.join()
    assert shown(session) == read_events(lines) != []


@pytest.mark.parametrize("text", ["", "nonsense\n", '{"pts_ns": 5}\n'])
def test_view_of_what_is_no_session_is_unusable_input(tmp_path: Path, text: str) -> None:
    for name in ("a.jsonl", "a.eaffrec"):
        (tmp_path / name).write_text(text)
        assert main(["view", str(tmp_path / name)]) == 3


def test_view_of_damaged_events_in_a_recording_is_an_error(tmp_path: Path) -> None:
    from edgeaff.recording.format import MAGIC, Record, encode_record

    records = [
        Record("H", {"schema": 1, "edgeaff": "0", "raw": False, "session": {}}),
        Record("C", {"call": "advance", "pts_ns": 0}),
        Record("E", {"pts_ns": "x"}),
        Record("Z", {"records": 3}),
    ]
    (tmp_path / "a.eaffrec").write_bytes(MAGIC + b"".join(encode_record(record) for record in records))
    with pytest.raises(MediaError):
        shown(tmp_path / "a.eaffrec")


def test_view_prints_its_address_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgeaff", "view", str(write_lines(tmp_path / "a.jsonl", 5))]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert ADDRESS.match(line) and (out, err) == ("", "") and process.returncode == 0


@pytest.mark.needs_media
def test_run_prints_the_address_of_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = tmp_path / "a.wav"
    write_wav(clip, 1.0)
    assert main(["run", str(clip), "--live", "0", "--quiet"]) == 0
    printed = capsys.readouterr()
    assert ADDRESS.search(printed.err) and printed.out == ""

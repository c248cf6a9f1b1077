"""What a run shows: a live line on a terminal and in a log, events on standard output, a summary with numbers."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeaff.cli import display
from edgeaff.cli.display import FileBar, LiveLog, PlainLine, Rates, RichLine, make_display
from edgeaff.cli.main import main
from edgeaff.cli.tally import Tally
from edgeaff.types import Status

from ..delivery.events import FULL
from .test_run import write_wav
from .test_signals import PROGRAM


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def event(tick: int, valence: float | None = 0.25, **fields: Any) -> Any:
    return replace(
        FULL,
        seq=tick,
        pts_ns=tick * 33_333_333,
        valence=valence,
        arousal=-0.5,
        valence_std=0.1,
        arousal_std=0.2,
        status=Status.OK if valence is not None else Status.NO_FACE,
        latency_ms=20.0 + tick,
        **fields,
    )


def make_runtime(frames: int = 60, *, is_live: bool = True) -> Any:
    return SimpleNamespace(stats=lambda: SimpleNamespace(frames=frames), is_live=is_live, duration_seconds=2.0)


def test_line_shows_values_status_fps_and_latency() -> None:
    clock = Clock()
    rates = Rates(make_runtime(60), clock)
    for tick in range(60):
        clock.now = tick / 30
        rates.add(event(tick))
    clock.now = 2.0
    assert rates.add(event(60))
    line = rates.line(event(60))
    assert "valence +0.25 ±0.10" in line and "arousal -0.50 ±0.20" in line and " OK " in line and "2.0 s" in line
    assert re.search(r"\b0\.0 fps  latency \d+ ms$", line)  # the counter of this runtime stands still
    none = rates.line(event(61, None))
    assert "valence    --" in none and "NO_FACE" in none and none.index("arousal") == line.index("arousal")


def test_line_without_frames_counts_ticks() -> None:
    clock = Clock()
    rates = Rates(make_runtime(0), clock)
    for tick in range(31):
        clock.now = tick / 30
        rates.add(event(tick))
        rates.add(event(tick))  # of another face
    assert "30.0 ticks/s" in rates.line(event(31)) or "31.0 ticks/s" in rates.line(event(31))


def test_plain_line_is_rewritten_and_messages_stand_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Terminal()
    with PlainLine(stream, Rates(make_runtime())) as line:
        line.update(event(1))
        line.print_message("camera:0: lost.\x1b[2J")
        line._shown = 0.0
        line.update(event(2))
    written = stream.getvalue()
    assert written.count("\r") == 3 and written.endswith("\n") and "valence +0.25" in written
    assert capsys.readouterr().err == "edgeaff: camera:0: lost.\\x1b[2J\n"


def test_rich_line_is_rewritten_and_messages_stand_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    with RichLine(stream, Rates(make_runtime())) as line:
        line.update(event(1))
        line.print_message("camera:0: [bold]lost[/].\x1b[2J")
        line._shown = 0.0
        line.update(event(2))
    written = stream.getvalue()
    assert "edgeaff: camera:0: [bold]lost[/].\\x1b[2J" in written and written.count("valence +0.25") >= 2


def test_log_gets_a_line_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    log = LiveLog(Rates(make_runtime(), clock))
    for tick in range(90):
        clock.now = tick / 29
        log.update(event(tick))
    assert capsys.readouterr().err.count("valence") == 3


@pytest.mark.parametrize(
    ("out", "err", "options", "expected"),
    [
        (True, True, {}, "line on out"),
        (True, False, {}, "line on out"),
        (False, True, {}, "line on err"),
        (False, False, {}, "log"),
        (False, True, {"writes_stdout": True}, "line on err"),
        (False, False, {"writes_stdout": True}, "log"),
        (True, True, {"writes_stdout": True}, "nothing"),
        (True, True, {"quiet": True}, "nothing"),
        (False, False, {"quiet": True}, "nothing"),
        (True, True, {"live": False}, "bar"),
        (True, False, {"live": False}, "nothing"),
    ],
)
@pytest.mark.parametrize("rich", [True, False])
def test_display_goes_where_somebody_looks(
    monkeypatch: pytest.MonkeyPatch, out: bool, err: bool, options: dict[str, bool], expected: str, rich: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    streams = {True: Terminal, False: io.StringIO}
    monkeypatch.setattr(display.sys, "stdout", streams[out]())
    monkeypatch.setattr(display.sys, "stderr", streams[err]())
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    chosen = {"quiet": False, "writes_stdout": False, **options}
    made = make_display(make_runtime(is_live=chosen.pop("live", True)), **chosen)
    if expected.startswith("line"):
        assert type(made) is (RichLine if rich else PlainLine)
        stream = made._console.file if isinstance(made, RichLine) else made._stream
        assert stream is (sys.stdout if expected.endswith("out") else sys.stderr)
    else:
        assert type(made) is {"log": LiveLog, "bar": FileBar, "nothing": display.Display}[expected]


@pytest.mark.parametrize("stream", [None, io.StringIO()])
def test_stream_that_is_closed_or_absent_is_no_terminal(stream: Any) -> None:
    if stream is not None:
        stream.close()
    assert not display.is_terminal(stream)


def test_tally_states_mean_range_and_share_of_ticks() -> None:
    tally = Tally()
    for tick, valences in enumerate([[0.5, -0.5], [0.25], [None], [None]]):
        for valence in valences:
            tally.add(event(tick, valence))
    assert tally.events == 5
    assert tally.lines() == [
        "valence: mean +0.08, from -0.50 to +0.50, a number at 50% of 4 ticks",
        "arousal: mean -0.50, from -0.50 to -0.50, a number at 100% of 4 ticks",
    ]
    assert Tally().lines()[0] == "valence: no number at any of 0 ticks"


# --- the whole command ----------------------------------------------------------------------------------------------------------


@pytest.mark.needs_media
def test_output_dash_writes_the_lines_of_a_file_to_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_wav(tmp_path / "a.wav", 1.0)
    assert main(["run", str(tmp_path / "a.wav"), "--output", "-", "--output", str(tmp_path / "e.jsonl")]) == 0
    out, err = capsys.readouterr()
    assert out == (tmp_path / "e.jsonl").read_text(encoding="utf-8") and len(out.splitlines()) == 30
    assert "30 events" in err and "written: " in err and "-\n" not in err
    assert main(["run", str(tmp_path / "a.wav"), "--quiet", "--output", "-"]) == 0
    assert capsys.readouterr() == (out, "")
    assert main(["run", str(tmp_path / "a.wav"), "--output", "-", "--output", "-"]) == 2


@pytest.mark.needs_media
def test_reader_that_leaves_early_ends_a_run_without_a_word(tmp_path: Path, root: Path) -> None:
    write_wav(tmp_path / "a.wav", 20.0)
    line = f"set -o pipefail; {sys.executable} -m edgeaff run a.wav --output - | head -n 1 | wc -l"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1", "")


@pytest.mark.parametrize("terminal", [True, False])
def test_live_run_shows_a_line(tmp_path: Path, root: Path, terminal: bool) -> None:
    import pty

    ours, theirs = pty.openpty() if terminal else os.pipe()
    output = (tmp_path / "out").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace('"--output", sys.argv[1]', '"--output", "-"')],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "120"},
        stdout=output,
        stderr=theirs,
    )
    os.close(theirs)
    output.close()
    shown, deadline = b"", time.monotonic() + 60
    while shown.count(b" fps") < 2 and time.monotonic() < deadline:
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    lines = (tmp_path / "out").read_bytes().splitlines()
    os.close(ours)
    text = shown.decode("utf-8", "replace")
    assert "valence" in text and "NO_FACE" in text and ("\x1b[" in text) == terminal
    events = [json.loads(line) for line in lines if line.startswith(b"{")]
    assert [row["seq"] for row in events] == list(range(len(events))) and len(events) >= 20

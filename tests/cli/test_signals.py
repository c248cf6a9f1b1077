"""A live `edgeaff run` that is reported to end: within a second, with exit code 0 and every line whole."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeaff.cli.main import main

from ..conftest import ROOT

PROGRAM = """
import sys, threading, time
import numpy as np
from edgeaff.capture import camera
from edgeaff.cli.main import main

class Endless:
    def isOpened(self): return True
    def read(self):
        time.sleep(1 / 30)
        return True, np.random.default_rng(time.monotonic_ns() % 997).integers(0, 255, (48, 64, 3), np.uint8)
    def get(self, name): return 0.0
    def release(self): print("released", flush=True)

camera.Camera._open_cv2 = lambda self: Endless()
camera._import_cv2 = lambda needs_gstreamer: None
camera.Camera._to_rgb = lambda self, image: image
sys.exit(main(["run", "camera:0", "--output", sys.argv[1]]))
"""


@pytest.mark.parametrize(
    "numbers", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM] * 60, [signal.SIGINT, signal.SIGTERM] * 40]
)
def test_signals_end_a_live_run_within_a_second(tmp_path: Path, numbers: list[signal.Signals]) -> None:
    output = tmp_path / "events.jsonl"
    command = [sys.executable, "-c", PROGRAM, str(output)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not output.exists() or output.stat().st_size < 10_000:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    sent = time.monotonic()
    for number in numbers:  # the first ends it, those after it come at every instant of the way out
        process.send_signal(number)
        time.sleep(0.02)
    printed = process.communicate(timeout=20)[0]
    ended = time.monotonic() - sent - 0.02 * len(numbers)
    assert process.returncode == 0, printed
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["seq"] for row in rows] == list(range(len(rows)))
    assert "released" in printed and "camera:0: " in printed
    assert ended < 1.5  # under a second to stop, the rest is the interpreter's exit


@pytest.mark.parametrize(
    ("command", "words"), [("models", "interrupted."), ("run", "interrupted; what was computed is written.")]
)
def test_interruption_promises_only_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, words: str
) -> None:
    def interrupt(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"edgeaff.cli.{command}.run", interrupt)
    assert main([command, "list" if command == "models" else "a.wav"]) == 130
    assert capsys.readouterr().err == f"edgeaff: {words}\n"
    monkeypatch.setattr("edgeaff.cli.main.make_parser", lambda: interrupt(None))
    assert main([]) == 130

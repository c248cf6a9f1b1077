"""edgeaff bench and benchmarks/latency.py: one way to measure, Markdown and JSON out."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from edgeaff.cli.main import main

OPTIONS = ["--turns", "1", "--rounds", "2", "--camera-seconds", "0.1", "--hours", "0", "--no-peers", "--no-paper"]


@pytest.mark.needs_native
def test_command_prints_markdown_and_writes_json(tmp_path, capsys):
    target = tmp_path / "deep" / "latency.json"
    assert main(["bench", *OPTIONS, "--json", str(target)]) == 0
    assert "| edge | edgeaff | " in capsys.readouterr().out
    assert {"machine", "run", "stages", "pipelines", "bars", "left_out"} <= set(json.loads(target.read_text()))


@pytest.mark.needs_native
def test_script_is_the_command(monkeypatch, capsys):
    script = Path(__file__).parents[2] / "benchmarks" / "latency.py"
    monkeypatch.setattr(sys, "argv", ["latency.py", *OPTIONS])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(script), run_name="__main__")
    assert left.value.code == 0
    assert "| edge | step | native | " in capsys.readouterr().out

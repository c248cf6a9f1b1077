"""The arguments about people reach the session, and its events carry the fields."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from edgeaff.cli.main import main
from edgeaff.cli.people import add_people_arguments, people_options
from edgeaff.cli.run import describe_change
from edgeaff.types import ChangeEvent
from tests.media_maker import write_clip


def clip(path: Path) -> Path:
    frames = [np.full((96, 96, 3), 90, np.uint8)] * 30
    write_clip(path, frames=frames, times=[n / 30 for n in range(30)], samples=np.zeros(48_000, np.int16))
    return path


def parse(*arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add_people_arguments(parser)
    return people_options(parser.parse_args(arguments))


def test_what_is_not_given_is_left_to_the_file_of_options() -> None:
    assert parse() == {"active_speaker": None, "identity": None, "baseline": None, "changes": None}


def test_baseline_is_a_file_or_begins_empty() -> None:
    assert parse("--relative")["baseline"] is True
    assert parse("--relative", "--baseline", "me.json")["baseline"] == "me.json"


@pytest.mark.needs_media
@pytest.mark.parametrize("arguments", [(), ("--relative", "--changes", "--identity", "--active-speaker")])
def test_events_carry_what_was_asked_for(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    output = tmp_path / "events.jsonl"
    assert main(["run", str(clip(tmp_path / "a.mkv")), "--output", str(output), "--quiet", *arguments]) == 0
    schemas = {json.loads(line)["schema"] for line in output.read_text(encoding="utf-8").splitlines()}
    assert schemas == ({2} if arguments else {1})


@pytest.mark.needs_media
def test_missing_baseline_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(clip(tmp_path / "a.mkv")), "--baseline", str(tmp_path / "none.json")]) != 0
    assert "none.json" in capsys.readouterr().err


def test_change_reads_as_a_sentence() -> None:
    change = ChangeEvent(3, 12_500_000_000, "valence", 0.1, -0.4, 0.99, 900.0)
    assert describe_change(change) == "12.5 s: valence of face 3 changed from +0.10 to -0.40"

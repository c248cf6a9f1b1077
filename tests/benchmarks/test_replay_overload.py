"""A live session under overload, with the bundle that ships, replays byte for byte; what it left out is in the recording."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.replay_overload import OverloadResult, run_seed

RESULT = "benchmarks/results/replay_overload.json"


def check(found: OverloadResult) -> None:
    assert found.equal, found.difference
    assert found.events > 20 * found.seconds and found.frames_replaced > 0


def test_one_live_session_under_overload_replays_byte_for_byte(tmp_path: Path) -> None:
    check(run_seed(tmp_path, 100, seconds=2.5))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_live_session_under_overload_replays_byte_for_byte(tmp_path: Path, seed: int) -> None:
    check(run_seed(tmp_path, seed))


def test_committed_result_shows_twenty_equal_replays_with_decisions_in_them(root: Path) -> None:
    result = json.loads((root / RESULT).read_text())
    assert result["seeds"] == result["equal"] == 20
    assert result["frames_replaced"] > 20 and result["degradations"] >= 10
    assert all(run["equal"] and run["frames_replaced"] > 0 for run in result["runs"])
    assert sum(run["calls"].get("degrade", 0) for run in result["runs"]) >= result["degradations"]
    assert sum(run["calls"].get("swap_backend", 0) for run in result["runs"]) >= 10

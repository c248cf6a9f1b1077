"""The measurement of what the bundle states of itself: its arithmetic, and that the committed result keeps its promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.honesty import DISTURBED, LEVELS_DB, clips, curves, interval_of, phrases
from edgeaff.measures import rmse

pytestmark = pytest.mark.needs_torch


@pytest.fixture(scope="module")
def result(root: Path) -> dict[str, Any]:
    return dict(json.loads((root / "benchmarks" / "results" / "honesty.json").read_text(encoding="utf-8")))


def test_clips_are_of_one_level_but_for_silence() -> None:
    made = clips(1.0, np.random.default_rng(0))
    assert not made.pop("digital silence").any()
    assert all(np.std(clip) == pytest.approx(1.0) for clip in made.values())


def test_phrases_are_where_it_is_loud() -> None:
    samples = np.concatenate([np.zeros(16_000), np.ones(16_000), np.zeros(16_000)]) * 0.1
    stated = phrases(samples)
    assert len(stated) == 90
    assert stated[30:60].all() and not stated[:20].any() and not stated[70:].any()


def test_an_interval_holds_the_measure_and_narrows_with_more_faces() -> None:
    random = np.random.default_rng(1)
    few, many = random.standard_normal(50) + 2, random.standard_normal(2000) + 2
    low, high = interval_of(np.mean, few)
    assert low < few.mean() < high
    near, far = interval_of(np.mean, many)
    assert far - near < 0.4 * (high - low)


def test_curves_are_of_answered_faces() -> None:
    random = np.random.default_rng(2)
    affect, std = random.uniform(-0.8, 0.8, (500, 2)), random.uniform(0.05, 0.5, (500, 2))
    values = affect + std * random.standard_normal((500, 2))
    stated = np.concatenate([values, std], axis=1)
    stated[0] = np.nan
    rows = curves(stated, affect)
    assert [row["answered"] for row in rows] == pytest.approx([k / 10 for k in range(1, 11)], abs=0.01)
    assert rows[-1]["arousal_rmse"] == pytest.approx(rmse(values[1:, 1], affect[1:, 1]), abs=1e-4)
    assert rows[0]["valence_rmse"] < 0.5 * rows[-1]["valence_rmse"]


def test_the_committed_result_gives_no_numbers_without_speech(result: dict[str, Any]) -> None:
    assert set(result["ferplus_test_one_rater"]) == set(DISTURBED)
    silent = result["share_of_ticks_with_numbers_without_speech"]
    assert all(len(shares) in (1, len(LEVELS_DB)) for shares in silent.values())
    assert max(max(shares) for shares in silent.values()) <= 0.02


@pytest.mark.parametrize("dimension", ["valence", "arousal"])
def test_intervals_of_faces_hold_what_they_say(result: dict[str, Any], dimension: str) -> None:
    for kind in ("plain", "masked", "blurred", "turned", "dark"):
        row = result["ferplus_test_one_rater"][kind]
        low, high = row[dimension]["inside_95_interval"]
        assert low <= row[dimension]["inside_95"] <= high
        assert 0.90 <= row[dimension]["inside_95"] <= 0.98, kind
        assert row["answered"] >= 0.75
    curve = [row[f"{dimension}_rmse"] for row in result["risk_coverage"]["all kinds"]]
    assert curve[2] < 0.75 * curve[-1]

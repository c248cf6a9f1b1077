"""The model card of the face detector states what its JSON files say."""

from __future__ import annotations

import json
from pathlib import Path

from edgeaff.bundle import ModelBundle
from recipes.face_detector.card import format_share, list_bars, make_card


def test_the_card_is_the_one_that_its_json_gives(root: Path) -> None:
    export = json.loads((root / "benchmarks/results/face_detector.json").read_text())
    comparison = json.loads((root / "benchmarks/results/faces.json").read_text())
    before = json.loads((root / "benchmarks/results/face_detector_before.json").read_text())
    assert (root / "docs/face_detector_card.md").read_text() == make_card(export, comparison, before)


def test_the_bars_are_judged_by_the_comparison(root: Path) -> None:
    comparison = json.loads((root / "benchmarks/results/faces.json").read_text())
    verdicts = {row[0].split(" at ")[0]: row[2] for row in list_bars(comparison)}
    false = comparison["detectors"]["ours@320"]["false_per_100"]
    assert verdicts["false boxes per 100"] == ("met" if false <= 1 else "MISSED")
    comparison["detectors"]["ours@320"]["false_per_100"] = 1.01
    comparison["detectors"]["ours@320"]["recall"]["large"]["recall"] = 0.98
    verdicts = {row[0].split(" at ")[0]: row[2] for row in list_bars(comparison)}
    assert verdicts["false boxes per 100"] == "MISSED" and verdicts["recall >= 60 px"] == "met"


def test_the_card_is_about_the_detector_that_ships(root: Path) -> None:
    export = json.loads((root / "benchmarks/results/face_detector.json").read_text())
    facts = ModelBundle.load().manifest.detector
    assert facts.card["sha256"] == export["sha256"]
    assert facts.score_threshold == export["score_threshold"]


def test_shares_read_as_three_digits_or_a_dash() -> None:
    assert format_share(None) == "-"
    assert format_share(0.98765, [0.9, 1.0]) == "0.988 [0.900, 1.000]"

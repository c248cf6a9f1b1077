"""The model card of the face detector says what its JSON files say."""

from __future__ import annotations

import json
from pathlib import Path

from edgeaff.bundle import ModelBundle
from edgeaff.training.face_detector.card import format_share, make_card


def test_the_card_is_the_one_that_its_json_gives(root: Path) -> None:
    export = json.loads((root / "benchmarks/results/face_detector.json").read_text())
    comparison = json.loads((root / "benchmarks/results/faces.json").read_text())
    assert (root / "docs/face_detector_card.md").read_text() == make_card(export, comparison)


def test_the_card_is_about_the_detector_that_ships(root: Path) -> None:
    export = json.loads((root / "benchmarks/results/face_detector.json").read_text())
    facts = ModelBundle.load().manifest["detector"]
    assert facts["sha256"] == export["sha256"]
    assert facts["score_threshold"] == export["score_threshold"]


def test_shares_read_as_three_digits_or_a_dash() -> None:
    assert format_share(None) == "-"
    assert format_share(0.98765, [0.9, 1.0]) == "0.988 [0.900, 1.000]"

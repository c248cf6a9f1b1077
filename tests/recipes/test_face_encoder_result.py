"""The committed figures of the face encoder that ships keep the promises of its issue."""

import json

import pytest

from recipes.face_encoder.data import CROP_MARGIN


@pytest.fixture(scope="module")
def result(root):
    return json.loads((root / "benchmarks" / "results" / "face_encoder.json").read_text())


def test_agreement_with_the_test_part_is_above_the_bar_with_its_whole_interval(result):
    assert result["faces"] == 3573
    assert result["ccc_interval_95"]["valence"][0] >= 0.82
    assert result["ccc_interval_95"]["arousal"][0] >= 0.80


def test_happy_and_sad_faces_are_apart(result):
    assert result["valence_gap_happy_sad"] >= 0.6


def test_disturbances_cost_little(result):
    assert result["worst_loss_of_the_bar"] <= 0.03


def test_a_face_costs_less_than_two_milliseconds_at_the_margin_of_the_training(result):
    assert result["latency_ms_one_thread"]["min"] < 2.0
    assert result["crop_margin"] == CROP_MARGIN

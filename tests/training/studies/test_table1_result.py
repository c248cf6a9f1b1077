"""What the committed Table 1 and Fig. 4 of the made-up corpus show, and what they do not show (an expected failure).

The limits are those of docs/training.md. The expected failure is strict: the day a run meets its limit, its mark has to go.
"""

import json
from pathlib import Path

import pytest

from edgeaff.training.models import SYSTEMS
from edgeaff.training.studies.study import full_size

pytestmark = pytest.mark.needs_torch
RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
PLAIN, ROBUST = "transformer_av", "transformer_av+dropout"


@pytest.fixture(scope="module")
def table():
    return json.loads((RESULTS / "table1.json").read_text())


@pytest.fixture(scope="module")
def valence(table):
    return {row["system"]: row["ccc_valence"] for row in table["rows"]}


@pytest.fixture(scope="module")
def arousal(table):
    return {row["system"]: row["ccc_arousal"] for row in table["rows"]}


@pytest.fixture(scope="module")
def curves():
    points = json.loads((RESULTS / "fig4.json").read_text())["points"]
    own = [point for point in points if (point["modality"], point["way"]) == ("video", "frames")]
    return {run: {point["share"]: point for point in own if point["run"] == run} for run in (PLAIN, ROBUST)}


def test_every_system_is_in_the_table_with_its_published_size(table):
    assert {row["system"] for row in table["rows"]} == set(SYSTEMS)
    for row in table["rows"]:
        assert (row["parameters"], row["macs_per_frame"]) == full_size(SYSTEMS[row["system"]])
        assert row["reduced_width"] is (row["trained_parameters"] != row["parameters"])
        assert row["seeds"] >= 3


def test_every_system_has_learned(valence, arousal):
    for name in SYSTEMS:
        assert valence[name] > 0.15, name
        assert arousal[name] > 0.15, name


def test_the_face_reports_valence(valence):
    assert valence["transformer_v"] > valence["transformer_a"] + 0.3


def test_both_modalities_tell_more_of_arousal_than_one(arousal):
    assert arousal["transformer_av"] >= max(arousal["transformer_v"], arousal["transformer_a"]) + 0.03


def test_both_modalities_keep_the_valence_of_the_face(valence):
    assert valence["transformer_av"] >= valence["transformer_v"] - 0.01


def test_edge_keeps_what_both_directions_give_without_look_ahead(table):
    assert table["edge_reference"]["live"]["edge_less_reference"]["ccc_mean"] >= -0.02


@pytest.mark.xfail(
    strict=True, reason="0.026 below, mean of three seeds: half of the offline window is still to come for edge"
)
def test_edge_keeps_what_both_directions_give_offline(table):
    assert table["edge_reference"]["edge_less_reference"]["ccc_mean"] >= -0.02


def test_a_tick_of_edge_costs_a_fiftieth(table):
    assert table["edge_reference"]["macs_ratio"] >= 50


def test_the_strict_network_collapses_without_video(curves):
    assert curves[PLAIN][0.0]["ccc_valence"] < 0.15
    assert curves[PLAIN][0.0]["ccc_valence"] < curves[PLAIN][0.25]["ccc_valence"] < curves[PLAIN][1.0]["ccc_valence"]


def test_dropout_of_modalities_helps_where_video_is_missing(curves):
    for share in (0.25, 0.5):
        assert curves[ROBUST][share]["ccc_valence"] > curves[PLAIN][share]["ccc_valence"] + 0.05
        assert curves[ROBUST][share]["ccc_arousal"] > curves[PLAIN][share]["ccc_arousal"]


def test_dropout_of_modalities_keeps_as_much_as_asked_for(curves):
    assert curves[ROBUST][0.25]["ccc_valence"] >= curves[PLAIN][0.25]["ccc_valence"] + 0.2


def test_dropout_of_modalities_costs_little(curves):
    for what in ("valence", "arousal"):
        assert curves[ROBUST][1.0][f"ccc_{what}"] >= curves[PLAIN][1.0][f"ccc_{what}"] - 0.02, what

"""The committed figures of the default bundle keep the promises of their issue."""

import json

import pytest

from edgeaff.inference import Uncertainty


@pytest.fixture(scope="module")
def result(root):
    return json.loads((root / "benchmarks" / "results" / "default_bundle.json").read_text())


def test_faces_end_to_end_through_a_session_are_above_the_bar(result):
    rendered = result["through_session"]["ferplus_rendered"]
    assert rendered["clips"] >= 300
    assert rendered["answered"] >= 0.85
    # Clips without an answer count as 0 in these: nothing is hidden by not answering.
    assert rendered["valence_ccc_all"] >= 0.80
    assert rendered["arousal_ccc_all"] >= 0.78
    assert rendered["valence_interval"][0] >= 0.80
    assert rendered["arousal_interval"][0] >= 0.78


def test_voices_of_speakers_never_heard_are_above_the_bar_with_their_whole_interval(result):
    pooled = result["unseen_speakers_emodb"]["pooled"]
    assert (pooled["speakers"], pooled["clips"]) == (10, 535)
    assert pooled["arousal_interval"][0] >= 0.65
    assert all(fold["speakers"] == 1 for fold in result["unseen_speakers_emodb"]["folds"].values())


def test_every_corpus_was_left_out_once(result):
    folds = result["unseen_corpora"]["folds"]
    assert set(folds) == {"EmoDB", "CREMA-D", "JL-Corpus", "EmoGator"}
    assert all("arousal_interval" in folds[name] for name in folds if name != "JL-Corpus")  # two speakers: no interval
    assert result["unseen_corpora"]["mean_arousal_ccc"] >= 0.35


def test_intervals_hold_what_they_say(result):
    held = result["held_out"]["interval_coverage"]
    for name in ("valence", "arousal"):
        assert 0.93 <= held[f"{name}_95"] <= 0.97
        assert 0.66 <= held[f"{name}_68"] <= 0.71


def test_the_committed_table_is_one_that_the_runtime_reads(result):
    table = Uncertainty(result["uncertainty"])
    assert table.half_widths(1.0, 1.0, percent=68) < table.half_widths(1.0, 1.0, percent=95)

"""Lags and dyads of an evaluation, on tracks whose timing is known, and through the command."""

import json

import numpy as np
import pytest

from edgeaff.cli.main import main
from edgeaff.errors import ArgumentError
from edgeaff.training.studies.timing import TimingOptions, in_time, timing_lines


def _walk(count, seed):
    rng = np.random.default_rng(seed)
    smooth = np.convolve(rng.standard_normal((count + 60) * 2), np.ones(30) / 30, "same").reshape(2, -1).T
    return np.clip(smooth, -0.9, 0.9)[:count]


@pytest.fixture
def tracks():
    """Two people: the second follows the first by a second; labels follow predictions by half a second."""
    shared = _walk(900, 0)
    made = {}
    for name, late in (("left", 0), ("right", 30)):
        values = np.roll(shared, late, axis=0)
        made[name] = (values, np.roll(values, 15, axis=0))
    return made


def test_lags_and_dyads_are_those_that_were_made(tracks):
    result = in_time(tracks, TimingOptions(1.2, (("left", "right"),)))
    for name in ("valence", "arousal"):
        assert result[f"lag_{name}"]["lag_seconds"] == pytest.approx(0.5)
        assert result[f"lag_{name}"]["ccc"] > result[f"lag_{name}"]["ccc_at_zero"]
    assert len(result["synchrony"]) == 4
    assert all(row["lag_seconds"] == pytest.approx(1.0) and row["p_value"] < 0.05 for row in result["synchrony"])
    text = "\n".join(timing_lines(result))
    assert "| valence |" in text and "left and right" in text and "+1.00" in text
    json.dumps(result)


def test_nothing_is_measured_unless_asked_for(tracks):
    assert in_time(tracks, TimingOptions()) == {} and timing_lines({}) == []


def test_an_unknown_track_is_named(tracks):
    with pytest.raises(ArgumentError, match="'middle'"):
        in_time(tracks, TimingOptions(None, (("left", "middle"),)))


def test_options_of_a_run_are_refused_for_a_table(capsys):
    assert main(["evaluate", "--table1", "--corpus", "x", "--output", "y", "--lags", "1"]) == 2
    assert "of one run" in capsys.readouterr().err

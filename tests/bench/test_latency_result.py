"""The committed benchmarks/results/latency.json meets every bar of the project."""

import json
from pathlib import Path

import pytest

from edgeaff.bench.latency import BARS

RESULT = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "latency.json").read_text())


@pytest.mark.parametrize("bar", BARS)
def test_a_bar_is_met(bar):
    (row,) = [row for row in RESULT["bars"] if row["bar"] == bar]
    assert row["met"], row


def test_ratios_are_stated_only_where_every_side_had_the_processor():
    shares = {
        (row["preset"], row["engine"], row["stride"], row["threads"]): row["cpu_share"]
        for row in RESULT["pipelines"]
        if row["mode"] == "back_to_back"
    }
    assert min(shares.values()) >= 0.9, shares
    assert {row["peer"] for row in RESULT["ratios"] if row["preset"] == "paper"} == {
        "onnxruntime_window",
        "torch_cached",
        "torch_naive",
    }

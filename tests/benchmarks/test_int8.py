"""The committed figures of 8 bits on one core reach their bars, and the code behind them gives such rows."""

import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "int8.json"


def test_committed_rows_reach_the_bars():
    from benchmarks.int8 import BARS

    found = json.loads(RESULTS.read_text())
    rows = {row["graph"]: row for row in found["rows"]}
    for name, bar in BARS.items():
        assert rows[name]["speed_up"] >= bar and rows[name]["met"], name
    assert "FABRICATED" in found["weights"]


@pytest.mark.needs_torch
@pytest.mark.needs_onnx
def test_a_pair_becomes_a_row(monkeypatch):
    from benchmarks import int8
    from edgeaff.bundle import ModelBundle
    from edgeaff.export.qdq import quantize_dynamic

    step = ModelBundle.load().graph_bytes("affect_step")
    monkeypatch.setattr(int8, "make_pairs", lambda: {"edge_step": (step, quantize_dynamic(step))})
    (row,) = int8.measure(rounds=3)["rows"]
    assert row["graph"] == "edge_step" and row["bar"] is None and row["met"] is None
    assert row["fp32_cpu_ms"] > 0 and row["int8_bytes"] < row["fp32_bytes"] and row["speed_up"] > 0

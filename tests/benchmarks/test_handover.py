"""The handover benchmark measures what docs/tensorrt.md states of it, and its committed result agrees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.handover import SHORT, measure
from edgeaff.bundle import ModelBundle

pytestmark = pytest.mark.needs_native


def check(rows: list[dict]) -> None:
    for row in rows:
        shared = "native" not in (row["before"], row["after"])
        limit = 2e-6 if shared or row["history"] > SHORT else 0.02
        assert row["max_abs_difference"] < limit, row
        if not shared and row["history"] == SHORT:
            assert row["max_abs_difference"] > 1e-4, row


def test_rows_of_the_default_bundle() -> None:
    rows = measure(ModelBundle.load(), repeats=1)
    assert {(row["before"], row["after"]) for row in rows} >= {("onnxruntime", "native"), ("native", "onnxruntime")}
    assert {row["history"] for row in rows} == {SHORT, 297}
    check(rows)


def test_committed_result(root: Path) -> None:
    check(json.loads((root / "benchmarks" / "results" / "handover.json").read_text())["rows"])


def test_committed_builds_hold_one_plugin_layer_and_only_where_it_was_registered(root: Path) -> None:
    result = json.loads((root / "benchmarks" / "results" / "tensorrt_builds.json").read_text())
    assert result["executed"] is False
    assert result["toolchain"]["tensorrt-rtx-cu13"]
    seen = set()
    for row in result["rows"]:
        fused = row["role"] in ("affect_step", "affect_window")
        assert row["plugin_layers"] == int(row["plugin"] and fused), row
        assert row["bytes"] > 100_000
        seen.add((row["role"], row["precision"], *row["targets"], row["plugin"]))
    for role in ("affect_step", "affect_window"):
        for precision in ("fp32", "fp16", "int8"):
            for target in ("sm_86", "sm_120"):
                assert {(role, precision, target, True), (role, precision, target, False)} <= seen
    assert {("face_encoder", "fp16", "sm_86", True), ("face_detector", "fp16", "sm_120", True)} <= seen

"""The benchmark of the face networks: its counting, and the keys of its result."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import nets
from edgeaff.backends.native_face import FACE_NETS
from edgeaff.bench.latency_media import make_media
from edgeaff.ops.face_nets import net_arrays
from tests.packed_bundle import packed_bundle

pytestmark = [pytest.mark.needs_native, pytest.mark.needs_onnx]


def test_multiply_adds_are_those_of_the_graphs():
    arrays = packed_bundle().arrays(FACE_NETS)
    assert sum(nets.count_macs(net_arrays(arrays, "detector"), 256, 320)) == pytest.approx(172.43e6, rel=1e-3)
    assert sum(nets.count_macs(net_arrays(arrays, "encoder"), 96, 96)) == pytest.approx(95.2e6, rel=1e-3)


def test_networks_are_measured_beside_onnx_runtime():
    found = nets.measure_nets(packed_bundle(), make_media(1.0), rounds=2)
    assert {"detector_vs_ort", "encoder_vs_ort", "detector_of_roof", "encoder_of_roof"} <= set(found["ratios"])
    assert all(value > 0 for value in found["ratios"].values())
    assert {row["engine"] for row in found["rows"]} >= {"native", "onnxruntime"}


def test_layers_stand_beside_those_of_onnx_runtime():
    rows = nets.measure_layers(packed_bundle(), make_media(1.0), repeats=2)
    assert len(rows) == 40
    convolutions = [row for row in rows if row["mmac"] > 1]
    assert all(row["native_us"] > 0 and row["onnxruntime_us"] > 0 for row in convolutions)


def test_no_byte_differs_between_instruction_sets():
    found = nets.count_bytes(packed_bundle(), make_media(1.0))
    assert found["bytes_differing"] == 0
    assert found["bytes_compared"] >= 8_000_000 * (len(found["instruction_sets"]) - 1)


def test_the_committed_result_meets_its_bars(root: Path):
    result = json.loads((root / "benchmarks" / "results" / "nets.json").read_text(encoding="utf-8"))
    assert all(result["ratios"][name] >= bar for name, bar in nets.BARS.items())
    assert all(result[name] <= limit for name, limit in nets.LIMITS.items())
    assert result["bytes_compared"] >= 10_000_000
    assert np.isfinite([row["native_us"] for row in result["layers"]]).all()

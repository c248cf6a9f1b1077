"""The measuring code of benchmarks/parity.py, on few ticks."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_onnx]
ROOT = Path(__file__).parents[2]
KEYS = {
    "model", "backend", "precision", "modalities", "ccc_reference_valence", "ccc_reference_arousal", "ccc_label_loss_valence",
    "ccc_label_loss_arousal", "max_abs_difference",
}  # fmt: skip


@pytest.fixture(scope="module")
def golden():
    from edgeaff.bundle import ModelBundle

    return ModelBundle.load().arrays("golden.npz")


def test_drawn_sequences_stay_near_measured_rows(golden):
    from edgeaff.bench.parity import draw_sequences

    drawn = draw_sequences(golden, count=4, ticks=240, seed=5)
    assert drawn["video"].shape == (4, 240, 128) and drawn["audio"].shape == (4, 240, 65)
    assert all(array.dtype == np.float32 for array in drawn.values())
    assert drawn["present"][::2].all() and not drawn["present"][1::2].all()
    for column, name in enumerate(("video", "audio")):
        measured = golden[name][golden["present"][..., column] > 0.5]
        there = drawn[name][drawn["present"][..., column] > 0.5]
        assert 0.3 < there.std(axis=0).mean() / measured.std(axis=0).mean() < 1.2
        assert not drawn[name][drawn["present"][..., column] < 0.5].any()


def test_drawing_follows_the_seed(golden):
    from edgeaff.bench.parity import draw_sequences

    one, same, other = (draw_sequences(golden, count=2, ticks=50, seed=seed)["video"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_modalities_are_taken_away(golden):
    from edgeaff.bench.parity import with_modalities

    audio = with_modalities(golden, (0.0, 1.0))
    assert not audio["video"].any() and not audio["present"][..., 0].any()
    np.testing.assert_array_equal(audio["audio"], golden["audio"])
    np.testing.assert_array_equal(audio["present"][..., 1], golden["present"][..., 1])


@pytest.mark.needs_native
@pytest.mark.needs_openvino
def test_script_writes_the_agreed_rows(tmp_path, monkeypatch, capsys):
    target = tmp_path / "parity.json"
    options = ["--sequences", "2", "--ticks", "60", "--json", str(target)]
    monkeypatch.setattr(sys, "argv", ["parity.py", *options])
    runpy.run_path(str(ROOT / "benchmarks" / "parity.py"), run_name="__main__")
    found = json.loads(target.read_text())
    rows = {(row["backend"], row["precision"], row["modalities"]): row for row in found["rows"]}
    least = {"fp32": 0.9999, "int8": 0.995}
    for backend, precision, modalities in (
        ("onnxruntime", "fp32", "audio_video"),
        ("onnxruntime", "int8", "audio_video"),
        ("onnxruntime", "fp32", "audio"),
        ("onnxruntime", "fp32", "video"),
        ("openvino", "fp32", "audio_video"),
        ("native", "fp32", "audio_video"),
        ("native", "int8", "audio_video"),
    ):
        row = rows[backend, precision, modalities]
        assert set(row) >= KEYS and row["model"] == "edge" and row["ticks"] == 4 * 150 + 2 * 60
        assert min(row["ccc_reference_valence"], row["ccc_reference_arousal"]) >= least[precision]
        assert row["ccc_label_loss_valence"] is None and row["ccc_label_loss_arousal"] is None
    for backend in ("onnxruntime", "native"):  # it is not the float32 step
        assert rows[backend, "int8", "audio_video"]["max_abs_difference"] > 1e-4
    assert found["left_out"] == {} and found["data"]["labels"].startswith("null: ")
    assert "edge  onnxruntime  fp32  audio " in capsys.readouterr().out


def test_a_missing_backend_is_left_out_and_named(monkeypatch):
    from edgeaff.bench.parity import compare
    from edgeaff.bundle import ModelBundle

    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr("edgeaff.bench.parity.CASES", (("openvino", "fp32", "audio_video"),))
    found = compare(ModelBundle.load(), count=1, ticks=5)
    assert found["rows"] == [] and "openvino must be installed" in found["left_out"]["openvino fp32"]

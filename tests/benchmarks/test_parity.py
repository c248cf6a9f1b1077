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
    "model",
    "backend",
    "precision",
    "modalities",
    "ccc_reference_valence",
    "ccc_reference_arousal",
    "ccc_label_loss_valence",
    "ccc_label_loss_arousal",
    "max_abs_difference",
}


@pytest.fixture(scope="module")
def golden():
    from edgeaff.bundle import ModelBundle

    return ModelBundle.load().arrays("golden.npz")


def test_drawn_sequences_stay_near_measured_rows(golden):
    from benchmarks.parity_rows import draw_sequences

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
    from benchmarks.parity_rows import draw_sequences

    one, same, other = (draw_sequences(golden, count=2, ticks=50, seed=seed)["video"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.1


def test_modalities_are_taken_away(golden):
    from benchmarks.parity_rows import with_modalities

    audio = with_modalities(golden, (0.0, 1.0))
    assert not audio["video"].any() and not audio["present"][..., 0].any()
    np.testing.assert_array_equal(audio["audio"], golden["audio"])
    np.testing.assert_array_equal(audio["present"][..., 1], golden["present"][..., 1])


@pytest.mark.needs_native
@pytest.mark.needs_openvino
def test_script_writes_the_agreed_rows(tmp_path, monkeypatch, capsys):
    from benchmarks.parity_rows import CASES

    target = tmp_path / "parity.json"
    image = tmp_path / "parity.png"
    options = [
        "--sequences",
        "2",
        "--ticks",
        "60",
        "--json",
        str(target),
        "--png",
        str(image),
        "--data",
        str(tmp_path),
    ]
    target.write_text(json.dumps({"rows": [{"model": "paper", "kept": True}, {"model": "edge", "kept": False}]}))
    monkeypatch.setattr("benchmarks.parity_plot.plot_rows", lambda rows, path: path.write_text(str(len(rows))))
    monkeypatch.setattr(sys, "argv", ["parity.py", *options])
    runpy.run_path(str(ROOT / "benchmarks" / "parity.py"), run_name="__main__")
    found = json.loads(target.read_text())
    assert found["rows"][-1] == {"model": "paper", "kept": True} and image.read_text() == str(len(found["rows"]))
    rows = {(row["backend"], row["precision"], row["modalities"]): row for row in found["rows"][:-1]}
    least = {"fp32": 0.9999, "int8": 0.995}
    assert set(rows) == set(CASES) and {backend for backend, *_ in rows} == {"onnxruntime", "openvino", "native"}
    for backend, precision, modalities in CASES:
        row = rows[backend, precision, modalities]
        assert set(row) >= KEYS and row["model"] == "edge" and row["ticks"] == 4 * 150 + 2 * 60
        assert min(row["ccc_reference_valence"], row["ccc_reference_arousal"]) >= least[precision]
        assert row["ccc_label_loss_valence"] is None and row["ccc_label_loss_arousal"] is None
    for backend in ("onnxruntime", "native"):  # it is not the float32 step
        assert rows[backend, "int8", "audio_video"]["max_abs_difference"] > 1e-4
    edge = found["presets"]["edge"]
    assert edge["left_out"] == {} and edge["data"]["labels"].startswith("null: ")
    assert {"commit", "date"} <= set(edge["run"])
    assert "edge  onnxruntime  fp32  audio " in capsys.readouterr().out


def test_a_missing_backend_is_left_out_and_named(monkeypatch):
    from benchmarks.parity_rows import compare
    from edgeaff.bundle import ModelBundle

    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr("benchmarks.parity_rows.CASES", (("openvino", "fp32", "audio_video"),))
    found = compare(ModelBundle.load(), count=1, ticks=5)
    assert found["rows"] == [] and "openvino must be installed" in found["left_out"]["openvino fp32"]


def test_labels_of_tracks_are_counted(golden):
    from benchmarks.parity_rows import compare
    from edgeaff.bundle import ModelBundle
    from edgeaff.training.features.cache import Features

    bundle = ModelBundle.load()
    labels = golden["values"][0] + np.float32(0.05)
    labels[:20] = -5.0
    track = Features("a", "valid", golden["video"][0], golden["audio"][0], golden["present"][0] > 0.5, labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.parity_rows.CASES", (("onnxruntime", "int8", "audio_video"),))
        found = compare(bundle, count=1, ticks=80, tracks=[track], corpus="here")
    (row,) = found["rows"]
    assert row["ticks"] == golden["values"][..., 0].size + 80 + 80
    assert 0 < row["ccc_label_valence"] < 1  # 0.05 is much against 80 quiet ticks
    assert 0 < abs(row["ccc_label_loss_valence"]) < 0.01
    assert found["data"]["tracks"] == {"count": 1, "ticks": 80, "split": "valid", "origin": "here"}


def test_rows_become_a_image(tmp_path):
    from benchmarks.parity_plot import plot_rows

    row = {"model": "edge", "backend": "native", "precision": "fp32", "modalities": "audio_video"}
    rows = [{**row, "ccc_reference_valence": value, "ccc_reference_arousal": 0.9999999} for value in (1.0, 0.998)]
    plot_rows(rows, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_paper_subject_is_the_window(tmp_path):
    import torch

    from benchmarks.parity_paper import paper_subject
    from benchmarks.parity_rows import measure_rows
    from edgeaff.training.models.transformer import AudioVideoTransformer, TransformerConfig

    torch.manual_seed(2)
    sizes = {"video_size": 6, "audio_size": 5, "size": 8, "num_heads": 2, "ffn_size": 8}
    system = AudioVideoTransformer(TransformerConfig(**sizes)).eval()
    with (
        torch.no_grad()
    ):  # trained ones differ; equal constants are one in the file, and one precision is not enough for it
        system.cross.alpha.fill_(0.7)
        system.cross.beta.fill_(0.4)
    subject = paper_subject(system)
    rng = np.random.default_rng(0)
    inputs = {
        name: rng.standard_normal((1, 30, size)).astype(np.float32) for name, size in (("video", 6), ("audio", 5))
    }
    inputs |= {"present": np.ones((1, 30, 2), np.float32), "labels": rng.uniform(-1, 1, (1, 30, 2)).astype(np.float32)}
    cases = [("onnxruntime", precision, "audio_video") for precision in ("fp32", "fp16", "int8")]
    rows, left_out = measure_rows(subject, cases, [inputs], say=lambda line: None)
    assert left_out == {} and [row["precision"] for row in rows] == ["fp32", "fp16", "int8"]
    for row, least in zip(rows, (0.999999, 0.999, 0.99), strict=True):
        assert row["ccc_reference_valence"] > least and row["ccc_label_loss_arousal"] is not None

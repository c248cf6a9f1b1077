"""A trained run becomes a bundle that Session runs; what does not fit is refused, both sides named."""

import json

import numpy as np
import pytest

from edgeaff.bundle import ModelBundle
from edgeaff.cli.main import UNUSABLE, USAGE, main
from edgeaff.errors import SpecMismatchError

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_onnx, pytest.mark.needs_native]


@pytest.fixture(scope="module")
def base():
    return ModelBundle.load()


def write_run(folder, base, *, system="edge", sizes=None, stated=None, **features):
    """Writes `best.safetensors` as edgeaff train does, of the shipped weights or fresh ones."""
    import torch
    from safetensors.torch import save_file

    from edgeaff.export.from_onnx import read_step
    from edgeaff.training.features.recipe import encoder_id_of
    from edgeaff.training.models.edge import without_spread
    from edgeaff.training.models.registry import find_system

    torch.manual_seed(3)
    module = (
        without_spread(read_step(base.graph_bytes("affect_step")))
        if system == "edge"
        else find_system(system).build(sizes=sizes)
    )
    if system == "transformer_av":
        with torch.no_grad():  # values that vary, as after training
            module.cross.alpha.fill_(0.6)
            module.cross.beta.fill_(0.45)
            module.dense.weight.mul_(2.0)
    stated = stated or {"fingerprint": base.spec.fingerprint, "encoder_id": encoder_id_of(base), **features}
    run = {
        "system": system,
        "config": {"system": system, "sizes": sizes or {}},
        "epoch": 3,
        "scores": {"ccc_mean": 0.5},
        "features": stated,
        "edgeaff": "0.1.0",
    }
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in module.state_dict().items()}
    save_file(state, folder / "best.safetensors", metadata={"run": json.dumps(run)})
    return folder


def test_an_edge_run_becomes_a_bundle(tmp_path, base, capsys):
    run = write_run(tmp_path / "run", base)
    assert main(["export", str(run), "--to", "onnx", "--output", str(tmp_path / "mine.eaff")]) == 0
    stated = capsys.readouterr().out
    assert "onnxruntime fp32: CCC with the reference valence 1.0000" in stated and "mine-fp32 (edge)" in stated
    made = ModelBundle.load(tmp_path / "mine.eaff")
    assert "Trained by the user" in made.manifest.provenance and made.spec == base.spec
    assert {row["backend"] for row in made.manifest.certificates} >= {"onnxruntime", "native"}
    np.testing.assert_allclose(made.arrays("golden.npz")["values"], base.arrays("golden.npz")["values"], atol=1e-5)


def test_int8_has_int8_certificates(tmp_path, base):
    from edgeaff.export.from_run import export_run
    from edgeaff.session import Session

    made = export_run(write_run(tmp_path / "run", base), tmp_path / "q.eaff", targets=("onnx", "int8")).bundle
    found = {row["backend"]: row["precision"] for row in made.manifest.certificates}
    assert found["onnxruntime"] == found["native"] == "int8"
    assert len(made.graph_bytes("affect_step")) < 0.6 * len(base.graph_bytes("affect_step"))
    assert Session(made, backend="native", self_test="refuse").warnings == []


def test_a_paper_run_on_our_encoder_becomes_a_bundle(tmp_path, base):
    from edgeaff.export.from_run import export_run
    from edgeaff.golden import self_test
    from edgeaff.inference import load_predictor
    from edgeaff.spec import paper_spec_of

    sizes = {"video_size": 128, "size": 16, "num_heads": 2, "ffn_size": 8, "layers": 1}
    spec = paper_spec_of(base.spec)
    run = write_run(tmp_path / "run", base, system="transformer_av", sizes=sizes, fingerprint=spec.fingerprint)
    done = export_run(run, tmp_path / "paper.eaff")
    assert done.fabricated == [] and done.bundle.manifest.preset == "paper"
    assert self_test(done.bundle, load_predictor(done.bundle)).max_abs_difference < 1e-5
    assert done.bundle.graph_bytes("face_encoder") == base.graph_bytes("face_encoder")


@pytest.mark.parametrize(("ffn_size", "native"), [(64, True), (60, False)])  # of other sizes ONNX Runtime runs alone
def test_a_paper_run_in_8_bits_has_the_native_window(tmp_path, base, ffn_size, native):
    from edgeaff.export.from_run import export_run
    from edgeaff.session import Session
    from edgeaff.spec import paper_spec_of

    sizes = {"video_size": 128, "size": 128, "num_heads": 4, "ffn_size": ffn_size, "layers": 1}
    spec = paper_spec_of(base.spec)
    run = write_run(tmp_path / "run", base, system="transformer_av", sizes=sizes, fingerprint=spec.fingerprint)
    made = export_run(run, tmp_path / "paper.eaff", targets=("onnx", "int8")).bundle
    found = {row["backend"]: row["precision"] for row in made.manifest.certificates}
    assert found["onnxruntime"] == "int8" and found.get("native") == ("int8" if native else None)
    assert Session(made, backend="native" if native else "default", self_test="refuse").warnings == []


@pytest.mark.parametrize("name", ["fingerprint", "encoder_id", "statistics"])
def test_features_made_otherwise_are_refused(tmp_path, base, name):
    from edgeaff.export.from_run import export_run

    run = write_run(tmp_path / "run", base, **{name: "0123456789abcdef"})
    with pytest.raises(
        SpecMismatchError, match=rf"{name} of the run's features must be .* \(bundle\), got 0123456789abcdef \(run\)"
    ):
        export_run(run, tmp_path / "a.eaff")
    assert not (tmp_path / "a.eaff").exists()


def test_a_run_that_does_not_say_its_features_is_refused(tmp_path, base, capsys):
    run = write_run(tmp_path / "run", base, stated={"form": "paper"})
    assert main(["export", str(run), "--output", str(tmp_path / "a.eaff")]) == UNUSABLE
    assert (
        "run must say what its features were made for (fingerprint, encoder_id), got {'form': 'paper'}"
        in capsys.readouterr().err
    )


def test_bad_arguments_end_with_usage(tmp_path, base, capsys):
    run = write_run(tmp_path / "run", base)
    assert main(["export", str(run), "--output", str(tmp_path / "a.zip")]) == USAGE
    assert main(["export", str(run), "--to", "tflite", "--output", str(tmp_path / "a.eaff")]) == USAGE
    assert "to must be of onnx, int8, tensorrt, got tflite" in capsys.readouterr().err
    other = write_run(tmp_path / "other", base, system="rnn_a")
    assert main(["export", str(other), "--output", str(tmp_path / "a.eaff")]) in (USAGE, UNUSABLE)
    assert "run must be of edge or transformer_av, got rnn_a" in capsys.readouterr().err

"""Certificates: a backend that is the reference passes, one that is not is refused, and the bundle carries the figures."""

import hashlib
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from edgeaff.bundle import ModelBundle, pack_arrays
from edgeaff.cli.main import UNUSABLE, main
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError
from edgeaff.export import certificate
from edgeaff.golden import Agreement, require_parity
from recipes.default_bundle import assemble

KEYS = {
    "backend",
    "precision",
    "versions",
    "ccc_reference_valence",
    "ccc_reference_arousal",
    "max_abs_difference",
    "sequences",
    "ticks",
    "date",
}
BACKENDS = [
    "onnxruntime",
    pytest.param("native", marks=pytest.mark.needs_native),
    pytest.param("openvino", marks=[pytest.mark.needs_openvino, pytest.mark.needs_onnx]),
]


@pytest.fixture(scope="module")
def bundle():
    return ModelBundle.load()


def shortened(bundle, ticks=20, **changes):
    """Returns the bundle with the first ticks of two golden sequences, and these arrays changed."""
    golden = {name: array[2:, :ticks] for name, array in bundle.arrays("golden.npz").items()}
    golden.update({name: change(golden[name]) for name, change in changes.items()})
    return replace(bundle, members={**bundle.members, "golden.npz": pack_arrays(golden)})


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_is_the_reference(bundle, backend):
    made = certificate.certify(bundle, backend)
    assert set(made) == KEYS
    assert made["precision"] == "fp32" and made["sequences"] == 4 and made["ticks"] == 600
    assert min(made["ccc_reference_valence"], made["ccc_reference_arousal"]) >= 0.999999
    assert made["max_abs_difference"] <= 1e-5
    require_parity(made)
    json.dumps(made, allow_nan=False)


def test_other_reference_values_are_seen_and_refused(bundle):
    other = shortened(bundle, values=lambda values: values * np.float32([1.0, 0.9]))
    made = certificate.certify(other, "onnxruntime")
    assert made["ccc_reference_valence"] > 0.9999 > made["ccc_reference_arousal"]
    found = re.escape(f"{made['ccc_reference_arousal']:g}")
    with pytest.raises(BundleError, match=rf"onnxruntime fp32: CCC of arousal .* at least 0\.9999, got {found};"):
        require_parity(made)


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("fp16", 0.999), ("int8", 0.995)])
def test_floor_of_each_precision(precision, least):
    made = {"backend": "x", "precision": precision, "ccc_reference_valence": 1.0, "ccc_reference_arousal": least}
    require_parity(made)
    for bad in (least - 1e-6, float("nan")):
        with pytest.raises(BundleError, match="CCC of arousal"):
            require_parity({**made, "ccc_reference_arousal": bad})


def test_agreement_by_hand():
    reference = np.array([[[0.0, 0.5], [0.4, 0.1]]])
    found = Agreement.of(reference + [0.0, 0.2], reference)
    assert found.ccc_valence == pytest.approx(1.0)
    assert found.ccc_arousal == pytest.approx(2 * 0.04 / (0.08 + 0.04))
    assert found.max_abs_difference == pytest.approx(0.2) and found.ticks == 2


@pytest.mark.needs_native
def test_precision_is_that_of_the_packed_weights(bundle):
    from edgeaff.export.pack_step import round_to_bfloat16

    arrays = bundle.arrays("step.npz")
    meta = {**json.loads(arrays["meta"].tobytes()), "precision": "bfloat16"}
    packed = {
        name: round_to_bfloat16(array) if name.endswith(".weight") and ".cross." not in name else array
        for name, array in arrays.items()
    }
    packed["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    other = replace(bundle, members={**bundle.members, "step.npz": pack_arrays(packed)})
    made = certificate.certify(other, "native")
    assert made["precision"] == "bf16" and 1e-6 < made["max_abs_difference"] < 0.05


def test_what_cannot_be_certified_is_refused(bundle):
    with pytest.raises(ArgumentError, match="backend must be one of onnxruntime, native, openvino, got 'abacus'"):
        certificate.certify(bundle, "abacus")
    empty = replace(bundle, members={name: data for name, data in bundle.members.items() if name != "golden.npz"})
    with pytest.raises(ArgumentError, match=r"must hold golden\.npz"):
        certificate.certify(empty, "onnxruntime")


def test_missing_backends_are_named_with_the_reason(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    short = shortened(bundle)
    del short.members["step.npz"]
    made, absent = certificate.certify_available(short)
    assert [one["backend"] for one in made] == ["onnxruntime"] and made[0]["ticks"] == 40
    assert "step.npz" in absent["native"] and "openvino must be installed" in absent["openvino"]


def write_parts(folder, bundle):
    for name, data in bundle.members.items():
        (folder / name).write_bytes(data)
    manifest = bundle.manifest.to_dict()
    tail = {key: manifest[key] for key in ("statistics", "uncertainty", "accuracy", "provenance")}
    tail["spec"] = {
        name: value for name, value in manifest["spec"].items() if name not in ("detector_id", "crop_margin")
    }
    parts = {"face_detector": manifest["detector"], "face_encoder": manifest["face_encoder"], "tail": tail}
    for name, part in parts.items():
        (folder / f"{name}.json").write_text(json.dumps(part))


def test_assembled_bundle_carries_its_certificates(tmp_path, bundle):
    write_parts(tmp_path, shortened(bundle))
    assemble.assemble(tmp_path, tmp_path / "a.eaff", model_id="test", certified=("onnxruntime",))
    made = ModelBundle.load(tmp_path / "a.eaff")
    assert made.spec == bundle.spec
    (only,) = made.manifest.certificates
    assert set(only) == KEYS and only["backend"] == "onnxruntime" and only["ticks"] == 40
    assemble.assemble(tmp_path, tmp_path / "b.eaff", model_id="test")
    assert ModelBundle.load(tmp_path / "b.eaff").manifest.certificates == ()


def write_int8_encoder(folder, **changes):
    """Writes an 8-bit encoder (the same with an empty doc string) with figures that reach the bar, and these changed."""
    path = folder / "face_encoder.onnx"
    (folder / "face_encoder.int8.onnx").write_bytes(path.read_bytes() + b"\x32\0")
    figures = {
        f"{kind}_{name}": value
        for kind, value in (("ccc_reference", 0.9996), ("ccc_label", 0.9), ("ccc_label_loss", 0.001))
        for name in ("valence", "arousal")
    }
    figures |= {"max_abs_difference": 0.1, "faces": 3573, "speed_up": 2.4}
    for key, name in (("sha256_fp32", "face_encoder.onnx"), ("sha256_int8", "face_encoder.int8.onnx")):
        figures[key] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "face_encoder.int8.json").write_text(json.dumps({**figures, **changes}))


def test_the_8_bit_encoder_is_taken_with_its_certificate(tmp_path, bundle):
    write_parts(tmp_path, shortened(bundle))
    write_int8_encoder(tmp_path)
    assemble.assemble(tmp_path, tmp_path / "a.eaff", model_id="test", certified=("onnxruntime",))
    made = ModelBundle.load(tmp_path / "a.eaff")
    assert made.graph_bytes("face_encoder") == (tmp_path / "face_encoder.int8.onnx").read_bytes()
    assert made.precision("face_encoder") == "int8" and made.precision("affect_step") == "fp32"
    of_encoder = made.manifest.certificates[-1]
    assert (of_encoder["graph"], of_encoder["precision"], of_encoder["faces"]) == ("face_encoder", "int8", 3573)
    assert of_encoder["ccc_label_before_valence"] == 0.901 and of_encoder["ccc_label_after_valence"] == 0.9
    assert "face encoder onnxruntime int8" in certificate.describe(of_encoder)
    assemble.assemble(tmp_path, tmp_path / "b.eaff", model_id="test", encoder_precision="fp32")
    kept = ModelBundle.load(tmp_path / "b.eaff")
    assert kept.graph_bytes("face_encoder") == (tmp_path / "face_encoder.onnx").read_bytes()
    assert kept.precision("face_encoder") == "fp32"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ccc_label_loss_arousal": 0.02}, "ccc_label_loss_arousal must be at most 0.01"),
        ({"ccc_reference_valence": 0.99}, "ccc_reference_valence must be at least 0.995"),
        ({"sha256_int8": "0" * 64}, "sha256_int8 .* must be that of the encoder beside it"),
        ({"sha256_fp32": "0" * 64}, "sha256_fp32 .* must be that of the encoder beside it"),
    ],
)
def test_an_8_bit_encoder_below_the_bar_or_of_another_file_is_refused(tmp_path, bundle, changes, message):
    write_parts(tmp_path, bundle)
    write_int8_encoder(tmp_path, **changes)
    with pytest.raises(BundleError, match=message):
        assemble.assemble(tmp_path, tmp_path / "a.eaff", model_id="test")


def parity_of(step, **changes):
    row = {"model": "edge", "backend": "onnxruntime", "precision": "fp32", "modalities": "audio_video"}
    row |= {f"ccc_label_{name}": 0.5 for name in ("valence", "arousal")}
    row |= {f"ccc_label_loss_{name}": 0.001 for name in ("valence", "arousal")}
    data = {"tracks": {"origin": "somewhere"}, "labels": "annotated ticks"}
    bundle = {"affect_step_sha256": hashlib.sha256(step).hexdigest()}
    return {"rows": [row], "presets": {"edge": {"data": data, "bundle": bundle, **changes}}}


def test_label_ccc_goes_into_the_certificates(tmp_path, bundle):
    write_parts(tmp_path, shortened(bundle))
    step = bundle.graph_bytes("affect_step")
    (tmp_path / "parity.json").write_text(json.dumps(parity_of(step)))
    options = {"model_id": "test", "certified": ("onnxruntime",), "encoder_precision": "fp32"}
    assemble.assemble(tmp_path, tmp_path / "a.eaff", parity=tmp_path / "parity.json", **options)
    (made,) = ModelBundle.load(tmp_path / "a.eaff").manifest.certificates
    assert made["ccc_label_before_valence"] == 0.501 and made["ccc_label_after_valence"] == 0.5
    assert made["labels"] == "somewhere" and "CCC with labels lost: +0.0010" in certificate.describe(made)
    (tmp_path / "parity.json").write_text(json.dumps(parity_of(step + b"x")))
    with pytest.raises(BundleError, match="parity must hold rows with labels for the step with sha256"):
        assemble.assemble(tmp_path, tmp_path / "b.eaff", parity=tmp_path / "parity.json", **options)


def test_nothing_is_assembled_from_what_disagrees(tmp_path, bundle, monkeypatch):
    write_parts(tmp_path, shortened(bundle, values=np.negative))
    with pytest.raises(BundleError, match="CCC of valence"):
        assemble.assemble(tmp_path, tmp_path / "a.eaff", model_id="test", certified=("onnxruntime",))
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailableError, match="openvino must be installed"):
        assemble.assemble(tmp_path, tmp_path / "a.eaff", model_id="test", certified=("openvino",))
    assert not (tmp_path / "a.eaff").exists()


def test_verify_prints_each_backend(capsys):
    assert main(["models", "verify"]) == 0
    stated = capsys.readouterr().out
    assert "onnxruntime fp32: CCC with the reference valence 1.0000" in stated
    assert "(4 sequences, 600 ticks)" in stated
    assert all(name in stated for name in certificate.BACKENDS)


def test_verify_ends_with_an_error_below_the_floor(tmp_path, bundle, capsys):
    other = shortened(bundle, values=lambda values: values + np.float32(0.1))
    del other.members["step.npz"]
    ModelBundle.save(tmp_path / "other.eaff", other.manifest, other.members)
    assert main(["models", "verify", str(tmp_path / "other.eaff")]) == UNUSABLE
    assert "CCC of valence with the golden outputs must be at least 0.9999" in capsys.readouterr().err


def test_verify_states_when_there_is_nothing_to_replay(tmp_path, bundle, capsys):
    members = {name: data for name, data in bundle.members.items() if name != "golden.npz"}
    ModelBundle.save(tmp_path / "none.eaff", bundle.manifest, members)
    assert main(["models", "verify", str(tmp_path / "none.eaff")]) == UNUSABLE
    assert "must hold golden.npz to be tested" in capsys.readouterr().err

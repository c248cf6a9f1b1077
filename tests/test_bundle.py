"""Bundles: a round trip is exact; any changed byte is rejected, with both sides named."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaff.bundle import DEFAULT_BUNDLE, ModelBundle
from edgeaff.errors import ArgumentError, BundleError, SpecMismatchError
from edgeaff.manifest import Manifest
from edgeaff.spec import PreprocessSpec, paper_spec
from tests.bundles import graph, manifest, write


def save(path: Path, **changes: Any) -> Path:
    return write(path, manifest(**changes), {"affect_step.onnx": graph(), "golden.npz": b"golden"})


def rewrite(path: Path, name: str, data: bytes, *, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    members[name] = data
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry, content in members.items():
            archive.writestr(entry, content)


def test_bundle_comes_back_as_written(tmp_path: Path) -> None:
    written = Manifest.from_dict(manifest(version=2, fabricated=["affect_step"], later={"kept": [1]}))
    ModelBundle.save(tmp_path / "a.eaff", written, {"affect_step.onnx": graph()})
    bundle = ModelBundle.load(tmp_path / "a.eaff")
    assert bundle.manifest == written and bundle.manifest.other == {"later": {"kept": [1]}}
    assert bundle.graph_bytes("affect_step") == graph()
    assert bundle.spec == PreprocessSpec()
    assert bundle.has_graph("affect_step") and not bundle.has_graph("face_encoder")


def test_same_content_gives_same_bytes(tmp_path: Path) -> None:
    for name in ("a.eaff", "b.eaff"):
        ModelBundle.save(tmp_path / name, Manifest.from_dict(manifest()), {"affect_step.onnx": graph()})
    assert (tmp_path / "a.eaff").read_bytes() == (tmp_path / "b.eaff").read_bytes()


def test_manifest_of_the_shipped_bundle_is_a_fixed_point() -> None:
    with zipfile.ZipFile(DEFAULT_BUNDLE) as archive:
        stated = json.loads(archive.read("manifest.json"))
    assert Manifest.from_dict(stated).to_dict() == stated


def test_every_flipped_byte_of_every_member_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.eaff")
    data = path.read_bytes()
    for offset in np.random.default_rng(0).choice(len(data), 60, replace=False):
        changed = bytearray(data)
        changed[offset] ^= 0x10
        path.write_bytes(changed)
        try:
            loaded = ModelBundle.load(path)
        except (BundleError, SpecMismatchError):
            continue
        assert loaded.members == {
            "affect_step.onnx": graph(),
            "golden.npz": b"golden",
        }  # a byte of zip padding or dates


def test_changed_member_names_both_digests(tmp_path: Path) -> None:
    path = save(tmp_path / "a.eaff")
    rewrite(path, "affect_step.onnx", b"other")
    with pytest.raises(BundleError, match=r"affect_step.onnx must have sha256 [0-9a-f]{64}, got [0-9a-f]{64}"):
        ModelBundle.load(path)


def test_added_member_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.eaff")
    rewrite(path, "extra.pkl", b"x")
    with pytest.raises(BundleError, match="extra.pkl"):
        ModelBundle.load(path)


def test_swapped_spec_names_both_fingerprints(tmp_path: Path) -> None:
    spec = PreprocessSpec()
    path = save(tmp_path / "a.eaff", spec=paper_spec().to_dict(), fingerprint=spec.fingerprint)
    with pytest.raises(SpecMismatchError, match=f"{spec.fingerprint}.*{paper_spec().fingerprint}"):
        ModelBundle.load(path)


def test_another_lld_order_names_both_fingerprints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeaff import spec

    path = save(tmp_path / "a.eaff")
    stated = ModelBundle.load(path).spec.fingerprint
    swapped = (spec.NAMES[1], spec.NAMES[0], *spec.NAMES[2:])
    monkeypatch.setattr(spec, "NAMES", swapped)
    with pytest.raises(
        SpecMismatchError, match=f"fingerprint must be {stated} \\(bundle\\), got [0-9a-f]{{16}} .*LLD order"
    ):
        ModelBundle.load(path)


def test_wrong_detector_names_both(tmp_path: Path) -> None:
    path = save(tmp_path / "a.eaff", detector={"id": "yunet"})
    with pytest.raises(SpecMismatchError, match="edgeaff-ssd.*yunet"):
        ModelBundle.load(path)


def test_other_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="schema must be 1.*got 99"):
        ModelBundle.load(write(tmp_path / "a.eaff", manifest(schema=99)))


def test_unknown_spec_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecMismatchError, match="color"):
        ModelBundle.load(save(tmp_path / "a.eaff", spec={**PreprocessSpec().to_dict(), "color": "bgr"}))


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04" + b"\0" * 50])
def test_what_is_no_bundle_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.eaff"
    path.write_bytes(data)
    with pytest.raises(BundleError, match="bundle"):
        ModelBundle.load(path)


def test_missing_file_states_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="edgeaff export"):
        ModelBundle.load(tmp_path / "none.eaff")


def test_missing_manifest_key_is_refused() -> None:
    values = manifest()
    del values["licences"]
    with pytest.raises(BundleError, match="licences"):
        Manifest.from_dict(values)


def test_graph_without_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="other.onnx"):
        ModelBundle.load(save(tmp_path / "a.eaff", graphs={"affect_step": "other.onnx"}))


def test_unknown_role_lists_the_known(tmp_path: Path) -> None:
    bundle = ModelBundle.load(save(tmp_path / "a.eaff"))
    with pytest.raises(BundleError, match="affect_step"):
        bundle.graph_bytes("nonsense")


def test_lower_version_than_asked_for_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.eaff", version=3)
    assert ModelBundle.load(path, minimum_version=3).version == 3
    with pytest.raises(BundleError, match="version must be at least 4, got 3"):
        ModelBundle.load(path, minimum_version=4)
    with pytest.raises(BundleError, match="version must be at least 1, got 0"):
        ModelBundle.load(save(tmp_path / "b.eaff"), minimum_version=1)


@pytest.mark.parametrize("version", [-1, 1.5, "1", True, 1 << 40])
def test_minimum_version_of_another_kind_is_an_argument_error(tmp_path: Path, version: Any) -> None:
    with pytest.raises(ArgumentError, match="minimum_version"):
        ModelBundle.load(save(tmp_path / "a.eaff"), minimum_version=version)


def test_spec_survives_json(tmp_path: Path) -> None:
    spec = paper_spec(crop_margin=1.3)
    assert PreprocessSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert spec.fingerprint != paper_spec().fingerprint

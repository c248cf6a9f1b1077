"""The bundle that ships: whole, certified by its golden sequences, honest in its manifest, sensible on faces and voices."""

from __future__ import annotations

import pytest

from edgeaff.bundle import ModelBundle
from edgeaff.golden import self_test
from edgeaff.inference import Uncertainty, load_predictor

LIMIT_BYTES = 8_000_000


def test_default_bundle_loads_and_is_small() -> None:
    bundle = ModelBundle.load()
    assert bundle.path.stat().st_size < LIMIT_BYTES
    assert all(bundle.has_graph(role) for role in ("face_detector", "face_encoder", "affect_step"))
    assert len(bundle.graph_bytes("face_detector")) <= 1_000_000


@pytest.mark.parametrize(
    "backend", ["onnxruntime", "native", pytest.param("openvino", marks=pytest.mark.needs_openvino)]
)
def test_golden_sequences_come_out_as_the_reference(backend: str) -> None:
    bundle = ModelBundle.load()
    assert self_test(bundle, load_predictor(bundle, backend)).max_abs_difference <= 1e-4


def test_manifest_states_what_it_is() -> None:
    manifest = ModelBundle.load().manifest
    for words in ("not human", "FER", "EmoDB"):
        assert words in manifest.provenance
    assert set(manifest.licences) == {"code", "weights", "data"}
    assert "consent" in manifest.intended_use or "agrees" in manifest.intended_use
    assert manifest.accuracy


def test_uncertainty_falls_with_evidence() -> None:
    table = Uncertainty(ModelBundle.load().manifest.uncertainty)
    nothing, everything = table.std(0.0, 0.0), table.std(1.0, 1.0)
    assert everything[0] < nothing[0] and everything[1] < nothing[1]
    assert table.std(1.0, 0.0)[0] < table.std(0.0, 1.0)[0]  # the face carries valence

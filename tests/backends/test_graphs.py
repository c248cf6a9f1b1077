"""Backends give the same numbers for the graphs of the bundle that ships."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaff.backends import load_graph
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.features.face import normalize
from edgeaff.inference import StreamingPredictor


def test_unknown_backend_lists_the_known() -> None:
    with pytest.raises(ArgumentError, match="onnxruntime, openvino"):
        load_graph(b"", backend="magic")


@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.needs_openvino)])
def test_what_is_no_graph_is_a_bundle_error(backend: str) -> None:
    with pytest.raises(BundleError, match="export it again"):
        load_graph(b"nonsense", backend=backend)


@pytest.mark.needs_openvino
def test_openvino_agrees_with_onnxruntime_on_the_face_encoder() -> None:
    model = ModelBundle.load().graph_bytes("face_encoder")
    one, other = load_graph(model), load_graph(model, backend="openvino")
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    feeds = {"face": normalize(pixels)[None]}
    expected, found = (graph.run(feeds)["descriptor"][0] for graph in (one, other))
    # The encoder that ships has 8-bit activations, which engines round differently; cosine measured on noise: 0.998.
    assert expected @ found / np.linalg.norm(expected) / np.linalg.norm(found) > 0.995


@pytest.mark.needs_openvino
def test_openvino_equals_onnxruntime_over_200_ticks_of_the_step() -> None:
    model = ModelBundle.load().graph_bytes("affect_step")
    predictors = [StreamingPredictor(load_graph(model, backend=name)) for name in ("onnxruntime", "openvino")]
    states = [predictor.initial_state() for predictor in predictors]
    graph = load_graph(model)
    rng = np.random.default_rng(1)
    for tick in range(200):
        video = rng.normal(0, 1, graph.inputs["video"][1]).astype(np.float32) if tick % 7 else None
        audio = rng.normal(0, 1, graph.inputs["audio"][1]).astype(np.float32) if tick % 5 else None
        values = []
        for index, predictor in enumerate(predictors):
            prediction, states[index] = predictor.step(states[index], video, audio)
            values.append((prediction.valence, prediction.arousal))
        assert np.allclose(values[0], values[1], atol=1e-4)

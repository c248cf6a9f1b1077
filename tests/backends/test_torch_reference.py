"""A torch module as a graph: the same predictor over it and over its export say the same."""

import numpy as np
import pytest

from edgeaff.errors import ArgumentError

pytestmark = pytest.mark.needs_torch


@pytest.mark.needs_onnx
def test_predictor_over_the_torch_step_is_that_of_the_bundle():
    from edgeaff.bundle import ModelBundle
    from edgeaff.export.from_onnx import read_step
    from edgeaff.export.to_onnx import StepGraph
    from edgeaff.inference import StreamingPredictor, load_predictor, replay
    from edgeaff.torch_ops.graph import TorchGraph

    bundle = ModelBundle.load()
    exported = load_predictor(bundle, "onnxruntime")
    module = StepGraph(read_step(bundle.graph_bytes("affect_step")))
    inputs = {"video": (1, 128), "audio": (1, 65), "present": (1, 2)}
    inputs |= {f"state_{name}": tuple(state.shape) for name, state in module.edge.initial_state().items()}
    outputs = ("values", "std", *(f"next_state_{name}" for name in module.names))
    predictor = StreamingPredictor(TorchGraph(module, inputs=inputs, outputs=outputs))
    assert predictor.backend == "torch" and predictor.precision == "fp32"
    golden = [bundle.arrays("golden.npz")[name][:1, :30] for name in ("video", "audio", "present")]
    np.testing.assert_allclose(replay(predictor, *golden), replay(exported, *golden), atol=1e-5)
    assert predictor.state_layout == exported.state_layout  # so that Session may swap them


def test_inputs_and_outputs_are_checked():
    import torch

    from edgeaff.torch_ops.graph import TorchGraph

    graph = TorchGraph(torch.nn.Linear(3, 2), inputs={"x": (None, 3)}, outputs=("y",))
    x = np.ones((4, 3), np.float32)
    np.testing.assert_allclose(graph.run({"x": x})["y"][0], graph.run({"x": x[:1]})["y"][0], rtol=1e-6)
    for feeds in ({}, {"x": x[:, :2]}, {"x": x[0]}):
        with pytest.raises(ArgumentError, match=r"x must have shape \(None, 3\)"):
            graph.run(feeds)
    twice = TorchGraph(torch.nn.Identity(), inputs={"x": (None, 3)}, outputs=("y", "z"))
    with pytest.raises(ArgumentError, match="2 names for 1 tensors"):
        twice.run({"x": x})

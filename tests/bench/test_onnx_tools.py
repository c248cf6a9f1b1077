"""Float twins of 8-bit graphs, work counted, and graphs in torch eager, against ONNX Runtime."""

import numpy as np
import pytest

from edgeaff.backends import load_graph
from edgeaff.bench.onnx_tools import TorchGraph, count_macs, float_graph, is_int8, torch_operator
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError

pytestmark = [pytest.mark.needs_onnx, pytest.mark.needs_torch]
IMAGE = np.random.default_rng(0).integers(0, 256, (1, 3, 96, 128), dtype=np.uint8)
FACE = np.random.default_rng(0).uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32)


@pytest.mark.parametrize(("role", "feeds"), [("face_detector", {"image": IMAGE}), ("face_encoder", {"face": FACE})])
def test_float_twin_is_float_and_runs_the_same_in_torch(role, feeds):
    plain = float_graph(ModelBundle.load().graph_bytes(role))
    assert not is_int8(plain)
    expected, got = load_graph(plain).run(feeds), TorchGraph(plain).run(feeds)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, atol=2e-5 * max(1.0, np.abs(value).max()))


def test_float_twin_of_the_detector_is_near_the_8_bit_graph():
    model = ModelBundle.load().graph_bytes("face_detector")
    assert is_int8(model)
    ours, twin = load_graph(model).run({"image": IMAGE}), load_graph(float_graph(model)).run({"image": IMAGE})
    for name, value in twin.items():
        assert np.linalg.norm(ours[name] - value) < 0.06 * np.linalg.norm(value)  # measured: 0.02


def test_work_is_that_of_the_convolutions():
    from onnx import TensorProto, helper
    from onnx.numpy_helper import from_array

    weights = from_array(np.ones((8, 4, 3, 3), np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], group=1)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", 4, 10, 12])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    model = helper.make_model(helper.make_graph([node], "g", inputs, outputs, [weights]), ir_version=9)
    assert count_macs(model.SerializeToString(), {"x": (1, 4, 10, 12)}) == 8 * 4 * 9 * 120


def test_operators_that_torch_eager_lacks_here_are_named():
    with pytest.raises(ArgumentError, match="kind must be one of .* got 'Einsum'"):
        torch_operator("Einsum", {})

"""Graphs changed in memory say the same as before: half precision, no quantization, and the fusion node left to a plugin."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from edgeaff.backends import load_graph, precision_in
from edgeaff.backends.onnx_edit import (
    OP_TYPE,
    for_plugin,
    fusion_nodes,
    head_sizes,
    load,
    to_half,
    without_quantization,
)
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.golden import self_test
from edgeaff.inference import StreamingPredictor

pytestmark = pytest.mark.needs_onnx


@cache
def bundle() -> ModelBundle:
    return ModelBundle.load()


@cache
def step() -> bytes:
    return bundle().graph_bytes("affect_step")


def float_types(model: bytes) -> set[int]:
    return {item.data_type for item in load(model).graph.initializer} & {1, 10}


def test_half_step_agrees_with_the_reference() -> None:
    graph = load_graph(to_half(step()))
    assert graph.inputs == load_graph(step()).inputs
    predictor = StreamingPredictor(graph)
    predictor.precision = "fp16"
    figures = self_test(bundle(), predictor).figures()  # refuses below 0.999
    assert min(figures["ccc_valence"], figures["ccc_arousal"]) > 0.999999
    assert 1e-6 < figures["max_abs_difference"] < 1e-3  # 3.4e-4; above 1e-6: it is half precision indeed


def test_half_step_keeps_what_the_kernel_takes_as_float() -> None:
    parsed = load(to_half(step()))
    types = {item.name: item.data_type for item in parsed.graph.initializer}
    (node,) = fusion_nodes(parsed)
    wide = [name for index, name in enumerate(node.input) if name in types and types[name] == 1]
    assert len(wide) == 4  # alpha, beta and both biases by age
    assert float_types(to_half(step())) == {1, 10}
    assert [function.name for function in parsed.functions] == [OP_TYPE]


def test_half_face_encoder_gives_the_same_descriptor() -> None:
    model = bundle().graph_bytes("face_encoder")
    model = without_quantization(model) if precision_in(model) == "int8" else model
    face = np.random.default_rng(0).uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32)
    wide, half = (load_graph(one).run({"face": face})["descriptor"][0] for one in (model, to_half(model)))
    assert half.dtype == np.float32
    assert wide @ half / np.linalg.norm(wide) / np.linalg.norm(half) > 0.99999  # 0.9999983


def test_a_constant_may_be_needed_in_both_precisions() -> None:
    import onnx

    scale = onnx.numpy_helper.from_array(np.array([1.0, 2.0, 3.0, 0.1], np.float32), "scale")
    nodes = [
        onnx.helper.make_node("LayerNormalization", ["x", "scale"], ["y"]),
        onnx.helper.make_node("Mul", ["y", "scale"], ["z"]),
    ]
    value = [onnx.helper.make_tensor_value_info(name, 1, [1, 4]) for name in ("x", "z")]
    graph = onnx.helper.make_graph(nodes, "g", value[:1], value[1:], [scale])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    half = to_half(model.SerializeToString())
    assert float_types(half) == {1, 10}
    row = {"x": np.array([[0.5, -1.0, 2.0, 0.25]], np.float32)}
    wide, narrow = (load_graph(one).run(row)["z"] for one in (model.SerializeToString(), half))
    assert 0 < np.abs(wide - narrow).max() < 5e-3


def test_a_detector_without_quantization_finds_the_same() -> None:
    model = bundle().graph_bytes("face_detector")
    plain = without_quantization(model)
    kinds = {node.op_type for node in load(plain).graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}
    rows, columns = np.mgrid[0:96, 0:128]
    image = (127 + 120 * np.sin(rows / 9) * np.cos(columns / 11)).astype(np.uint8)[None, None].repeat(3, axis=1)
    before, after, half = (load_graph(one).run({"image": image}) for one in (model, plain, to_half(plain)))
    for name, array in before.items():
        assert np.abs(array).max() > 3
        assert np.abs(array - after[name]).max() < 0.3  # 0.19 on noise: the rounding of the activations
        assert np.abs(half[name] - after[name]).max() < 0.03


def test_per_channel_weights_are_scaled_along_their_axis() -> None:
    import onnx

    stored = np.array([[1, 2], [3, 4]], np.int8)
    initializers = [
        onnx.numpy_helper.from_array(stored, "stored"),
        onnx.numpy_helper.from_array(np.array([0.5, 10.0], np.float32), "scale"),
        onnx.numpy_helper.from_array(np.array([1, 0], np.int8), "zero"),
    ]
    nodes = [
        onnx.helper.make_node("DequantizeLinear", ["stored", "scale", "zero"], ["w"], axis=0),
        onnx.helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    value = [onnx.helper.make_tensor_value_info(name, 1, [2, 2]) for name in ("x", "y")]
    graph = onnx.helper.make_graph(nodes, "g", value[:1], value[1:], initializers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    plain = without_quantization(model.SerializeToString())
    got = load_graph(plain).run({"x": np.eye(2, dtype=np.float32)})["y"]
    np.testing.assert_array_equal(got, [[0.0, 0.5], [30.0, 40.0]])


def test_for_plugin_leaves_the_node_alone() -> None:
    import onnx

    parsed = load(step())
    other = onnx.helper.make_function(
        "elsewhere",
        "Twice",
        ["x"],
        ["y"],
        [onnx.helper.make_node("Add", ["x", "x"], ["y"])],
        [onnx.helper.make_opsetid("", 18)],
    )
    parsed.functions.append(other)
    made = for_plugin(parsed.SerializeToString())
    assert [function.name for function in load(made).functions] == ["Twice"]
    (node,) = fusion_nodes(load(made))
    attributes = {item.name: item.i for item in node.attribute if item.type == onnx.AttributeProto.INT}
    assert attributes == {"num_heads": 4, "band": 100, "given": 0xFFF}
    assert for_plugin(made) == made
    with pytest.raises(BundleError, match="onnxruntime can load"):
        load_graph(made)


def test_for_plugin_closes_up_absent_inputs() -> None:
    parsed = load(step())
    (node,) = fusion_nodes(parsed)
    for index in (8, 9):
        node.input[index] = ""
    (made,) = fusion_nodes(load(for_plugin(parsed.SerializeToString())))
    assert len(made.input) == 10
    assert "" not in made.input
    assert next(item.i for item in made.attribute if item.name == "given") == 0b110011111111


def test_a_graph_without_the_node_stays() -> None:
    model = bundle().graph_bytes("face_encoder")
    assert for_plugin(model) is model
    assert head_sizes(model) == ()
    assert head_sizes(step()) == (16,)
    assert head_sizes(to_half(step())) == (16,)


def test_no_onnx_file_is_refused() -> None:
    with pytest.raises(ArgumentError, match="must be the bytes of an ONNX file"):
        load(b"\x00not a graph")


@pytest.mark.needs_torch
def test_an_encoder_quantized_for_the_processor_comes_back_as_float() -> None:
    from edgeaff.export.paper import drawn_faces
    from edgeaff.export.qdq import quantize_static
    from edgeaff.features.face import normalize

    model = bundle().graph_bytes("face_encoder")
    model = without_quantization(model) if precision_in(model) == "int8" else model
    faces = [normalize(face)[None] for face in drawn_faces(8)]
    quantized = quantize_static(model, ({"face": face} for face in faces))
    assert precision_in(quantized) == "int8"
    graphs = [load_graph(one) for one in (model, quantized, without_quantization(quantized))]
    wide, rounded, back = (np.stack([graph.run({"face": face})["descriptor"][0] for face in faces]) for graph in graphs)
    errors = [float(np.linalg.norm(one - wide) / np.linalg.norm(wide)) for one in (rounded, back)]
    assert 1e-3 < errors[1] < errors[0] < 0.1  # the rounding of weights stays, that of activations goes

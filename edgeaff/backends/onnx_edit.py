"""Graphs changed in memory before an engine is built from them: half precision, no quantization, the fusion node for a plugin.

Needs the package onnx. Every function takes and gives the bytes of an ONNX file and leaves inputs and outputs unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.ops.cross_modal_attention import NODE_INPUTS

OPSET, IR_VERSION = 18, 10  # of every graph that is written here
DOMAIN = "edgeaff"
OP_TYPE = "CrossModalAttention"
PLUGIN_VERSION = "1"  # of the plugins in tensorrt_plugin.py and csrc/tensorrt
GIVEN = "given"  # attribute of a node for a plugin: bit i is set where it has input i
NARROW = tuple(index for index, name in enumerate(NODE_INPUTS) if name.startswith(("q_", "kv_", "residual_")))
FLOAT_OPS = (
    "LayerNormalization",
    "ReduceMean",
    "Pow",
    "Sqrt",
    "Reciprocal",
)  # sums of many squares leave the range of fp16
_FLOAT, _HALF = 1, 10
_HALF_MAX = float(np.finfo(np.float16).max)


def load(model: bytes) -> Any:
    """Returns the parsed graph.

    Raises:
        BackendUnavailableError: onnx is not installed.
        ArgumentError: model is no ONNX file.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise BackendUnavailableError(
            f"onnx must be installed to prepare a graph for an engine, got: {error}; pip install edgeaff[tensorrt]."
        ) from error
    try:
        return onnx.load_from_string(model)
    except DecodeError as error:
        raise ArgumentError(f"model must be the bytes of an ONNX file, got: {error}; export it again.") from error


def fusion_nodes(parsed: Any) -> list[Any]:
    """Returns the nodes `edgeaff::CrossModalAttention` of a parsed graph."""
    return [node for node in parsed.graph.node if node.domain == DOMAIN and node.op_type == OP_TYPE]


def for_plugin(model: bytes) -> bytes:
    """Returns the graph with its fusion nodes left to a plugin: their model-local function is removed, absent inputs are closed up.

    Without the function every TensorRT asks its plugin registry; the older ones would take the function first. The attribute
    `given` keeps which of the twelve inputs are there. A graph without such a node comes back unchanged; other functions stay.
    """
    import onnx

    parsed = load(model)
    nodes = fusion_nodes(parsed)
    if not nodes:
        return model
    for node in nodes:
        if any(attribute.name == GIVEN for attribute in node.attribute):
            continue
        names = list(node.input)
        given = sum(1 << index for index, name in enumerate(names) if name)
        del node.input[:]
        node.input.extend(name for name in names if name)
        node.attribute.append(onnx.helper.make_attribute(GIVEN, given))
    _drop_functions(parsed)
    return bytes(parsed.SerializeToString())


def head_sizes(model: bytes) -> tuple[int, ...]:
    """Returns the head size of each fusion node whose width the graph states, for a check against what the kernel has."""
    import onnx

    parsed = load(model)
    nodes = fusion_nodes(parsed)
    if not nodes:
        return ()
    inferred = onnx.shape_inference.infer_shapes(parsed, data_prop=True).graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in (*inferred.value_info, *inferred.input)}
    found = []
    for node in nodes:
        heads = next(item.i for item in node.attribute if item.name == "num_heads")
        dims = shapes.get(node.input[0], ())
        if dims and dims[-1].dim_value:
            found.append(dims[-1].dim_value // heads)
    return tuple(found)


def to_half(model: bytes) -> bytes:
    """Returns the graph in half precision, with float32 inputs and outputs.

    Norms and sums of squares stay float32, as do alpha, beta and the biases by age of the fusion node, which our kernel takes so; the
    node's function computes in float32 and rounds its result.
    """
    import onnx

    parsed = load(model)
    graph = parsed.graph
    weights = {item.name: item for item in graph.initializer if item.data_type == _FLOAT}
    wide, both = _wide_initializers(graph, weights)
    nodes = []
    for value in graph.input:
        if value.type.tensor_type.elem_type == _FLOAT:
            nodes.append(_cast(value.name, f"{value.name}_half", _HALF))
    renamed = {value.name: f"{value.name}_half" for value in graph.input if value.type.tensor_type.elem_type == _FLOAT}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in both and not _stays_float(node, index):
                node.input[index] = f"{name}_as_half"
        nodes += _halve_node(node, wide, renamed)
    for name in both:
        array = onnx.numpy_helper.to_array(weights[name]).astype(np.float16)
        graph.initializer.append(onnx.numpy_helper.from_array(array, f"{name}_as_half"))
    for value in graph.output:
        if value.type.tensor_type.elem_type == _FLOAT:
            nodes = [_rename_output(node, value.name) for node in nodes]
            nodes.append(_cast(f"{value.name}_half", value.name, _FLOAT))
    for name, item in weights.items():
        if name not in wide:
            array = onnx.numpy_helper.to_array(item)
            item.CopyFrom(onnx.numpy_helper.from_array(np.clip(array, -_HALF_MAX, _HALF_MAX).astype(np.float16), name))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    for function in parsed.functions:
        if function.domain == DOMAIN and function.name == OP_TYPE:
            _widen_body(function)
    onnx.checker.check_model(parsed, full_check=not fusion_nodes(parsed))
    return bytes(parsed.SerializeToString())


def without_quantization(model: bytes) -> bytes:
    """Returns a graph with QDQ nodes as the float32 graph with the same weights; activations are no longer rounded.

    They are still clipped to the range that their integers had: quantizers leave out a Relu whose zero is the lowest integer.
    """
    import onnx

    parsed = load(model)
    graph = parsed.graph
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    same: dict[str, str] = {}  # output of a dropped node -> what takes its place
    nodes = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] not in constants:
            bounds = []
            for name, bound in zip(("low", "high"), _range(node, constants), strict=True):
                bounds.append(f"{node.output[0]}_{name}")
                graph.initializer.append(onnx.numpy_helper.from_array(bound, bounds[-1]))
            source = same.get(node.input[0], node.input[0])
            nodes.append(
                onnx.helper.make_node("Clip", [source, *bounds], [node.output[0]], name=f"clip_{node.output[0]}")
            )
        elif node.op_type == "DequantizeLinear" and node.input[0] in constants:
            array = _dequantize(node, constants)
            graph.initializer.append(onnx.numpy_helper.from_array(array, node.output[0]))
        elif node.op_type == "DequantizeLinear":
            same[node.output[0]] = same.get(node.input[0], node.input[0])
        else:
            for index, name in enumerate(node.input):
                node.input[index] = same.get(name, name)
            nodes.append(node)
    for value in graph.output:
        if value.name in same:
            nodes.append(onnx.helper.make_node("Identity", [same[value.name]], [value.name]))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    onnx.checker.check_model(parsed)
    return bytes(parsed.SerializeToString())


def _dequantize(node: Any, constants: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the float32 values of a stored integer tensor: (q - zero point) * scale, along the node's axis."""
    stored, scale = constants[node.input[0]], constants[node.input[1]]
    zero = constants[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros_like(scale, stored.dtype)
    if scale.size == 1:
        scale, zero = scale.reshape(()), zero.reshape(())
    else:
        axis = next((item.i for item in node.attribute if item.name == "axis"), 1) if stored.ndim > 1 else 0
        shape = [1] * stored.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((stored.astype(np.float64) - zero.astype(np.float64)) * scale).astype(np.float32)


def _range(node: Any, constants: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and highest value, 0-d float32, that a quantized activation can have."""
    scale, zero = (constants[name].reshape(()) for name in node.input[1:3])
    limits = np.iinfo(zero.dtype)
    low, high = ((limit - zero.astype(np.float64)) * scale for limit in (limits.min, limits.max))
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def _drop_functions(parsed: Any) -> None:
    kept = [function for function in parsed.functions if (function.domain, function.name) != (DOMAIN, OP_TYPE)]
    del parsed.functions[:]
    parsed.functions.extend(kept)


def _cast(source: str, target: str, to: int) -> Any:
    import onnx

    return onnx.helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=to)


def _wide_initializers(graph: Any, weights: Iterable[str]) -> tuple[set[str], set[str]]:
    """Returns the float32 constants that stay float32, and those of them that are needed in half precision too."""
    wide: set[str] = set()
    narrow: set[str] = set()
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in weights:
                (wide if _stays_float(node, index) else narrow).add(name)
    return wide, wide & narrow


def _stays_float(node: Any, index: int) -> bool:
    if node.domain == DOMAIN and node.op_type == OP_TYPE:
        return index not in NARROW
    return node.op_type in FLOAT_OPS or (node.op_type == "Resize" and index > 0)


def _halve_node(node: Any, wide: set[str], renamed: dict[str, str]) -> list[Any]:
    """Returns the nodes that take a node's place in half precision."""
    import onnx

    before: list[Any] = []
    for index, name in enumerate(node.input):
        node.input[index] = renamed.get(name, name)
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FLOAT:
            attribute.i = _HALF
        elif attribute.HasField("t") and attribute.t.data_type == _FLOAT:
            array = onnx.numpy_helper.to_array(attribute.t).astype(np.float16)
            attribute.t.CopyFrom(onnx.numpy_helper.from_array(array, attribute.t.name))
        elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            values = attribute.f if attribute.name == "value_float" else list(attribute.floats)
            tensor = onnx.numpy_helper.from_array(np.asarray(values, np.float16))
            attribute.CopyFrom(onnx.helper.make_attribute("value", tensor))
    if node.op_type not in FLOAT_OPS:
        return [node]
    shapes_only = {"ReduceMean": 1, "Pow": 2}.get(node.op_type, len(node.input))
    for index, name in enumerate(node.input[:shapes_only]):
        if name and name not in wide:
            node.input[index] = f"{name}_for_{node.output[0]}"
            before.append(_cast(name, node.input[index], _FLOAT))
    result = node.output[0]
    node.output[0] = f"{result}_float"
    return [*before, node, _cast(node.output[0], result, _HALF)]


def _rename_output(node: Any, name: str) -> Any:
    """Returns a node that gives or takes `name` under its half-precision name."""
    for names in (node.input, node.output):
        for index, found in enumerate(names):
            if found == name:
                names[index] = f"{name}_half"
    return node


def _widen_body(function: Any) -> None:
    """Makes a fusion node's function compute in float32 for any input type, and round its result to the type of q_audio."""
    import onnx

    narrow = {NODE_INPUTS[index] for index in NARROW} & set(function.input)
    inner = []
    for node in function.node:
        for index, name in enumerate(node.input):
            if name in narrow and node.op_type != "Shape":
                node.input[index] = f"{name}_float"
        for index, name in enumerate(node.output):
            if name in function.output:
                node.output[index] = f"{name}_float"
        inner.append(node)
    used = {name for node in inner for name in node.input}
    casts = [_cast(name, f"{name}_float", _FLOAT) for name in sorted(narrow) if f"{name}_float" in used]
    results = [
        onnx.helper.make_node("CastLike", [f"{name}_float", "q_audio"], [name], name=f"round_{name}")
        for name in function.output
    ]
    del function.node[:]
    function.node.extend([*casts, *inner, *results])

"""Edits of the two face graphs that make their first layers exact, so that every engine gives the same bytes there.

`exact_front` rewrites how the face encoder standardizes luminance. Quantizing variance and epsilon to 8 bits made them zero for
faces with little contrast, and sums of float32 depend on the order in which an engine adds. The new front works on whole
numbers: luminance in quarters of a gray level, a variance from three sums that float32 holds exactly, then a fixed sequence of
single float operations. csrc/nets/luminance.h computes the same in integers.

`snap_image_layer` rounds the weights of the detector's first convolution to multiples of a power of two, about 13 bits, small
enough that float32 holds every partial sum of products with uint8 pixels. The order of summation no longer matters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaff.backends.onnx_edit import load
from edgeaff.errors import ArgumentError

LUMA = (19, 38, 7)  # of 64: red, green, blue; BT.601 (0.299, 0.587, 0.114) to 6 bits
LEVELS = 4  # steps of a gray level
EPSILON = 1e-4 * (127.5 * LEVELS) ** 2  # 1e-4 in the units of recipes.face_encoder.model: (1.3 gray levels)^2
FRONT = "front."  # prefix of the names of the front's nodes and constants
STANDARDIZED = FRONT + "standardized"  # the node that writes the front's output
EXACT_FLOAT = 1 << 24  # whole numbers below are exact in float32
MOST_WEIGHT = 64 * 128  # of the image layer: two parts of 7 bits


def exact_front(model: bytes, *, crop_size_px: int = 96) -> bytes:
    """Returns the face encoder with the exact front; one that has it already comes back unchanged.

    Args:
        model: ONNX, float32 or QDQ, input `face` (1, 3, S, S) in [-1, 1]. Everything between the input and the first 3x3
            convolution, or the QuantizeLinear before it, is replaced.
        crop_size_px: S.

    Raises:
        ArgumentError: the graph has no such convolution.
    """
    import onnx

    parsed = load(model)
    graph = parsed.graph
    if any(node.name.startswith(FRONT) for node in graph.node):
        return model
    target = _standardized(graph)
    nodes, constants = front_nodes(target, crop_size_px)
    kept, needed = [], {value.name for value in graph.output}
    for node in reversed(graph.node):  # drops what only the old front used
        if needed.intersection(node.output) and target not in node.output:
            kept.append(node)
            needed.update(node.input)
    del graph.node[:], graph.value_info[:]
    graph.node.extend([*nodes, *reversed(kept)])
    graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    drop_unused(graph)
    onnx.checker.check_model(parsed, full_check=True)
    return bytes(parsed.SerializeToString())


def front_names(model: bytes) -> list[str]:
    """Returns the names of the nodes of the exact front in an encoder; none where it has another one."""
    return [node.name for node in load(model).graph.node if node.name.startswith(FRONT)]


def front_nodes(target: str, crop_size_px: int) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Returns the nodes of the front, which writes the tensor `target`, and its constants by name."""
    from onnx import helper

    count = (crop_size_px // 2) ** 2
    weights = np.asarray(LUMA, np.float32)[None, :, None, None] * np.ones((1, 3, 2, 2), np.float32) * np.float32(127.5)
    numbers = {
        "quarter": 1 / 64,
        "count": count,
        "part": 32,
        "per_part": 1 / 32,
        "coarse": 1024,
        "mixed": 64,
        "epsilon": EPSILON,
    }
    constants = {FRONT + "weight": weights, FRONT + "axes": np.array([2, 3], np.int64)}
    constants |= {FRONT + name: np.asarray(value, np.float32) for name, value in numbers.items()}
    nodes = []

    def add(kind: str, inputs: str, output: str, **attributes: Any) -> None:
        names = ["face" if name == "face" else FRONT + name for name in inputs.split()]
        result = target if output == target else FRONT + output
        nodes.append(
            helper.make_node(
                kind, names, [result], name=FRONT + output if output != target else STANDARDIZED, **attributes
            )
        )

    add("Conv", "face weight", "sum_raw", kernel_shape=[2, 2], strides=[2, 2])
    add("Round", "sum_raw", "sum")  # 256 * (gray level - 127.5), a whole number
    add("Mul", "sum quarter", "level_raw")
    add("Round", "level_raw", "level")  # luminance in quarters of a gray level
    add("ReduceSum", "level axes", "total", keepdims=1)
    add("Div", "total count", "mean")
    add("Round", "mean", "whole_mean")
    add("Sub", "level whole_mean", "v")
    add("Sub", "mean whole_mean", "rest")
    add("Mul", "v per_part", "a_raw")
    add("Round", "a_raw", "a")
    add("Mul", "a part", "a_times_part")
    add("Sub", "v a_times_part", "r")  # v = 32 a + r
    for name, first, second in (("aa", "a", "a"), ("ar", "a", "r"), ("rr", "r", "r")):
        add("Mul", f"{first} {second}", f"{name}_each")
        add("ReduceSum", f"{name}_each axes", name, keepdims=1)
    add("Mul", "aa coarse", "aa_scaled")
    add("Mul", "ar mixed", "ar_scaled")
    add("Add", "aa_scaled ar_scaled", "most_squares")
    add("Add", "most_squares rr", "squares")
    add("Div", "squares count", "mean_square")
    add("Mul", "rest rest", "rest_square")
    add("Sub", "mean_square rest_square", "variance")
    add("Add", "variance epsilon", "variance_and_epsilon")
    add("Sqrt", "variance_and_epsilon", "deviation")
    add("Sub", "v rest", "centered")
    add("Div", "centered deviation", target)
    return nodes, constants


def _standardized(graph: Any) -> str:
    """Returns the name of the float tensor that the first 3x3 convolution sees, before quantization.

    Raises:
        ArgumentError: there is none.
    """
    made = {name: node for node in graph.node for name in node.output}
    constants = {item.name for item in graph.initializer}
    for node in graph.node:
        size = next((list(item.ints) for item in node.attribute if item.name == "kernel_shape"), [])
        if node.op_type != "Conv" or size != [3, 3]:
            continue
        name = node.input[0]
        while name in made and made[name].op_type in ("DequantizeLinear", "QuantizeLinear"):
            name = made[name].input[0]
        if name in made and name not in constants:
            return str(name)
    raise ArgumentError(
        "model must standardize its input before a 3x3 convolution, got none; export the face encoder again."
    )


def drop_unused(graph: Any) -> None:
    """Removes the initializers that no node reads."""
    used = {name for node in graph.node for name in node.input}
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def snap_image_layer(model: bytes) -> bytes:
    """Returns the detector with the weights and biases of its first convolution rounded as `snapped` rounds them.

    Args:
        model: ONNX, float32 or QDQ, whose first convolution has plain float32 weights and sees uint8 pixels after a Cast.

    Raises:
        ArgumentError: there is no such convolution.
    """
    import onnx

    parsed = load(model)
    graph = parsed.graph
    pixels = {node.output[0] for node in graph.node if node.op_type == "Cast" and node.input[0] == "image"}
    initializers = {item.name: item for item in graph.initializer}
    layer = next((node for node in graph.node if node.op_type == "Conv" and node.input[0] in pixels), None)
    if layer is None or any(name not in initializers for name in layer.input[1:]) or len(layer.input) != 3:
        raise ArgumentError(
            "model must begin with a float32 convolution of `image`, got none; export the detector again."
        )
    weight, bias = (onnx.numpy_helper.to_array(initializers[name]) for name in layer.input[1:])
    whole, whole_bias, exponents = snapped(weight, bias)
    scale = np.ldexp(1.0, -exponents)
    for name, array in zip(layer.input[1:], (whole * scale[:, None, None, None], whole_bias * scale), strict=True):
        initializers[name].CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    onnx.checker.check_model(parsed)
    return bytes(parsed.SerializeToString())


def snapped(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns whole-number weights (O, I, k, k), biases (O,) and exponents e (O,): the value is the number times 2^-e.

    e is the largest for which no partial sum with uint8 pixels leaves the range in which float32 is exact.

    Args:
        weight: (O, I, k, k).
        bias: (O,).
    """
    exponents = np.empty(len(weight), np.int64)
    for index, (weights, one) in enumerate(zip(weight.astype(np.float64), bias.astype(np.float64), strict=True)):
        exponent = 40
        while True:
            whole = np.rint(np.ldexp(weights, exponent))
            total = 255 * np.abs(whole).sum() + abs(np.rint(np.ldexp(one, exponent)))
            if np.abs(whole).max() <= MOST_WEIGHT and total < EXACT_FLOAT:
                break
            exponent -= 1
        exponents[index] = exponent
    whole = np.rint(np.ldexp(weight.astype(np.float64), exponents[:, None, None, None])).astype(np.int64)
    return whole, np.rint(np.ldexp(bias.astype(np.float64), exponents)).astype(np.int64), exponents

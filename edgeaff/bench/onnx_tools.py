"""ONNX tools of the latency benchmark: the float32 twin of an 8-bit graph, work counted, and the same graph in torch eager.

Peers run the very networks of the bundle in float32: 8-bit weights are taken back to floats, and quantization between layers goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
BEFORE_RELU = ("Conv", "Add", "Gemm", "MatMul")


def is_int8(model: bytes) -> bool:
    """Returns whether a graph computes with 8 bits: whether it quantizes anything."""
    import onnx

    kinds = {node.op_type for node in onnx.load_from_string(model).graph.node}
    return bool(kinds & {"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger"})


def float_graph(model: bytes) -> bytes:
    """Returns the graph without its QuantizeLinear and DequantizeLinear nodes, weights as float32. A float graph stays unchanged.

    A quantizer whose range begins at 0 stands for the ReLU that was merged into it, which comes back.
    """
    import onnx
    from onnx.numpy_helper import from_array, to_array

    loaded = onnx.load_from_string(model)
    graph = loaded.graph
    held = {item.name: to_array(item) for item in graph.initializer}
    maker = {name: node.op_type for node in graph.node for name in node.output}
    aliases: dict[str, str] = {}
    kept = []
    for node in graph.node:
        if node.op_type not in QUANTIZERS:
            kept.append(node)
        elif node.op_type == "DequantizeLinear" and node.input[0] in held:
            graph.initializer.append(from_array(_dequantized(node, held), node.output[0]))
        elif (
            node.op_type == "QuantizeLinear"
            and _begins_at_zero(held[node.input[2]])
            and maker.get(node.input[0]) in BEFORE_RELU
        ):
            kept.append(onnx.helper.make_node("Relu", [node.input[0]], [node.output[0]]))
        else:
            aliases[node.output[0]] = node.input[0]
    for node in kept:
        node.input[:] = [_origin(aliases, name) for name in node.input]
    del graph.node[:]
    graph.node.extend(kept)
    del graph.value_info[:]
    _rename_outputs(graph, aliases)
    return loaded.SerializeToString()


def _begins_at_zero(zero_point: np.ndarray) -> bool:
    return bool(zero_point == np.iinfo(zero_point.dtype).min)


def _dequantized(node: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
    values, scale = (arrays[name] for name in node.input[:2])
    zero = arrays[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros_like(scale, values.dtype)
    axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
    shape = [1] * values.ndim
    if scale.ndim:
        shape[axis] = -1
    scale, zero = scale.reshape(shape) if scale.ndim else scale, zero.reshape(shape) if zero.ndim else zero
    return ((values.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)


def _origin(aliases: dict[str, str], name: str) -> str:
    while name in aliases:
        name = aliases[name]
    return name


def _rename_outputs(graph: Any, aliases: dict[str, str]) -> None:
    """Gives outputs that came out of a dequantizer their names back."""
    for output in graph.output:
        source = _origin(aliases, output.name)
        if source == output.name:
            continue
        for node in graph.node:
            node.output[:] = [output.name if name == source else name for name in node.output]
            node.input[:] = [output.name if name == source else name for name in node.input]


def count_macs(model: bytes, shapes: dict[str, tuple[int, ...]]) -> int:
    """Returns the multiply-accumulates of convolutions and matrix products for inputs of these shapes.

    Args:
        model: a float32 graph.
        shapes: of every input by name.
    """
    import onnx
    from onnx.shape_inference import infer_shapes

    loaded = onnx.load_from_string(model)
    for item in loaded.graph.input:
        for axis, size in enumerate(shapes.get(item.name, ())):
            item.type.tensor_type.shape.dim[axis].dim_value = size
    graph = infer_shapes(loaded, data_prop=True).graph
    known = {item.name: tuple(item.dims) for item in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        known[value.name] = tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
    return sum(_node_macs(node, known) for node in graph.node)


def _node_macs(node: Any, known: dict[str, tuple[int, ...]]) -> int:
    if node.op_type not in ("Conv", "MatMul", "Gemm"):
        return 0
    out, weights = known.get(node.output[0], ()), known.get(node.input[1], ())
    if not out or not weights:
        return 0
    if node.op_type == "Conv":
        return int(np.prod(weights, dtype=np.int64) * np.prod(out[2:], dtype=np.int64) * max(out[0], 1))
    inner = known.get(node.input[0], (1,))[-1]
    return int(np.prod(out, dtype=np.int64) * inner)


class TorchGraph:
    """A float32 graph in torch eager, node by node as a module's forward would: a Graph (see edgeaff.backends).

    Attributes:
        backend: "torch".
        inputs: name -> shape, None where free.
        outputs: names in order.
    """

    backend = "torch"

    def __init__(self, model: bytes) -> None:
        import onnx
        import torch
        from onnx.numpy_helper import to_array

        graph = onnx.load_from_string(model).graph
        self._held = {item.name: torch.from_numpy(np.array(to_array(item))) for item in graph.initializer}
        self._steps = [self._step(node) for node in graph.node]
        names = [item for item in graph.input if item.name not in self._held]
        self.inputs = {item.name: tuple(d.dim_value or None for d in item.type.tensor_type.shape.dim) for item in names}
        self.outputs = tuple(item.name for item in graph.output)

    def _step(self, node: Any) -> tuple[Callable[..., Any], list[str], str]:
        import onnx

        options = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Constant":
            import torch

            self._held[node.output[0]] = torch.from_numpy(np.array(onnx.numpy_helper.to_array(options["value"])))
            return (lambda: None), [], ""
        return torch_operator(node.op_type, options), list(node.input), node.output[0]

    def module(self, *tensors: Any) -> Any:
        """Returns the outputs of the graph (one tensor, or a tuple) for its inputs in order, as torch tensors."""
        values = {**self._held, **dict(zip(self.inputs, tensors, strict=True)), "": None}
        for operator, names, output in self._steps:
            if output:
                values[output] = operator(*(values[name] for name in names))
        found = tuple(values[name] for name in self.outputs)
        return found if len(found) > 1 else found[0]

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs by name for inputs by name."""
        import torch

        with torch.inference_mode():
            found = self.module(*(torch.from_numpy(feeds[name]) for name in self.inputs))
        return {
            name: value.numpy()
            for name, value in zip(self.outputs, found if isinstance(found, tuple) else (found,), strict=True)
        }


def torch_operator(kind: str, options: dict[str, Any]) -> Callable[..., Any]:
    """Returns the backend one node in torch.

    Args:
        kind: name of the ONNX operator.
        options: its attributes.

    Raises:
        ArgumentError: the operator is none of those that face networks of this project use.
    """
    import torch
    from torch.nn import functional

    def conv(x: Any, weight: Any, bias: Any = None) -> Any:
        pads = options.get("pads", [0, 0, 0, 0])
        if pads[:2] != pads[2:]:
            x, pads = functional.pad(x, (pads[1], pads[3], pads[0], pads[2])), [0, 0, 0, 0]
        return functional.conv2d(
            x, weight, bias, options.get("strides", 1), pads[:2], options.get("dilations", 1), options.get("group", 1)
        )

    def resize(x: Any, *sizes: Any) -> Any:
        mode = options.get("mode", b"nearest").decode()
        scale = sizes[1] if len(sizes) > 1 and sizes[1] is not None and len(sizes[1]) else None
        target = None if scale is not None else tuple(sizes[2][2:].tolist())
        factor = None if scale is None else tuple(scale[2:].tolist())
        return functional.interpolate(x, target, factor, "bilinear" if mode == "linear" else mode)

    axes: Any = options.get("axes")
    keep = bool(options.get("keepdims", 1))
    plain: dict[str, Callable[..., Any]] = {
        "Conv": conv,
        "Resize": resize,
        "Relu": torch.relu,
        "Sigmoid": torch.sigmoid,
        "Add": torch.add,
        "Sub": torch.sub,
        "Mul": torch.mul,
        "Div": torch.div,
        "Pow": torch.pow,
        "Sqrt": torch.sqrt,
        "Reciprocal": torch.reciprocal,
        "Identity": lambda x: x,
        "Round": torch.round,
        "Cast": lambda x: x.float(),
        "Clip": lambda x, low=None, high=None: torch.clamp(x, low, high),
        "Concat": lambda *parts: torch.cat(parts, options["axis"]),
        "ReduceMean": lambda x, given=None: x.mean(tuple(axes if given is None else given.tolist()), keep),
        "ReduceSum": lambda x, given=None: x.sum(tuple(axes if given is None else given.tolist()), keep),
        "GlobalAveragePool": lambda x: x.mean((2, 3), True),
        "MaxPool": lambda x: functional.max_pool2d(
            x, options["kernel_shape"], options.get("strides"), options.get("pads", [0, 0])[:2]
        ),
        "AveragePool": lambda x: functional.avg_pool2d(x, options["kernel_shape"], options.get("strides")),
        "Flatten": lambda x: torch.flatten(x, options.get("axis", 1)),
        "Reshape": lambda x, shape: x.reshape(
            [x.shape[i] if size == 0 else size for i, size in enumerate(shape.tolist())]
        ),
        "Squeeze": lambda x, given=None: x.squeeze(tuple(axes if given is None else given.tolist())),
        "Gemm": lambda x, w, b=None: functional.linear(x, w if options.get("transB") else w.T, b),
        "MatMul": torch.matmul,
        "BatchNormalization": lambda x, w, b, mean, var: functional.batch_norm(
            x, mean, var, w, b, eps=options.get("epsilon", 1e-5)
        ),
    }
    if kind not in plain:
        raise ArgumentError(f"kind must be one of {', '.join(plain)}, got {kind!r}; add it to torch_operator.")
    return plain[kind]

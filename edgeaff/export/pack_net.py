"""Converts a QDQ graph to the steps of a native network; `edgeaff.export.pack_face` calls it for both face graphs.

The graph is read node by node. A convolution becomes a step when its output is quantized; one whose output is only added to
something that is there already becomes one step together with that sum. Anything else is refused by name:

| node | form that packs |
|---|---|
| Conv | group 1, 3x3 with padding 1 and stride 1 or 2, or 1x1; channels a multiple of 16; int8 weights of 7 bits |
| Conv on `image` | 3x3, stride 2, 3 to 16 channels, float32 |
| Conv to an output | 1x1, at most 16 channels, float32 |
| Relu | before a QuantizeLinear with zero point 0 |
| Add | of two quantized tensors |
| Resize | nearest, twice the size |
| ReduceMean, BatchNormalization | at the end |
| front.* | as `edgeaff.export.face_graphs.exact_front` writes them |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from edgeaff.backends.onnx_edit import load
from edgeaff.errors import ArgumentError
from edgeaff.export.face_graphs import EPSILON, FRONT, LUMA, STANDARDIZED, front_nodes
from edgeaff.export.net_parts import (
    Step,
    convolution_arrays,
    image_arrays,
    map_arrays,
    pack_table,
    sum_factors,
)
from edgeaff.ops.face_nets import CONVOLUTION, GROUP, IMAGE, LUMINANCE, MAP, MEAN

IMAGE_INPUT = "image"


@dataclass(slots=True)
class _Float:
    """A float tensor that waits for its quantization.

    kind: conv, image, sum, up (a quantized tensor at twice its size), front, mean; step: what is known of the step.
    """

    kind: str
    node: Any
    input: str = ""
    relu: bool = False
    other: str = ""


@dataclass(slots=True)
class _Bytes:
    """A quantized tensor. tensor: its index, None while only its convolution is known; doubled: it is read at twice its size."""

    scale: np.float32
    zero: int
    made_of: _Float | None = None
    tensor: int | None = None
    doubled: bool = False


def _refuse(node: Any, what: str) -> NoReturn:
    """Refuses a graph because of a node.

    Raises:
        ArgumentError: always.
    """
    raise ArgumentError(
        f"node {node.name or node.output[0]!r} must {what} to be packed, got {node.op_type}; run this graph on ONNX Runtime."
    )


class NetPacker:
    """Packs one graph.

    Args:
        model: ONNX with QDQ nodes.
        crop_size_px: side of the encoder's input.

    Attributes:
        names: of the quantized tensors in the graph, by index of the packed tensor; for certificates.
        layers: name of the graph's node behind each step; for benchmarks.
        outputs: names of the graph's outputs, in order.
    """

    def __init__(self, model: bytes, *, crop_size_px: int = 96) -> None:
        import onnx

        self._graph = load(model).graph
        self._constants = {item.name: onnx.numpy_helper.to_array(item) for item in self._graph.initializer}
        self._readers: dict[str, list[Any]] = {}
        for node in self._graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._crop_size_px = crop_size_px
        self._floats: dict[str, _Float] = {}
        self._bytes: dict[str, _Bytes] = {}  # by the name of the quantized tensor
        self._seen_as: dict[str, str] = {}  # name behind DequantizeLinear -> quantized tensor
        self._tensors: list[tuple[int, int, int]] = []
        self._steps: list[Step] = []
        self.names: list[str] = []
        self.layers: list[str] = []
        self.outputs: list[str] = [value.name for value in self._graph.output]

    def pack(self) -> dict[str, np.ndarray]:
        """Returns the arrays of the network.

        Raises:
            ArgumentError: a node has a form that the native networks do not have; it is named.
        """
        self._check_front()
        handlers = {
            "DequantizeLinear": self._dequantize,
            "QuantizeLinear": self._quantize,
            "Cast": self._cast,
            "Conv": self._convolve,
            "Relu": self._relu,
            "Add": self._add,
            "Resize": self._resize,
            "ReduceMean": self._mean,
            "BatchNormalization": self._end,
        }
        for node in self._graph.node:
            if node.name.startswith(FRONT):
                continue
            if node.op_type not in handlers:
                _refuse(node, f"be one of {', '.join(handlers)}")
            try:
                handlers[node.op_type](node)
            except (KeyError, IndexError, StopIteration) as error:
                raise ArgumentError(
                    f"node {node.name or node.output[0]!r} must have the inputs and attributes that quantization writes, got none "
                    f"of {error}; run this graph on ONNX Runtime."
                ) from error
        maps = [step.output for step in self._steps if step.kind in (MAP, MEAN)]
        if sorted(maps) != list(range(len(self.outputs))):
            raise ArgumentError(f"graph must write its outputs {self.outputs} as floats, got {maps}; export it again.")
        return pack_table(self._tensors, self._steps)

    def _check_front(self) -> None:
        """Notes the front's output, after comparing its nodes and constants with those that `exact_front` writes."""
        found = [node for node in self._graph.node if node.name.startswith(FRONT)]
        if not found:
            return
        target = next(node for node in found if node.name == STANDARDIZED).output[0]
        nodes, constants = front_nodes(target, self._crop_size_px)
        same = _by_name(nodes) == _by_name(found)
        if not same or any(not self._has(name, array) for name, array in constants.items()):
            _refuse(found[-1], "be the front of edgeaff.export.face_graphs")
        self._floats[target] = _Float("front", found[-1])

    def _has(self, name: str, array: np.ndarray) -> bool:
        return name in self._constants and np.array_equal(self._constants[name], array)

    def _dequantize(self, node: Any) -> None:
        name = node.input[0]
        if name in self._constants:
            if name != node.output[0]:
                self._seen_as[node.output[0]] = name
            return
        if name not in self._bytes:
            _refuse(node, "read a quantized tensor")
        self._seen_as[node.output[0]] = name

    def _quantize(self, node: Any) -> None:
        source = self._floats.get(node.input[0])
        scale, zero = (self._constants[name].ravel()[0] for name in node.input[1:3])
        if source is None or self._constants[node.input[2]].dtype != np.uint8:
            _refuse(node, "quantize the output of a layer to uint8")
        if source.relu and zero != 0:
            _refuse(node, "have the zero point 0 behind a Relu")
        made = _Bytes(np.float32(scale), int(zero), source)
        if source.kind == "up":
            below = self._bytes[source.input]
            if (below.scale, below.zero) != (made.scale, made.zero):
                _refuse(node, "keep scale and zero point of what it enlarges")
            made = _Bytes(below.scale, below.zero, tensor=self._placed(source.input), doubled=True)
        self._bytes[node.output[0]] = made
        if source.kind in ("front", "image", "sum"):
            self._placed(node.output[0])

    def _cast(self, node: Any) -> None:
        if node.input[0] in self._constants:
            self._constants[node.output[0]] = self._constants[node.input[0]].astype(np.float32)
        elif node.input[0] == IMAGE_INPUT:
            self._floats[node.output[0]] = _Float("pixels", node)
        else:
            _refuse(node, "cast `image` or a constant")

    def _convolve(self, node: Any) -> None:
        attributes = {item.name: item for item in node.attribute}
        size, strides = (list(attributes[name].ints) for name in ("kernel_shape", "strides"))
        pads = list(attributes["pads"].ints) if "pads" in attributes else [0] * 4
        pad = [size[0] // 2] * 4
        groups = attributes["group"].i if "group" in attributes else 1
        dilated = "dilations" in attributes and list(attributes["dilations"].ints) != [1, 1]
        if (
            size not in ([1, 1], [3, 3])
            or strides not in ([1, 1], [2, 2])
            or pads != pad
            or groups != 1
            or dilated
            or (size == [1, 1] and strides != [1, 1])
        ):
            _refuse(node, "have a 3x3 kernel with padding 1 and stride 1 or 2, or a 1x1 kernel, and one group")
        source = self._floats.get(node.input[0])
        if source is not None and source.kind == "pixels":
            self._floats[node.output[0]] = _Float("image", node)
        elif node.output[0] in self.outputs:
            self._map(node)
        else:
            if node.input[0] not in self._seen_as or node.input[1] not in self._seen_as:
                _refuse(node, "have a quantized input and quantized weights")
            self._placed(self._seen_as[node.input[0]])
            self._floats[node.output[0]] = _Float("conv", node, self._seen_as[node.input[0]])

    def _relu(self, node: Any) -> None:
        source = self._floats.get(node.input[0])
        if source is None or source.kind not in ("conv", "image", "sum"):
            _refuse(node, "follow a convolution or a sum")
        source.relu = True
        self._floats[node.output[0]] = source

    def _add(self, node: Any) -> None:
        if any(name not in self._seen_as for name in node.input):
            _refuse(node, "add two quantized tensors")
        first, second = (self._seen_as[name] for name in node.input)
        own, other = (second, first) if self._waits(second) else (first, second)
        if not self._waits(own):
            _refuse(node, "add a convolution that nothing else reads")
        self._placed(other)
        self._floats[node.output[0]] = _Float("sum", node, own, other=other)

    def _waits(self, name: str) -> bool:
        """Returns whether a tensor is a convolution that is not a step yet and that one node reads."""
        made = self._bytes[name]
        readers = [reader for behind in self._readers[name] for reader in self._readers[behind.output[0]]]
        return made.tensor is None and made.made_of is not None and made.made_of.kind == "conv" and len(readers) == 1

    def _resize(self, node: Any) -> None:
        scales = self._constants.get(node.input[2]) if len(node.input) > 2 else None
        mode = next((item.s for item in node.attribute if item.name == "mode"), b"nearest")
        if node.input[0] not in self._seen_as or mode != b"nearest" or scales is None or list(scales) != [1, 1, 2, 2]:
            _refuse(node, "double a quantized tensor, nearest")
        self._floats[node.output[0]] = _Float("up", node, self._seen_as[node.input[0]])

    def _mean(self, node: Any) -> None:
        if node.input[0] not in self._seen_as:
            _refuse(node, "average a quantized tensor")
        self._placed(self._seen_as[node.input[0]])
        self._floats[node.output[0]] = _Float("mean", node, self._seen_as[node.input[0]])

    def _end(self, node: Any) -> None:
        source = self._floats.get(node.input[0])
        if source is None or source.kind != "mean" or node.output[0] not in self.outputs:
            _refuse(node, "normalize the mean at the end of the graph")
        below = self._bytes[source.input]
        index = self._placed(source.input)
        gain, shift, mean, variance = (self._constants[name].astype(np.float64) for name in node.input[1:5])
        epsilon = next((item.f for item in node.attribute if item.name == "epsilon"), 1e-5)
        factor = gain / np.sqrt(variance + epsilon)
        divisor, _, zero = self._tensors[index]
        count = (self._crop_size_px // divisor) ** 2
        scale = float(below.scale) * factor
        floats = np.concatenate([scale / count, shift - mean * factor - zero * scale]).astype(np.float32)
        self._append(Step(MEAN, index, self.outputs.index(node.output[0]), floats=floats), node)

    def _map(self, node: Any) -> None:
        source = self._seen_as.get(node.input[0], "")
        weight = self._constants.get(node.input[1])
        if source not in self._bytes or weight is None or weight.shape[2:] != (1, 1) or len(weight) > GROUP:
            _refuse(node, "be a 1x1 convolution of a quantized tensor to at most 16 channels with float32 weights")
        index, below = self._placed(source), self._bytes[source]
        weights, starts, floats = map_arrays(
            weight[:, :, 0, 0], self._constants[node.input[2]], below.scale, below.zero
        )
        output = self.outputs.index(node.output[0])
        self._append(Step(MAP, index, output, weights=weights, starts=starts, floats=floats), node)

    def _append(self, step: Step, node: Any) -> None:
        self._steps.append(step)
        self.layers.append(node.name)

    def _placed(self, name: str) -> int:
        """Returns the index of a quantized tensor, after adding the step that writes it if there is none yet."""
        made = self._bytes[name]
        if made.tensor is not None:
            return made.tensor
        source = made.made_of
        assert source is not None
        step, divisor, channels = {
            "front": self._front_step,
            "image": self._image_step,
            "conv": self._plain_step,
            "sum": self._sum_step,
        }[source.kind](source, made)
        made.tensor = len(self._tensors)
        self._tensors.append((divisor, channels, made.zero))
        self.names.append(name)
        layer = self._bytes[source.input].made_of if source.kind == "sum" else source
        assert layer is not None
        self._append(step, layer.node)
        return made.tensor

    def _front_step(self, source: _Float, made: _Bytes) -> tuple[Step, int, int]:
        floats = np.array([EPSILON, made.scale], np.float32)
        return (
            Step(LUMINANCE, -1, len(self._tensors), zero=made.zero, floats=floats, luma=np.array(LUMA, np.uint8)),
            2,
            1,
        )

    def _image_step(self, source: _Float, made: _Bytes) -> tuple[Step, int, int]:
        node = source.node
        weight, bias = (self._constants.get(name) for name in node.input[1:3])
        if (
            weight is None
            or bias is None
            or weight.shape != (GROUP, 3, 3, 3)
            or list(_ints(node, "strides")) != [2, 2]
            or not source.relu
        ):
            _refuse(node, "have stride 2, 3 to 16 channels, float32 weights and a Relu")
        weights, starts, floats = image_arrays(weight, bias, made.scale)
        step = Step(IMAGE, -1, len(self._tensors), 3, 2, made.zero, weights=weights, starts=starts, floats=floats)
        return step, 2, GROUP

    def _plain_step(self, source: _Float, made: _Bytes) -> tuple[Step, int, int]:
        node, below = source.node, self._bytes[source.input]
        index = self._placed(source.input)
        weight_name = self._seen_as[node.input[1]]
        weight = self._constants[weight_name]
        reader = next(one for one in self._readers[weight_name] if one.op_type == "DequantizeLinear")
        scales, zeros = (self._constants[name].ravel() for name in reader.input[1:3])
        bias = self._constants[self._seen_as[node.input[2]]] if len(node.input) > 2 and node.input[2] else None
        divisor, channels, zero = self._tensors[index]
        fits = weight.ndim == 4 and weight.shape[1] == channels and len(weight) % GROUP == 0
        if not fits or weight.dtype != np.int8 or zeros.any() or np.abs(weight.astype(int)).max(initial=0) > 64:
            _refuse(node, "have channels in multiples of 16 and int8 weights in [-64, 64] with zero point 0")
        weights, starts, floats = convolution_arrays(weight, bias, (below.scale, scales, made.scale), zero)
        stride = _ints(node, "strides")[0]
        step = Step(
            CONVOLUTION,
            index,
            len(self._tensors),
            weight.shape[2],
            stride,
            made.zero,
            weights=weights,
            starts=starts,
            floats=floats,
        )
        return step, divisor * stride, len(weight)

    def _sum_step(self, source: _Float, made: _Bytes) -> tuple[Step, int, int]:
        own, other = self._bytes[source.input], self._bytes[source.other]
        assert own.made_of is not None
        plain, divisor, channels = self._plain_step(own.made_of, own)
        assert other.tensor is not None
        is_first = int(self._seen_as[source.node.input[0]] == source.other)
        step = Step(
            plain.kind,
            plain.input,
            plain.output,
            plain.kernel,
            plain.stride,
            own.zero,
            other.tensor,
            int(other.doubled),
            is_first,
            sum_factors((own.scale, own.zero), (other.scale, other.zero), (made.scale, made.zero)),
            plain.weights,
            plain.starts,
            plain.floats,
        )
        return step, divisor, channels


def _by_name(nodes: Iterable[Any]) -> dict[str, bytes]:
    return {node.name: node.SerializeToString() for node in nodes}


def _ints(node: Any, name: str) -> list[int]:
    """Returns an attribute of a node."""
    return next(list(item.ints) for item in node.attribute if item.name == name)

"""Writes the face detector as ONNX: batch normalization folded, weights stored as float16, any size that 32 divides.

    python -m recipes.face_detector.export --run FOLDER --cache FOLDER --output face_detector.onnx [--float]

The graph: `image` (1, 3, H, W) uint8 RGB -> `map_8`, `map_16`, `map_32` (1, 15, H/stride, W/stride) float32. The
scaling of pixels is part of the first convolution. Weights are float16 followed by a cast, which runtimes fold when
they load: half the file, float32 arithmetic. By default weights and activations
are 8 bit instead (quantize.py). Beside it a JSON states the run and the validation results of this very
file; the score threshold is fixed there and nowhere else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgeaff.backends.onnx_edit import IR_VERSION, OPSET
from edgeaff.detection.decode import STRIDES
from edgeaff.machine import stamp
from recipes import shared_folder
from recipes.face_detector.network import FaceDetectorNetwork, NetworkConfig
from recipes.loop import CHECKPOINT, averaged_weights, read_checkpoint


class _GraphWriter:
    """Collects nodes and initializers."""

    def __init__(self, half: bool) -> None:
        from onnx import helper, numpy_helper

        self._helper, self._numpy_helper = helper, numpy_helper
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._half = half

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Returns the name of a new node, which is that of its one output."""
        self.nodes.append(self._helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: np.ndarray, *, half: bool = True) -> str:
        """Returns the name under which a new initializer is float32 (or as given)."""
        half = half and self._half
        stored = name + ".half" if half else name
        array = values.astype(np.float16) if half else values
        self.initializers.append(self._numpy_helper.from_array(np.ascontiguousarray(array), stored))
        return self.add("Cast", [stored], name, to=1) if half else stored

    def convolve(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray, stride: int) -> str:
        """Returns the name of a new convolution, padded to keep the size (divided by the stride)."""
        pad = weight.shape[2] // 2
        names = [x, self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias, half=False)]
        size = list(weight.shape[2:])
        return self.add("Conv", names, name, kernel_shape=size, strides=[stride] * 2, pads=[pad] * 4)


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """Returns weight and bias (float32) of the convolution with its batch normalization inside."""
    scale = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().double()
    weight = conv.weight.detach().double() * scale[:, None, None, None]
    bias = norm.bias.detach().double() - norm.running_mean.double() * scale
    return weight.float().numpy(), bias.float().numpy()


def make_onnx(network: FaceDetectorNetwork, *, half: bool = True) -> bytes:
    """Returns the ONNX file of a network on the CPU.

    Args:
        network: in evaluation mode; its batch statistics are used.
        half: store weights as float16.
    """
    from onnx import TensorProto, checker, helper

    writer = _GraphWriter(half)

    def block(x: str, name: str, layer: nn.Sequential, *, scale: float = 1.0, relu: bool = True) -> str:
        weight, bias = fold_batch_norm(layer[0], layer[1])
        y = writer.convolve(x, name, weight * scale, bias, layer[0].stride[0])
        return writer.add("Relu", [y], name + ".relu") if relu else y

    x = writer.add("Cast", ["image"], "pixels", to=TensorProto.FLOAT)
    x = block(x, "stem.0", network.stem[0], scale=1 / 255)
    x = block(x, "stem.1", network.stem[1])
    laterals = []
    for level, stage in enumerate(network.stages):
        x = block(x, f"stage.{level}.down", stage[0])
        for number, residual in enumerate(list(stage)[1:]):
            name = f"stage.{level}.{number}"
            y = block(block(x, name + ".first", residual.first), name + ".second", residual.second, relu=False)
            x = writer.add("Relu", [writer.add("Add", [y, x], name + ".sum")], name)
        laterals.append(block(x, f"lateral.{level}", network.laterals[level]))
    scales = writer.constant("twice", np.array([1, 1, 2, 2], np.float32), half=False)
    for level in (1, 0):
        options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        up = writer.add("Resize", [laterals[level + 1], "", scales], f"up.{level}", **options)
        laterals[level] = writer.add("Add", [laterals[level], up], f"merged.{level}")
    for level, stride in enumerate(STRIDES):
        y = block(laterals[level], f"head.{level}", network.heads[level])
        layer = network.outputs[level]
        writer.convolve(y, f"map_{stride}", layer.weight.detach().numpy(), layer.bias.detach().numpy(), 1)
    graph = helper.make_graph(
        writer.nodes,
        "edgeaff_face_detector",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 3, "height", "width"])],
        [
            helper.make_tensor_value_info(f"map_{s}", TensorProto.FLOAT, [1, 15, f"rows_{s}", f"columns_{s}"])
            for s in STRIDES
        ],
        writer.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="edgeaff")
    model.ir_version = IR_VERSION
    checker.check_model(model, full_check=True)
    return model.SerializeToString()


def load_averaged(checkpoint: Path) -> tuple[FaceDetectorNetwork, dict[str, Any]]:
    """Returns the averaged network of a checkpoint in evaluation mode, and the checkpoint's other contents."""
    tensors, note = read_checkpoint(checkpoint)
    config = note["config"]
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in config["network"].items()}
    network = FaceDetectorNetwork(NetworkConfig(**sizes)).eval()
    network.load_state_dict(averaged_weights(tensors))
    return network, note


def main(argv: list[str] | None = None) -> None:
    """Exports a run's checkpoint and validates the file."""
    from recipes.face_detector.quantize import draw_calibration, quantize
    from recipes.face_detector.validate import validate_file

    data = shared_folder() / "data"
    parser = argparse.ArgumentParser(description="Export the face detector.")
    parser.add_argument("--run", type=Path, required=True, help="output folder of the training")
    parser.add_argument("--faces", type=Path, default=data / "faces", help="folder of images and labels")
    parser.add_argument("--cache", type=Path, required=True, help="folder of decoded images")
    parser.add_argument("--output", type=Path, required=True, help="the .onnx file; a .json is written beside it")
    parser.add_argument("--float", action="store_true", help="float32 arithmetic, float16 storage")
    args = parser.parse_args(argv)
    network, facts = load_averaged(args.run / CHECKPOINT)
    if args.float:
        model = make_onnx(network)
    else:
        model = quantize(make_onnx(network, half=False), draw_calibration(args.faces, args.cache))
    args.output.write_bytes(model)
    validation = validate_file(model, args.faces, args.cache)
    card = {
        **stamp(),
        "id": "edgeaff-ssd",
        "score_threshold": validation["chosen"]["threshold"],
        "input_long_side": 320,
        "arithmetic": "float32" if args.float else "int8",
        "sha256": hashlib.sha256(model).hexdigest(),
        "bytes": len(model),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "steps": facts["step"],
        "second_round_steps": max(facts["step"] - facts["config"]["steps"], 0),
        "seed": facts["config"]["seed"],
        "batch_size": facts["config"]["batch_size"],
        "validation": validation,
    }
    args.output.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")


if __name__ == "__main__":
    main()

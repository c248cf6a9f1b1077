"""The arrangement that `edge` is compared with: the same weights, the whole window of 100 ticks again at each tick.

Everything before the model is the same in all engines, so the difference is the model's arrangement alone. The weights come from
the bundle's step graph. A window is cut off after 100 ticks where the stream remembers more, so values agree for the first 100.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from edgeaff.backends import Graph, load_graph
from edgeaff.bundle import ModelBundle
from edgeaff.errors import BundleError
from edgeaff.inference import WINDOW_TICKS

OPSET = 18
INPUTS = ("video", "audio", "video_mask", "audio_mask")
INPUTS_OF_STEP = ("video", "audio", "present")
WEIGHTS_AGREE = 1e-4


def load_edge(bundle: ModelBundle) -> Any:
    """Returns the bundle's model as a torch `Edge`, checked against the bundle's golden sequences.

    Raises:
        BundleError: the weights read from the graph do not give the golden values.
    """
    import torch

    from edgeaff.training.models.edge import Edge, EdgeConfig

    weights = read_weights(bundle.graph_bytes("affect_step"))
    size, video_size = weights["video.weight"].shape
    num_heads, band = weights["cross.age_bias_audio"].shape
    config = EdgeConfig(video_size, weights["audio.weight"].shape[1], size, num_heads, band=band)
    edge = Edge(config).eval()
    edge.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    golden = bundle.arrays("golden.npz")
    worst = 0.0
    with torch.inference_mode():
        state = edge.initial_state()
        for tick in range(min(60, golden["values"].shape[1])):
            video, audio, present = (torch.from_numpy(golden[name][0, tick : tick + 1]) for name in INPUTS_OF_STEP)
            values, state = edge.step(video, audio, present, state)
            worst = max(worst, float(np.abs(values.numpy()[0] - golden["values"][0, tick]).max()))
    if worst > WEIGHTS_AGREE:
        raise BundleError(f"weights of affect_step must give the golden values, got {worst:.1e} off; export it again.")
    return edge


def read_weights(model: bytes) -> dict[str, np.ndarray]:
    """Returns the state dict of `Edge` out of its step graph, where linear maps lie transposed beside their named biases."""
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load_from_string(model).graph
    held = {entry.name: to_array(entry) for entry in graph.initializer}
    maker = {name: node for node in graph.node for name in node.output}
    weights = {name.removeprefix("edge."): value for name, value in held.items() if name.startswith("edge.")}
    age_biases = []
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for own, other in (tuple(node.input), tuple(reversed(node.input))):
            source = maker.get(other)
            if own.startswith("edge.") and own.endswith(".bias") and source is not None and source.op_type == "MatMul":
                weight = held.get(source.input[1])
                if weight is not None:
                    weights[own.removeprefix("edge.").removesuffix("bias") + "weight"] = weight.T
            elif own in held and held[own].ndim == 3 and held[own].shape[1] == 1:
                age_biases.append(held[own][:, 0, ::-1])
    layers = [(name, index) for name in ("video", "audio") for index in range(len(age_biases) // 2)]
    for (name, index), bias in zip(layers, age_biases, strict=True):
        weights[f"encoder.{name}.layers.{index}.age_bias"] = bias
    return weights


def window_module(edge: Any) -> Any:
    """Returns the model as a torch module with the inputs and output of a window graph."""
    import torch

    class Window(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.edge = edge

        def forward(self, video: Any, audio: Any, video_mask: Any, audio_mask: Any) -> Any:
            present = torch.stack([video_mask, audio_mask], dim=-1).float()
            return torch.clamp(self.edge(video, audio, present, video_mask | audio_mask), -1.0, 1.0)

    return Window().eval()


def window_shapes(edge: Any) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each input."""
    sizes = {"video": (edge.config.video_size,), "audio": (edge.config.audio_size,)}
    return {name: (1, WINDOW_TICKS, *sizes.get(name, ())) for name in INPUTS}


class TorchWindow:
    """A window graph (see `edgeaff.backends.Graph`) in torch eager on one thread."""

    backend: str = "torch"
    outputs: tuple[str, ...] = ("values",)

    def __init__(self, edge: Any) -> None:
        import torch

        torch.set_num_threads(1)
        self._module = window_module(edge)
        self.inputs: dict[str, tuple[int | None, ...]] = dict(window_shapes(edge))

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns values (1, 100, 2) of a window."""
        import torch

        with torch.inference_mode():
            return {"values": self._module(*(torch.from_numpy(feeds[name]) for name in INPUTS)).numpy()}


def onnxruntime_window(edge: Any) -> Graph:
    """Returns the window graph in ONNX Runtime on one thread, exported by torch."""
    import torch

    arguments = tuple(
        torch.ones(shape, dtype=torch.bool if name.endswith("mask") else torch.float32)
        for name, shape in window_shapes(edge).items()
    )
    with warnings.catch_warnings():  # torch warns about its own internals
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            window_module(edge), arguments, dynamo=True, opset_version=OPSET, input_names=list(INPUTS),
            output_names=["values"], optimize=True, verbose=False,
        )  # fmt: skip
    return load_graph(program.model_proto.SerializeToString(), threads=1)

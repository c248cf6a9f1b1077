"""Converts the step graph back to the torch system of its export: the reference of a bundle, without its training files.

The exporter keeps the names of biases, norms and tokens; weights of matrix products and the biases by age of the encoders it
stores under its own names. They are found by what follows them: `MatMul(x, W) -> Add(bias)`, `Add(scores, age bias)`
before the output projection of the same layer. Check the result with `require_same`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from edgeaff.backends.onnx_edit import OP_TYPE
from edgeaff.errors import BundleError
from edgeaff.training.models.edge import Edge, EdgeConfig

PREFIX = "edge."
OUT_BIAS = ".out.bias"
ROUNDING = 1e-5  # measured on the default bundle: tests/export/test_from_onnx.py


def read_step(model: bytes) -> Edge:
    """Returns the torch system of a step graph, in evaluation mode.

    Args:
        model: `affect_step.onnx` as `edgeaff.export.to_onnx` writes it.

    Raises:
        BundleError: the graph is not such a file.
    """
    import onnx

    graph = onnx.load_from_string(model).graph
    arrays = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    state = {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
    state.update(_linear_weights(graph, arrays))
    state.update(_age_biases(graph, arrays))
    fusion = [node for node in graph.node if node.op_type == OP_TYPE]
    try:
        edge = Edge(_config(state, {item.name: item.i for item in fusion[0].attribute}))
        edge.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in state.items()})
    except (KeyError, IndexError, RuntimeError) as error:
        raise BundleError(
            f"model must be an edge step graph written by edgeaff.export.to_onnx, got: {error}; export it again."
        ) from error
    return edge.eval()


def _linear_weights(graph: Any, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the weights of linear maps that became MatMul and Add: (outputs, inputs) by name."""
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    weights = {}
    for node in graph.node:
        if node.op_type == "Add" and node.input[1].startswith(PREFIX) and products.get(node.input[0]) in arrays:
            name = node.input[1].removeprefix(PREFIX).removesuffix("bias") + "weight"
            weights[name] = arrays[products[node.input[0]]].T
    return weights


def _age_biases(graph: Any, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the biases by age of the encoder layers, (heads, band) by name; the graph holds them by key, oldest first."""
    found, waiting = {}, None
    for node in graph.node:
        if node.op_type != "Add":
            continue
        constant = arrays.get(node.input[1])
        if constant is not None and constant.ndim == 3 and constant.shape[1] == 1:
            waiting = constant[:, 0, ::-1]
        elif node.input[1].endswith(OUT_BIAS) and waiting is not None:
            found[node.input[1].removeprefix(PREFIX).removesuffix(OUT_BIAS) + ".age_bias"] = waiting
            waiting = None
    return found


def _config(state: dict[str, np.ndarray], attributes: dict[str, int]) -> EdgeConfig:
    """Returns the sizes that the weights have."""
    return EdgeConfig(
        video_size=state["video.weight"].shape[1],
        audio_size=state["audio.weight"].shape[1],
        size=state["video.weight"].shape[0],
        num_heads=attributes["num_heads"],
        ffn_size=state["encoder.video.layers.0.ffn1.weight"].shape[0],
        layers=sum(name.startswith("encoder.video.layers.") and name.endswith(".qkv.bias") for name in state),
        band=attributes["band"],
        spread_size=state["spread.hidden.bias"].shape[0] if "spread.hidden.bias" in state else 0,
    )


def reference_values(edge: Edge, video: np.ndarray, audio: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Returns the outputs of the torch system for whole sequences.

    Args:
        edge: the system.
        video: (S, T, D) float32 descriptors.
        audio: (S, T, A) float32 normalized audio vectors.
        present: (S, T, 2) float32 0 or 1: video, audio.

    Returns:
        (S, T, 2) float32 valence and arousal in [-1, 1].
    """
    with torch.no_grad():
        values = edge(*(torch.from_numpy(array) for array in (video, audio, present))).clamp(-1.0, 1.0)
    return np.asarray(values.numpy())


def require_same(edge: Edge, golden: dict[str, np.ndarray]) -> float:
    """Returns the largest difference between a system and the stored reference outputs of the golden sequences.

    Args:
        edge: from `read_step`.
        golden: video, audio, present, values.

    Raises:
        BundleError: they differ by more.
    """
    values = reference_values(edge, golden["video"], golden["audio"], golden["present"])
    worst = float(np.abs(values - golden["values"]).max())
    if not worst <= ROUNDING:
        raise BundleError(
            f"the graph must give the golden outputs of its bundle within {ROUNDING}, got a difference of {worst:.1e}; "
            "they are from different trainings: assemble the bundle again."
        )
    return worst

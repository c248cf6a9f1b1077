"""Weights of the paper's transformer, folded and packed for the native window step: state dict -> `step.npz`. NumPy only.

What is folded (exact algebra; equal to the unfolded window within rounding, tests/export/test_pack_window.py):

| folded | into |
|---|---|
| positions, bias of the first packed product | rows per position, added to what is kept of a tick |
| 1 / sqrt(d_h), log2(e), cross-modal key projection | `key`: from a head's query to one vector that is multiplied with encoder outputs |
| cross-modal key bias | nothing: it is the same for every key, softmax drops it |
| cross-modal values, alpha, beta, dense | `answer`: two rows per head |
| cross-modal value bias | `answer_bias`, which counts where any key exists |
| residuals, alpha, beta, dense | `residual`: two rows; zeros where the fusion has none |

Weights lie as (inputs, outputs), int8 with one scale per output; positions, norms, answers and biases are float32. The step computes in
8 bits only: for float32 ONNX Runtime reaches what the processor gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeaff.backends.native import FORMAT
from edgeaff.backends.native_window import ARCHITECTURE
from edgeaff.errors import ArgumentError
from edgeaff.export.pack_step import LOG2E, MODALITIES, Arrays, as_float32, put_linear

PANEL, HEAD_STEP, MOST_HEAD, INPUT_STEP = 64, 16, 256, 4  # as csrc/kernels/window_step_cpu.cc has them


def takes(config: Any) -> bool:
    """Returns whether the native window step has the sizes of a configuration (a `TransformerConfig`)."""
    head = config.size // config.num_heads
    return (
        config.size % PANEL == 0
        and config.ffn_size % PANEL == 0
        and head % HEAD_STEP == 0
        and head <= MOST_HEAD
        and config.video_size % INPUT_STEP == 0
        and config.audio_size % INPUT_STEP == 0
    )


def pack_window(
    weights: Mapping[str, np.ndarray], positions: np.ndarray, *, num_heads: int, residual: bool = False
) -> Arrays:
    """Returns the arrays of `step.npz` of the paper's transformer.

    Args:
        weights: torch state dict of `edgeaff.training.models.transformer.AudioVideoTransformer` as float arrays.
        positions: (T, d) what is added to the tokens of a window.
        num_heads: attention heads.
        residual: whether the fusion keeps its queries.

    Returns:
        Arrays by name; `meta` holds the sizes as JSON text.

    Raises:
        ArgumentError: a weight is missing.
    """
    try:
        return _pack(
            {name: np.asarray(value, np.float64) for name, value in weights.items()},
            np.asarray(positions, np.float64),
            num_heads,
            residual,
        )
    except KeyError as error:
        raise ArgumentError(
            f"weights must be the state dict of the paper's transformer, got none named {error}; pass its state_dict()."
        ) from error


def _pack(weights: Arrays, positions: np.ndarray, num_heads: int, residual: bool) -> Arrays:
    ticks, size = positions.shape
    layers = sum(name.startswith("video.layers.") and name.endswith(".qkv.weight") for name in weights)
    packed: Arrays = {"bias": as_float32(weights["dense.bias"])}
    for name in MODALITIES:
        _put(packed, f"{name}.project", weights[f"{name}.project.weight"], weights[f"{name}.project.bias"])
        first = weights[f"{name}.layers.0.qkv.weight"]
        packed[f"{name}.positions"] = as_float32(positions)
        packed[f"{name}.packed_positions"] = as_float32(positions @ first.T + weights[f"{name}.layers.0.qkv.bias"])
        for index in range(layers):
            layer = f"{name}.layers.{index}"
            bias = weights[f"{layer}.qkv.bias"] if index else np.zeros(3 * size)
            _put(packed, f"{name}.{index}.qkv", weights[f"{layer}.qkv.weight"], bias)
            for part in ("out", "ffn1", "ffn2"):
                _put(
                    packed, f"{name}.{index}.{part}", weights[f"{layer}.{part}.weight"], weights[f"{layer}.{part}.bias"]
                )
            for norm in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
                packed[f"{name}.{index}.{norm}"] = as_float32(weights[f"{layer}.{norm}"])
        _pack_cross(packed, name, weights, num_heads, residual)
    meta = {
        "format": FORMAT,
        "architecture": ARCHITECTURE,
        "precision": "int8",
        "video_size": weights["video.project.weight"].shape[1],
        "audio_size": weights["audio.project.weight"].shape[1],
        "size": size,
        "num_heads": num_heads,
        "ffn_size": weights["video.layers.0.ffn1.weight"].shape[0],
        "layers": layers,
        "ticks": ticks,
    }
    packed["meta"] = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8).copy()
    return packed


def _pack_cross(packed: Arrays, name: str, weights: Arrays, num_heads: int, residual: bool) -> None:
    """Packs one modality's part of the fusion: its queries and residual, and its keys and values, which the other's queries see."""
    own, other = (weights[f"cross.{key}"] for key in (("alpha", "beta") if name == "audio" else ("beta", "alpha")))
    dense = weights["dense.weight"]
    size = dense.shape[1]
    head_size = size // num_heads
    pair, pair_bias = weights[f"cross.key_value_{name}.weight"], weights[f"cross.key_value_{name}.bias"]
    _put(packed, f"{name}.query", weights[f"cross.query_{name}.weight"], weights[f"cross.query_{name}.bias"])
    for head in range(num_heads):
        keys = pair[head * head_size : (head + 1) * head_size] * (LOG2E / np.sqrt(head_size))
        _put(packed, f"{name}.key.{head}", keys.T, np.zeros(size))
    values = pair[size:].reshape(num_heads, head_size, size)
    by_head = dense.reshape(2, num_heads, head_size)
    packed[f"{name}.answer"] = as_float32(other * np.einsum("chk,hkd->chd", by_head, values))
    packed[f"{name}.answer_bias"] = as_float32(other * dense @ pair_bias[size:])
    packed[f"{name}.residual"] = as_float32(own * dense if residual else np.zeros_like(dense))


def _put(packed: Arrays, name: str, weight: np.ndarray, bias: np.ndarray) -> None:
    """Stores a linear map given as torch has it, (outputs, inputs)."""
    put_linear(packed, name, weight.T, bias, "int8")

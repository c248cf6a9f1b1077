"""Weights of the `edge` model, folded and packed for the native step: state dict -> `step.npz`. NumPy only.

What is folded (all exact algebra; equal to the unfolded model within rounding, tests/export/test_pack_step.py):

| what | into |
|---|---|
| scale and shift of each layer norm | the linear map that follows (the last one: cross projections and residual) |
| 1 / sqrt(d_h) and log2(e) | queries; log2(e) also into the biases by age |
| key bias | nothing: q . b is the same for every key, softmax drops it |
| value bias | the bias of the output projection: attention weights sum to 1, this tick is always there |
| cross-modal values, alpha, beta, dense | `u`: two numbers per head and key instead of d_h |
| residuals, alpha, beta, dense | `r`: two numbers per tick |

Weights lie as (inputs, outputs). Precision: float32; bfloat16 (its bits as uint16); int8 with one scale per output.
`Choice:` the cross projections stay float32 in every precision: they are few, and their outputs are the answer.
Command line: `python -m edgeaff.export.pack_step edge_weights.safetensors step.npz --precision int8`.
"""

from __future__ import annotations

import argparse
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeaff.backends.native import ARCHITECTURE, FORMAT
from edgeaff.bundle import pack_arrays
from edgeaff.errors import ArgumentError
from edgeaff.types import MODALITIES

PRECISIONS = ("float32", "bfloat16", "int8")
LOG2E = 1.4426950408889634
_SAFETENSORS_FLOAT = "F32"

Arrays = dict[str, np.ndarray]


def pack_step(weights: Mapping[str, np.ndarray], *, num_heads: int, precision: str = "float32") -> Arrays:
    """Returns the arrays of `step.npz`.

    Args:
        weights: torch state dict of `edgeaff.training.models.edge.Edge` as float arrays.
        num_heads: attention heads; d / num_heads must be a multiple of 16.
        precision: float32, bfloat16 or int8.

    Returns:
        Arrays by name; `meta` holds the sizes as JSON text.

    Raises:
        ArgumentError: the precision is unknown, or a weight is missing.
    """
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}; choose one of them.")
    try:
        return _pack({name: np.asarray(value, np.float64) for name, value in weights.items()}, num_heads, precision)
    except KeyError as error:
        raise ArgumentError(
            f"weights must be the state dict of an edge model, got none named {error}; pass Edge.state_dict()."
        ) from error


def _pack(weights: Arrays, num_heads: int, precision: str) -> Arrays:
    """Returns the packed arrays of float64 weights."""
    size = weights["dense.weight"].shape[1]
    layers = sum(name.startswith("encoder.video.layers.") and name.endswith(".qkv.weight") for name in weights)
    packed: Arrays = {}
    bias = weights["dense.bias"].copy()
    for name in MODALITIES:
        put_linear(packed, f"{name}.input", weights[f"{name}.weight"].T, weights[f"{name}.bias"], precision)
        packed[f"{name}.absent"] = as_float32(weights[f"{name}.absent"])
        packed[f"{name}.present"] = as_float32(weights[f"{name}.present"].T)
        for index in range(layers):
            _pack_layer(packed, f"{name}.{index}", weights, f"encoder.{name}.layers.{index}", num_heads, precision)
        bias += _pack_cross(packed, name, weights, num_heads)
    packed["bias"] = as_float32(bias)
    spread_size = 0
    if "spread.out.weight" in weights:
        spread_size = weights["spread.out.weight"].shape[1]
        for part in ("hidden", "out"):  # float32 in every precision: they are few, and an interval is an answer too
            put_linear(
                packed, f"spread.{part}", weights[f"spread.{part}.weight"].T, weights[f"spread.{part}.bias"], "float32"
            )
    meta = {
        "format": FORMAT,
        "architecture": ARCHITECTURE,
        "precision": precision,
        "video_size": weights["video.weight"].shape[1],
        "audio_size": weights["audio.weight"].shape[1],
        "size": size,
        "num_heads": num_heads,
        "ffn_size": packed["video.0.ffn1.bias"].shape[0] if layers else 16,
        "layers": layers,
        "band": weights["cross.age_bias_audio"].shape[1],
        "spread_size": spread_size,
    }
    packed["meta"] = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8).copy()
    return packed


def _pack_layer(packed: Arrays, to: str, weights: Arrays, layer: str, num_heads: int, precision: str) -> None:
    """Packs one encoder layer."""
    size = weights[f"{layer}.out.weight"].shape[0]
    weight, bias = _after_norm(weights, f"{layer}.norm1", weights[f"{layer}.qkv.weight"], weights[f"{layer}.qkv.bias"])
    scale = LOG2E / np.sqrt(size // num_heads)
    value_bias = bias[2 * size :].copy()
    weight[:, :size] *= scale
    bias[:size] *= scale
    bias[size:] = 0.0
    out = weights[f"{layer}.out.weight"]
    put_linear(packed, f"{to}.qkv", weight, bias, precision)
    put_linear(packed, f"{to}.out", out.T, weights[f"{layer}.out.bias"] + out @ value_bias, precision)
    weight, bias = _after_norm(
        weights, f"{layer}.norm2", weights[f"{layer}.ffn1.weight"], weights[f"{layer}.ffn1.bias"]
    )
    put_linear(packed, f"{to}.ffn1", weight, bias, precision)
    put_linear(packed, f"{to}.ffn2", weights[f"{layer}.ffn2.weight"].T, weights[f"{layer}.ffn2.bias"], precision)
    packed[f"{to}.age_bias"] = as_float32(weights[f"{layer}.age_bias"] * LOG2E)


def _pack_cross(packed: Arrays, name: str, weights: Arrays, num_heads: int) -> np.ndarray:
    """Packs the projections of one modality's encoder output and returns its part of the bias of the answer.

    The modality's queries and residual belong to its own branch, its values to the branch whose queries are the other's.

    Returns:
        (2,) float64.
    """
    own, other = ("alpha", "beta") if name == "audio" else ("beta", "alpha")
    dense = weights["dense.weight"]
    size = dense.shape[1]
    head_size = size // num_heads
    query, query_bias = weights[f"cross.query_{name}.weight"], weights[f"cross.query_{name}.bias"]
    pair, pair_bias = weights[f"cross.key_value_{name}.weight"], weights[f"cross.key_value_{name}.bias"]
    scale = LOG2E / np.sqrt(head_size)
    by_head = dense.reshape(2, num_heads, head_size)
    values = pair[size:].reshape(num_heads, head_size, size)
    folded = weights[f"cross.{other}"] * np.einsum("chk,hkd->chd", by_head, values).reshape(2 * num_heads, size)
    answer = weights[f"cross.{other}"] * dense @ pair_bias[size:]
    residual = weights[f"cross.{own}"] * dense

    rows = np.concatenate([query * scale, pair[:size], folded, residual])
    bias = np.concatenate([query_bias * scale, np.zeros(size + 2 * num_heads + 2)])
    weight, bias = _after_norm(weights, f"encoder.{name}.norm", rows, bias)
    # The shift of the last norm: q keeps it; k drops it (the same for every key); u and r give it to the answer.
    shift = bias[2 * size :]
    answer = answer + shift[: 2 * num_heads].reshape(2, num_heads).sum(axis=1) + shift[2 * num_heads :]
    bias[size:] = 0.0
    put_linear(packed, f"{name}.cross", weight, bias, "float32")
    packed[f"{name}.cross.age_bias"] = as_float32(weights[f"cross.age_bias_{name}"] * LOG2E)
    return answer


def _after_norm(weights: Arrays, norm: str, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns weight (inputs, outputs) and bias of a linear map with the norm's scale and shift before it folded in."""
    return (weight * weights[f"{norm}.weight"]).T.copy(), bias + weight @ weights[f"{norm}.bias"]


def put_linear(packed: Arrays, name: str, weight: np.ndarray, bias: np.ndarray, precision: str) -> None:
    """Stores one linear map in the precision asked for; its bias is float32."""
    packed[f"{name}.bias"] = as_float32(bias)
    if precision == "float32":
        packed[f"{name}.weight"] = as_float32(weight)
    elif precision == "bfloat16":
        packed[f"{name}.weight"] = round_to_bfloat16(weight)
    else:
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-12) / 127.0
        packed[f"{name}.scale"] = as_float32(scale)
        packed[f"{name}.weight"] = np.ascontiguousarray(np.clip(np.rint(weight / scale), -127, 127).astype(np.int8))


def round_to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Returns the bits of the nearest bfloat16 (ties to even) as uint16.

    Args:
        values: finite floats.

    Returns:
        uint16 of the same shape.
    """
    bits = as_float32(values).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def as_float32(values: np.ndarray) -> np.ndarray:
    """Returns the values as a contiguous float32 array."""
    return np.ascontiguousarray(values, dtype=np.float32)


def read_safetensors(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Returns the float32 tensors of a .safetensors file and its metadata.

    The format: 8 bytes length n (little endian), n bytes JSON (name -> dtype, shape, data_offsets), then the data.

    Args:
        path: the file.

    Returns:
        Arrays by name, and the metadata.

    Raises:
        ArgumentError: a tensor is not float32.
    """
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    arrays: Arrays = {}
    for name, entry in header.items():
        if entry["dtype"] != _SAFETENSORS_FLOAT:
            raise ArgumentError(f"{name} must be F32, got {entry['dtype']}; save the model in float32.")
        begin, end = entry["data_offsets"]
        arrays[name] = np.frombuffer(data[8 + length + begin : 8 + length + end], "<f4").reshape(entry["shape"])
    return arrays, metadata


def main(arguments: list[str] | None = None) -> None:
    """Packs a file of weights.

    Args:
        arguments: of the command line; None = those of the process.
    """
    parser = argparse.ArgumentParser(description="Packs edge weights for the native step.")
    parser.add_argument("weights", type=Path, help="edge_weights.safetensors")
    parser.add_argument("output", type=Path, help="step.npz")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    options = parser.parse_args(arguments)
    weights, metadata = read_safetensors(options.weights)
    packed = pack_step(weights, num_heads=int(metadata["num_heads"]), precision=options.precision)
    options.output.write_bytes(pack_arrays(packed))


if __name__ == "__main__":
    main()

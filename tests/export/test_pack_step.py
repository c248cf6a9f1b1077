"""Folding and packing: exact in float64, files in and out."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from edgeaff.bundle import pack_arrays
from edgeaff.errors import ArgumentError
from edgeaff.export.pack_step import main, pack_step, read_safetensors, round_to_bfloat16

D, H, F, W, LAYERS = 32, 2, 48, 5, 1


def make_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """A state dict of edge_architecture's names with random float32 tensors."""
    rng = np.random.default_rng(seed)
    shapes = {"dense.weight": (2, D), "dense.bias": (2,), "cross.alpha": (), "cross.beta": ()}
    for name, size in (("video", 7), ("audio", 5)):
        shapes |= {f"{name}.weight": (D, size), f"{name}.bias": (D,), f"{name}.absent": (D,), f"{name}.present": (D, 2)}
        shapes |= {f"encoder.{name}.norm.weight": (D,), f"encoder.{name}.norm.bias": (D,)}
        shapes |= {f"cross.query_{name}.weight": (D, D), f"cross.query_{name}.bias": (D,)}
        shapes |= {f"cross.key_value_{name}.weight": (2 * D, D), f"cross.key_value_{name}.bias": (2 * D,)}
        shapes |= {f"cross.age_bias_{name}": (H, W)}
        at = f"encoder.{name}.layers.0"
        shapes |= {f"{at}.norm1.weight": (D,), f"{at}.norm1.bias": (D,), f"{at}.norm2.weight": (D,)}
        shapes |= {f"{at}.norm2.bias": (D,), f"{at}.qkv.weight": (3 * D, D), f"{at}.qkv.bias": (3 * D,)}
        shapes |= {f"{at}.age_bias": (H, W), f"{at}.out.weight": (D, D), f"{at}.out.bias": (D,)}
        shapes |= {f"{at}.ffn1.weight": (F, D), f"{at}.ffn1.bias": (F,), f"{at}.ffn2.weight": (D, F)}
        shapes |= {f"{at}.ffn2.bias": (D,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def test_folded_cross_projection_gives_the_unfolded_answer() -> None:
    weights = make_weights()
    packed = pack_step(weights, num_heads=H)
    rng = np.random.default_rng(1)
    normal = {name: rng.standard_normal(D) for name in ("video", "audio")}  # encoder outputs before scale and shift
    probabilities = rng.dirichlet(np.ones(3), (2, H))  # of three keys, per branch and head
    keys = {name: rng.standard_normal((3, D)) for name in ("video", "audio")}

    answer = packed["bias"].astype(np.float64).copy()
    expected = weights["dense.bias"].astype(np.float64)
    for branch, (own, other, weight) in enumerate((("audio", "video", "alpha"), ("video", "audio", "beta"))):
        norm = {
            name: (weights[f"encoder.{name}.norm.weight"], weights[f"encoder.{name}.norm.bias"])
            for name in (own, other)
        }
        residual = normal[own] * norm[own][0] + norm[own][1]
        rows = keys[other] * norm[other][0] + norm[other][1]
        values = (rows @ weights[f"cross.key_value_{other}.weight"].T + weights[f"cross.key_value_{other}.bias"])[:, D:]
        mixed = np.einsum("hj,jhk->hk", probabilities[branch], values.reshape(3, H, D // H)).reshape(D)
        expected = expected + weights[f"cross.{weight}"] * (weights["dense.weight"] @ (mixed + residual))

        u = (keys[other] @ packed[f"{other}.cross.weight"])[:, 2 * D : 2 * D + 2 * H].reshape(3, 2, H)
        answer += np.einsum("hj,jch->c", probabilities[branch], u)
        answer += (normal[own] @ packed[f"{own}.cross.weight"])[-2:]
    np.testing.assert_allclose(answer, expected, rtol=0, atol=2e-5)  # packed in float32; values are of the order of 50


def test_key_bias_is_dropped_and_value_bias_moves_on() -> None:
    weights = make_weights()
    packed = pack_step(weights, num_heads=H)
    assert not packed["video.0.qkv.bias"][D:].any()
    without = dict(weights)
    without["encoder.video.layers.0.qkv.bias"] = weights["encoder.video.layers.0.qkv.bias"].copy()
    without["encoder.video.layers.0.qkv.bias"][D:] = 0
    moved = packed["video.0.out.bias"] - pack_step(without, num_heads=H)["video.0.out.bias"]
    expected = weights["encoder.video.layers.0.out.weight"] @ weights["encoder.video.layers.0.qkv.bias"][2 * D :]
    np.testing.assert_allclose(moved, expected, atol=1e-4)


def test_int8_is_within_half_a_step_per_output() -> None:
    weights = make_weights()
    wide, narrow = (pack_step(weights, num_heads=H, precision=precision) for precision in ("float32", "int8"))
    assert narrow["audio.0.ffn1.weight"].dtype == np.int8
    restored = narrow["audio.0.ffn1.weight"] * narrow["audio.0.ffn1.scale"]
    assert (np.abs(restored - wide["audio.0.ffn1.weight"]) <= 0.501 * narrow["audio.0.ffn1.scale"]).all()
    assert narrow["audio.cross.weight"].dtype == np.float32


@pytest.mark.needs_torch
def test_bfloat16_rounds_as_torch_does() -> None:
    import torch

    values = np.random.default_rng(2).standard_normal(1000).astype(np.float32)
    expected = torch.from_numpy(values).bfloat16().view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(round_to_bfloat16(values), expected)


def test_unknown_precision_and_missing_weight_are_named() -> None:
    with pytest.raises(ArgumentError, match="precision must be one of float32, bfloat16, int8, got 'fp8'"):
        pack_step(make_weights(), num_heads=H, precision="fp8")
    weights = make_weights()
    del weights["cross.query_audio.bias"]
    with pytest.raises(ArgumentError, match=r"cross\.query_audio\.bias"):
        pack_step(weights, num_heads=H)


@pytest.mark.needs_torch
def test_command_packs_a_safetensors_file(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    weights = make_weights()
    path = tmp_path / "edge.safetensors"
    save_file({name: torch.tensor(value) for name, value in weights.items()}, path, metadata={"num_heads": str(H)})
    read, metadata = read_safetensors(path)
    assert metadata["num_heads"] == str(H)
    for name, value in weights.items():
        np.testing.assert_array_equal(read[name], value)
    main([str(path), str(tmp_path / "step.npz"), "--precision", "int8"])
    with np.load(tmp_path / "step.npz", allow_pickle=False) as archive:
        meta = json.loads(archive["meta"].tobytes())
        assert meta["precision"] == "int8" and meta["band"] == W and meta["layers"] == LAYERS
        with np.load(BytesIO(pack_arrays(pack_step(weights, num_heads=H, precision="int8")))) as again:
            assert all(np.array_equal(archive[name], again[name]) for name in archive.files)

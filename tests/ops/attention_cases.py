"""Inputs for the tests of cross_modal_attention, and torch's own form of the op to compare errors with."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaff.ops import reference


def make_case(
    seed: int,
    batch: int,
    query_count: int,
    key_count: int,
    num_heads: int,
    head_size: int,
    *,
    masks: bool = False,
    band: int | None = None,
    residuals: bool = False,
) -> dict[str, Any]:
    """Random arguments by name. With masks: random ones, and one batch element without any video key."""
    rng = np.random.default_rng(seed)
    channels = num_heads * head_size

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    case: dict[str, Any] = {
        "q_audio": normal(batch, query_count, channels),
        "kv_audio": normal(batch, key_count, 2 * channels),
        "q_video": normal(batch, query_count, channels),
        "kv_video": normal(batch, key_count, 2 * channels),
        "alpha": 0.7,
        "beta": -0.4,
        "num_heads": num_heads,
    }
    if masks:
        case["key_mask_audio"] = rng.random((batch, key_count)) < 0.7
        case["key_mask_video"] = rng.random((batch, key_count)) < 0.4
        case["key_mask_video"][-1:] = False
    if band is not None:
        case.update(band=band, age_bias_audio=normal(num_heads, band), age_bias_video=normal(num_heads, band))
    if residuals:
        shape = (batch, query_count, channels)
        case.update(residual_audio=normal(*shape), residual_video=normal(*shape))
    return case


def options(index: int, key_count: int) -> dict[str, Any]:
    """0: plain; 1: masks; 2: band, bias and residuals; 3: all."""
    band = max(1, key_count * 2 // 3) if index & 2 else None
    return {"masks": bool(index & 1), "band": band, "residuals": bool(index & 2)}


def float64_result(case: dict[str, Any]) -> np.ndarray:
    """The NumPy twin's result."""
    return reference.cross_modal_attention(**case)


def torch_result(case: dict[str, Any], dtype: Any) -> np.ndarray:
    """What torch's scaled_dot_product_attention makes of it in `dtype`, with masks and biases as one additive mask."""
    import torch

    def tensor(name: str) -> Any:
        return torch.from_numpy(case[name]).to(dtype)

    heads = case["num_heads"]
    batch, query_count, channels = case["q_audio"].shape
    key_count = case["kv_audio"].shape[1]
    age = np.arange(query_count)[:, None] + key_count - query_count - np.arange(key_count)

    def attend(query: str, keys: str) -> Any:
        added = np.zeros((batch, heads, query_count, key_count), np.float32)
        if case.get("band"):
            band = case["band"]
            added += case[f"age_bias_{keys}"][:, np.clip(age, 0, band - 1)]
            added[:, :, (age < 0) | (age >= band)] = -np.inf
        if f"key_mask_{keys}" in case:
            added[np.broadcast_to(~case[f"key_mask_{keys}"][:, None, None, :], added.shape)] = -np.inf
        dead = np.isinf(added).all(-1, keepdims=True)
        split = [
            rows.unflatten(-1, (heads, -1)).transpose(1, 2)
            for rows in (tensor(f"q_{query}"), *tensor(f"kv_{keys}").split(channels, dim=-1))
        ]
        plain = "band" not in case and "key_mask_audio" not in case
        mask = None if plain else torch.from_numpy(np.where(dead, 0.0, added).astype(np.float32)).to(dtype)
        value = torch.nn.functional.scaled_dot_product_attention(*split, attn_mask=mask)
        value = torch.where(torch.from_numpy(dead), torch.zeros_like(value), value)
        rows = value.transpose(1, 2).flatten(2)
        return rows + tensor(f"residual_{query}") if f"residual_{query}" in case else rows

    result = case["alpha"] * attend("audio", "video") + case["beta"] * attend("video", "audio")
    return result.float().numpy()

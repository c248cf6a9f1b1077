"""The twin of the op in plain torch: the attention of every transformer in training, and the gradients of `edgeaff.torch_ops.adapter`.

```
attend(q, k|v)[i] = sum_j softmax_j(q_i . k_j / sqrt(d_h) + bias[age(i, j)]) v_j      age(i, j) = (i + Tk - Tq) - j
```
Keys are in time order and end at the time of the newest query. Without a band all keys are seen (windows of the
paper); with band W a query sees ages 0 .. W - 1, so nothing after it; with Tq = 1 and Tk = W that is a streaming step.
Like the adapter, nothing that runs on a device imports it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from edgeaff.errors import ArgumentError


def _bias_matrix(age_bias: Tensor, query_count: int, key_count: int) -> Tensor:
    """Returns the bias by age as a matrix, without a gather (whose gradient is slow): a strided view of one row.

    ```
    row      = out ... out bias[W-1] ... bias[1] bias[0] out ... out    Tk + Tq - 1 values, age falls by one each step
    query i  = row[Tq-1-i : Tq-1-i + Tk]
    ```

    Args:
        age_bias: (num_heads, W).
        query_count: Tq.
        key_count: Tk.

    Returns:
        (num_heads, Tq, Tk), the lowest float / 2 where the age is outside the band.
    """
    outside = torch.finfo(age_bias.dtype).min / 2
    by_age = age_bias[:, :key_count]
    row = functional.pad(by_age, (0, key_count - by_age.shape[1]), value=outside).flip(1)
    if query_count == 1:
        return row[:, None]
    return functional.pad(row, (0, query_count - 1), value=outside).unfold(1, key_count, 1).flip(1)


def _visible(query: Tensor, key_value: Tensor, band: int | None, key_mask: Tensor | None) -> Tensor | None:
    """Returns which keys each query sees: bool, broadcastable to (B, H, Tq, Tk), or None for all."""
    visible = None
    query_count, key_count = query.shape[1], key_value.shape[1]
    if band is not None:
        times = torch.arange(key_count, device=query.device)
        age = times[-1] + 1 - query_count + torch.arange(query_count, device=query.device)[:, None] - times
        visible = ((age >= 0) & (age < band))[None, None]
    if key_mask is not None:
        keys = key_mask.bool()[:, None, None, :]
        visible = keys if visible is None else visible & keys
    return visible


def _heads(values: Tensor, num_heads: int) -> Tensor:
    """Returns (B, T, D) as (B, num_heads, T, D / num_heads)."""
    return values.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def attend(
    query: Tensor,
    key_value: Tensor,
    *,
    num_heads: int,
    key_mask: Tensor | None = None,
    band: int | None = None,
    age_bias: Tensor | None = None,
) -> Tensor:
    """Returns scaled dot-product attention of several heads.

    Args:
        query: (B, Tq, D).
        key_value: (B, Tk, 2 D), keys first, then values.
        num_heads: divides D; heads are contiguous blocks of D / num_heads.
        key_mask: (B, Tk) bool, False = the key does not exist.
        band: W; a query sees ages 0 .. W - 1. None = everything.
        age_bias: (num_heads, W), added to the scaled scores; needs a band.

    Returns:
        (B, Tq, D); a row that sees no key is 0.

    Raises:
        ArgumentError: sizes do not fit, or a bias comes without a band.
    """
    size = query.shape[-1]
    if size % num_heads or key_value.shape[-1] != 2 * size:
        raise ArgumentError(
            f"query and key_value must have D divisible by num_heads={num_heads} and 2 D channels, got {size} and "
            f"{key_value.shape[-1]}; check the projections."
        )
    if age_bias is not None and (band is None or tuple(age_bias.shape) != (num_heads, band)):
        raise ArgumentError(
            f"age_bias must have shape (num_heads, band) = ({num_heads}, {band}), got {tuple(age_bias.shape)}; "
            "pass the band it was made for."
        )
    keys, values = key_value[..., :size], key_value[..., size:]
    queries = _heads(query, num_heads) / math.sqrt(size // num_heads)
    scores = queries @ _heads(keys, num_heads).transpose(-1, -2)
    if age_bias is not None:  # the matrix also closes what is outside the band
        scores = scores + _bias_matrix(age_bias, query.shape[1], key_value.shape[1])
    alone = key_mask is not None or query.shape[1] > key_value.shape[1]  # a row may see no key
    visible = None if age_bias is not None and not alone else _visible(query, key_value, band, key_mask)
    if visible is not None:
        scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, dim=-1)
    if visible is not None and alone:
        weights = weights.masked_fill(~visible, 0.0)
    return (weights @ _heads(values, num_heads)).transpose(1, 2).flatten(2)


def cross_modal_attention(
    q_audio: Tensor,
    kv_audio: Tensor,
    q_video: Tensor,
    kv_video: Tensor,
    alpha: Tensor | float,
    beta: Tensor | float,
    *,
    num_heads: int,
    key_mask_audio: Tensor | None = None,
    key_mask_video: Tensor | None = None,
    band: int | None = None,
    age_bias_audio: Tensor | None = None,
    age_bias_video: Tensor | None = None,
    residual_audio: Tensor | None = None,
    residual_video: Tensor | None = None,
) -> Tensor:
    """Returns alpha (audio asks video + residual) + beta (video asks audio + residual). Paper: eq. 1 and section 4.3.

    `*_audio` masks and biases belong to audio keys, residuals to audio queries.

    Args:
        q_audio: (B, Tq, D) queries.
        kv_audio: (B, Tk, 2 D) keys and values.
        q_video: (B, Tq, D) queries.
        kv_video: (B, Tk, 2 D) keys and values.
        alpha: weight of the branch whose queries are audio.
        beta: weight of the branch whose queries are video.
        num_heads: divides D.
        key_mask_audio: (B, Tk) bool, False = the key does not exist.
        key_mask_video: (B, Tk) bool, False = the key does not exist.
        band: W; a query sees ages 0 .. W - 1. None = everything.
        age_bias_audio: (num_heads, W) for audio keys; needs a band.
        age_bias_video: (num_heads, W) for video keys; needs a band.
        residual_audio: (B, Tq, D), added to the branch whose queries are audio.
        residual_video: (B, Tq, D), added to the branch whose queries are video.

    Returns:
        (B, Tq, D).
    """
    branch_a = attend(
        q_audio, kv_video, num_heads=num_heads, key_mask=key_mask_video, band=band, age_bias=age_bias_video
    )
    branch_b = attend(
        q_video, kv_audio, num_heads=num_heads, key_mask=key_mask_audio, band=band, age_bias=age_bias_audio
    )
    if residual_audio is not None:
        branch_a = branch_a + residual_audio
    if residual_video is not None:
        branch_b = branch_b + residual_video
    return alpha * branch_a + beta * branch_b

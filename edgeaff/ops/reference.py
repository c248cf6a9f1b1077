"""NumPy twins of the compiled ops, in float64, written for readers."""

from __future__ import annotations

import numpy as np


def cross_modal_attention(
    q_audio: np.ndarray,
    kv_audio: np.ndarray,
    q_video: np.ndarray,
    kv_video: np.ndarray,
    alpha: float,
    beta: float,
    *,
    num_heads: int,
    key_mask_audio: np.ndarray | None = None,
    key_mask_video: np.ndarray | None = None,
    band: int | None = None,
    age_bias_audio: np.ndarray | None = None,
    age_bias_video: np.ndarray | None = None,
    residual_audio: np.ndarray | None = None,
    residual_video: np.ndarray | None = None,
) -> np.ndarray:
    """Returns alpha * (audio queries over video keys + Ra) + beta * (video queries over audio keys + Rv).

    Paper: section 3.2, eq. 1. `Choice:` masks, bands, age bias and residuals are ours; the cross-modal layers have no
    output projection.

    Args:
        q_audio: (B, Tq, D) queries of the audio stream.
        kv_audio: (B, Tk, 2D) keys, then values, of the audio stream.
        q_video: (B, Tq, D) queries of the video stream.
        kv_video: (B, Tk, 2D) keys, then values, of the video stream.
        alpha: weight of the audio queries' direction.
        beta: weight of the video queries' direction.
        num_heads: heads; divides D.
        key_mask_audio: (B, Tk) bool, False = this audio key does not exist.
        key_mask_video: (B, Tk) bool, False = this video key does not exist.
        band: W: query i sees key j where 0 <= (i + Tk - Tq) - j < W; None = all.
        age_bias_audio: (num_heads, W) added to the scaled scores of audio keys by age (i + Tk - Tq) - j.
        age_bias_video: (num_heads, W) the same of video keys.
        residual_audio: (B, Tq, D) added to the audio queries' attention.
        residual_video: (B, Tq, D) added to the video queries' attention.

    Returns:
        (B, Tq, D) float64. The attention term of a row that sees no key is 0.
    """
    attended_audio = attend(q_audio, kv_video, num_heads, key_mask_video, band, age_bias_video)
    attended_video = attend(q_video, kv_audio, num_heads, key_mask_audio, band, age_bias_audio)
    if residual_audio is not None:
        attended_audio = attended_audio + np.asarray(residual_audio, dtype=np.float64)
    if residual_video is not None:
        attended_video = attended_video + np.asarray(residual_video, dtype=np.float64)
    return float(alpha) * attended_audio + float(beta) * attended_video


def attend(
    queries: np.ndarray,
    keys_values: np.ndarray,
    num_heads: int,
    key_mask: np.ndarray | None,
    band: int | None,
    age_bias: np.ndarray | None,
) -> np.ndarray:
    """Returns softmax(Q K^T / sqrt(d_h) + bias) V of one direction.

    Args:
        queries: (B, Tq, D).
        keys_values: (B, Tk, 2D).
        num_heads: heads; divides D.
        key_mask: (B, Tk) bool or None.
        band: W or None.
        age_bias: (num_heads, W) or None.

    Returns:
        (B, Tq, D) float64.
    """
    batch, query_count, channels = queries.shape
    key_count = keys_values.shape[1]
    head_size = channels // num_heads
    q = _split_heads(queries, num_heads)
    k = _split_heads(keys_values[..., :channels], num_heads)
    v = _split_heads(keys_values[..., channels:], num_heads)

    age = np.arange(query_count)[:, None] + key_count - query_count - np.arange(key_count)[None, :]
    seen = np.ones((batch, 1, query_count, key_count), dtype=bool)
    if band is not None:
        seen &= (age >= 0) & (age < band)
    if key_mask is not None:
        # What a masked key holds must not matter, not even infinities.
        exists = np.asarray(key_mask, dtype=bool)
        seen = seen & exists[:, None, None, :]
        k = np.where(exists[:, None, :, None], k, 0.0)
        v = np.where(exists[:, None, :, None], v, 0.0)

    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(head_size)
    if age_bias is not None and band is not None:
        scores = scores + np.asarray(age_bias, dtype=np.float64)[:, np.clip(age, 0, band - 1)]
    top = np.max(np.where(seen, scores, -np.inf), axis=-1, keepdims=True, initial=-np.inf)
    weights = np.where(seen, np.exp(np.where(seen, scores, 0.0) - np.where(np.isinf(top), 0.0, top)), 0.0)
    total = weights.sum(axis=-1, keepdims=True)
    attended = (weights / np.where(total == 0.0, 1.0, total)) @ v
    return attended.transpose(0, 2, 1, 3).reshape(batch, query_count, channels)


def _split_heads(rows: np.ndarray, num_heads: int) -> np.ndarray:
    """Returns (B, T, D) as (B, num_heads, T, head size) in float64."""
    batch, count, channels = rows.shape
    wide = np.asarray(rows, dtype=np.float64)
    return wide.reshape(batch, count, num_heads, channels // num_heads).transpose(0, 2, 1, 3)

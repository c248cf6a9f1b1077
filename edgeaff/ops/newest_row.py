"""The newest row of a cross-modal layer, folded: no key, value or dense projection of the whole window is made.

With x the encoder outputs (row -1 the newest) and W_q, W_k, W_v the projections of one direction and head,

```
score_j = (x_q W_q + b_q) . (x_j W_k + b_k) = ((x_q W_q + b_q) W_k^T) . x_j + what is the same for every j
answer  = dense (weight * sum_j p_j (x_j W_v + b_v)) = (sum_j p_j x_j) . F + constant,   F = weight * W_v dense
```
so that a row costs two products of a vector with D x D, and two passes over x, instead of three products of the window with
D x D. Equal to the unfolded form within rounding (tests/ops/test_newest_row.py), because nothing nonlinear lies
between the attention and the dense layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Direction:
    """Weights of one direction as the model has them; D channels, (out, in) matrices as in torch.

    Attributes:
        query_weight: (D, D).
        query_bias: (D,).
        key_value_weight: (2D, D), keys first.
        key_value_bias: (2D,).
        weight: alpha or beta.
    """

    query_weight: np.ndarray
    query_bias: np.ndarray
    key_value_weight: np.ndarray
    key_value_bias: np.ndarray
    weight: float


class NewestRow:
    """dense(alpha * attend(audio -> video) + beta * attend(video -> audio)) of the newest row, without residuals."""

    def __init__(
        self, audio: Direction, video: Direction, dense_weight: np.ndarray, dense_bias: np.ndarray, *, num_heads: int
    ) -> None:
        """Folds the weights.

        Args:
            audio: audio queries over video keys.
            video: video queries over audio keys.
            dense_weight: (C, D) of the output layer.
            dense_bias: (C,).
            num_heads: heads; divides D.
        """
        self._heads = num_heads
        self._audio = _fold(audio, dense_weight, num_heads)
        self._video = _fold(video, dense_weight, num_heads)
        size = dense_weight.shape[1]
        constant = dense_bias.astype(np.float64)
        for direction in (audio, video):
            constant = constant + direction.weight * (dense_weight @ direction.key_value_bias[size:])
        self._constant = constant.astype(np.float32)

    def __call__(self, audio: np.ndarray, video: np.ndarray) -> np.ndarray:
        """Returns the answer of the newest row.

        Args:
            audio: (T, D) float32 encoder output of the audio stream, the newest row last.
            video: (T, D) float32 of the video stream.

        Returns:
            (C,) float32.
        """
        return (
            self._answer(self._audio, audio[-1], video) + self._answer(self._video, video[-1], audio) + self._constant
        )

    def _answer(self, folded: _Folded, newest: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Returns one direction's part of the answer."""
        query = (newest @ folded.query + folded.query_bias).reshape(self._heads, 1, -1)
        seeker = np.matmul(query, folded.key)[:, 0]  # (H, D): what a row of x is multiplied with
        scores = seeker @ rows.T
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return (scores @ rows).reshape(-1) @ folded.answer


@dataclass(frozen=True, slots=True)
class _Folded:
    """query: (D, D) with 1 / sqrt(d_h); key: (H, d_h, D); answer: (H * D, C)."""

    query: np.ndarray
    query_bias: np.ndarray
    key: np.ndarray
    answer: np.ndarray


def _fold(direction: Direction, dense_weight: np.ndarray, num_heads: int) -> _Folded:
    """Returns one direction's folded weights, float32."""
    size = dense_weight.shape[1]
    head_size = size // num_heads
    keys = direction.key_value_weight[:size].reshape(num_heads, head_size, size)
    values = direction.key_value_weight[size:].astype(np.float64).reshape(num_heads, head_size, size)
    dense = direction.weight * dense_weight.astype(np.float64).reshape(-1, num_heads, head_size)
    answer = np.einsum("chk,hkd->hdc", dense, values).reshape(num_heads * size, -1)
    scale = 1.0 / np.sqrt(head_size)
    arrays = (direction.query_weight.T * scale, direction.query_bias * scale, keys, answer)
    return _Folded(*(np.ascontiguousarray(array, dtype=np.float32) for array in arrays))

"""The window of the paper's transformer as `affect_window.onnx`, with its attention written for engines on a CPU.

The same numbers as `edgeaff.training.models.transformer` (the exporter compares), with less copying: heads are moved once for queries,
keys and values together, and keys that do not exist get -1e4 added to their scores instead of being looked up twice. A window in which
nothing exists is multiplied by 0 at the end.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from edgeaff.export.exportable import check_transformer
from edgeaff.export.to_onnx import PARITY_BATCHES, SymbolicOperator, check_parity, to_model, with_operator
from edgeaff.inference import WINDOW_TICKS
from edgeaff.training.models.transformer import AudioVideoTransformer, EncoderLayer, WindowEncoder

HIDDEN = -1e4  # exp(-1e4 + score) is 0 in float32, and the number itself exists in float16
Runs = list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]


class Keys:
    """Mask of the existing keys, in the form that `attend_packed` adds and multiplies.

    Args:
        present: (B, T) float 0 or 1.
    """

    def __init__(self, present: Tensor) -> None:
        self.hidden = ((1.0 - present) * HIDDEN)[:, None, None]
        self.any = present.amax(dim=1)[:, None, None]


def attend_packed(packed: Tensor, num_heads: int, keys: Keys) -> Tensor:
    """Returns attention over the whole window, (B, T, d); 0 where no key exists.

    Args:
        packed: (B, T, 3 d) queries, keys, values.
        num_heads: divides d.
        keys: which exist.
    """
    size = packed.shape[-1] // 3
    heads = packed.unflatten(-1, (3 * num_heads, size // num_heads)).transpose(1, 2)
    query, key, value = heads.split(num_heads, dim=1)
    scores = query @ key.transpose(-1, -2) / math.sqrt(size // num_heads)
    mixed = torch.softmax(scores + keys.hidden, dim=-1) @ value
    return mixed.transpose(1, 2).flatten(2) * keys.any


def encode_layer(layer: EncoderLayer, tokens: Tensor, packed: Tensor, keys: Keys) -> Tensor:
    """Returns the output of an encoder layer whose packed product is there already: (B, T, d)."""
    tokens = layer.norm1(tokens + layer.out(attend_packed(packed, layer.num_heads, keys)))
    return layer.norm2(tokens + layer.ffn2(torch.relu(layer.ffn1(tokens))))


def encode_layers(encoder: WindowEncoder, tokens: Tensor, packed: Tensor, keys: Keys) -> Tensor:
    """Returns the encoder's output from tokens with positions (B, T, d) and the first layer's packed product (B, T, 3 d)."""
    for index, layer in enumerate(cast("list[EncoderLayer]", list(encoder.layers))):
        tokens = encode_layer(layer, tokens, layer.qkv(tokens) if index else packed, keys)
    return tokens


class WindowGraph(nn.Module):
    """The windowed transformer with clipped output, arguments as `AudioVideoTransformer.forward`."""

    def __init__(self, system: AudioVideoTransformer) -> None:
        super().__init__()
        self.system = system

    def forward(self, video: Tensor, audio: Tensor, video_mask: Tensor, audio_mask: Tensor) -> Tensor:
        """Returns (B, T, 2) in [-1, 1]."""
        system = self.system
        seen = self._encode(system.video, video, video_mask)
        heard = self._encode(system.audio, audio, audio_mask)
        return torch.clamp(system.dense(system.cross(seen, heard, video_mask, audio_mask)), -1.0, 1.0)

    @staticmethod
    def _encode(encoder: WindowEncoder, features: Tensor, mask: Tensor) -> Tensor:
        tokens = encoder.project(features) + encoder.positions[: features.shape[1]]
        return encode_layers(encoder, tokens, cast(EncoderLayer, encoder.layers[0]).qkv(tokens), Keys(mask.float()))


def export_window(system: AudioVideoTransformer, *, ticks: int = WINDOW_TICKS, batch: int | None = 1) -> bytes:
    """Returns `affect_window.onnx`: windows of the paper's audio-visual transformer.

    Inputs `video` (B, T, video_size), `audio` (B, T, audio_size) float32, `video_mask`, `audio_mask` (B, T) bool;
    output `values` (B, T, 2) in [-1, 1].

    Args:
        system: the trained system.
        ticks: T. Paper: 100 (section 4.3).
        batch: B; None = any.

    Returns:
        The serialized model.
    """
    check_transformer(system)
    operator = SymbolicOperator()
    module = WindowGraph(with_operator(system, operator))
    runs = _runs(system, ticks, PARITY_BATCHES if batch is None else (batch,))
    names = list(runs[0][0])
    example = 2 if batch is None else batch  # the exporter fixes a batch of 1
    arguments = tuple(torch.from_numpy(np.concatenate([runs[0][0][name]] * 2)[:example]) for name in names)
    free: tuple[Any, ...] | None = None
    if batch is None:
        free = tuple({0: torch.export.Dim("batch")} for _ in names)
    model = to_model(module, operator, arguments, names, ["values"], dynamic=free).SerializeToString()
    check_parity(model, runs)
    return model


def _runs(system: AudioVideoTransformer, ticks: int, batches: Sequence[int]) -> Runs:
    """Returns windows, complete, with gaps and without video, and the output of torch for them."""
    rng = np.random.default_rng(0)
    plain, config = copy.deepcopy(system).eval(), system.config
    runs = []
    for batch in batches:
        for share in (1.0, 0.6, 0.0):
            feed = {
                "video": rng.standard_normal((batch, ticks, config.video_size)).astype(np.float32),
                "audio": rng.standard_normal((batch, ticks, config.audio_size)).astype(np.float32),
                "video_mask": rng.random((batch, ticks)) < share,
                "audio_mask": rng.random((batch, ticks)) < 1.0 if share else np.ones((batch, ticks), dtype=bool),
            }
            with torch.no_grad():
                values = plain(*(torch.from_numpy(value) for value in feed.values())).clamp(-1.0, 1.0)
            runs.append((feed, {"values": values.numpy()}))
    return runs

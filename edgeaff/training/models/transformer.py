"""The paper's transformers: Transformer (A), (V) and (A+V), over windows of 100 frames. Paper: sections 4.1 to 4.3.

```
video (B, T, 4096) -> linear 512 -> + positions -> N encoder layers --+--> cross-modal attention, both directions
audio (B, T, 4096) -> linear 512 -> + positions -> N encoder layers --+    alpha A + beta V -> dense 2
```
Choice, where the paper is silent: N = 2, feed-forward 512, post-norm, ReLU, dropout 0.1, sinusoidal positions as in the
transformer it cites, alpha = beta = 0.5 at the start, scaled dot products. Strict: no residual around the cross-modal
attention (the paper draws none); `residual=True` adds the queries' encoder output before the sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeaff.torch_ops.reference import attend, cross_modal_attention


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Sizes of the windowed transformers.

    Attributes:
        video_size: width of the face descriptor. Paper: 4096.
        audio_size: width of the stacked LLDs. Paper: 4096.
        size: width of the encoders. Paper: 512.
        num_heads: Paper: 4.
        ffn_size: hidden width of the feed-forward layers.
        layers: encoder layers per modality.
        dropout: during training.
        residual: whether the fusion keeps its queries. Paper: no.
        longest: positions that exist.
    """

    video_size: int = 4096
    audio_size: int = 4096
    size: int = 512
    num_heads: int = 4
    ffn_size: int = 512
    layers: int = 2
    dropout: float = 0.1
    residual: bool = False
    longest: int = 512


def sinusoidal_positions(count: int, size: int) -> Tensor:
    """Returns (count, size): sin and cos in turn, wavelengths from 2 pi to 10000 * 2 pi."""
    times = torch.arange(count, dtype=torch.float32)[:, None]
    rates = torch.exp(-math.log(10_000.0) * torch.arange(0, size, 2, dtype=torch.float32) / size)
    table = torch.empty(count, size)
    table[:, 0::2], table[:, 1::2] = torch.sin(times * rates), torch.cos(times * rates)
    return table


class EncoderLayer(nn.Module):
    """Post-norm encoder layer with attention over the whole window."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        size = config.size
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.norm1 = nn.LayerNorm(size)
        self.ffn1 = nn.Linear(size, config.ffn_size)
        self.ffn2 = nn.Linear(config.ffn_size, size)
        self.norm2 = nn.LayerNorm(size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Returns (B, T, d). tokens: (B, T, d); mask: (B, T) bool, False = the tick does not exist as a key."""
        packed = self.qkv(tokens)
        size = tokens.shape[-1]
        mixed = attend(packed[..., :size], packed[..., size:], num_heads=self.num_heads, key_mask=mask)
        tokens = self.norm1(tokens + self.dropout(self.out(mixed)))
        return self.norm2(tokens + self.dropout(self.ffn2(self.dropout(torch.relu(self.ffn1(tokens))))))


class WindowEncoder(nn.Module):
    """Projection, positions and encoder layers of one modality."""

    positions: Tensor

    def __init__(self, input_size: int, config: TransformerConfig) -> None:
        super().__init__()
        self.project = nn.Linear(input_size, config.size)
        self.register_buffer("positions", sinusoidal_positions(config.longest, config.size), persistent=False)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns (B, T, d). features: (B, T, input_size); mask: (B, T) bool, False = missing."""
        tokens = self.dropout(self.project(features) + self.positions[: features.shape[1]])
        for layer in self.layers:
            tokens = layer(tokens, mask)
        return tokens


class SingleTransformer(nn.Module):
    """Transformer (A) or (V): one encoder and the dense output."""

    def __init__(self, input_size: int, config: TransformerConfig) -> None:
        super().__init__()
        self.encoder = WindowEncoder(input_size, config)
        self.dense = nn.Linear(config.size, 2)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns (B, T, 2). features: (B, T, input_size); mask: (B, T) bool, False = missing."""
        return self.dense(self.encoder(features, mask))


class WindowFusion(nn.Module):
    """Cross-modal attention in both directions, weighted by two scalars. Paper: section 4.3 and eq. 1."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        size = config.size
        self.num_heads, self.residual = config.num_heads, config.residual
        self.query_audio, self.query_video = nn.Linear(size, size), nn.Linear(size, size)
        self.key_value_audio, self.key_value_video = nn.Linear(size, 2 * size), nn.Linear(size, 2 * size)
        self.alpha, self.beta = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.5))
        self.operator = cross_modal_attention  # the exporter puts the opaque node here

    def forward(
        self, video: Tensor, audio: Tensor, video_mask: Tensor | None = None, audio_mask: Tensor | None = None
    ) -> Tensor:
        """Returns (B, T, d) of encoder outputs (B, T, d) and masks (B, T) bool."""
        return self.operator(
            self.query_audio(audio),
            self.key_value_audio(audio),
            self.query_video(video),
            self.key_value_video(video),
            self.alpha,
            self.beta,
            num_heads=self.num_heads,
            key_mask_audio=audio_mask,
            key_mask_video=video_mask,
            residual_audio=audio if self.residual else None,
            residual_video=video if self.residual else None,
        )


class AudioVideoTransformer(nn.Module):
    """Transformer (A+V)."""

    def __init__(self, config: TransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config or TransformerConfig()
        self.video = WindowEncoder(self.config.video_size, self.config)
        self.audio = WindowEncoder(self.config.audio_size, self.config)
        self.cross = WindowFusion(self.config)
        self.dense = nn.Linear(self.config.size, 2)

    def forward(
        self, video: Tensor, audio: Tensor, video_mask: Tensor | None = None, audio_mask: Tensor | None = None
    ) -> Tensor:
        """Returns one value pair per tick of the window.

        Args:
            video: (B, T, video_size) descriptors.
            audio: (B, T, audio_size) stacked LLDs.
            video_mask: (B, T) bool, False = missing; None = all there.
            audio_mask: (B, T) bool, False = missing; None = all there.

        Returns:
            (B, T, 2) valence and arousal.
        """
        seen, heard = self.video(video, video_mask), self.audio(audio, audio_mask)
        return self.dense(self.cross(seen, heard, video_mask, audio_mask))

"""The recurrent baselines: RNN (A), VGGFace-RNN (V), VGGFace-RNN (A+V). Paper: section 5 and Table 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeaff.spec import LLD_SIZE


class RecurrentHead(nn.Module):
    """Two GRU layers and a dense output of valence and arousal.

    Choice: 128 units a layer, as the paper states for VGGFace-RNN (V); it gives no number for the others.
    """

    def __init__(self, input_size: int, *, units: int = 128) -> None:
        super().__init__()
        self.gru = nn.GRU(input_size, units, num_layers=2, batch_first=True)
        self.dense = nn.Linear(units, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Returns (B, T, 2) valence and arousal of features (B, T, input_size)."""
        return self.dense(self.gru(features)[0])


class AudioRnn(nn.Module):
    """RNN (A): two GRU layers on the 65 LLDs of each frame."""

    def __init__(self, *, audio_size: int = LLD_SIZE, units: int = 128) -> None:
        super().__init__()
        self.head = RecurrentHead(audio_size, units=units)

    def forward(self, audio: Tensor) -> Tensor:
        """Returns (B, T, 2). audio: (B, T, 65) normalized LLDs."""
        return self.head(audio)


class VideoRnn(nn.Module):
    """VGGFace-RNN (V): two GRU layers on the face descriptor."""

    def __init__(self, *, video_size: int = 4096, units: int = 128) -> None:
        super().__init__()
        self.head = RecurrentHead(video_size, units=units)

    def forward(self, video: Tensor) -> Tensor:
        """Returns (B, T, 2). video: (B, T, video_size) descriptors."""
        return self.head(video)


class AudioVideoRnn(nn.Module):
    """VGGFace-RNN (A+V): descriptor and stacked LLDs concatenated, two GRU layers, dense."""

    def __init__(self, *, video_size: int = 4096, audio_size: int = 4096, units: int = 128) -> None:
        super().__init__()
        self.head = RecurrentHead(video_size + audio_size, units=units)

    def forward(self, video: Tensor, audio: Tensor) -> Tensor:
        """Returns (B, T, 2). video: (B, T, video_size); audio: (B, T, audio_size)."""
        return self.head(torch.cat([video, audio], dim=-1))

"""M3T (A+V): the single model of Zhang et al., a 3-D VGG-M with bidirectional GRUs beside a log-mel GRU.

After the published description: 112x112 crops, windows of 32 frames, 5 log-mel frames of 40 bands per video frame,
features concatenated. Choice where it is silent: 256 units for the audio GRU, one dense output. No ensemble, no
expression task. Own code from the description.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEL_SIZE = 200
# (channels, kernel (T, H, W), spatial stride, pooled after)
STEM = (
    (96, (3, 7, 7), 2, True),
    (256, (3, 5, 5), 2, True),
    (512, (3, 3, 3), 1, False),
    (512, (3, 3, 3), 1, False),
    (512, (3, 3, 3), 1, True),
)


def vgg_m_3d(*, width: float = 1.0) -> nn.Sequential:
    """Returns the 3-D VGG-M: (B, 3, T, 112, 112) -> (B, 512 * width, T, 3, 3); time is never strided.

    Args:
        width: multiplies all channels.

    Returns:
        The network.
    """
    layers: list[nn.Module] = []
    channels = 3
    for planned, kernel, stride, pooled in STEM:
        following = max(4, round(planned * width))
        padding = tuple(size // 2 for size in kernel)
        layers += [
            nn.Conv3d(channels, following, kernel, stride=(1, stride, stride), padding=padding, bias=False),
            nn.BatchNorm3d(following),
            nn.ReLU(inplace=True),
        ]
        if pooled:
            layers.append(nn.MaxPool3d((1, 2, 2)))
        channels = following
    return nn.Sequential(*layers)


class M3t(nn.Module):
    """Images and log-mel frames, fused by concatenation."""

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        channels, units = max(4, round(512 * width)), max(4, round(512 * width))
        audio_units = max(4, round(256 * width))
        self.stem = vgg_m_3d(width=width)
        self.project = nn.Linear(9 * channels, channels)
        self.video_gru = nn.GRU(channels, units, batch_first=True, bidirectional=True)
        self.audio_gru = nn.GRU(MEL_SIZE, audio_units, num_layers=2, batch_first=True, bidirectional=True)
        self.dense = nn.Linear(2 * units + 2 * audio_units, 2)

    def forward(self, crops: Tensor, mel: Tensor) -> Tensor:
        """Returns (B, T, 2). crops: (B, T, 3, 112, 112) in [-1, 1]; mel: (B, T, 200) log-mel."""
        maps = self.stem(crops.transpose(1, 2)).transpose(1, 2)
        seen, _ = self.video_gru(torch.relu(self.project(maps.flatten(2))))
        heard, _ = self.audio_gru(mel)
        return self.dense(torch.cat([seen, heard], dim=-1))

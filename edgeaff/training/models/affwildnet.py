"""AffWildNet: VGG-16 convolutions on a 96x96 crop with fully-connected layers (static) or GRUs (dynamic).

After the published description (Kollias et al.): 13 convolutions, 2x2 pooling five times (96 -> 3), FC 4096, then
FC 2000 or 4096 and two outputs, or two GRU layers of 128 and two outputs; dropout 0.5. Own code from the description.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeaff.spec import CROP_SIZE_PX

VGG16_CHANNELS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


def _initialized(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """Returns the layer with weights that keep the size of what comes through a ReLU (He et al.), and no bias.

    Choice: 13 layers without normalization do not start from torch's own initial weights; the published nets were
    trained before.

    Args:
        layer: before a ReLU.

    Returns:
        The same layer.
    """
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def vgg16_convolutions(*, width: float = 1.0) -> nn.Sequential:
    """Returns the convolutions of VGG-16: (B, 3, H, W) -> (B, 512 * width, H / 32, W / 32).

    Args:
        width: multiplies all channels; 1 is the published size.

    Returns:
        Convolutions with ReLU and pooling.
    """
    layers: list[nn.Module] = []
    channels = 3
    for planned in VGG16_CHANNELS:
        if planned == 0:
            layers.append(nn.MaxPool2d(2))
            continue
        following = max(4, round(planned * width))
        layers += [_initialized(nn.Conv2d(channels, following, 3, padding=1)), nn.ReLU(inplace=True)]
        channels = following
    return nn.Sequential(*layers)


def _fully_connected(width: float, *sizes: int) -> nn.Sequential:
    """Returns FC layers with ReLU and dropout on the flattened 3x3 map; sizes are scaled by width."""
    before = max(4, round(512 * width)) * (CROP_SIZE_PX // 32) ** 2
    layers: list[nn.Module] = []
    for size in sizes:
        after = max(4, round(size * width))
        layers += [_initialized(nn.Linear(before, after)), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        before = after
    return nn.Sequential(*layers)


class AffWildNetStatic(nn.Module):
    """One frame at a time: convolutions, FC 4096, FC `top`, valence and arousal."""

    def __init__(self, top: int, *, width: float = 1.0) -> None:
        super().__init__()
        self.convolutions = vgg16_convolutions(width=width)
        self.connected = _fully_connected(width, 4096, top)
        self.dense = nn.Linear(max(4, round(top * width)), 2)

    def forward(self, crops: Tensor) -> Tensor:
        """Returns (B, T, 2). crops: (B, T, 3, 96, 96) in [-1, 1]."""
        batch, ticks = crops.shape[:2]
        maps = self.convolutions(crops.flatten(0, 1))
        return self.dense(self.connected(maps.flatten(1))).unflatten(0, (batch, ticks))


class AffWildNetDynamic(nn.Module):
    """Convolutions and FC 4096 on every frame, two GRU layers of 128 over the sequence."""

    def __init__(self, *, width: float = 1.0, units: int = 128) -> None:
        super().__init__()
        self.convolutions = vgg16_convolutions(width=width)
        self.connected = _fully_connected(width, 4096)
        self.gru = nn.GRU(max(4, round(4096 * width)), units, num_layers=2, batch_first=True)
        self.dense = nn.Linear(units, 2)

    def forward(self, crops: Tensor) -> Tensor:
        """Returns (B, T, 2). crops: (B, T, 3, 96, 96) in [-1, 1]."""
        batch, ticks = crops.shape[:2]
        features = self.connected(self.convolutions(crops.flatten(0, 1)).flatten(1))
        hidden, _ = self.gru(torch.reshape(features, (batch, ticks, -1)))
        return self.dense(hidden)

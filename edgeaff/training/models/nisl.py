"""NISL (V): the single model of the winner of ABAW 2020, ResNet-50 with a bidirectional GRU and binned outputs.

After the published description (Deng et al.): 112x112 crops, sequences of 32, a 128-wide feature per task, a
bidirectional GRU of 64, valence and arousal as the expectation over 20 bins. No teacher, no ensemble. Own code from the
description.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
EXPANSION = 4
BINS = 20


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        outputs = EXPANSION * planes
        self.body = nn.Sequential(
            nn.Conv2d(inputs, planes, 1, bias=False),
            nn.BatchNorm2d(planes),
            nn.ReLU(inplace=True),
            nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(planes),
            nn.ReLU(inplace=True),
            nn.Conv2d(planes, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        nn.init.zeros_(self.body[-1].weight)  # Choice: blocks begin as their shortcut, since nothing is trained before
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Returns the block's output maps."""
        return torch.relu(self.body(maps) + self.shortcut(maps))


def resnet50_features(*, width: float = 1.0) -> nn.Sequential:
    """Returns ResNet-50 up to its pooled feature: (B, 3, H, W) -> (B, 2048 * width).

    Args:
        width: multiplies all channels; 1 is the published size.

    Returns:
        The network.
    """
    first = max(4, round(64 * width))
    layers: list[nn.Module] = [
        nn.Conv2d(3, first, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]
    inputs = first
    for planned, blocks, stride in STAGES:
        planes = max(4, round(planned * width))
        for index in range(blocks):
            layers.append(Bottleneck(inputs, planes, stride if index == 0 else 1))
            inputs = EXPANSION * planes
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Nisl(nn.Module):
    """Frames through ResNet-50, a bidirectional GRU, expectation over bins of valence and arousal."""

    centers: Tensor

    def __init__(self, *, width: float = 1.0, feature: int = 128, units: int = 64) -> None:
        super().__init__()
        self.backbone = resnet50_features(width=width)
        self.project = nn.Linear(EXPANSION * max(4, round(512 * width)), feature)
        self.gru = nn.GRU(feature, units, batch_first=True, bidirectional=True)
        self.bins = nn.Linear(2 * units, 2 * BINS)
        edges = torch.linspace(-1.0, 1.0, BINS + 1)
        self.register_buffer("centers", (edges[1:] + edges[:-1]) / 2, persistent=False)

    def logits(self, crops: Tensor) -> Tensor:
        """Returns (B, T, 2, 20) bin logits. crops: (B, T, 3, 112, 112) in [-1, 1]."""
        batch, ticks = crops.shape[:2]
        features = torch.relu(self.project(self.backbone(crops.flatten(0, 1)))).unflatten(0, (batch, ticks))
        return self.bins(self.gru(features)[0]).unflatten(-1, (2, BINS))

    def forward(self, crops: Tensor) -> Tensor:
        """Returns (B, T, 2). crops: (B, T, 3, 112, 112) in [-1, 1]."""
        return torch.softmax(self.logits(crops), dim=-1) @ self.centers

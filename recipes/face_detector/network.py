"""The single-shot face detector: a small residual backbone, a top-down neck, three heads (strides 8, 16, 32).

```
image -> stem (1/2, 1/4) -> stage 1/8 -> stage 1/16 -> stage 1/32     residual blocks of two 3x3 convolutions
                                 |             |             |
                              lateral   <-  lateral   <-  lateral       1x1, nearest upsampling, sum
                                 |             |             |
                               head          head          head         3x3, then 1x1 to 1 + 4 + 10 values per cell
```
Plain 3x3 convolutions and ReLU: ONNX Runtime fuses convolution, sum and ReLU into one blocked kernel.
The input is not centered (pixel / 255): zero padding inside the network then means black, as does the letterbox.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeaff.detection.decode import STRIDES

OUTPUTS_PER_CELL = 15


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of the network.

    Attributes:
        stem: channels at 1/2 and 1/4.
        stages: channels at 1/8, 1/16, 1/32.
        blocks: residual blocks of each stage after its downsampling convolution.
        neck: channels of neck and heads.
    """

    stem: tuple[int, int] = (16, 24)
    stages: tuple[int, int, int] = (48, 64, 96)
    blocks: tuple[int, int, int] = (1, 1, 1)
    neck: int = 32


def _conv(inputs: int, outputs: int, *, size: int = 3, stride: int = 1, relu: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.03),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """relu(x + conv(relu(conv(x)))), batch normalization after each convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = _conv(channels, channels, relu=False)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the same shape, (B, C, H, W)."""
        return self.activation(self.second(self.first(x)) + x)


class FaceDetectorNetwork(nn.Module):
    """Gives score logit, box and five points for each cell of three grids."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(
            _conv(3, config.stem[0], stride=2),
            _conv(config.stem[0], config.stem[1], stride=2),
        )
        widths = (config.stem[1], *config.stages)
        self.stages = nn.ModuleList(
            nn.Sequential(
                _conv(widths[level], widths[level + 1], stride=2),
                *(ResidualBlock(widths[level + 1]) for _ in range(config.blocks[level])),
            )
            for level in range(3)
        )
        self.laterals = nn.ModuleList(_conv(width, config.neck, size=1) for width in config.stages)
        self.heads = nn.ModuleList(_conv(config.neck, config.neck) for _ in STRIDES)
        self.outputs = nn.ModuleList(nn.Conv2d(config.neck, OUTPUTS_PER_CELL, 1) for _ in STRIDES)
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        for block in self.modules():
            if isinstance(block, ResidualBlock):
                nn.init.zeros_(block.second[1].weight)
        for output in self.outputs:
            nn.init.normal_(output.weight, std=0.01)
            nn.init.zeros_(output.bias)
            with torch.no_grad():
                output.bias[0] = -4.0
                output.bias[3:5] = 1.0

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Returns one map per stride.

        Args:
            pixels: (B, 3, H, W) float, RGB / 255; H and W multiples of 32.

        Returns:
            three tensors (B, 15, H/stride, W/stride): score logit; box (dx, dy, log w, log h) in strides from the
            cell's center; five points (x, y) in strides from the cell's center.
        """
        x = self.stem(pixels)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        merged: list[Tensor] = [self.laterals[2](features[2])]
        for level in (1, 0):
            up = nn.functional.interpolate(merged[0], scale_factor=2, mode="nearest")
            merged.insert(0, self.laterals[level](features[level]) + up)
        return [output(head(x)) for output, head, x in zip(self.outputs, self.heads, merged, strict=True)]

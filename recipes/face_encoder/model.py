"""The `edge` face encoder: 96x96 RGB crop -> 128 descriptor values, 1.0 M parameters.

Choice: the paper's VGGFace (section 4.2.1) is 2.8 GMAC per face and its weights may not be shipped, so `edge` has this
small residual network. It looks at luminance only (the training faces are gray), averaged 2x2 to 48x48 (their size) and
standardized per image, so color casts, exposure and contrast drop out before the first convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeaff.training.corpora.ferplus import EMOTIONS

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class FaceEncoderConfig:
    """Sizes of the face encoder.

    Attributes:
        stem: channels at 48x48.
        widths: channels at 24x24, 12x12 and 6x6; the last is the size of the descriptor.
        blocks: residual blocks of each width.
        dropout: on the descriptor, before the training heads only.
    """

    stem: int = 32
    widths: tuple[int, ...] = (48, 80, 128)
    blocks: tuple[int, ...] = (1, 2, 2)
    dropout: float = 0.2


def conv_norm(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Returns a 3x3 convolution with batch normalization (folded into it by the exporter)."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_norm(channels, channels)
        self.second = conv_norm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Returns relu(x + f(x)); (B, C, H, W) in and out."""
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class FaceEncoder(nn.Module):
    """Crop to descriptor.

    Args:
        config: the sizes.
    """

    luma: Tensor

    def __init__(self, config: FaceEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FaceEncoderConfig()
        luma = torch.tensor(LUMA).view(1, 3, 1, 1).expand(1, 3, 2, 2) / 4
        self.register_buffer("luma", luma.contiguous(), persistent=False)
        self.stem = conv_norm(1, config.stem)
        stages: list[nn.Module] = []
        inputs = config.stem
        for width, count in zip(config.widths, config.blocks, strict=True):
            stages += [conv_norm(inputs, width, 2), nn.ReLU(), *[ResidualBlock(width) for _ in range(count)]]
            inputs = width
        self.stages = nn.Sequential(*stages)
        # Choice: unit variance per value, so that the descriptor enters the affect model without further statistics.
        self.scale = nn.BatchNorm1d(inputs, affine=False)
        self.descriptor_size = inputs

    def standardize(self, face: Tensor) -> Tensor:
        """Returns luminance at half size with zero mean and unit variance per image.

        Args:
            face: (B, 3, 96, 96) float32 RGB in [-1, 1].

        Returns:
            (B, 1, 48, 48) float32.
        """
        luminance = functional.conv2d(face, self.luma, stride=2)
        centered = luminance - luminance.mean(dim=(1, 2, 3), keepdim=True)
        # 1e-4 is (1.3 gray levels)^2: a flat image becomes zeros instead of amplified noise.
        return centered * torch.rsqrt(centered.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-4)

    def body(self, luminance: Tensor) -> Tensor:
        """Returns the descriptor of standardized luminance: (B, 1, 48, 48) -> (B, D)."""
        x = self.stages(functional.relu(self.stem(luminance)))
        return self.scale(x.float().mean(dim=(2, 3)))

    def forward(self, face: Tensor) -> Tensor:
        """Returns the descriptor.

        Args:
            face: (B, 3, 96, 96) float32 RGB in [-1, 1]: x / 127.5 - 1.

        Returns:
            (B, D) float32, about unit variance.
        """
        return self.body(self.standardize(face))


class FaceHeads(nn.Module):
    """Linear training heads on the descriptor: 8 emotion logits and valence/arousal."""

    def __init__(self, descriptor_size: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.emotion = nn.Linear(descriptor_size, len(EMOTIONS))
        self.affect = nn.Linear(descriptor_size, 2)

    def forward(self, descriptor: Tensor) -> tuple[Tensor, Tensor]:
        """Returns emotion logits (B, 8) and valence, arousal (B, 2), neither bounded."""
        dropped = self.dropout(descriptor)
        return self.emotion(dropped), self.affect(dropped)

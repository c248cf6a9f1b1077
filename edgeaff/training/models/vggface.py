"""VGGFace: VGG-16 up to its first fully-connected layer. Paper: section 4.2.1.

The published fully-connected layer expects 224-px faces (7x7x512 = 25,088 inputs); the paper's crops are 96 px
(3x3x512 = 4,608). `Choice:` three modes, because the paper does not say what it did:

| mode | crop | first fully-connected layer |
|---|---|---|
| `affwildnet` | 96 | 4,608 -> 4,096, as AffWildNet trained it |
| `upsample` | 96, enlarged to 224 | the published one: the released descriptor, 5.4 times the work |
| `resampled` | 96 | the published one on the 3x3 map enlarged to 7x7, folded into 4,608 -> 4,096 |

Weights are the user's (`edgeaff.training.importers`); none ship. `with_weights` goes by the file: AffWildNet's layer sees 3x3, the
published one 7x7, which is enlarged for unless `resampled` is requested.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeaff.errors import ArgumentError
from edgeaff.spec import CROP_SIZE_PX

MODES = ("affwildnet", "upsample", "resampled")
PUBLISHED_MODES = MODES[1:]
DEPTHS = (2, 2, 3, 3, 3)
FULL_PX = 224
POOLING = 32  # five poolings by two


@dataclass(frozen=True, slots=True)
class VggFaceConfig:
    """Sizes of the network; other than the default only in tests.

    Attributes:
        mode: "affwildnet", "upsample" or "resampled".
        widths: channels of the five stages.
        descriptor: outputs of the first fully-connected layer.
    """

    mode: str = "affwildnet"
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    descriptor: int = 4096

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ArgumentError(f"mode must be one of {MODES}, got {self.mode!r}; choose one.")

    @property
    def convolutions(self) -> list[tuple[str, int, int]]:
        """Name, input and output channels of every convolution: conv1_1 ... conv5_3."""
        rows, inputs = [], 3
        for stage, (width, depth) in enumerate(zip(self.widths, DEPTHS, strict=True), start=1):
            for index in range(1, depth + 1):
                rows.append((f"conv{stage}_{index}", inputs, width))
                inputs = width
        return rows

    @property
    def map_px(self) -> int:
        """Side of the last map: 7 where crops are enlarged to 224, else 3."""
        return (FULL_PX if self.mode == "upsample" else CROP_SIZE_PX) // POOLING


@dataclass(frozen=True, slots=True)
class VggFaceWeights:
    """Imported weights in one form, regardless of their file.

    Attributes:
        tensors: float32; `convS_I.weight` (O, I, 3, 3) for RGB input, `convS_I.bias` (O,), `fc6.weight` (D, C * P * P)
            with the map flattened channel, row, column, and `fc6.bias` (D,).
        map_px: P, side of the map that fc6 sees: 7 or 3.
        mean: subtracted from 0..255 RGB.
        scale: multiplied after that.
        layout: which importer read them.
        sha256: of the file.
        notes: what the importer decided, for the model card.
    """

    tensors: dict[str, np.ndarray]
    map_px: int
    mean: tuple[float, float, float]
    scale: float
    layout: str
    sha256: str
    notes: tuple[str, ...] = field(default=())


def resample_fc6(weight: np.ndarray, channels: int) -> np.ndarray:
    """Returns fc6 for a smaller map: the layer applied to that map enlarged bilinearly, as one matrix.

    Args:
        weight: (D, C * 7^2), of the map that the layer was trained for, flattened channel, row, column.
        channels: C.

    Returns:
        (D, C * 3^2) float32: W' = W U, U the interpolation from the map at hand.
    """
    source_px, target_px = FULL_PX // POOLING, CROP_SIZE_PX // POOLING
    unit = torch.eye(target_px * target_px).view(-1, 1, target_px, target_px)
    enlarged = functional.interpolate(unit, size=(source_px, source_px), mode="bilinear", align_corners=False)
    interpolation = enlarged.view(target_px * target_px, source_px * source_px).numpy()
    maps = weight.reshape(-1, channels, source_px * source_px)
    return np.ascontiguousarray((maps @ interpolation.T).reshape(len(weight), -1), dtype=np.float32)


class VggFace(nn.Module):
    """Crop to the 4,096 values of VGGFace's first fully-connected layer, after its ReLU.

    Args:
        config: mode and sizes.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: VggFaceConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VggFaceConfig()
        self.convolutions = nn.ModuleDict(
            {name: nn.Conv2d(inputs, outputs, 3, padding=1) for name, inputs, outputs in config.convolutions}
        )
        self.fc6 = nn.Linear(config.widths[-1] * config.map_px**2, config.descriptor)
        # Kept out of conv1_1: with zero padding a folded mean would change the border.
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 127.5))
        self.register_buffer("scale", torch.tensor(1 / 127.5))
        self.descriptor_size = config.descriptor

    def activations(self, face: Tensor) -> dict[str, Tensor]:
        """Returns the output of every layer, after its ReLU, by name.

        Args:
            face: (B, 3, 96, 96) float32 RGB in [-1, 1].

        Returns:
            conv1_1 ... conv5_3: (B, C, H, W); fc6: (B, D).
        """
        x = ((face + 1.0) * 127.5 - self.mean) * self.scale
        if self.config.mode == "upsample":
            x = functional.interpolate(x, size=(FULL_PX, FULL_PX), mode="bilinear", align_corners=False)
        result: dict[str, Tensor] = {}
        stage = "1"
        for name, convolution in self.convolutions.items():
            if name[4] != stage:
                x, stage = functional.max_pool2d(x, 2), name[4]
            x = result[name] = functional.relu(convolution(x))
        result["fc6"] = functional.relu(self.fc6(functional.max_pool2d(x, 2).flatten(1)))
        return result

    def forward(self, face: Tensor) -> Tensor:
        """Returns the descriptor: (B, 3, 96, 96) float32 RGB in [-1, 1] -> (B, D) float32."""
        return self.activations(face)["fc6"]

    @torch.no_grad()
    def load_weights(self, weights: VggFaceWeights) -> None:
        """Takes imported weights, fitting fc6 to the mode.

        Args:
            weights: from an importer.

        Raises:
            ArgumentError: the mode needs an fc6 of another map size.
        """
        needed = 3 if self.config.mode == "affwildnet" else 7
        if weights.map_px != needed:
            modes = "mode affwildnet (the default for such a file)" if needed == 7 else "mode upsample or resampled"
            raise ArgumentError(
                f"fc6 must see a {needed}x{needed} map for mode {self.config.mode!r}, got "
                f"{weights.map_px}x{weights.map_px} from the {weights.layout} file; use {modes}."
            )
        arrays = {f"convolutions.{k}" if k.startswith("conv") else k: v for k, v in weights.tensors.items()}
        if self.config.mode == "resampled":
            arrays["fc6.weight"] = resample_fc6(arrays["fc6.weight"], self.config.widths[-1])
        state = {name: torch.tensor(value) for name, value in arrays.items()}
        state |= {"mean": torch.tensor(weights.mean).view(1, 3, 1, 1), "scale": torch.tensor(weights.scale)}
        self.load_state_dict(state)


def with_weights(
    weights: VggFaceWeights, *, published: str = "upsample", config: VggFaceConfig | None = None
) -> VggFace:
    """Returns the network of some weights, in evaluation mode, in the mode that its first fully-connected layer asks for.

    Args:
        weights: from an importer.
        published: mode of the published layer, which sees 7x7: "upsample" or "resampled".
        config: other sizes, in tests.

    Returns:
        The network.

    Raises:
        ArgumentError: published is another mode, or the layer sees 3x3 and `resampled` was requested.
    """
    if published not in PUBLISHED_MODES:
        raise ArgumentError(f"vggface mode must be one of {PUBLISHED_MODES}, got {published!r}; choose one.")
    own = "affwildnet" if weights.map_px == 3 and published == "upsample" else published
    network = VggFace(replace(config or VggFaceConfig(), mode=own))
    network.load_weights(weights)
    return network.eval()

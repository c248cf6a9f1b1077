"""Shared parts of the importers: means, checks, and the conversion of a file's layers to `VggFaceWeights`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.training.models.vggface import VggFaceConfig, VggFaceWeights

# Of the VGGFace training set, for 0..255 pixels.
MEAN_RGB = (129.1863, 104.7624, 93.5940)
CHANNEL_ORDERS = ("rgb", "bgr")
BLOCK = 1 << 22
MOST_FILE_BYTES = 1 << 32
LARGEST_MEAN = 1e4


@dataclass(frozen=True, slots=True)
class Layers:
    """Contents of a file, as its layout's `load` returns them.

    Attributes:
        tensors: `convS_I.weight` (O, I, 3, 3) in the file's channel order, biases, `fc6.*` flattened channel, row, column.
        map_px: side of the map before fc6.
        mean: subtracted from 0..255, in RGB order, regardless of the file's order.
        scale: multiplied after that.
        notes: decisions to keep.
    """

    tensors: Mapping[str, np.ndarray]
    map_px: int = 7
    mean: tuple[float, float, float] = MEAN_RGB
    scale: float = 1.0
    notes: tuple[str, ...] = ()


def file_sha256(path: Path) -> str:
    """Returns the checksum of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def check_channel_order(channel_order: str | None, layout: str) -> str:
    """Returns the channel order.

    Raises:
        ArgumentError: it is not named, or not "rgb" or "bgr".
    """
    if channel_order not in CHANNEL_ORDERS:
        raise ArgumentError(
            f"channel_order must be 'rgb' or 'bgr' (what the weights of this {layout} file were trained with), got {channel_order!r}; "
            "look at how the file's own demo feeds its images."
        )
    return channel_order


def check_shapes(tensors: Mapping[str, np.ndarray], config: VggFaceConfig, map_px: int, layout: str) -> None:
    """Checks that every layer is there with its shape.

    Raises:
        ArgumentError: a layer is missing or has another shape; names it.
    """
    expected: dict[str, tuple[int, ...]] = {}
    for name, inputs, outputs in config.convolutions:
        expected |= {f"{name}.weight": (outputs, inputs, 3, 3), f"{name}.bias": (outputs,)}
    expected["fc6.weight"] = (config.descriptor, config.widths[-1] * map_px**2)
    expected["fc6.bias"] = (config.descriptor,)
    for name, shape in expected.items():
        if name not in tensors:
            raise ArgumentError(
                f"{name} must be {shape}, got nothing of that name in the {layout} file (layers found: "
                f"{', '.join(sorted(tensors)[:8]) or 'none'}); pass a VGG-16 face model."
            )
        if tensors[name].shape != shape:
            raise ArgumentError(
                f"{name} must be {shape}, got {tensors[name].shape} in the {layout} file; pass a VGG-16 face model."
            )


def check_numbers(tensors: Mapping[str, np.ndarray], input_numbers: Sequence[float]) -> None:
    """Checks that weights are finite, and what is subtracted from and multiplied with pixels is in a range that pixels have.

    Raises:
        ArgumentError: a number is not.
    """
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ArgumentError(f"{name} must be finite, got NaN or infinity; fetch the file again.")
    if not all(abs(number) <= LARGEST_MEAN for number in input_numbers):
        raise ArgumentError(
            f"mean and scale must be within {LARGEST_MEAN:g}, got {tuple(input_numbers)}; fetch the file again."
        )


def fc6_from_image_order(kernel: np.ndarray, channels: int, map_px: int) -> np.ndarray:
    """Returns fc6 of a framework that flattens row, column, channel: (P * P * C, D) -> (D, C * P * P).

    Other shapes come back transposed only, for `check_shapes` to name.
    """
    if kernel.shape[0] != map_px * map_px * channels:
        return kernel.T
    maps = kernel.reshape(map_px, map_px, channels, -1)
    return maps.transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1)


def finish(layers: Layers, *, config: VggFaceConfig, layout: str, channel_order: str, sha256: str) -> VggFaceWeights:
    """Returns checked weights for RGB input.

    Args:
        layers: as the file has them.
        config: the sizes expected.
        layout: name of the layout.
        channel_order: order of conv1_1's input channels in the file.
        sha256: of the file.
    """
    check_shapes(layers.tensors, config, layers.map_px, layout)
    names = [
        f"{name}.{part}"
        for name in [*(name for name, _, _ in config.convolutions), "fc6"]
        for part in ("weight", "bias")
    ]
    kept = {name: np.ascontiguousarray(layers.tensors[name], dtype=np.float32) for name in names}
    check_numbers(kept, (*layers.mean, layers.scale))
    if channel_order == "bgr":
        kept["conv1_1.weight"] = np.ascontiguousarray(kept["conv1_1.weight"][:, ::-1])
    return VggFaceWeights(
        tensors=kept,
        map_px=layers.map_px,
        mean=layers.mean,
        scale=layers.scale,
        layout=layout,
        sha256=sha256,
        notes=(f"channel order of the file: {channel_order}", *layers.notes),
    )

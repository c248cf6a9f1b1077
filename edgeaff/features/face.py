"""From a face box to a descriptor: square crop, 96x96 RGB in [-1, 1], face encoder.

The one path for training corpora and runtime (paper: section 4.2.1). The crop decides accuracy as much as the network
does, so its rule and margin are part of `PreprocessSpec`, and with it of the bundle's fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from edgeaff.backends.native_face import NativeEncoder
from edgeaff.errors import ArgumentError, SpecMismatchError
from edgeaff.ops.crop_resize import crop_resize
from edgeaff.spec import CROP_RULE, PreprocessSpec
from edgeaff.types import FaceBox

INPUT_NAME = "face"
OUTPUT_NAME = "descriptor"


class DescriptorGraph(Protocol):
    """Protocol of a graph that the encoder can use."""

    def run(self, inputs: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns the outputs by name."""
        ...


def crop_square(box: Sequence[float], *, margin: float) -> FaceBox:
    """Returns the square that is cropped for a detector's box: rule `box_centre_square_v1`.

    Args:
        box: (x0, y0, x1, y1) float pixels.
        margin: side of the square = margin * longer side of the box.

    Returns:
        The square around the box's center; it may reach outside the image.

    Raises:
        ArgumentError: the box is empty or not finite, or margin is not positive.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    if not (np.isfinite([x0, y0, x1, y1]).all() and x1 > x0 and y1 > y0):
        raise ArgumentError(f"box must be finite with x1 > x0 and y1 > y0, got {tuple(box)}; drop this box.")
    if not margin > 0:
        raise ArgumentError(f"margin must be positive, got {margin}; use PreprocessSpec.crop_margin.")
    half = margin * max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return FaceBox(x - half, y - half, x + half, y + half)


def crop(image: np.ndarray, box: Sequence[float], spec: PreprocessSpec, *, pixel_format: str = "rgb") -> np.ndarray:
    """Returns the face crop.

    Args:
        image: the image, uint8, as `crop_resize` takes it.
        box: (x0, y0, x1, y1) of the face as the spec's detector gives it, float pixels.
        spec: gives margin and size.
        pixel_format: what `image` holds: rgb, bgr, gray or nv12.

    Returns:
        (S, S, 3) uint8 RGB, S = spec.crop_size_px (96. Paper: section 4.2.1).
    """
    square = crop_square(box, margin=spec.crop_margin)
    return crop_resize(image, square, width=spec.crop_size_px, height=spec.crop_size_px, pixel_format=pixel_format)


def normalize(crops: np.ndarray) -> np.ndarray:
    """Returns crops as the network's input: x / 127.5 - 1. Paper: section 4.2.1 (pixels in [-1, 1]).

    Args:
        crops: (..., S, S, 3) uint8 RGB.

    Returns:
        (..., 3, S, S) float32 in [-1, 1].

    Raises:
        ArgumentError: crops has another type or its last axis is not 3.
    """
    if crops.dtype != np.uint8 or crops.ndim < 3 or crops.shape[-1] != 3:
        raise ArgumentError(f"crops must be (..., S, S, 3) uint8 RGB, got {crops.shape} {crops.dtype}; use crop().")
    scaled = np.moveaxis(crops, -1, -3).astype(np.float32)
    scaled *= np.float32(1 / 127.5)
    scaled -= np.float32(1)
    return np.ascontiguousarray(scaled)


class FaceEncoder:
    """Descriptor of faces, through the graph of a bundle.

    Attributes:
        graph: the backend; may be replaced between two calls by the same graph on another backend.

    Args:
        graph: takes `face` (1, 3, S, S) float32 in [-1, 1], gives `descriptor` (1, D) float32.
        spec: how faces are cropped.

    Raises:
        SpecMismatchError: the spec names a crop rule that this version does not know.
    """

    def __init__(self, graph: DescriptorGraph, spec: PreprocessSpec) -> None:
        if spec.crop_rule != CROP_RULE:
            raise SpecMismatchError(
                f"spec.crop_rule must be {CROP_RULE!r}, got {spec.crop_rule!r}; use a bundle made for this edgeaff."
            )
        self.graph = graph
        self._spec = spec

    @property
    def graph(self) -> Any:
        """The graph that runs; one with a method `describe` (packed networks) gets crops unchanged."""
        return self._graph

    @graph.setter
    def graph(self, graph: Any) -> None:
        self._graph = graph
        self._describe: Callable[[np.ndarray], np.ndarray] | None = getattr(graph, "describe", None)

    def crop(self, image: np.ndarray, box: Sequence[float]) -> np.ndarray:
        """Returns the crop of one face of an RGB image: (S, S, 3) uint8 RGB."""
        return crop(image, box, self._spec)

    def encode(self, images: Iterable[tuple[np.ndarray, Sequence[float]]]) -> np.ndarray:
        """Returns one descriptor per face.

        Args:
            images: pairs of image (H, W, 3) uint8 RGB and box (x0, y0, x1, y1) float pixels.

        Returns:
            (n, D) float32; (0, 0) for no pair.
        """
        return self.encode_crops([self.crop(image, box) for image, box in images])

    def encode_crops(self, crops: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Returns one descriptor per crop.

        The graph sees one face at a time: a descriptor must not depend, even in its last bit, on who else is in the
        image, and engines of fixed batch 1 serve as well.

        Args:
            crops: (n, S, S, 3) uint8 RGB, or a list of n such crops.

        Returns:
            (n, D) float32; (0, 0) for no crop.

        Raises:
            ArgumentError: a crop has another size or type.
        """
        side = self._spec.crop_size_px
        rows = []
        for one in crops:
            if one.shape != (side, side, 3):
                raise ArgumentError(f"crops must be ({side}, {side}, 3) uint8 RGB, got {one.shape}; use crop().")
            if self._describe is not None:
                rows.append(self._describe(one)[None])
            else:
                rows.append(self._graph.run({INPUT_NAME: normalize(one)[None]})[OUTPUT_NAME])
        return np.concatenate(rows).astype(np.float32, copy=False) if rows else np.zeros((0, 0), np.float32)


def native_encoder(encoder: Any) -> Any:
    """Returns the compiled form of a face encoder on the graph that it has now; None for another encoder or graph."""
    if type(encoder) is not FaceEncoder or type(encoder.graph) is not NativeEncoder:
        return None
    return encoder.graph.core_encoder()

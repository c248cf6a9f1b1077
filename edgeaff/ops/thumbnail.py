"""Interface to csrc/vision/thumbnail: a small gray view of an image. NumPy twin: reference_vision.py."""

from __future__ import annotations

import numpy as np

from edgeaff.ops import native
from edgeaff.ops.crop_resize import check_image


def gray_thumbnail(image: np.ndarray) -> np.ndarray:
    """Returns a (32, 32) float32 gray view of an image, each cell the mean of 4 x 4 points of it; in 0..255.

    Args:
        image: (H, W, 3) uint8 RGB of any size and strides, at least one pixel; else ArgumentError.
    """
    check_image(image, "rgb")
    return native().gray_thumbnail(image)

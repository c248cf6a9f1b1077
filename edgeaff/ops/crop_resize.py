"""Interface to csrc/vision/crop_resize: a box of an image, resized, as RGB. NumPy twin: reference_vision.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.ops import native
from edgeaff.ops.arrays import check_whole
from edgeaff.parsing.boundary import reason_of

PIXEL_FORMATS = ("rgb", "bgr", "gray", "nv12")
MAX_COORDINATE = 1e6
MAX_SIZE_PX = 16384
MAX_SOURCE_PX = 1 << 24


def check_image(image: np.ndarray, pixel_format: str) -> None:
    """Checks type and shape of an image.

    Raises:
        ArgumentError: the format is unknown, or the image does not have its shape and type.
    """
    if pixel_format not in PIXEL_FORMATS:
        raise ArgumentError(f"pixel_format must be one of {PIXEL_FORMATS}, got {pixel_format!r}; choose one.")
    is_array = isinstance(image, np.ndarray)
    shape, dtype = (image.shape, image.dtype) if is_array else ((), None)
    if pixel_format in ("rgb", "bgr"):
        expected, good = "(H, W, 3) uint8", len(shape) == 3 and shape[2] == 3
    elif pixel_format == "gray":
        expected, good = "(H, W) uint8", len(shape) == 2
    else:
        expected = "(H * 3 / 2, W) uint8 with H and W even, luma rows then interleaved UV rows that are contiguous"
        good = len(shape) == 2 and shape[0] % 3 == 0 and shape[1] % 2 == 0
        good = good and image.strides[1] == 1
    if not good or dtype != np.uint8 or 0 in shape:
        raise ArgumentError(
            f"image must be {expected} for pixel_format={pixel_format!r}, got {type(image).__name__} {shape} {dtype}; "
            "convert it or name its format."
        )
    if max(shape[:2]) > MAX_SOURCE_PX:
        raise ArgumentError(
            f"image must have at most {MAX_SOURCE_PX} pixels a side, got {shape}; make it smaller first."
        )


def check_box(box: Sequence[float]) -> tuple[float, float, float, float]:
    """Returns the box as four Python floats.

    Raises:
        ArgumentError: it is not four finite numbers with x1 > x0 and y1 > y0, within a million pixels.
    """
    try:
        values = tuple(float(value) for value in box)
    except Exception as error:  # of any type that the box holds
        raise ArgumentError(f"box must be (x0, y0, x1, y1), got {reason_of(error)}; pass four numbers.") from error
    if len(values) != 4 or not all(math.isfinite(v) and abs(v) <= MAX_COORDINATE for v in values):
        raise ArgumentError(
            f"box must be (x0, y0, x1, y1), finite and within {MAX_COORDINATE:.0f} px, got {box}; drop this box."
        )
    x0, y0, x1, y1 = values
    if x1 <= x0 or y1 <= y0:
        raise ArgumentError(f"box must have x1 > x0 and y1 > y0, got {box}; drop this box.")
    return x0, y0, x1, y1


def crop_resize(
    image: np.ndarray, box: Sequence[float], *, width: int, height: int, pixel_format: str = "rgb"
) -> np.ndarray:
    """Returns a box of an image at another size, as RGB.

    Along an axis that shrinks every source pixel counts by the share that an output pixel covers (area averaging);
    along one that grows the two nearest pixels are interpolated (bilinear). What lies outside the image is its
    nearest edge pixel. The bytes are the same on every processor.

    Args:
        image: uint8; "rgb", "bgr": (H, W, 3); "gray": (H, W); "nv12": (H * 3 / 2, W), BT.601 limited range. Any strides
            (for "nv12": of its rows); nothing is copied unless pixels are not packed.
        box: (x0, y0, x1, y1) float pixels, half-open, pixel i covers [i, i + 1); may reach outside the image.
        width: of the result, pixels.
        height: of the result, pixels.
        pixel_format: what `image` holds.

    Returns:
        (height, width, 3) uint8 RGB; a gray image fills all three.

    Raises:
        ArgumentError: image, box, width, height or pixel_format is not as above.
    """
    check_image(image, pixel_format)
    x0, y0, x1, y1 = check_box(box)
    width, height = _check_sizes(width, height)
    try:
        return native().crop_resize(image, x0, y0, x1, y1, height, width, PIXEL_FORMATS.index(pixel_format))
    except (MemoryError, ValueError) as error:
        raise ArgumentError(
            f"{width} x {height} pixels must fit into memory, got {reason_of(error)}; choose a smaller size."
        ) from error


def crop_resize_planes(
    image: np.ndarray,
    box: Sequence[float],
    out: np.ndarray,
    *,
    width: int,
    height: int,
    pixel_format: str = "rgb",
) -> None:
    """Writes what `crop_resize` returns, channels first, into the upper left of a canvas: a network's input in one pass.

    A canvas that is used again costs no new memory; pixels beside the resized box are unchanged.

    Args:
        image: as for `crop_resize`.
        box: as for `crop_resize`.
        out: (3, H, W) uint8, contiguous; receives R, G, B at [:, :height, :width].
        width: of the resized box, pixels, at most W.
        height: of the resized box, pixels, at most H.
        pixel_format: what `image` holds.

    Raises:
        ArgumentError: an argument is not as above.
    """
    check_image(image, pixel_format)
    x0, y0, x1, y1 = check_box(box)
    width, height = _check_sizes(width, height)
    if not isinstance(out, np.ndarray) or out.ndim != 3 or out.shape[0] != 3 or out.dtype != np.uint8:
        described = f"{out.shape} {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ArgumentError(f"out must be (3, H, W) uint8, got {described}; use np.zeros.")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ArgumentError(
            f"out must be contiguous and writable, got strides {out.strides} with writeable={out.flags.writeable}; use np.zeros."
        )
    if out.shape[1] < height or out.shape[2] < width:
        raise ArgumentError(f"out must hold {height} x {width} pixels, got {out.shape}; make it larger.")
    code = PIXEL_FORMATS.index(pixel_format)
    try:
        native().crop_resize_planes(image, x0, y0, x1, y1, height, width, out, code)
    except (MemoryError, ValueError) as error:
        raise ArgumentError(
            f"{width} x {height} pixels must fit into memory, got {reason_of(error)}; choose a smaller size."
        ) from error


def _check_sizes(width: Any, height: Any) -> tuple[int, int]:
    advice = "choose another size."
    return check_whole("width", width, 1, MAX_SIZE_PX, advice), check_whole("height", height, 1, MAX_SIZE_PX, advice)

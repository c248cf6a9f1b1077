"""NumPy twins of csrc/vision: the same integers, written to be read.

Weights are Q14 and sum to exactly 16384. Columns first (Q14 * byte -> Q7), then rows (Q14 * Q7 -> Q21), then a byte.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ONE = 1 << 14


def quantize(weight: float) -> int:
    """Returns the weight in Q14, halves rounded up."""
    return int(np.floor(weight * ONE + 0.5))


def taps_of(start: float, step: float, index: int, source_size: int) -> dict[int, int]:
    """Returns source index -> Q14 weight of one output index.

    Output index j covers [a, b) = [start + j step, start + (j + 1) step) of the source. Shrinking (step >= 1): the
    weight of pixel i is the difference of the rounded cumulative shares at i + 1 and i. Growing: bilinear around the
    center. What lies outside goes to the edge pixel.
    """
    high = source_size - 1
    if step < 1.0:
        center = start + (index + 0.5) * step - 0.5
        left = np.floor(center)
        second = quantize(center - left)
        first, last = (int(min(max(value, 0.0), high)) for value in (left, left + 1.0))
        return {first: ONE} if first == last else {first: ONE - second, last: second}
    a, b = start + index * step, start + (index + 1) * step
    first = int(min(max(np.floor(a), 0.0), high))
    last = max(first, int(min(max(np.ceil(b) - 1.0, 0.0), high)))
    taps, before = {}, 0
    for i in range(first, last + 1):
        until = ONE if i == last else quantize(min(max((i + 1 - a) / step, 0.0), 1.0))
        taps[i], before = until - before, until
    return taps


def axis_weights(start: float, end: float, size: int, source_size: int, *, halve: bool = False) -> np.ndarray:
    """Returns the weights of one axis: (size, source_size) int64 in Q14; with `halve` over pairs of source pixels."""
    weights = np.zeros((size, source_size // 2 if halve else source_size), dtype=np.int64)
    step = (end - start) / size
    for index in range(size):
        for source, weight in taps_of(start, step, index, source_size).items():
            weights[index, source // 2 if halve else source] += weight
    return weights


def resample(plane: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the Q21 sums of a plane: (H, W, C) uint8 -> (height, width, C) int64."""
    blended = (np.einsum("yh,hwc->ywc", rows, plane.astype(np.int64)) + 64) >> 7
    return np.einsum("xw,ywc->yxc", columns, blended)


def nv12_to_rgb(luma: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Returns BT.601 limited range as RGB: Q21 sums (height, width, 1 and 2) -> (height, width, 3) uint8."""
    y = np.maximum(((luma[..., 0] + (1 << 13)) >> 14) - 16 * 128, 0) * 9535 + (1 << 19)
    u, v = np.moveaxis(((chroma + (1 << 13)) >> 14) - 128 * 128, -1, 0)
    rgb = np.stack([y + 13074 * v, y - 6660 * v - 3203 * u, y + 16531 * u], axis=-1) >> 20
    return np.clip(rgb, 0, 255).astype(np.uint8)


def crop_resize(
    image: np.ndarray, box: Sequence[float], *, width: int, height: int, pixel_format: str = "rgb"
) -> np.ndarray:
    """Returns the result of `edgeaff.ops.crop_resize.crop_resize`, slowly; arguments and result as there."""
    x0, y0, x1, y1 = (float(value) for value in box)
    source_height = image.shape[0] // 3 * 2 if pixel_format == "nv12" else image.shape[0]
    source_width = image.shape[1]
    rows = axis_weights(y0, y1, height, source_height)
    columns = axis_weights(x0, x1, width, source_width)
    if pixel_format == "nv12":
        chroma = image[source_height:].reshape(source_height // 2, source_width // 2, 2)
        chroma_rows = axis_weights(y0, y1, height, source_height, halve=True)
        chroma_columns = axis_weights(x0, x1, width, source_width, halve=True)
        luma = resample(image[:source_height, :, None], rows, columns)
        return nv12_to_rgb(luma, resample(chroma, chroma_rows, chroma_columns))
    plane = image[:, :, None] if pixel_format == "gray" else image
    result = ((resample(plane, rows, columns) + (1 << 20)) >> 21).astype(np.uint8)
    if pixel_format == "gray":
        return np.repeat(result, 3, axis=2)
    return np.ascontiguousarray(result[..., ::-1]) if pixel_format == "bgr" else result


def gray_thumbnail(image: np.ndarray, *, size: int = 32) -> np.ndarray:
    """Returns the result of `edgeaff.ops.thumbnail.gray_thumbnail`: (size, size) float32 of (H, W, 3) uint8 RGB."""
    points = 4  # a side, in each cell
    steps = 2 * np.arange(size * points, dtype=np.int64) + 1
    rows, columns = (steps * length // (2 * size * points) for length in image.shape[:2])
    gray = image[rows[:, None], columns[None]].astype(np.int64) @ np.array([299, 587, 114])
    return (gray.reshape(size, points, size, points).sum((1, 3)) / (1000 * points * points)).astype(np.float32)

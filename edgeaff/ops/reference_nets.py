"""NumPy twin of csrc/nets: the int8 networks in integers, written to be read. Equal to the byte (tests/ops/test_face_nets.py).

Sums are exact; what rounds is stated with the letters of csrc/nets/convolve.h and luminance.h. `np.rint` rounds half to even.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeaff.ops.face_nets import CONVOLUTION, GROUP, IMAGE, IMAGE_TAPS, LUMINANCE, MAP, STEP_COLUMNS

PART = 128  # one part of a weight is worth so much of the next
MIDDLE = 32640  # 256 * 127.5


def run_net(arrays: Mapping[str, np.ndarray], image: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the tensors, (h, w, channels) uint8 each, and the outputs, (h, w, 16) or (1, 1, C) float32, of a network.

    Args:
        arrays: as in edgeaff/ops/face_nets.py.
        image: planes (3, H, W) for a detector, pixels (H, W, 3) for an encoder; uint8.
    """
    tensors: list[np.ndarray] = [np.empty(0, np.uint8)] * len(arrays["tensors"])
    outputs: dict[int, np.ndarray] = {}
    weights, starts, floats, luma = (_Reader(arrays[name]) for name in ("weights", "starts", "floats", "luma"))
    for table, factors in zip(arrays["steps"], arrays["factors"], strict=True):
        step = dict(zip(STEP_COLUMNS, map(int, table), strict=True))
        kind, source, target = step["kind"], step["input"], step["output"]
        _, channels, zero = map(int, arrays["tensors"][source]) if source >= 0 else (1, 3, 0)
        if kind == IMAGE:
            parts, start = weights.take(2, GROUP, IMAGE_TAPS), starts.take(2, GROUP)
            tensors[target] = image_layer(image, parts, start, floats.take(GROUP), step["zero"])
        elif kind == CONVOLUTION:
            count, size = int(arrays["tensors"][target][1]), step["kernel"]
            sums = convolve(tensors[source], weights.take(count, size, size, channels), step["stride"], zero)
            q = round_sums(sums + starts.take(count), floats.take(count), step["zero"])
            tensors[target] = q if step["second"] < 0 else add_second(q, tensors[step["second"]], step, factors)
        elif kind == MAP:
            parts, start = weights.take(3, GROUP, channels), starts.take(3, GROUP)
            outputs[target] = float_map(tensors[source], parts, start, floats.take(GROUP), floats.take(GROUP))
        elif kind == LUMINANCE:
            epsilon, scale = floats.take(2)
            tensors[target] = standardize(luminance(image, luma.take(3)), epsilon, scale, step["zero"])[..., None]
        else:
            total = tensors[source].astype(np.int64).sum((0, 1)).astype(np.float32)
            outputs[target] = (total * floats.take(channels) + floats.take(channels))[None, None]
    return tensors, [outputs[index] for index in sorted(outputs)]


def convolve(tensor: np.ndarray, weights: np.ndarray, stride: int, zero: int) -> np.ndarray:
    """Returns the exact sums (h, w, O) int64 of a convolution; outside the tensor lies its zero point.

    Args:
        tensor: (H, W, I) uint8.
        weights: (O, k, k, I) int8.
        stride: 1 or 2.
        zero: of the tensor.
    """
    size = weights.shape[1]
    pad = size // 2
    padded = np.pad(tensor, ((pad, pad), (pad, pad), (0, 0)), constant_values=zero).astype(np.float64)
    windows = sliding_window_view(padded, (size, size), (0, 1))[::stride, ::stride]  # (h, w, I, k, k)
    return np.tensordot(windows, weights.astype(np.float64), ([3, 4, 2], [1, 2, 3])).astype(np.int64)


def round_sums(sums: np.ndarray, scales: np.ndarray, zero: int) -> np.ndarray:
    """Returns q = clamp(round(float(sum) * scale) + zero) as uint8."""
    return (np.rint(sums.astype(np.float32) * scales) + np.float32(zero)).clip(0, 255).astype(np.uint8)


def add_second(q: np.ndarray, second: np.ndarray, step: Mapping[str, int], factors: np.ndarray) -> np.ndarray:
    """Returns clamp(round(own * q + factor * second + constant)): two fused multiply-adds, the inner one first.

    Args:
        q: (h, w, C) uint8.
        second: the same size, or half of it where second_shift is 1.
        step: row of the table by column.
        factors: own, factor, constant.
    """
    if step["second_shift"]:
        second = second.repeat(2, 0).repeat(2, 1)
    own, factor, constant = factors
    inner, outer = ((q, own), (second, factor)) if step["second_is_first"] else ((second, factor), (q, own))
    total = fused(*outer, fused(*inner, constant))
    return np.rint(total).clip(0, 255).astype(np.uint8)


def fused(values: np.ndarray, factor: np.ndarray | np.float32, addend: np.ndarray | np.float32) -> np.ndarray:
    """Returns values * factor + addend with one rounding to float32; values are whole numbers below 2^24."""
    product = values.astype(np.float64) * np.asarray(factor, np.float64)  # exact: 24 and 24 bits
    total = product + np.float64(addend)
    error = _two_sum_error(product, np.asarray(addend, np.float64), total)
    odd = (error != 0) & (total.view(np.uint64) % 2 == 0)  # round to odd, so that the second rounding is the right one
    nudged = np.where(odd, np.nextafter(total, np.where(error > 0, np.inf, -np.inf)), total)
    return nudged.astype(np.float32)


def _two_sum_error(a: np.ndarray, b: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Returns the exact rounding error of a + b in `total`."""
    part = total - a
    return (a - (total - part)) + (b - part)


def image_layer(
    planes: np.ndarray, weights: np.ndarray, starts: np.ndarray, scales: np.ndarray, zero: int
) -> np.ndarray:
    """Returns (H / 2, W / 2, 16) uint8 of planes (3, H, W) uint8; outside lies 0.

    Args:
        planes: the image.
        weights: (2, 16, 27) int8: high and low part, taps [row][plane][column].
        starts: (2, 16) int32.
        scales: (16,) float32.
        zero: of the output.
    """
    whole = PART * weights[0].astype(np.int64) + weights[1]
    start = PART * starts[0].astype(np.int64) + starts[1]
    taps = whole.reshape(GROUP, 3, 3, 3).transpose(0, 1, 3, 2)  # [output][row][column][plane]
    return round_sums(convolve(planes.transpose(1, 2, 0), taps, 2, 0) + start, scales, zero)


def float_map(
    tensor: np.ndarray, weights: np.ndarray, starts: np.ndarray, scale: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Returns (h, w, 16) float32: float(sum) * scale + offset, float(sum) = 16384 * high + (128 * middle + low).

    Args:
        tensor: (h, w, I) uint8.
        weights: (3, 16, I) int8, highest part first.
        starts: (3, 16) int32.
        scale: (16,) float32.
        offset: (16,) float32.
    """
    high, middle, low = (
        tensor.astype(np.int64) @ part.astype(np.int64).T + start for part, start in zip(weights, starts, strict=True)
    )
    sums = fused(high, np.float32(PART * PART), (PART * middle + low).astype(np.float32))
    return fused(sums, scale, offset)


def luminance(pixels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns the luminance of 2x2 squares in quarters of a gray level around 0, (H / 2, W / 2) int64.

    Args:
        pixels: (H, W, 3) uint8.
        weights: (3,), their sum 64.
    """
    height, width = pixels.shape[:2]
    squares = pixels.reshape(height // 2, 2, width // 2, 2, 3).astype(np.int64).sum((1, 3))
    return np.rint((squares @ weights.astype(np.int64) - MIDDLE) / 64).astype(np.int64)


def standardize(levels: np.ndarray, epsilon: np.float32, scale: np.float32, zero: int) -> np.ndarray:
    """Returns bytes of zero mean and unit variance; each float operation rounds to float32, in this order.

    Args:
        levels: (h, w) int64, from `luminance`.
        epsilon: added to the variance.
        scale: step of the bytes.
        zero: byte of 0.
    """
    count = np.float32(levels.size)
    mean = np.float32(levels.sum()) / count
    whole = np.rint(mean)
    rest = mean - whole
    v = levels - int(whole)
    a = np.rint(v / 32).astype(np.int64)
    r = v - 32 * a
    squares = (
        np.float32(1024) * np.float32((a * a).sum())
        + np.float32(64) * np.float32((a * r).sum())
        + np.float32((r * r).sum())
    )
    deviation = np.sqrt(squares / count - rest * rest + epsilon)
    z = (v.astype(np.float32) - rest) / deviation / scale
    return (np.rint(z) + np.float32(zero)).clip(0, 255).astype(np.uint8)


class _Reader:
    """Hands out an array piece by piece."""

    def __init__(self, array: np.ndarray) -> None:
        self._array, self._at = array, 0

    def take(self, *shape: int) -> np.ndarray:
        """Returns the next piece in a shape."""
        first, self._at = self._at, self._at + int(np.prod(shape))
        return self._array[first : self._at].reshape(shape)

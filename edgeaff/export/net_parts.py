"""Arithmetic of packing: converts float and int8 weights of a layer to the integers and factors of the native networks.

The factors are float32 in the order of operations of ONNX Runtime's quantized kernels, so that the bytes are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeaff.export.face_graphs import EXACT_FLOAT, snapped
from edgeaff.ops.face_nets import GROUP, IMAGE_TAPS

MAP_PARTS, IMAGE_PARTS = 3, 2
PART = 128  # one part is worth so much of the next


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the step table with its arrays; fields as in csrc/include/edgeaff/conv_net.h."""

    kind: int
    input: int
    output: int
    kernel: int = 1
    stride: int = 1
    zero: int = 0
    second: int = -1
    second_shift: int = 0
    second_is_first: int = 0
    factors: tuple[float, float, float] = (0.0, 0.0, 0.0)
    weights: np.ndarray | None = None
    starts: np.ndarray | None = None
    floats: np.ndarray | None = None
    luma: np.ndarray | None = None


def split_parts(whole: np.ndarray, count: int) -> np.ndarray:
    """Returns numbers as `count` parts of 7 bits, the highest first, such that sum(part * 128^i) is the number.

    Args:
        whole: int64, any shape; |whole| at most 64 * 128^(count - 1).
        count: of parts.

    Returns:
        (count, ...) int8 in [-64, 64].
    """
    parts = []
    rest = whole
    for _ in range(count - 1):
        low = (rest + PART // 2) % PART - PART // 2
        parts.append(low)
        rest = (rest - low) // PART
    return np.stack([*parts, rest][::-1]).astype(np.int8)


def image_arrays(weight: np.ndarray, bias: np.ndarray, step: np.float32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns weights (2, 16, 27), starts (2, 16) and scales (16) of the image layer.

    Args:
        weight: (16, 3, 3, 3) float32, [output][plane][row][column].
        bias: (16,) float32.
        step: scale of the quantized output.
    """
    whole, whole_bias, exponents = snapped(weight, bias)
    taps = whole.transpose(0, 2, 1, 3).reshape(GROUP, IMAGE_TAPS)  # [output][row, plane, column]
    starts = np.stack([whole_bias // PART, whole_bias % PART]).astype(np.int32)
    scales = np.array([quotient_scale(int(exponent), step) for exponent in exponents], np.float32)
    return split_parts(taps, IMAGE_PARTS), starts, scales


def quotient_scale(exponent: int, step: np.float32) -> np.float32:
    """Returns a factor with which round(sum * factor) is round(sum * 2^-exponent / step), for every sum below 2^24.

    An engine divides, the kernels multiply: two roundings apart. Both are monotone, so it is enough to compare them around the
    255 sums at which the quotient passes a half. Where no neighbor of the plain factor agrees everywhere, the best is returned.

    Args:
        exponent: of the sum's unit.
        step: scale of the quantized output.
    """
    unit = np.float32(np.ldexp(1.0, -exponent))
    turning = np.rint((np.arange(255) + 0.5) * float(step) / float(unit)).astype(np.int64)
    sums = np.unique((turning[:, None] + np.arange(-4, 5)).clip(0, EXACT_FLOAT - 1)).astype(np.float32)
    expected = np.rint((sums * unit) / step).clip(0, 255)
    plain = np.float32(float(unit) / float(step))
    neighbors = [plain, np.nextafter(plain, np.float32(0)), np.nextafter(plain, np.float32(np.inf))]
    wrong = [int((np.rint(sums * factor).clip(0, 255) != expected).sum()) for factor in neighbors]
    return neighbors[int(np.argmin(wrong))]


def map_arrays(
    weight: np.ndarray, bias: np.ndarray, step: np.float32, zero: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns weights (3, 16, I), starts (3, 16) and floats (scale, offset) of a 1x1 convolution to floats.

    Args:
        weight: (O, I) float32, O at most 16.
        bias: (O,) float32.
        step: scale of the quantized input.
        zero: its zero point.
    """
    padded = np.zeros((GROUP, weight.shape[1]))
    padded[: len(weight)] = weight
    unit = np.maximum(np.abs(padded).max(1), 1e-30) / (64 * PART ** (MAP_PARTS - 1))
    parts = split_parts(np.rint(padded / unit[:, None]).astype(np.int64), MAP_PARTS)
    offset = np.zeros(GROUP)
    offset[: len(bias)] = bias
    starts = (-zero * parts.astype(np.int64).sum(2)).astype(np.int32)
    return parts, starts, np.concatenate([unit * float(step), offset]).astype(np.float32)


def convolution_arrays(
    weight: np.ndarray, bias: np.ndarray | None, scales: tuple[np.float32, np.ndarray, np.float32], zero: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns weights (O, k, k, I), starts (O) and scales (O) of a quantized convolution.

    Args:
        weight: (O, I, k, k) int8.
        bias: (O,) int32, or None.
        scales: of the input, of the weights (O,), of the output.
        zero: zero point of the input.
    """
    of_input, of_weights, of_output = scales
    starts = -zero * weight.astype(np.int64).sum((1, 2, 3))
    if bias is not None:
        starts += bias
    factors = (of_input * of_weights.astype(np.float32) / of_output).astype(np.float32)
    return (
        np.ascontiguousarray(weight.transpose(0, 2, 3, 1)),
        starts.astype(np.int32),
        np.broadcast_to(factors, starts.shape),
    )


def sum_factors(
    own: tuple[np.float32, int], second: tuple[np.float32, int], result: tuple[np.float32, int]
) -> tuple[float, float, float]:
    """Returns own, factor and constant of a quantized sum; each argument is a scale and a zero point."""
    a, b = np.float32(own[0] / result[0]), np.float32(second[0] / result[0])
    zeros = np.float32(np.float32(b * np.float32(second[1])) + np.float32(a * np.float32(own[1])))
    return float(a), float(b), float(np.float32(np.float32(result[1]) - zeros))


def pack_table(tensors: list[tuple[int, int, int]], steps: list[Step]) -> dict[str, np.ndarray]:
    """Returns the arrays of one network, named as in edgeaff/ops/face_nets.py.

    Args:
        tensors: divisor, channels, zero point of each.
        steps: in order.
    """

    def joined(name: str, dtype: type) -> np.ndarray:
        pieces = [getattr(step, name).ravel() for step in steps if getattr(step, name) is not None]
        return np.concatenate([np.zeros(0, dtype), *pieces]).astype(dtype)

    rows = [
        (s.kind, s.input, s.output, s.kernel, s.stride, s.zero, s.second, s.second_shift, s.second_is_first)
        for s in steps
    ]
    return {
        "tensors": np.array(tensors, np.int32),
        "steps": np.array(rows, np.int32),
        "factors": np.array([s.factors for s in steps], np.float32),
        "weights": joined("weights", np.int8),
        "starts": joined("starts", np.int32),
        "floats": joined("floats", np.float32),
        "luma": joined("luma", np.uint8),
    }

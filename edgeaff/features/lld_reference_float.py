"""The power spectrum of the 20 ms window in float32 arithmetic throughout, for decisions that rounding makes.

The transform's additions and products come in the order of the peer's (Ooura's split radix, 96 zeros on either side of the
window), so every bit is the peer's. The readable twin of csrc/lld/float_power.cc, which draws the passes. Complex values are
pairs of arrays: NumPy's complex product may fuse its roundings.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

WINDOW = 320
FFT_SIZE = 512
POINTS = FFT_SIZE // 2
Complex = tuple[np.ndarray, np.ndarray]  # real and imaginary parts, (..., T) float32
Factor = tuple[np.float32, np.float32]


class _Tables:
    """Factors of the turns: first[k] = e^{i a}, third[k] = e^{-i 3 a} at a = pi/64 k, k = 0..16; `_odd`: at k + 1/2."""

    def __init__(self) -> None:
        one = np.float32
        step = one(math.atan(1.0) / 64)
        self.eighth = one(math.cos(float(step * one(64))))
        self.first: list[Factor] = [(one(1), one(0))]
        self.third: list[Factor] = [(one(1), one(0))]
        for k in range(1, 16):
            a, b = float(step * one(4 * k)), float(one(3) * step * one(4 * k))
            self.first.append((one(math.cos(a)), one(math.sin(a))))
            self.third.append((one(math.cos(b)), one(-math.sin(b))))
        self.first.append((self.eighth, self.eighth))
        self.third.append((-self.eighth, -self.eighth))
        self.first_odd = _between(self.first, one(0.5 / math.cos(float(step * one(2)))))
        self.third_odd = _between(self.third, one(0.5 / math.cos(float(step * one(6)))))
        self.half = np.zeros(128, np.float32)  # cos(pi/256 j) / 2
        for j in range(1, 64):
            angle = float(step * one(j))
            self.half[j], self.half[128 - j] = 0.5 * math.cos(angle), 0.5 * math.sin(angle)
        self.half[64] = one(0.5) * self.eighth


def _between(table: list[Factor], scale: np.float32) -> list[Factor]:
    pairs = zip(table, table[1:], strict=False)
    return [(scale * (low[0] + high[0]), scale * (low[1] + high[1])) for low, high in pairs]


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    return _Tables()


def _plus(x: Complex, y: Complex) -> Complex:
    return x[0] + y[0], x[1] + y[1]


def _minus(x: Complex, y: Complex) -> Complex:
    return x[0] - y[0], x[1] - y[1]


def _plus_i(x: Complex, y: Complex) -> Complex:
    return x[0] - y[1], x[1] + y[0]


def _minus_i(x: Complex, y: Complex) -> Complex:
    return x[0] + y[1], x[1] - y[0]


def _negative(x: Complex) -> Complex:
    return -x[0], -x[1]


def _times(w: Factor, x: Complex) -> Complex:
    return w[0] * x[0] - w[1] * x[1], w[0] * x[1] + w[1] * x[0]


def _back(w: Factor, x: Complex) -> Complex:
    """Returns x times the conjugate of w."""
    return w[0] * x[0] + w[1] * x[1], w[0] * x[1] - w[1] * x[0]


def _mirrored(w: Factor) -> Factor:
    return w[1], w[0]


def _eighth(x: Complex) -> Complex:
    w = _tables().eighth
    return w * (x[0] - x[1]), w * (x[1] + x[0])


def _eighth_back(x: Complex) -> Complex:
    w = _tables().eighth
    return w * (x[0] + x[1]), w * (x[1] - x[0])


def _fold(z: list[Complex], at: int, quarter: int) -> tuple[Complex, Complex]:
    """Returns the odd parts of four values a quarter apart, whose sums are written in place."""
    zero, one, two, three = (z[at + part * quarter] for part in range(4))
    x0, x1, x2, x3 = _plus(zero, two), _minus(zero, two), _plus(one, three), _minus(one, three)
    z[at], z[at + quarter] = _plus(x0, x2), _minus(x0, x2)
    return _plus_i(x1, x3), _minus_i(x1, x3)


def _split(z: list[Complex], start: int, points: int) -> None:
    t, quarter = _tables(), points // 4

    def put(j: int, first: Complex, third: Complex) -> None:
        z[start + j + 2 * quarter], z[start + j + 3 * quarter] = first, third

    put(0, *_fold(z, start, quarter))
    for j in range(1, quarter // 2):
        k, between = divmod(j * (POINTS // points), 2)
        first, third = (t.first_odd[k], t.third_odd[k]) if between else (t.first[k], t.third[k])
        plus, minus = _fold(z, start + j, quarter)
        put(j, _times(first, plus), _back(third, minus))
        plus, minus = _fold(z, start + quarter - j, quarter)
        put(quarter - j, _times(_mirrored(first), plus), _back(_mirrored(third), minus))
    plus, minus = _fold(z, start + quarter // 2, quarter)
    put(quarter // 2, _eighth(plus), _negative(_eighth_back(minus)))


def _split_turned(z: list[Complex], start: int) -> None:
    """Splits 64 points whose values lack the factor e^{i pi/64 j}."""
    t = _tables()
    for j in range(16):
        zero, one, two, three = (z[start + j + part] for part in (0, 16, 32, 48))
        x0, x1, x2, x3 = _plus_i(zero, two), _minus_i(zero, two), _plus_i(one, three), _minus_i(one, three)
        if j == 0:
            y = _eighth(x3)
            even, odd = (x0, _eighth(x2)), (x1, (-y[1], y[0]))
        elif j == 8:
            w = t.first[j]
            even = _times(w, x0), _times(_mirrored(w), x2)
            odd = _times(_mirrored(w), x1), _negative(_times(w, x3))
        else:
            even = _times(t.first[j], x0), _times(_mirrored(t.first[16 - j]), x2)
            odd = _back(t.third[j], x1), _back(_mirrored(t.third[16 - j]), x3)
        z[start + j], z[start + j + 16] = _plus(*even), _minus(*even)
        z[start + j + 32], z[start + j + 48] = _plus(*odd), _minus(*odd)


def _sums(x0: Complex, x2: Complex, x1: Complex, x3: Complex) -> list[Complex]:
    return [_plus(x0, x2), _minus(x0, x2), _plus_i(x1, x3), _minus_i(x1, x3)]


def _middle_sums(y: list[Complex]) -> list[Complex]:
    """Returns the sums of the second four of eight values, which still lack an eighth turn."""
    return _sums(
        _plus_i(y[4], y[6]),
        _eighth(_plus_i(y[5], y[7])),
        _minus_i(y[4], y[6]),
        _eighth(_minus_i(y[5], y[7])),
    )


def _sixteen(z: list[Complex], start: int) -> None:
    w = _tables().first[8]
    odd = [_fold(z, start + j, 4) for j in range(4)]
    p = [odd[0][0], _times(w, odd[1][0]), _eighth(odd[2][0]), _times(_mirrored(w), odd[3][0])]
    m = [odd[0][1], _times(_mirrored(w), odd[1][1]), _eighth_back(odd[2][1]), _times(w, odd[3][1])]
    y = z[start : start + 8]
    z[start : start + 16] = [
        *_sums(_plus(y[0], y[2]), _plus(y[1], y[3]), _minus(y[0], y[2]), _minus(y[1], y[3])),
        *_middle_sums(y),
        *_sums(_plus(p[0], p[2]), _plus(p[1], p[3]), _minus(p[0], p[2]), _minus(p[1], p[3])),
        *_sums(_minus(m[0], m[2]), _minus(m[1], m[3]), _plus(m[0], m[2]), _plus(m[1], m[3])),
    ]


def _sixteen_turned(z: list[Complex], start: int) -> None:
    """Transforms sixteen points whose values lack the factor e^{i pi/16 j}."""
    t = _tables()
    w1, w2, w3 = t.first[4], t.first[8], (t.third[4][0], -t.third[4][1])
    p = [_plus_i(z[start + j], z[start + j + 8]) for j in range(8)]
    m = [_minus_i(z[start + j], z[start + j + 8]) for j in range(8)]
    a = [p[0], _times(w1, p[1]), _times(w2, p[2]), _times(w3, p[3])]
    b = [_eighth(p[4]), _times(_mirrored(w3), p[5]), _times(_mirrored(w2), p[6]), _times(_mirrored(w1), p[7])]
    c = [m[0], _times(w3, m[1]), _times(_mirrored(w2), m[2]), _back(_mirrored(w1), m[3])]
    e = [_eighth(m[4]), _back(w1, m[5]), _times(w2, m[6]), _times(_mirrored(w3), m[7])]
    y = [_plus(*pair) for pair in zip(a, b, strict=True)] + [_minus(*pair) for pair in zip(a, b, strict=True)]
    y += [_plus_i(c[0], e[0]), _minus(c[1], e[1]), _minus(c[2], e[2]), _plus(c[3], e[3])]
    y += [_minus_i(c[0], e[0]), _plus(c[1], e[1]), _plus(c[2], e[2]), _minus(c[3], e[3])]
    z[start : start + 16] = [
        *_sums(_plus(y[0], y[2]), _plus(y[1], y[3]), _minus(y[0], y[2]), _minus(y[1], y[3])),
        *_middle_sums(y),
        *_sums(_plus(y[8], y[10]), _minus(y[9], y[11]), _minus(y[8], y[10]), _plus(y[9], y[11])),
        *_sums(
            _plus_i(y[12], y[14]),
            _eighth(_minus_i(y[13], y[15])),
            _minus_i(y[12], y[14]),
            _eighth(_plus_i(y[13], y[15])),
        ),
    ]


def _transform(z: list[Complex]) -> list[Complex]:
    _split(z, 0, POINTS)
    for start in range(0, POINTS, 64):
        turned = start == 64  # the second quarter holds the differences of the sums
        _split_turned(z, start) if turned else _split(z, start, 64)
        _sixteen(z, start)
        _sixteen_turned(z, start + 16)
        _sixteen(z, start + 32)
        _sixteen_turned(z, start + 48) if turned else _sixteen(z, start + 48)
    return [z[int(f"{index:08b}"[::-1], 2)] for index in range(POINTS)]


def _squared(x: Complex) -> np.ndarray:
    magnitude = np.sqrt(x[0] * x[0] + x[1] * x[1])
    return magnitude * magnitude


def float_power(windowed: np.ndarray) -> np.ndarray:
    """Returns the power spectrum, (T, 257) float32.

    Args:
        windowed: (T, 320) float32, frames times their window.
    """
    padded = np.zeros((FFT_SIZE, len(windowed)), np.float32)
    padded[(FFT_SIZE - WINDOW) // 2 :][:WINDOW] = windowed.T
    z = _transform([(padded[index], padded[index + 1]) for index in range(0, FFT_SIZE, 2)])
    zero, half = np.zeros(len(windowed), np.float32), _tables().half
    power = np.zeros((POINTS + 1, len(windowed)), np.float32)
    power[0], power[POINTS] = _squared((z[0][0] + z[0][1], zero)), _squared((z[0][0] - z[0][1], zero))
    power[POINTS // 2] = _squared(z[POINTS // 2])
    for j in range(1, POINTS // 2):
        low, high = z[j], z[POINTS - j]
        y = _times((np.float32(0.5) - half[POINTS // 2 - j], half[j]), (low[0] - high[0], low[1] + high[1]))
        power[j] = _squared(_minus(low, y))
        power[POINTS - j] = _squared((high[0] + y[0], high[1] - y[1]))
    return power.T

"""Small random networks in the packed form, without a graph."""

from __future__ import annotations

import numpy as np

from edgeaff.export.net_parts import Step, pack_table, split_parts
from edgeaff.ops.face_nets import CONVOLUTION, GROUP, IMAGE, IMAGE_TAPS, LUMINANCE, MAP, MEAN


class NetMaker:
    """Adds steps with random weights; every tensor spans the whole byte."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors: list[tuple[int, int, int]] = []
        self.steps: list[Step] = []
        self.outputs = 0

    def arrays(self) -> dict[str, np.ndarray]:
        return pack_table(self.tensors, self.steps)

    def _tensor(self, divisor: int, channels: int, zero: int) -> int:
        self.tensors.append((divisor, channels, zero))
        return len(self.tensors) - 1

    def _scales(self, count: int, inputs: int) -> np.ndarray:
        spread = 37 * 74 * np.sqrt(inputs)  # of a sum of this many products
        return (60 / spread * self.rng.uniform(0.5, 2.0, count)).astype(np.float32)

    def image(self, zero: int = 0) -> int:
        whole = self.rng.integers(-8000, 8001, (GROUP, IMAGE_TAPS))
        starts = np.stack([self.rng.integers(-900, 900, GROUP), self.rng.integers(0, 128, GROUP)])
        scales = self._scales(GROUP, IMAGE_TAPS) / 128
        target = self._tensor(2, GROUP, zero)
        self.steps.append(
            Step(IMAGE, -1, target, 3, 2, zero, weights=split_parts(whole, 2), starts=starts, floats=scales)
        )
        return target

    def luminance(self, zero: int = 123) -> int:
        target = self._tensor(2, 1, zero)
        floats, luma = np.array([26.01, 0.05], np.float32), np.array([19, 38, 7], np.uint8)
        self.steps.append(Step(LUMINANCE, -1, target, zero=zero, floats=floats, luma=luma))
        return target

    def convolution(
        self,
        source: int,
        channels: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        zero: int = 0,
        second: int = -1,
        is_first: bool = False,
        out_zero: int = 0,
    ) -> int:
        divisor, inputs, below = self.tensors[source]
        weights = self.rng.integers(-64, 65, (channels, kernel, kernel, inputs))
        starts = self.rng.integers(-3000, 3000, channels) - below * weights.sum((1, 2, 3))
        shift = int(second >= 0 and self.tensors[second][0] == 2 * divisor * stride)
        factors = (0.0, 0.0, 0.0) if second < 0 else (0.61, 0.47, 3.2)
        target = self._tensor(divisor * stride, channels, out_zero)
        self.steps.append(
            Step(
                CONVOLUTION,
                source,
                target,
                kernel,
                stride,
                zero,
                second,
                shift,
                int(is_first),
                factors,
                weights,
                starts,
                self._scales(channels, kernel * kernel * inputs),
            )
        )
        return target

    def map(self, source: int) -> None:
        _, inputs, zero = self.tensors[source]
        parts = split_parts(self.rng.integers(-(1 << 20), (1 << 20) + 1, (GROUP, inputs)), 3)
        starts = -zero * parts.astype(np.int64).sum(2)
        floats = self.rng.uniform(1e-8, 1e-7, 2 * GROUP)
        self.steps.append(Step(MAP, source, self.outputs, weights=parts, starts=starts, floats=floats))
        self.outputs += 1

    def mean(self, source: int) -> None:
        floats = self.rng.uniform(-0.1, 0.1, 2 * self.tensors[source][1])
        self.steps.append(Step(MEAN, source, self.outputs, floats=floats))
        self.outputs += 1


def small_detector(seed: int = 0) -> dict[str, np.ndarray]:
    """A network with every layer of a detector: image, both strides, residuals in both orders, upsampled sums, maps."""
    make = NetMaker(seed)
    stem = make.image()
    x = make.convolution(stem, 48, stride=2)
    x = make.convolution(make.convolution(x, 48), 48, zero=117, second=x)
    y = make.convolution(x, 64, stride=2)
    y = make.convolution(make.convolution(y, 64), 64, zero=120, second=y, is_first=True)
    top = make.convolution(y, 32, kernel=1)
    make.map(make.convolution(top, 32))
    below = make.convolution(x, 32, kernel=1, second=top)
    make.map(below)
    return make.arrays()


def small_encoder(seed: int = 0, *, channels: int = 32) -> dict[str, np.ndarray]:
    """A network with every layer of an encoder."""
    make = NetMaker(seed)
    x = make.convolution(make.luminance(), channels)
    x = make.convolution(x, 48, stride=2)
    x = make.convolution(make.convolution(x, 48), 48, zero=131, second=x, is_first=True)
    make.mean(x)
    return make.arrays()

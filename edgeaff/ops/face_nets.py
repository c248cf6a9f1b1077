"""Interface to the native int8 networks (csrc/nets): face detector and face encoder from `face_nets.npz`.

One network is seven arrays under a prefix, `detector.` or `encoder.`:

| array | what |
|---|---|
| `tensors` (T, 3) int32 | divisor of the input size, channels, zero point |
| `steps` (S, 9) int32 | the columns STEP_COLUMNS |
| `factors` (S, 3) float32 | own, factor, constant of a sum with a second operand |
| `weights` int8 | of all steps in order; (O, k, k, I) of a convolution, (2, 16, 27) of the image layer, (3, 16, I) of a map |
| `starts` int32 | initial sums: (O), (2, 16), (3, 16) |
| `floats` float32 | convolution: scale (O); image: scale (16); map, mean: scale and offset; luminance: epsilon, step |
| `luma` uint8 | luminance: R, G, B, their sum 64 |

What the numbers mean: csrc/nets/convolve.h. Readable twin: edgeaff/ops/reference_nets.py.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.ops import native

ARRAYS = {
    "tensors": np.int32,
    "steps": np.int32,
    "factors": np.float32,
    "weights": np.int8,
    "starts": np.int32,
    "floats": np.float32,
    "luma": np.uint8,
}
STEP_COLUMNS = ("kind", "input", "output", "kernel", "stride", "zero", "second", "second_shift", "second_is_first")
KINDS = ("image", "convolution", "map", "luminance", "mean")
IMAGE, CONVOLUTION, MAP, LUMINANCE, MEAN = range(len(KINDS))
IMAGE_TAPS = 27
GROUP = 16
MOST_SIZES = 4  # input sizes whose workspaces are kept


@dataclass(frozen=True, slots=True)
class _Bound:
    """Memory of one input size."""

    workspace: np.ndarray
    outputs: tuple[np.ndarray, ...]


class FaceNet:
    """One native network. Not thread-safe: workspaces and outputs are used again.

    Args:
        arrays: of one network, named as in ARRAYS.
        strips: False keeps what the image layer writes whole, for tests.

    Raises:
        ArgumentError: the arrays are no network that the kernels have.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], *, strips: bool = True) -> None:
        try:
            held = [np.ascontiguousarray(arrays[name]) for name in ARRAYS]
        except KeyError as error:
            raise ArgumentError(
                f"arrays must hold {', '.join(ARRAYS)}, got none named {error}; pack the network again."
            ) from error
        for name, array in zip(ARRAYS, held, strict=True):
            if array.dtype != ARRAYS[name]:
                raise ArgumentError(
                    f"{name} must be {np.dtype(ARRAYS[name])}, got {array.dtype}; pack the network again."
                )
        try:
            self._net = native().ConvNet(*held, strips)
        except ValueError as error:
            raise ArgumentError(
                f"arrays must be a network that the kernels serve, got: {error}; pack it again."
            ) from error
        self.instruction_set: str = self._net.instruction_set
        self.multiple: int = self._net.multiple
        self.steps: int = self._net.steps
        self._table = [(int(row[0]), int(row[2])) for row in held[1]]
        self._bound: dict[tuple[int, int], _Bound] = {}

    @property
    def core(self) -> Any:
        """The compiled network, for the parts of csrc/core that run it."""
        return self._net

    def forget(self) -> None:
        """Lets go the memory of all input sizes; the next run makes it again."""
        self._bound.clear()

    def run(self, image: np.ndarray, *, height: int, width: int) -> tuple[np.ndarray, ...]:
        """Returns the outputs, valid until the next run: (rows, columns, 16) of a map, (1, 1, C) of a mean; float32.

        Args:
            image: contiguous uint8 of 3 * height * width bytes: planes for a detector, pixels for an encoder.
            height: of the input, a multiple of `multiple`.
            width: likewise.

        Raises:
            ArgumentError: image or a size is not as above.
        """
        bound = self._bound.get((height, width)) or self._bind(height, width)
        if image.dtype != np.uint8 or not image.flags.c_contiguous or image.size != 3 * height * width:
            raise ArgumentError(
                f"image must be contiguous uint8 of {3 * height * width} bytes, got {image.dtype} of {image.shape}; copy it first."
            )
        self._net.run(image, height, width, bound.workspace, bound.outputs, 0, self.steps)
        return bound.outputs

    def run_steps(self, image: np.ndarray, *, height: int, width: int) -> list[dict[int, np.ndarray]]:
        """Returns per step the tensors that it has written, (rows, columns, channels) uint8 by index; for tests.

        Args:
            image: as for `run`.
            height: as for `run`.
            width: as for `run`.
        """
        bound = self._bound.get((height, width)) or self._bind(height, width)
        found = []
        for index, (kind, output) in enumerate(self._table):
            self._net.run(image, height, width, bound.workspace, bound.outputs, index, index + 1)
            written = None if kind in (MAP, MEAN) else self._net.tensor(output, height, width, bound.workspace)
            found.append({} if written is None else {output: written})
        return found

    def time_steps(self, image: np.ndarray, *, height: int, width: int, first: int, last: int) -> float:
        """Returns the microseconds of the steps from `first` to before `last`, on what the last run left; for benchmarks.

        Args:
            image: as for `run`.
            height: as for `run`.
            width: as for `run`.
            first: step.
            last: step behind the last one.
        """
        bound = self._bound.get((height, width)) or self._bind(height, width)
        start = time.perf_counter_ns()
        self._net.run(image, height, width, bound.workspace, bound.outputs, first, last)
        return (time.perf_counter_ns() - start) / 1e3

    def _bind(self, height: int, width: int) -> _Bound:
        """Returns new memory for an input size.

        Raises:
            ArgumentError: the size is not served.
        """
        needed = self._net.workspace_bytes(height, width)
        if needed == 0:
            raise ArgumentError(
                f"height and width must be positive multiples of {self.multiple}, got {height} x {width}; pad the image."
            )
        workspace = np.empty(needed, np.uint8)
        self._net.prepare(height, width, workspace)
        outputs = tuple(
            np.empty(self._net.output_shape(index, height, width), np.float32) for index in range(self._net.outputs)
        )
        while len(self._bound) >= MOST_SIZES:
            self._bound.pop(next(iter(self._bound)))
        bound = self._bound[height, width] = _Bound(workspace, outputs)
        return bound


def product_roof(repeats: int = 20000) -> tuple[int, str]:
    """Returns the number of multiply-adds of a loop of bare products, after running it, and the instruction set that ran it."""
    count, name = native().product_roof(repeats)
    return int(count), str(name)


def net_arrays(arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """Returns the arrays of one network of `face_nets.npz`. name: detector or encoder."""
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}

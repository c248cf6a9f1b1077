"""The protocol of every backend: a loaded graph, arrays in and arrays out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

STATE, NEXT = "state_", "next_"  # how the inputs that hold state begin; their outputs begin with both
Progress = Callable[
    [str, int, int], "bool | None"
]  # phase, steps done, steps; returning False stops what is being built


class Graph(Protocol):
    """A loaded graph. One that is not float32 reports it in an attribute `precision` (float16, bfloat16, int8).

    Attributes:
        backend: name of what runs it.
        inputs: name -> shape (None where free).
        outputs: names in order.
    """

    backend: str
    inputs: dict[str, tuple[int | None, ...]]
    outputs: tuple[str, ...]

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs by name for these inputs by name."""
        ...


def precision_in(model: bytes) -> str:
    """Returns the precision of an ONNX file: int8 where it quantizes, else float32."""
    quantizes = any(b'"' + bytes([len(name)]) + name in model for name in (b"QuantizeLinear", b"DynamicQuantizeLinear"))
    return "int8" if quantizes else "float32"  # `"` and a length: how protobuf writes a node's type

"""Graph runners behind one protocol: bytes of a graph in, arrays out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from edgeaff.errors import ArgumentError

GRAPH_BACKENDS = (
    "onnxruntime", "openvino", "tensorrt", "tensorrt:fp32", "tensorrt:int8", "onnxruntime-cuda", "onnxruntime-tensorrt"
)  # fmt: skip
STATE, NEXT = "state_", "next_"  # how the inputs that hold state begin; their outputs begin with both
Progress = Callable[
    [str, int, int], "bool | None"
]  # phase, steps done, steps; returning False stops what is being built


class Graph(Protocol):
    """A loaded graph. One that is not float32 says so in an attribute `precision` (float16, bfloat16, int8).

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


def load_graph(
    model: bytes, *, backend: str = "onnxruntime", threads: int = 1, progress: Progress | None = None
) -> Graph:
    """Returns a graph ready to run.

    Args:
        model: bytes of an ONNX file.
        backend: one of GRAPH_BACKENDS; "tensorrt" computes in fp16, and builds its engine now unless it is in the cache.
        threads: most threads that one run may use on the processor.
        progress: called while an engine is built.

    Returns:
        The loaded graph.

    Raises:
        ArgumentError: backend is unknown.
    """
    if backend.startswith("onnxruntime") and backend in GRAPH_BACKENDS:
        from edgeaff.backends.onnxruntime import OnnxRuntimeGraph

        return OnnxRuntimeGraph(model, threads=threads, backend=backend)
    if backend == "openvino":
        from edgeaff.backends.openvino import OpenVinoGraph

        return OpenVinoGraph(model, threads=threads)
    if backend in GRAPH_BACKENDS:
        from edgeaff.backends.tensorrt import PRECISIONS, load_tensorrt_graph

        return load_tensorrt_graph(model, precision=PRECISIONS[backend], progress=progress)
    raise ArgumentError(
        f"backend of a graph must be one of {', '.join(GRAPH_BACKENDS)}, got {backend!r}; choose one of them."
    )


def precision_in(model: bytes) -> str:
    """Returns the precision of an ONNX file: int8 where it quantises, else float32."""
    quantises = any(b'"' + bytes([len(name)]) + name in model for name in (b"QuantizeLinear", b"DynamicQuantizeLinear"))
    return "int8" if quantises else "float32"  # `"` and a length: how protobuf writes a node's type

"""Graph runners behind one protocol: bytes of a graph in, arrays out."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edgeaff.errors import ArgumentError

GRAPH_BACKENDS = ("onnxruntime", "openvino")


class Graph(Protocol):
    """A loaded graph.

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


def load_graph(model: bytes, *, backend: str = "onnxruntime", threads: int = 1) -> Graph:
    """Returns a graph ready to run.

    Args:
        model: bytes of an ONNX file.
        backend: onnxruntime or openvino.
        threads: most threads that one run may use.

    Returns:
        The loaded graph.

    Raises:
        ArgumentError: backend is unknown.
    """
    if backend == "onnxruntime":
        from edgeaff.backends.onnxruntime import OnnxRuntimeGraph

        return OnnxRuntimeGraph(model, threads=threads)
    if backend == "openvino":
        from edgeaff.backends.openvino import OpenVinoGraph

        return OpenVinoGraph(model, threads=threads)
    raise ArgumentError(
        f"backend of a graph must be one of {', '.join(GRAPH_BACKENDS)}, got {backend!r}; choose one of them."
    )

"""Graph runners behind one protocol: bytes of a graph in, arrays out."""

from __future__ import annotations

from edgeaff.backends.graph import NEXT, STATE, Graph, Progress, precision_in
from edgeaff.errors import ArgumentError

__all__ = ["GRAPH_BACKENDS", "NEXT", "STATE", "Graph", "Progress", "load_graph", "precision_in"]

GRAPH_BACKENDS = (
    "onnxruntime",
    "openvino",
    "tensorrt",
    "tensorrt:fp32",
    "tensorrt:int8",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
)


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

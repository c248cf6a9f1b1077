"""OpenVINO on the CPU (extra `openvino`): reads the same ONNX files."""

from __future__ import annotations

import io

import numpy as np

from edgeaff.backends.engines import import_openvino
from edgeaff.backends.graph import precision_in
from edgeaff.backends.onnx_edit import OP_TYPE
from edgeaff.errors import BackendUnavailableError, BundleError
from edgeaff.forking import ProcessBound
from edgeaff.parsing.boundary import reason_of
from edgeaff.parsing.onnx_graph import require_onnx


class OpenVinoGraph(ProcessBound):
    """One compiled OpenVINO model."""

    backend = "openvino"

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        openvino = import_openvino()
        require_onnx(model)
        core = openvino.Core()
        config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        try:
            network = core.read_model(io.BytesIO(without_functions(model)))
            self._compiled = core.compile_model(network, "CPU", config)
        except BackendUnavailableError:
            raise
        except Exception as error:  # RuntimeError, and DecodeError of protobuf
            raise BundleError(
                f"model must be a graph that OpenVINO can load, got: {reason_of(error)}; export it again."
            ) from error
        self._request = self._compiled.create_infer_request()
        self.precision = precision_in(model)
        self.inputs = {port.get_any_name(): _shape(port) for port in self._compiled.inputs}
        self.outputs = tuple(port.get_any_name() for port in self._compiled.outputs)

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs by name for these inputs by name.

        Raises:
            BundleError: the graph fails on them.
        """
        try:
            results = self._request.infer(feeds)
        except Exception as error:  # OpenVINO raises RuntimeError and classes of its binding
            raise BundleError(
                f"openvino failed to run the graph: {reason_of(error)}. Export the bundle again."
            ) from error
        return {name: np.array(results[index]) for index, name in enumerate(self.outputs)}


def without_functions(model: bytes) -> bytes:
    """Returns the graph with its model-local functions written out; OpenVINO 2026.4 has no rule for a node that is one.

    Raises:
        BackendUnavailableError: the graph has functions and onnx is not installed.
    """
    if OP_TYPE.encode() not in model:
        return model
    try:
        import onnx
        from onnx.inliner import inline_local_functions
    except ImportError as error:
        raise BackendUnavailableError(
            f"onnx must be installed to run this graph in OpenVINO, got: {error}; pip install edgeaff[openvino]."
        ) from error
    return inline_local_functions(onnx.load_from_string(model)).SerializeToString()


def _shape(port: object) -> tuple[int | None, ...]:
    sizes = port.get_partial_shape()  # type: ignore[attr-defined]
    return tuple(size.get_length() if size.is_static else None for size in sizes)

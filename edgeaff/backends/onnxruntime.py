"""ONNX Runtime on the CPU: threads bounded, spinning off, deterministic for a fixed version and machine."""

from __future__ import annotations

import numpy as np

from edgeaff.backends import precision_in
from edgeaff.backends.engines import import_onnxruntime
from edgeaff.errors import BundleError


class OnnxRuntimeGraph:
    """One graph in an ONNX Runtime session."""

    backend = "onnxruntime"

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own that share no public base
            raise BundleError(
                f"model must be a graph that onnxruntime can load, got: {error}; export it again."
            ) from error
        self.precision = precision_in(model)
        self.inputs = {
            value.name: tuple(size if isinstance(size, int) else None for size in value.shape)
            for value in self._session.get_inputs()
        }
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs by name for these inputs by name."""
        return dict(zip(self.outputs, self._session.run(None, feeds), strict=True))

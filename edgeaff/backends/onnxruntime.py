"""ONNX Runtime: bounded threads, no spinning, deterministic for a fixed version and machine; on a GPU if its providers are installed."""

from __future__ import annotations

import numpy as np

from edgeaff.backends.engines import import_onnxruntime, session_options
from edgeaff.backends.graph import precision_in
from edgeaff.errors import BackendUnavailableError, BundleError
from edgeaff.forking import ProcessBound
from edgeaff.parsing.boundary import reason_of
from edgeaff.parsing.onnx_graph import require_onnx

PROVIDERS = {
    "onnxruntime": ("CPUExecutionProvider",),
    "onnxruntime-cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "onnxruntime-tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}
# The fused sum and norm takes 0.3 ms for (100, 512) on one core, the two apart 0.03 ms (measured, 1.31).
SLOW_FUSIONS = ["SkipLayerNormFusion"]


class OnnxRuntimeGraph(ProcessBound):
    """One graph in an ONNX Runtime session.

    Args:
        model: bytes of an ONNX file.
        threads: most threads of one run.
        backend: key of PROVIDERS.

    Raises:
        BackendUnavailableError: onnxruntime, or its provider for the GPU, is not there.
        BundleError: it cannot load the graph.
    """

    def __init__(self, model: bytes, *, threads: int = 1, backend: str = "onnxruntime") -> None:
        onnxruntime = import_onnxruntime()
        self.backend = backend
        wanted = PROVIDERS[backend]
        there = onnxruntime.get_available_providers()
        if wanted[0] not in there:
            raise BackendUnavailableError(
                f"{backend} needs the provider {wanted[0]}, got {', '.join(there)}; pip install onnxruntime-gpu in place of "
                "onnxruntime."
            )
        require_onnx(model)
        try:
            self._session = onnxruntime.InferenceSession(
                model, session_options(threads), providers=list(wanted), disabled_optimizers=SLOW_FUSIONS
            )
        except Exception as error:  # onnxruntime raises its own classes that share no public base
            raise BundleError(
                f"model must be a graph that onnxruntime can load, got: {reason_of(error)}; export it again."
            ) from error
        self.precision = precision_in(model)
        given = self._session.get_providers()
        if wanted[0] not in given:  # it falls back to the processor when the driver is not there
            raise BackendUnavailableError(
                f"{backend} needs {wanted[0]}, got {', '.join(given)}; check the driver of the GPU."
            )
        self.inputs = {
            value.name: tuple(size if isinstance(size, int) else None for size in value.shape)
            for value in self._session.get_inputs()
        }
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs by name for these inputs by name.

        Raises:
            BundleError: the graph fails on them.
        """
        try:
            return dict(zip(self.outputs, self._session.run(None, feeds), strict=True))
        except Exception as error:  # onnxruntime raises its own classes that share no public base
            raise BundleError(
                f"{self.backend} failed to run the graph: {reason_of(error)}. Export the bundle again."
            ) from error

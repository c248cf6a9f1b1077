"""The face graphs of a bundle on any backend: selects packed networks or ONNX files."""

from __future__ import annotations

from edgeaff.backends import GRAPH_BACKENDS, Graph, Progress, load_graph
from edgeaff.backends.native_face import FACE_NETS, load_native_face
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError

NATIVE, ONNXRUNTIME = "native", "onnxruntime"
DETECTOR, ENCODER = "face_detector", "face_encoder"


def has_native_nets(bundle: ModelBundle) -> bool:
    """Returns whether a bundle holds packed face networks."""
    return FACE_NETS in bundle.members


def encoder_backend(bundle: ModelBundle, backend: str = "default") -> str:
    """Returns the backend of the face encoder that goes with one of the model.

    Args:
        bundle: what is loaded.
        backend: of the model: "default", "native" or one of GRAPH_BACKENDS.

    Returns:
        The same where it runs ONNX files (TensorRT in fp16 beside its int8); else the packed networks, or ONNX Runtime where
        the bundle has none.
    """
    if backend == "tensorrt:int8":
        return "tensorrt"
    if backend in GRAPH_BACKENDS:
        return backend
    return NATIVE if has_native_nets(bundle) else ONNXRUNTIME


def detector_backend(bundle: ModelBundle, backend: str = "default") -> str:
    """Returns the backend of the face detector that goes with one of the face encoder: packed networks where there are any.

    Args:
        bundle: what is loaded.
        backend: of the face encoder, or "default". "onnxruntime" is taken at its word; the other engines serve the encoder alone.
    """
    return NATIVE if backend != ONNXRUNTIME and has_native_nets(bundle) else ONNXRUNTIME


def load_face_graph(
    bundle: ModelBundle, role: str, *, backend: str = "default", threads: int = 1, progress: Progress | None = None
) -> Graph:
    """Returns the face detector or the face encoder of a bundle, ready to run.

    Args:
        bundle: what is loaded.
        role: face_detector or face_encoder.
        backend: "default" (packed networks, or ONNX Runtime where there are none), "native" or one of GRAPH_BACKENDS.
        threads: most threads of one run; packed networks use one.
        progress: called while an engine is built.

    Raises:
        ArgumentError: the bundle has no packed networks and backend is "native".
    """
    if backend == "default":
        backend = NATIVE if has_native_nets(bundle) else ONNXRUNTIME
    model = bundle.graph_bytes(role)
    if backend != NATIVE:
        return load_graph(model, backend=backend, threads=threads, progress=progress)
    if not has_native_nets(bundle):
        raise ArgumentError(
            f"backend of a face graph must be onnxruntime or openvino for {bundle!r}, got 'native'; it has no packed networks "
            f"({FACE_NETS})."
        )
    return load_native_face(bundle.arrays(FACE_NETS), role, model)

"""The parts of the preprocessor, made from a bundle."""

from __future__ import annotations

from typing import Any

from edgeaff.backends import load_graph
from edgeaff.bundle import ModelBundle
from edgeaff.detection import load_detector
from edgeaff.errors import SpecMismatchError
from edgeaff.features.face import FaceEncoder
from edgeaff.features.normalise import make_normaliser
from edgeaff.preprocess.inputs import FaceDetector, PreprocessParts


def parts_from_bundle(
    bundle: ModelBundle,
    *,
    video: bool = True,
    audio: bool = True,
    detector: Any = None,
    backend: str = "onnxruntime",
    threads: int = 1,
) -> PreprocessParts:
    """Returns detector, face encoder and normaliser of a bundle.

    Args:
        bundle: where graphs and statistics come from.
        video: whether the face parts are needed.
        audio: whether the sound parts are needed.
        detector: another FaceDetector in place of the bundle's; its id must be the bundle's.
        backend: what runs the face graphs.
        threads: most threads of one run.

    Raises:
        SpecMismatchError: the detector is not the one the bundle was trained with.
    """
    spec = bundle.spec
    face_detector: FaceDetector | None = None
    encoder = None
    if video:
        face_detector = load_detector("ssd", bundle=bundle, threads=threads) if detector is None else detector
        if face_detector.id != spec.detector_id:
            raise SpecMismatchError(
                f"detector must be {spec.detector_id!r} (bundle {bundle.manifest['model_id']}), got {face_detector.id!r}; use the "
                "bundle's detector, or export a bundle trained with this one."
            )
        encoder = FaceEncoder(load_graph(bundle.graph_bytes("face_encoder"), backend=backend, threads=threads), spec)
    normaliser = make_normaliser(spec, bundle.manifest["statistics"]) if audio else None
    return PreprocessParts(spec, face_detector, encoder, normaliser)

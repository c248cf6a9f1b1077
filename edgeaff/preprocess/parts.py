"""The parts of the preprocessor, made from a bundle."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaff.backends.face import detector_backend, load_face_graph
from edgeaff.bundle import SPEECH, ModelBundle
from edgeaff.detection import load_detector
from edgeaff.detection.ssd import SsdDetector
from edgeaff.errors import BundleError, SpecMismatchError
from edgeaff.features.face import FaceEncoder
from edgeaff.features.normalize import make_normalizer
from edgeaff.features.speech import SpeechGate
from edgeaff.parsing.boundary import boundary
from edgeaff.preprocess.inputs import FaceDetector, PreprocessParts

TRIAL_SIDE_PX = 64


def parts_from_bundle(
    bundle: ModelBundle,
    *,
    video: bool = True,
    audio: bool = True,
    detector: Any = None,
    backend: str = "default",
    threads: int = 1,
) -> PreprocessParts:
    """Returns detector, face encoder, normalizer and speech gate of a bundle.

    Args:
        bundle: where graphs and statistics come from.
        video: whether the face parts are needed.
        audio: whether the audio parts are needed.
        detector: another FaceDetector in place of the bundle's; its id must be the bundle's.
        backend: what runs the face encoder; the detector runs on what goes with it (`edgeaff.backends.face`).
        threads: most threads of one run.

    Raises:
        BundleError: a part of the bundle cannot be used.
        SpecMismatchError: the detector is not the one the bundle was trained with.
    """
    spec = bundle.spec
    face_detector: FaceDetector | None = None
    encoder = None
    if video:
        with boundary(BundleError, f"{bundle.path}: the face detector must be loaded", "export the bundle again."):
            face_detector = (
                load_detector("ssd", bundle=bundle, backend=detector_backend(bundle, backend), threads=threads)
                if detector is None
                else detector
            )
        if face_detector.id != spec.detector_id:
            raise SpecMismatchError(
                f"detector must be {spec.detector_id!r} (bundle {bundle.manifest.model_id}), got {face_detector.id!r}; use the "
                "bundle's detector, or export a bundle trained with this one."
            )
        encoder = FaceEncoder(load_face_graph(bundle, "face_encoder", backend=backend, threads=threads), spec)
    with boundary(BundleError, f"{bundle.path}: LLDs must be normalized", "export the bundle again."):
        normalizer = make_normalizer(spec, bundle.manifest.statistics) if audio else None
    speech = SpeechGate(bundle.arrays(SPEECH)) if audio and SPEECH in bundle.members else None
    return PreprocessParts(spec, face_detector, encoder, normalizer, speech=speech)


def trial_inputs(parts: PreprocessParts, bundle: ModelBundle) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Returns a descriptor and an audio vector as the parts make them, after running the bundle's face graphs once.

    So graphs that do not fit are refused when they are loaded, and engines have their memory before the first frame.

    Args:
        parts: from `parts_from_bundle`.
        bundle: what they were made from.

    Raises:
        BundleError: a graph fails, or gives no descriptor.
    """
    video = audio = None
    if isinstance(parts.encoder, FaceEncoder):
        side = parts.spec.crop_size_px
        with boundary(BundleError, f"{bundle.path}: the face graphs must run", "export the bundle again."):
            if isinstance(parts.detector, SsdDetector):
                parts.detector.detect(np.zeros((TRIAL_SIDE_PX, TRIAL_SIDE_PX, 3), np.uint8))
            described = parts.encoder.encode_crops(np.zeros((1, side, side, 3), np.uint8))
        if described.ndim != 2 or len(described) != 1:
            raise BundleError(
                f"{bundle.path}: face_encoder must give one descriptor per face, got shape {described.shape}; export it again."
            )
        video = described[0]
    if parts.normalizer is not None:
        audio = np.zeros(parts.spec.audio_vector_size, np.float32)
    return video, audio

"""From a frame to its usable faces: detector, tracker, crop, encoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaff.detection.tracker import FaceTracker
from edgeaff.errors import ArgumentError
from edgeaff.preprocess.inputs import FaceInput, FoundFace, PreprocessParts
from edgeaff.types import TrackedFace


class FaceFront:
    """From a frame to its usable faces: detector, tracker, crop, encoder."""

    def __init__(self, parts: PreprocessParts, max_faces: int, detector_stride: int) -> None:
        if parts.encoder is None:
            raise ArgumentError(
                "encoder must be given when video is declared, got None; load a bundle with a face encoder."
            )
        self._parts = parts
        self._stride = detector_stride
        self._max_faces = max_faces
        self._tracker = FaceTracker(max_faces=max_faces, staleness_seconds=parts.spec.face_staleness_seconds)
        self._count = 0

    def process(self, pts_ns: int, payload: Any) -> tuple[FaceInput, ...]:
        """Returns the usable faces of one frame: a picture, or (face, crop) pairs known already."""
        assert self._parts.encoder is not None
        tap = self._parts.tap
        pairs = self._find(pts_ns, payload) if tap is None else tap.faces(pts_ns, lambda: self._find(pts_ns, payload))
        if not pairs:
            return ()
        descriptors = self._parts.encoder.encode_crops([crop for _, crop, _ in pairs])
        return tuple(
            FaceInput(face, crop, descriptor, detected)
            for (face, crop, detected), descriptor in zip(pairs, descriptors, strict=True)
        )

    def _find(self, pts_ns: int, payload: Any) -> list[FoundFace]:
        assert self._parts.encoder is not None
        if isinstance(payload, tuple):
            return [(face, crop, pts_ns) for face, crop in payload]
        tracked = self._track(pts_ns, payload)
        return [(face, self._parts.encoder.crop(payload, face.box), detected) for face, detected in tracked]

    def _track(self, pts_ns: int, image: np.ndarray) -> list[tuple[TrackedFace, int]]:
        if self._parts.detector is None:
            raise ArgumentError("detector must be given to push frames, got None; push faces with push_face instead.")
        due = self._count % self._stride == 0
        self._count += 1
        detections = self._parts.detector.detect(image) if due else None
        faces = self._tracker.update(pts_ns, image, detections)[: self._max_faces]
        return [(face, self._tracker.detected_pts_ns(face.track_id)) for face in faces]

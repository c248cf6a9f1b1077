"""From a frame to its usable faces: detector, tracker, crop, encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from edgeaff.detection.tracker import FaceTracker
from edgeaff.errors import ArgumentError
from edgeaff.preprocess.inputs import FaceInput, FoundFace, InputCounts, PreprocessParts
from edgeaff.reference.gate import Delivery
from edgeaff.spec import NANOSECONDS
from edgeaff.types import FaceDetection, TrackedFace, is_face

Row = TypeVar("Row")

SPARSE_DETECTION_NS = 3 * NANOSECONDS // 10  # a confirmed track is usable for 0.5 s: one search may fail


class FaceFront:
    """From a frame to its usable faces: detector, tracker, crop, encoder."""

    def __init__(self, parts: PreprocessParts, counts: InputCounts, max_faces: int, detector_stride: int) -> None:
        if parts.encoder is None:
            raise ArgumentError(
                "encoder must be given when video is declared, got None; load a bundle with a face encoder."
            )
        self._parts, self._counts = parts, counts
        self._stride = detector_stride
        self._max_faces = max_faces
        self._tracker = FaceTracker(max_faces=max_faces, staleness_seconds=parts.spec.face_staleness_seconds)
        self._count = 0
        self._frames = 0
        self._searched_ns: int | None = None
        self._known: dict[int, tuple[np.ndarray, int]] = {}  # track -> descriptor and time of the frame it is of
        self.degraded = 0  # see Session.degrade

    def process(self, pts_ns: int, item: Delivery) -> tuple[FaceInput, ...]:
        """Returns the usable faces of one frame: an image, or (face, crop) pairs known already."""
        assert self._parts.encoder is not None
        tap = self._parts.tap
        pairs = self._find(pts_ns, item) if tap is None else tap.faces(pts_ns, lambda: self._find(pts_ns, item))
        pairs = self._only_faces(pairs, [face for face, _, _ in pairs])
        self._frames += 1
        kept = self._known if self.degraded >= 2 and self._frames % 2 == 0 else {}
        described = [kept.get(face.track_id) for face, _, _ in pairs]
        missing = [index for index, known in enumerate(described) if known is None]
        if missing:
            descriptors = self._parts.encoder.encode_crops([pairs[index][1] for index in missing])
            for index, descriptor in zip(missing, descriptors, strict=True):
                described[index] = (descriptor, pts_ns)
        self._known = {}
        found = []
        for (face, crop, detected), known in zip(pairs, described, strict=True):
            assert known is not None
            self._known[face.track_id] = known
            found.append(FaceInput(face, crop, known[0], detected, known[1]))
        return tuple(found)

    def _find(self, pts_ns: int, item: Delivery) -> list[FoundFace]:
        assert self._parts.encoder is not None
        if item.kind == "faces":
            return [(face, crop, pts_ns) for face, crop in item.data]
        tracked = self._track(pts_ns, item.data)
        return [(face, self._parts.encoder.crop(item.data, face.box), detected) for face, detected in tracked]

    def _track(self, pts_ns: int, image: np.ndarray) -> list[tuple[TrackedFace, int]]:
        if self._parts.detector is None:
            raise ArgumentError("detector must be given to push frames, got None; push faces with push_face instead.")
        due = self._count % self._stride == 0
        if self.degraded and self._searched_ns is not None:
            due = pts_ns - self._searched_ns >= SPARSE_DETECTION_NS
        self._count += 1
        if due:
            self._searched_ns = pts_ns
        detections = self._parts.detector.detect(image) if due else None
        if detections is not None:
            detections = self._only_faces(detections, detections)
        faces = self._tracker.update(pts_ns, image, detections)[: self._max_faces]
        faces = self._only_faces(faces, faces)
        return [(face, self._tracker.detected_pts_ns(face.track_id)) for face in faces]

    def _only_faces(self, rows: list[Row], faces: Sequence[FaceDetection | TrackedFace]) -> list[Row]:
        """Returns the rows whose face has a box and a score that are in range; the others are counted."""
        kept = [row for row, face in zip(rows, faces, strict=True) if is_face(face.box, face.score)]
        self._counts.values_rejected += len(rows) - len(kept)
        return kept

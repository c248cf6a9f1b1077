"""Training targets of each cell of the three grids for one image.

With a teacher (a YuNet file) the score target of a cell near a labeled face is the teacher's own score there, scaled
so that the best cell of every labeled face asks for 0.95; without one, or where the teacher sees nothing, cells near
the face's center on the level that fits its size are asked. Elsewhere the target is 0: the labels decide what is no
face.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeaff.detection.boxes import pair_iou
from edgeaff.detection.decode import STRIDES
from recipes.face_detector.augment import Scene

LEVEL_SIZES = ((0.0, 34.0), (26.0, 100.0), (78.0, 1e9))
PEAK = 0.95
BEHIND_WEIGHT = 2.0  # of the score of a cell inside a head seen from behind
TARGET_WIDTH = 17


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of all three grids in one list. x, y: centers in pixels; stride: pixels; all (N,) float32."""

    x: np.ndarray
    y: np.ndarray
    stride: np.ndarray


def make_cells(width: int, height: int) -> Cells:
    """Returns the cells of an image of this size, level by level, row by row."""
    parts = []
    for stride in STRIDES:
        ys, xs = np.mgrid[: height // stride, : width // stride]
        parts.append(np.stack([xs.ravel() + 0.5, ys.ravel() + 0.5, np.ones(xs.size)]) * stride)
    x, y, stride = np.concatenate(parts, 1).astype(np.float32)
    return Cells(x, y, stride)


class Teacher:
    """Runs a YuNet file on whole batches and gives its score and box per cell (same grids as ours)."""

    def __init__(self, path: str) -> None:
        from edgeaff.backends.engines import import_onnxruntime, session_options

        self._session = import_onnxruntime().InferenceSession(
            path, session_options(), providers=["CPUExecutionProvider"]
        )
        self._names = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox") for stride in STRIDES]

    def score(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns scores (B, N) and boxes (B, N, 4) pixels for images (B, H, W, 3) uint8 RGB."""
        pixels = np.ascontiguousarray(images[..., ::-1].transpose(0, 3, 1, 2), np.float32)
        outputs = self._session.run(self._names, {"input": pixels})
        cls, obj, bbox = (np.concatenate(outputs[3 * k : 3 * k + 3], 1) for k in range(3))
        scores = np.sqrt(np.clip(cls[..., 0], 0, 1) * np.clip(obj[..., 0], 0, 1))
        cells = make_cells(images.shape[2], images.shape[1])
        corner = np.stack([cells.x, cells.y], 1) - cells.stride[:, None] / 2
        center = corner + bbox[..., :2] * cells.stride[:, None]
        half = np.exp(bbox[..., 2:]) * cells.stride[:, None] / 2
        return scores, np.concatenate([center - half, center + half], 2)


def _fit_scores(scene: Scene, cells: Cells, which: np.ndarray) -> np.ndarray:
    """Returns score targets (n, N) from size and distance alone, for the faces `which`."""
    boxes = scene.boxes[which]
    size = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    distance = ((cells.x - center[:, :1]) ** 2 + (cells.y - center[:, 1:]) ** 2) / cells.stride**2
    level = np.searchsorted(STRIDES, cells.stride)
    low, high = np.array([s[0] for s in LEVEL_SIZES])[level], np.array([s[1] for s in LEVEL_SIZES])[level]
    fits = (size[:, None] >= low) & (size[:, None] < high)
    scores = np.where(fits, PEAK * np.exp(-distance / (2 * 0.7**2)), 0)
    return np.where(scores > 0.1, scores, 0)


def make_targets(scene: Scene, cells: Cells, scores: np.ndarray | None, boxes: np.ndarray | None) -> np.ndarray:
    """Returns the targets of one image.

    Args:
        scene: boxes, landmarks and ignore regions.
        cells: the grid.
        scores: (N,) the teacher's scores, or None.
        boxes: (N, 4) the teacher's boxes, or None.

    Returns:
        (N, 17) float32: score, weight of the score, box x0 y0 x1 y1, ten point coordinates, 1 where points are known.
    """
    count = len(cells.x)
    targets = np.zeros((count, TARGET_WIDTH), np.float32)
    targets[:, 1] = 1
    centers = np.stack([cells.x, cells.y, cells.x, cells.y], 1)
    faces = len(scene.boxes)
    wanted = np.zeros((faces, count), np.float32)
    if faces:
        missed = np.ones(faces, bool)
        if scores is not None and boxes is not None:
            active = np.flatnonzero(scores > 0.08)
            overlap = pair_iou(scene.boxes, boxes[active])
            best = overlap.argmax(0)
            good = (overlap.max(0) > 0.45) if len(active) else np.zeros(0, bool)
            wanted[best[good], active[good]] = scores[active[good]]
            peak = wanted.max(1)
            missed = peak < 0.3
            wanted *= np.clip(PEAK / np.maximum(peak, 1e-6), 1, 2.5)[:, None]
        wanted[missed] = _fit_scores(scene, cells, missed)
    if len(scene.ignore):
        low, high = scene.ignore[:, None, :2], scene.ignore[:, None, 2:]
        inside = ((centers[None, :, :2] >= low) & (centers[None, :, :2] <= high)).all(2).any(0)
        targets[inside, 1] = 0
    if scores is not None and boxes is not None and scene.negative == -1:
        # what the teacher alone holds for a face beside the labels is left open, not taught as background
        targets[scores > 0.5, 1] = 0
    if len(scene.behind):
        low, high = scene.behind[:, None, :2], scene.behind[:, None, 2:]
        inside = ((centers[None, :, :2] >= low) & (centers[None, :, :2] <= high)).all(2).any(0)
        targets[inside, 1] = BEHIND_WEIGHT
    if faces:
        owner = wanted.argmax(0)
        value = wanted.max(0)
        taught = value > 0
        targets[taught, 0] = np.minimum(value[taught], PEAK)
        targets[taught, 1] = 1
        targets[:, 2:6] = scene.boxes[owner]
        points = scene.landmarks[owner].reshape(count, 10)
        known = np.isfinite(points).all(1)
        targets[:, 6:16] = np.where(known[:, None], points, 0)
        targets[:, 16] = known
    return targets

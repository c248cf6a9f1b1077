"""Arithmetic of boxes: overlap, non-maximum suppression, and the letterbox between an image and a detector's input.

Boxes are float32 rows x0, y0, x1, y1 in pixels, half-open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MATCH_IOU = 0.4  # overlap from which a box counts as having found a face, where detectors are measured


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Returns the areas (n,) of boxes (n, 4); a box turned inside out has none."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def pair_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the intersection over union (n, m) of every box of a (n, 4) with every box of b (m, 4)."""
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    union = box_areas(a)[:, None] + box_areas(b)[None] - inter
    return inter / np.maximum(union, 1e-9)


def pair_cover(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the share of every box of a (n, 4) that lies inside every box of b (m, 4), (n, m)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.prod(np.maximum(high - low, 0), axis=2)
    return inter / np.maximum(np.prod(a[:, 2:] - a[:, :2], axis=1), 1e-6)[:, None]


def drop_covered(boxes: np.ndarray, limit: float) -> list[int]:
    """Returns the indices of the boxes that share at most `limit` of the smaller one's area with any kept one before.

    Args:
        boxes: (n, 4), best first.
        limit: share of the smaller box, in (0, 1].
    """
    areas = np.maximum(box_areas(boxes), 1e-9)
    kept: list[int] = []
    for index in range(len(boxes)):
        low = np.maximum(boxes[index, :2], boxes[kept, :2])
        high = np.minimum(boxes[index, 2:], boxes[kept, 2:])
        inter = np.prod(np.maximum(high - low, 0), axis=1)
        if not (inter > limit * np.minimum(areas[index], areas[kept])).any():
            kept.append(index)
    return kept


def merge_candidates(
    boxes: np.ndarray, scores: np.ndarray, points: np.ndarray, *, suppress_iou: float, vote_iou: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns one box per object: greedy non-maximum suppression, then each kept box is voted on by its rivals.

    The kept box and its points become the score-weighted mean over all candidates that overlap it by `vote_iou`:
    that calms the box on a still head.

    Args:
        boxes: (n, 4) candidates.
        scores: (n,) in [0, 1].
        points: (n, ...) float, averaged with the box.
        suppress_iou: a candidate that overlaps a better one by more than this is dropped.
        vote_iou: candidates that overlap a kept one by at least this have a vote; above 1 nobody has.

    Returns:
        boxes (k, 4), scores (k,) and points (k, ...), best score first.
    """
    if not len(boxes):
        return boxes, scores, points
    order = np.argsort(-scores, kind="stable")
    boxes, scores, points = boxes[order], scores[order], points[order]
    overlap = pair_iou(boxes, boxes)
    kept = _suppress(overlap, suppress_iou)
    if vote_iou > 1:
        return boxes[kept], scores[kept], points[kept]
    votes = (overlap[kept] >= vote_iou) * scores**2
    votes /= votes.sum(1, keepdims=True)
    voted, rest = votes @ boxes, scores[kept]
    merged = (votes @ points.reshape(len(points), -1)).reshape(len(kept), *points.shape[1:])
    again = _suppress(pair_iou(voted, voted), suppress_iou)  # votes may have moved two boxes together
    return voted[again], rest[again], merged[again]


def _suppress(overlap: np.ndarray, limit: float) -> list[int]:
    """Returns the indices kept by greedy suppression. overlap: (n, n) of boxes sorted by score, changed in place."""
    np.fill_diagonal(overlap, 1.0)
    rivals = overlap <= limit
    alive = np.ones(len(overlap), bool)
    kept = []
    while alive.any():
        best = int(alive.argmax())
        kept.append(best)
        alive &= rivals[best]
        alive[best] = False
    return kept


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Placement of an image in a detector's input: scaled without changing its shape, at the upper left, black beside it.

    Attributes:
        width: of the scaled image, pixels.
        height: of the scaled image, pixels.
        canvas_width: of the input, a multiple of the largest stride.
        canvas_height: likewise.
        scale_x: input pixels per image pixel.
        scale_y: likewise; differs from scale_x by rounding only.
    """

    width: int
    height: int
    canvas_width: int
    canvas_height: int
    scale_x: float
    scale_y: float

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Returns input coordinates (..., 2k), x and y in turn, as coordinates of the image."""
        scale = np.array([self.scale_x, self.scale_y], np.float32)
        return points / np.tile(scale, points.shape[-1] // 2)


def fit_letterbox(width: int, height: int, *, long_side: int, multiple: int = 32) -> Letterbox:
    """Returns the letterbox of an image of this size for an input of this long side.

    Args:
        width: of the image, pixels.
        height: of the image, pixels.
        long_side: of the scaled image, pixels; small images are enlarged.
        multiple: the input's sides are multiples of this.
    """
    scale = long_side / max(width, height)
    inner_width = min(max(round(width * scale), 1), long_side)
    inner_height = min(max(round(height * scale), 1), long_side)
    return Letterbox(
        width=inner_width,
        height=inner_height,
        canvas_width=-(-inner_width // multiple) * multiple,
        canvas_height=-(-inner_height // multiple) * multiple,
        scale_x=inner_width / width,
        scale_y=inner_height / height,
    )

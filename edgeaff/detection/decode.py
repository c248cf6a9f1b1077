"""Turns the raw maps of our single-shot detector into faces."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from edgeaff.detection.boxes import merge_candidates, pair_iou
from edgeaff.errors import BundleError
from edgeaff.ops import native

STRIDES = (8, 16, 32)
SUPPRESS_IOU = 0.3
VOTE_IOU = 0.6
VOTE_MARGIN = 1.0
"""Candidates this much below the threshold (in logits) have a vote on the box of a face above it."""
MOST_CANDIDATES = 400
LOWEST_LOGIT, HIGHEST_LOGIT = -8.0, 30.0  # of a second look
LARGEST_COORDINATE = 1e5  # in the network's pixels


def decode_maps(maps: list[np.ndarray], *, score_threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the faces of one image in input pixels, best first.

    Each cell of each map answers: score logit; box center (dx, dy) in strides from the cell's center and logarithm of
    width and height in strides; five points (x, y) in strides from the cell's center.

    Args:
        maps: per stride (8, 16, 32) one (15, H/stride, W/stride) float32.
        score_threshold: lowest score of a face, in (0, 1).

    Returns:
        boxes (n, 4) float32, scores (n,) float32, points (n, 5, 2) float32. A face that is not finite, or farther away than a
        image reaches, is none.

    Raises:
        BundleError: the maps have other shapes: they come from another network.
    """
    limit = math.log(score_threshold / (1 - score_threshold))
    try:
        return native().decode_maps(maps, STRIDES, limit, VOTE_MARGIN, MOST_CANDIDATES, SUPPRESS_IOU, VOTE_IOU)
    except (TypeError, ValueError) as error:
        shapes = [getattr(grid, "shape", None) for grid in maps]
        raise BundleError(
            f"maps must be three of (15, H, W) float32, got {shapes}; use the bundle's own detector."
        ) from error


def decode_maps_reference(
    maps: list[np.ndarray], *, score_threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the result of `decode_maps`, in NumPy: the twin of csrc/vision/decode_maps.

    Args:
        maps: as there.
        score_threshold: as there.
    """
    limit = math.log(score_threshold / (1 - score_threshold))
    raw = np.concatenate([grid.reshape(15, -1) for grid in maps], 1)
    chosen = np.flatnonzero(raw[0] > limit - VOTE_MARGIN)
    if not len(chosen) or raw[0, chosen].max() <= limit:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
    if len(chosen) > MOST_CANDIDATES:
        chosen = chosen[np.argsort(-raw[0, chosen], kind="stable")[:MOST_CANDIDATES]]
    center, stride = _cells(*maps[0].shape[1:])
    values, middle, pixels = raw[:, chosen].T, center[chosen], stride[chosen, None]
    box_center = middle + values[:, 1:3] * pixels
    half = np.exp(np.clip(values[:, 3:5], -4, 4)) * (pixels / 2)
    points = values[:, 5:15] * pixels + np.tile(middle, 5)
    scores = 1 / (1 + np.exp(-values[:, 0]))
    boxes = np.concatenate([box_center - half, box_center + half], 1)
    usable = (np.abs(boxes) <= LARGEST_COORDINATE).all(1) & (np.abs(points) <= LARGEST_COORDINATE).all(1)
    boxes, scores, points = boxes[usable], scores[usable], points[usable]
    boxes, scores, points = merge_candidates(
        boxes,
        scores,
        points.reshape(-1, 5, 2),
        suppress_iou=SUPPRESS_IOU,
        vote_iou=VOTE_IOU,
    )
    kept = scores > score_threshold
    return boxes[kept], scores[kept], points[kept]


def best_logit(maps: list[np.ndarray], expected: tuple[float, float, float, float], *, least_iou: float) -> float:
    """Returns the highest score logit of the cells whose box overlaps `expected` enough, cut to -8..30; -8 without one.

    Args:
        maps: as for `decode_maps`; a small input's.
        expected: (x0, y0, x1, y1) in input pixels.
        least_iou: overlap from which a cell counts.

    Raises:
        BundleError: the maps have other shapes: they come from another network.
    """
    try:
        return native().best_logit(maps, STRIDES, expected, least_iou)
    except (TypeError, ValueError) as error:
        shapes = [getattr(grid, "shape", None) for grid in maps]
        raise BundleError(
            f"maps must be three of (15, H, W) float32, got {shapes}; use the bundle's own detector."
        ) from error


def best_logit_reference(
    maps: list[np.ndarray], expected: tuple[float, float, float, float], *, least_iou: float
) -> float:
    """Returns the result of `best_logit`, in NumPy: the twin of csrc/vision/second_look.

    Args:
        maps: as there.
        expected: as there.
        least_iou: as there.
    """
    cells, logits = decode_all(maps)
    near = logits[pair_iou(np.array([expected], np.float32), cells)[0] >= least_iou]
    return float(min(max(near.max(initial=LOWEST_LOGIT), LOWEST_LOGIT), HIGHEST_LOGIT))


def decode_all(maps: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the boxes (N, 4) in input pixels and score logits (N,) of all cells of three small maps."""
    raw = np.concatenate([grid.reshape(15, -1) for grid in maps], 1)
    center, stride = _cells(*maps[0].shape[1:])
    middle = center + raw[1:3].T * stride[:, None]
    half = np.exp(np.clip(raw[3:5].T, -4, 4)) * (stride[:, None] / 2)
    return np.concatenate([middle - half, middle + half], 1), raw[0]


@lru_cache(maxsize=32)
def _cells(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns centers (N, 2) in pixels and strides (N,) of all cells, for a map of this size at the finest stride."""
    parts, strides = [], []
    for stride in STRIDES:
        ratio = stride // STRIDES[0]
        ys, xs = np.mgrid[: rows // ratio, : columns // ratio]
        parts.append((np.stack([xs.ravel(), ys.ravel()], 1) + 0.5) * stride)
        strides.append(np.full(xs.size, stride))
    return np.concatenate(parts).astype(np.float32), np.concatenate(strides).astype(np.float32)

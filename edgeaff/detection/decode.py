"""Turns the raw maps of our single-shot detector into faces."""

from __future__ import annotations

import math

import numpy as np

from edgeaff.detection.boxes import merge_candidates

STRIDES = (8, 16, 32)
SUPPRESS_IOU = 0.4
VOTE_IOU = 0.6
MOST_CANDIDATES = 400


def decode_maps(maps: list[np.ndarray], *, score_threshold: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the faces of one picture in input pixels, best first.

    Each cell of each map answers: score logit; box centre (dx, dy) in strides from the cell's centre and logarithm of
    width and height in strides; five points (x, y) in strides from the cell's centre.

    Args:
        maps: per stride (8, 16, 32) one (15, H/stride, W/stride) float32.
        score_threshold: lowest score of a face, in (0, 1).

    Returns:
        boxes (n, 4) float32, scores (n,) float32, points (n, 5, 2) float32.
    """
    limit = math.log(score_threshold / (1 - score_threshold))
    # candidates somewhat below the threshold have a vote on the box of a face above it
    vote_limit = limit - 1.0
    parts = []
    for stride, grid in zip(STRIDES, maps, strict=True):
        rows, columns = np.nonzero(grid[0] > vote_limit)
        if len(rows):
            raw = grid[:, rows, columns].T
            centre = np.stack([columns, rows], 1) + 0.5
            box_centre = centre + raw[:, 1:3]
            half = np.exp(np.clip(raw[:, 3:5], -4, 4)) / 2
            points = raw[:, 5:15].reshape(-1, 5, 2) + centre[:, None]
            values = [raw[:, :1], stride * (box_centre - half), stride * (box_centre + half)]
            parts.append(np.concatenate([*values, stride * points.reshape(-1, 10)], 1))
    found = np.concatenate(parts) if parts else np.zeros((0, 15), np.float32)
    if not len(found) or found[:, 0].max() <= limit:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 5, 2), np.float32)
    if len(found) > MOST_CANDIDATES:
        found = found[np.argsort(-found[:, 0], kind="stable")[:MOST_CANDIDATES]]
    scores = (1 / (1 + np.exp(-found[:, 0]))).astype(np.float32)
    boxes, scores, points = merge_candidates(
        found[:, 1:5].astype(np.float32),
        scores,
        found[:, 5:].reshape(-1, 5, 2).astype(np.float32),
        suppress_iou=SUPPRESS_IOU,
        vote_iou=VOTE_IOU,
    )
    kept = scores > score_threshold
    return boxes[kept], scores[kept], points[kept]

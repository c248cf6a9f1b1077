"""Measures a detector on the validation part: recall by face size, false boxes, and the threshold they fix.

The list of views is fixed by its own seed: every validation frame at the input's long side (320), the same zoomed out
(twice as many pixels as the network sees, as a camera has), three crops of every face-free frame, and every third
frame of one face once more with that head painted as seen from behind (back_of_head.py). Sizes are those of a 640-pixel
frame: 60 px there are 30 here.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from edgeaff.backends import load_graph
from edgeaff.detection.boxes import MATCH_IOU, fit_letterbox, pair_cover, pair_iou
from edgeaff.detection.decode import decode_maps
from edgeaff.detection.ssd import SsdDetector
from recipes.face_detector.augment import random_crop
from recipes.face_detector.back_of_head import LEAST_HEIGHT_PX, paint_behind
from recipes.face_detector.data import Image, ImageCache, is_validation

LONG_SIDE = 320
FALSE_PER_100 = 0.5
"""Most false boxes per 100 views at the threshold: half of what is allowed on other images, since those always differ."""
THRESHOLDS = tuple(round(0.30 + 0.02 * k, 2) for k in range(33))
SIZE_NAMES = {"large": (30.0, 1e9), "middle": (15.0, 30.0), "small": (8.0, 15.0)}


@dataclass(slots=True)
class View:
    """One validation view.

    Attributes:
        image: (H, W, 3) uint8 RGB; its sides times long_side / max(H, W) are multiples of 32.
        boxes: (n, 4) faces, pixels of image.
        ignore: (m, 4) boxes that are neither right nor wrong.
        long_side: what the network sees of it.
        kind: row of the model card.
    """

    image: np.ndarray
    boxes: np.ndarray
    ignore: np.ndarray
    long_side: int
    kind: str


def _kind(frame: Image) -> str:
    """Returns the row of the model card that a frame belongs to."""
    if frame.status == "negative":
        return "face-free"
    if "with_mask" in frame.origin:
        return "masked"
    return "gray" if frame.gray else "color"


def _place(frame: Image, image: np.ndarray, long_side: int, *, detail: int) -> View:
    """Returns the frame at a size where the network sees long_side, in `detail` times as many pixels."""
    width, height = frame.size
    box = fit_letterbox(width, height, long_side=detail * long_side, multiple=32 * detail)
    canvas = np.zeros((box.canvas_height, box.canvas_width, 3), np.uint8)
    shrinks = box.scale_x < 1
    canvas[: box.height, : box.width] = cv2.resize(
        image, (box.width, box.height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    scale = np.array([box.scale_x, box.scale_y] * 2, np.float32)
    seen = max(canvas.shape[:2]) // detail
    return View(canvas, frame.boxes * scale, frame.ignore * scale, seen, _kind(frame))


def _turn_away(frame: Image, image: np.ndarray) -> list[View]:
    """Returns the view in which the one head of a frame is painted as seen from behind; none where that is impossible."""
    boxes = frame.boxes
    if len(boxes) != 1 or boxes[0, 3] - boxes[0, 1] < LEAST_HEIGHT_PX:
        return []
    painted = paint_behind(np.random.default_rng(zlib.crc32(frame.name.encode())), image, boxes[0], frame.landmarks[0])
    return [replace(_place(frame, painted, LONG_SIDE, detail=1), boxes=boxes[:0], kind="from behind (painted)")]


@lru_cache(maxsize=2)
def make_views(faces_folder: Path, cache_folder: Path) -> list[View]:
    """Returns the fixed list of validation views."""
    cache = ImageCache(faces_folder, cache_folder)
    rng = np.random.default_rng(20)
    views = []
    for index, frame in enumerate(cache.images):
        if not is_validation(frame) or frame.status == "ambiguous":
            continue
        image = cache[index]
        views.append(_place(frame, image, LONG_SIDE, detail=1))
        if index % 3 == 0:
            views.extend(_turn_away(frame, image))
        if len(frame.boxes):
            views.append(_place(frame, image, int(rng.integers(40, 161)), detail=2))
        if not len(frame.boxes) and not len(frame.ignore):
            for _ in range(3):
                crop = random_crop(rng, image, 320, 192, zoom=(0.6, 3.0))
                views.append(View(crop, frame.boxes, frame.ignore, LONG_SIDE, _kind(frame)))
    return views


@torch.no_grad()
def run_network(network: nn.Module, views: list[View]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns (boxes, scores) per view at the lowest threshold."""
    device = next(network.parameters()).device
    found = []
    for view in views:
        shrink = max(view.image.shape[:2]) // view.long_side
        size = (view.image.shape[1] // shrink, view.image.shape[0] // shrink)
        image = cv2.resize(view.image, size, interpolation=cv2.INTER_AREA)
        pixels = torch.from_numpy(image).to(device).permute(2, 0, 1)[None].float() / 255
        maps = [part[0].float().cpu().numpy() for part in network(pixels)]
        boxes, scores, _ = decode_maps(maps, score_threshold=THRESHOLDS[0])
        found.append((boxes * shrink, scores))
    return found


def count_matches(view: View, boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the score that found each face (0 = missed), (n,), and the scores of the false boxes.

    A box is false when it overlaps no face by MATCH_IOU and lies less than half in an ignore box.
    """
    best = np.zeros(len(view.boxes), np.float32)
    free = np.ones(len(boxes), bool)
    if len(boxes) and len(view.boxes):
        overlap = pair_iou(view.boxes, boxes)
        for face in range(len(view.boxes)):
            hits = np.flatnonzero((overlap[face] >= MATCH_IOU) & free)
            if len(hits):
                best[face] = scores[hits].max()
                free[hits[scores[hits].argmax()]] = False
    if len(boxes) and len(view.ignore):
        free &= pair_cover(boxes, view.ignore).max(1) < 0.5
    return best, scores[free]


def summarize(views: list[View], found: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Returns recall by size and false boxes per 100 views at each threshold, the threshold chosen, and rows by kind.

    The threshold: the lowest at which there are at most FALSE_PER_100 false boxes per 100 views.
    """
    heights, best, false, kinds, false_kinds = [], [], [], [], []
    for view, (boxes, scores) in zip(views, found, strict=True):
        hits, wrong = count_matches(view, boxes, scores)
        heights.extend((view.boxes[:, 3] - view.boxes[:, 1]) * (view.long_side / max(view.image.shape[:2])))
        best.extend(hits)
        kinds.extend([view.kind] * len(hits))
        false.extend(wrong)
        false_kinds.extend([view.kind] * len(wrong))
    height, score, wrong, kind = np.array(heights), np.array(best), np.array(false), np.array(kinds)
    table = []
    for threshold in THRESHOLDS:
        row: dict[str, Any] = {
            "threshold": threshold,
            "false_per_100": round(100 * float((wrong > threshold).sum()) / len(views), 3),
        }
        for name, (low, high) in SIZE_NAMES.items():
            chosen = (height >= low) & (height < high)
            row[name] = round(float((score[chosen] > threshold).mean()), 4) if chosen.any() else None
        table.append(row)
    good = [row for row in table if row["false_per_100"] <= FALSE_PER_100] or table[-1:]
    limit = good[0]["threshold"]
    by_kind = {}
    for name in sorted({view.kind for view in views}):
        count = sum(view.kind == name for view in views)
        mine = (kind == name) & (height >= SIZE_NAMES["large"][0])
        fired = sum(bool(value > limit) for value, of in zip(false, false_kinds, strict=True) if of == name)
        by_kind[name] = {"views": count, "large_faces": int(mine.sum()), "false_per_100": round(100 * fired / count, 3)}
        by_kind[name]["large"] = round(float((score[mine] > limit).mean()), 4) if mine.any() else None
    sizes = {name: int(((height >= low) & (height < high)).sum()) for name, (low, high) in SIZE_NAMES.items()}
    return {
        "views": len(views),
        "faces": sizes,
        "chosen": good[0],
        "by_kind": by_kind,
        "table": table,
    }


def validate_network(network: nn.Module, faces_folder: Path, cache_folder: Path) -> dict[str, Any]:
    """Returns the chosen row and the curve of a network in evaluation mode."""
    views = make_views(faces_folder, cache_folder)
    result = summarize(views, run_network(network, views))
    curve = [row for row in result["table"] if round(row["threshold"] * 50) % 5 == 0]
    return {"views": result["views"], "faces": result["faces"], "chosen": result["chosen"], "curve": curve}


def validate_file(model: bytes, faces_folder: Path, cache_folder: Path) -> dict[str, Any]:
    """Returns the summary of an exported file, run as it will be run."""
    graph = load_graph(model)
    views, found = make_views(faces_folder, cache_folder), []
    for view in views:
        detector = SsdDetector(graph, score_threshold=THRESHOLDS[0], input_long_side=view.long_side)
        faces = detector.detect(view.image)
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        found.append((boxes, np.array([face.score for face in faces], np.float32)))
    return summarize(views, found)

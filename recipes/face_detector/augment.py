"""Makes one training frame: a warped face frame, a mosaic or a face-free crop, with its boxes and points.

Face heights are drawn per frame, log-uniformly from 8 pixels to 1.15 times the canvas, so that training sees every
size that the runtime meets at its input size. All randomness comes from the generator handed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from edgeaff.detection.boxes import pair_iou
from recipes.face_detector.back_of_head import LEAST_HEIGHT_PX, paint_behind
from recipes.face_detector.data import ImageCache
from recipes.face_detector.textures import texture

MIRRORED_POINTS = [1, 0, 2, 4, 3]


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Chances and ranges of the augmentation.

    Attributes:
        mosaic: share of mosaics (2 to 6 images on one canvas).
        negative: share of face-free images.
        small: share of images whose face height is drawn from small_heights.
        small_heights: (lowest, highest) pixels.
        heights: (lowest pixels, highest as a multiple of the longer canvas side).
        rotation_degrees: standard deviation of the usual rotation.
        strong_rotation: share of images turned by up to 60 degrees.
        gray: share turned gray (a third of the images is gray already).
        behind: share of the images with faces whose heads are painted as seen from behind, each a negative then.
        mined: share of the face-free images that show a mined false box as if it were a face (mine.py).
        made: share of the face-free images that are made up (textures.py).
        visible: a face stays a face when at least this share of its box is on the canvas; below, it is ignored.
    """

    mosaic: float = 0.18
    negative: float = 0.2
    small: float = 0.25
    small_heights: tuple[float, float] = (8.0, 40.0)
    heights: tuple[float, float] = (24.0, 1.15)
    rotation_degrees: float = 9.0
    strong_rotation: float = 0.08
    gray: float = 0.15
    behind: float = 0.12
    mined: float = 0.35
    made: float = 0.12
    visible: float = 0.6


@dataclass(slots=True)
class Scene:
    """A canvas with what is on it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (n, 4) float32 faces; may reach outside.
        landmarks: (n, 5, 2) float32, NaN where not known.
        ignore: (m, 4) float32.
        behind: (k, 4) float32; heads seen from behind, surely no faces.
        negative: index of the face-free frame shown, or -1.
    """

    image: np.ndarray
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    landmarks: np.ndarray = field(default_factory=lambda: np.zeros((0, 5, 2), np.float32))
    ignore: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    behind: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    negative: int = -1


def warp_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Returns the boxes around the warped inscribed ellipses. boxes: (n, 4); matrix: (2, 3), source to target."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    halves = (boxes[:, 2:] - boxes[:, :2]) / 2
    extent = np.sqrt((halves**2) @ (matrix[:, :2] ** 2).T)
    return np.concatenate([centers - extent, centers + extent], 1).astype(np.float32)


def visible_share(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Returns the share of each box that lies on the canvas, (n,)."""
    limit = np.array([width, height], np.float32)
    inside = np.clip(boxes[:, 2:], 0, limit) - np.clip(boxes[:, :2], 0, limit)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return np.prod(inside, axis=1) / np.maximum(area, 1e-6)


class Augmenter:
    """Draws scenes from the images of the training part."""

    def __init__(
        self,
        cache: ImageCache,
        faces: np.ndarray,
        negatives: np.ndarray,
        config: AugmentConfig,
        mined: np.ndarray | None = None,
    ) -> None:
        """Takes the images.

        Args:
            cache: all images.
            faces: indices of those with faces.
            negatives: indices of those without any.
            config: chances and ranges.
            mined: (n, 5) false boxes on face-free images: position in `negatives`, x0, y0, x1, y1 pixels.
        """
        self._mined = np.zeros((0, 5), np.float32) if mined is None else mined
        self._cache = cache
        self._faces = faces
        self._negatives = negatives
        self._config = config
        weights = np.array([1.0 + min(len(cache.images[i].boxes) - 1, 4) for i in faces])
        rare = np.array([cache.images[i].source not in {"voteview", "muxspace", "congress225"} for i in faces])
        weights *= np.where(rare, 1.5, 1.0)
        self._face_share = np.cumsum(weights / weights.sum())
        self.negative_weights = np.ones(len(negatives), np.float32)

    def draw(self, rng: Generator, width: int, height: int) -> Scene:
        """Returns one clean scene of the given size (geometry only)."""
        kind = rng.random()
        if kind < self._config.negative:
            return self._draw_negative(rng, width, height)
        scene = (
            self._draw_mosaic(rng, width, height)
            if kind < self._config.negative + self._config.mosaic
            else self._draw_faces(rng, width, height, self._draw_height(rng, width, height))
        )
        if rng.random() < 0.3 and height == 192 and width == 320:
            scene.image[180:] = 0
        if rng.random() < 0.5:
            _mirror(scene)
        share = visible_share(scene.boxes, width, height)
        tiny = (scene.boxes[:, 3] - scene.boxes[:, 1]) < 7
        keep = (share >= self._config.visible) & ~tiny
        scene.ignore = np.concatenate([scene.ignore, scene.boxes[~keep & (share > 0)]])
        scene.boxes, scene.landmarks = scene.boxes[keep], scene.landmarks[keep]
        return scene

    def _draw_height(self, rng: Generator, width: int, height: int) -> float:
        low, high = self._config.heights[0], self._config.heights[1] * max(width, height)
        if rng.random() < self._config.small:
            low, high = self._config.small_heights
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    def _draw_faces(self, rng: Generator, width: int, height: int, face_height: float) -> Scene:
        index = int(self._faces[min(np.searchsorted(self._face_share, rng.random()), len(self._faces) - 1)])
        frame, source = self._cache.images[index], self._cache[index]
        target = frame.boxes[rng.integers(len(frame.boxes))]
        painted = np.zeros(len(frame.boxes), bool)
        if rng.random() < self._config.behind:
            heights = frame.boxes[:, 3] - frame.boxes[:, 1]
            alone = pair_iou(frame.boxes, frame.boxes).sum(1) < 1.02  # paint reaches beyond the box
            painted = alone & (heights >= LEAST_HEIGHT_PX) & (rng.random(len(heights)) < 0.8)
            for number in np.flatnonzero(painted):
                source = paint_behind(rng, source, frame.boxes[number], frame.landmarks[number])
        scale = face_height / max(float(target[3] - target[1]), 4.0)
        matrix = self._draw_matrix(rng, target, min(scale, 4.0), width, height)
        image = self._warp(rng, source, matrix, width, height)
        points = frame.landmarks.reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]
        boxes = warp_boxes(frame.boxes, matrix)
        return Scene(
            image,
            boxes[~painted],
            points.reshape(-1, 5, 2).astype(np.float32)[~painted],
            warp_boxes(frame.ignore, matrix),
            boxes[painted],
        )

    def _draw_matrix(self, rng: Generator, target: np.ndarray, scale: float, width: int, height: int) -> np.ndarray:
        strong = rng.random() < self._config.strong_rotation
        angle = (
            rng.uniform(-60, 60) if strong else float(np.clip(rng.normal(0, self._config.rotation_degrees), -40, 40))
        )
        aspect = math.exp(rng.normal(0, 0.05))
        cos, sin = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
        linear = np.array([[cos * aspect, -sin / aspect], [sin * aspect, cos / aspect]])
        half = (target[2:] - target[:2]) / 2 * scale
        low = np.minimum(half * 0.75, [width / 2, height / 2])
        place = rng.uniform(low, np.maximum([width, height] - low, low + 1e-3))
        return np.concatenate([linear, (place - linear @ ((target[:2] + target[2:]) / 2))[:, None]], 1)

    def _warp(self, rng: Generator, source: np.ndarray, matrix: np.ndarray, width: int, height: int) -> np.ndarray:
        scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
        if scale < 0.75:
            size = [max(round(side * scale), 1) for side in source.shape[1::-1]]
            ratio = np.array([source.shape[1] / size[0], source.shape[0] / size[1]])
            # pixel centers: x_source + 0.5 = (x_small + 0.5) * ratio
            shift = matrix[:, :2] @ (0.5 * ratio - 0.5)
            matrix = np.concatenate([matrix[:, :2] * ratio, (matrix[:, 2] + shift)[:, None]], 1)
            source = cv2.resize(source, size, interpolation=cv2.INTER_AREA)
        choice = rng.random()
        if choice < 0.4:
            canvas = self._background(rng, width, height)
            mode = cv2.BORDER_TRANSPARENT
        elif choice < 0.75:
            canvas, mode = None, cv2.BORDER_REPLICATE
        else:
            color = (0, 0, 0) if choice < 0.9 else tuple(int(value) for value in rng.integers(0, 256, 3))
            canvas, mode = np.empty((height, width, 3), np.uint8), cv2.BORDER_TRANSPARENT
            canvas[:] = color
        return cv2.warpAffine(source, matrix, (width, height), dst=canvas, flags=cv2.INTER_LINEAR, borderMode=mode)

    def _background(self, rng: Generator, width: int, height: int) -> np.ndarray:
        index = int(self._negatives[rng.integers(len(self._negatives))])
        return random_crop(rng, self._cache[index], width, height, zoom=(1.0, 2.0))

    def _draw_mosaic(self, rng: Generator, width: int, height: int) -> Scene:
        columns, rows = ((2, 1), (2, 2), (3, 2), (2, 2))[rng.integers(4)]
        if height > width:
            columns, rows = rows, columns
        xs = _cuts(rng, width, columns)
        ys = _cuts(rng, height, rows)
        scene = Scene(np.empty((height, width, 3), np.uint8))
        parts = []
        for x0, x1 in zip(xs[:-1], xs[1:], strict=True):
            for y0, y1 in zip(ys[:-1], ys[1:], strict=True):
                face = math.exp(rng.uniform(math.log(10), math.log(1.1 * (y1 - y0))))
                part = self._draw_faces(rng, x1 - x0, y1 - y0, face)
                scene.image[y0:y1, x0:x1] = part.image
                parts.append(_shift_part(part, x0, y0, x1 - x0, y1 - y0, self._config.visible))
        scene.boxes = np.concatenate([part.boxes for part in parts])
        scene.landmarks = np.concatenate([part.landmarks for part in parts])
        scene.ignore = np.concatenate([part.ignore for part in parts])
        scene.behind = np.concatenate([part.behind for part in parts])
        return scene

    def _draw_negative(self, rng: Generator, width: int, height: int) -> Scene:
        if rng.random() < self._config.made:
            return Scene(texture(rng, width, height), negative=-2)
        if len(self._mined) and rng.random() < self._config.mined:
            return self._draw_mined(rng, width, height)
        share = np.cumsum(self.negative_weights)
        position = int(min(np.searchsorted(share, rng.random() * share[-1]), len(share) - 1))
        image = random_crop(rng, self._cache[int(self._negatives[position])], width, height, zoom=(0.6, 3.0))
        return Scene(image, negative=position)

    def _draw_mined(self, rng: Generator, width: int, height: int) -> Scene:
        """Returns a mined false box in the place of a face."""
        row = self._mined[rng.integers(len(self._mined))]
        box = row[1:]
        scale = self._draw_height(rng, width, height) / max(float(box[3] - box[1]), 4.0)
        matrix = self._draw_matrix(rng, box, min(scale, 6.0), width, height)
        source = self._cache[int(self._negatives[int(row[0])])]
        image = self._warp(rng, source, matrix, width, height)
        return Scene(image[:, ::-1] if rng.random() < 0.5 else image, negative=int(row[0]))


def _shift_part(part: Scene, x: int, y: int, width: int, height: int, visible: float) -> Scene:
    share = visible_share(part.boxes, width, height)
    move = np.array([x, y, x, y], np.float32)
    keep = share >= visible
    cut = part.boxes[~keep & (share > 0)]
    return Scene(
        part.image,
        part.boxes[keep] + move,
        part.landmarks[keep] + move[:2],
        np.concatenate([part.ignore, cut]) + move,
        part.behind + move,
    )


def _cuts(rng: Generator, length: int, parts: int) -> list[int]:
    even = np.arange(parts + 1) * length / parts
    even[1:-1] += rng.uniform(-0.15, 0.15, parts - 1) * length / parts
    return [round(value) for value in even]


def _mirror(scene: Scene) -> None:
    width = scene.image.shape[1]
    scene.image = np.ascontiguousarray(scene.image[:, ::-1])
    for name in ("boxes", "ignore", "behind"):
        boxes = getattr(scene, name)
        setattr(scene, name, np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1))
    scene.landmarks = scene.landmarks[:, MIRRORED_POINTS]
    scene.landmarks[..., 0] = width - scene.landmarks[..., 0]


def random_crop(
    rng: Generator, source: np.ndarray, width: int, height: int, *, zoom: tuple[float, float]
) -> np.ndarray:
    """Returns a (height, width) view of a frame at a log-uniform zoom over "just covers"; black where it ends."""
    cover = max(width / source.shape[1], height / source.shape[0])
    scale = cover * math.exp(rng.uniform(math.log(zoom[0]), math.log(zoom[1])))
    span = np.array([width, height]) / scale
    free = np.array(source.shape[1::-1]) - span
    start = np.where(free > 0, rng.random(2) * free, free / 2)
    x0, y0 = np.maximum(np.floor(start), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(start + span), source.shape[1::-1]).astype(int)
    part = source[y0:y1, x0:x1]
    size = (min(round((x1 - x0) * scale), width), min(round((y1 - y0) * scale), height))
    part = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 0.6 else cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        part = part[:, ::-1]
    if size == (width, height):
        return np.ascontiguousarray(part)
    canvas = np.zeros((height, width, 3), np.uint8)
    x, y = rng.integers(0, width - size[0] + 1), rng.integers(0, height - size[1] + 1)
    canvas[y : y + size[1], x : x + size[0]] = part
    return canvas

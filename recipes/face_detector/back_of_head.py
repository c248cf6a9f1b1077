"""Turns a face into a head seen from behind: the oval is painted over with hair, so that it may be taught as no face.

The data hold hardly any heads from behind, which is where the first detector fired falsely. Hair color and texture come
from the strip above the forehead, where the image shows one; below a short cut the neck takes the color of the
cheeks; some heads are bald.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

LEAST_HEIGHT_PX = 16
BALD, SHORT, LONG = 0.12, 0.45, 0.43  # shares of the three cuts
HAIR_COLORS = (
    (28, 24, 22),
    (60, 42, 30),
    (96, 68, 44),
    (150, 116, 76),
    (190, 160, 112),
    (130, 128, 126),
    (110, 52, 30),
)


@dataclass(frozen=True, slots=True)
class _Head:
    """The head's own axes. center: (2,) pixels; angle: radians; width, height: of the face box, pixels."""

    center: np.ndarray
    angle: float
    width: float
    height: float

    def axes(self, columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns image points as (across, down) in face widths and heights from the center."""
        dx, dy = columns - self.center[0], rows - self.center[1]
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return (cos * dx + sin * dy) / self.width, (cos * dy - sin * dx) / self.height


def paint_behind(rng: Generator, image: np.ndarray, box: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns a copy of the image in which the head that the box holds turns its back.

    Args:
        rng: source of all choices.
        image: (H, W, 3) uint8 RGB.
        box: (4,) the face, forehead to chin, pixels.
        points: (5, 2) eyes, nose, mouth corners, pixels; NaN where not known (then the head is upright).
    """
    head = _find_head(box, points)
    reach = 1.4 * max(head.width, head.height)
    x0, y0 = np.maximum(np.floor(head.center - reach), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(head.center + reach) + 1, image.shape[1::-1]).astype(int)
    columns, rows = np.meshgrid(np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32))
    across, down = head.axes(columns, rows)
    part = image[y0:y1, x0:x1]
    skin = _mean_color(part, (np.abs(across) < 0.28) & (np.abs(down) < 0.25), HAIR_COLORS[4])
    above = (np.abs(across) < 0.3) & (down < -0.54) & (down > -0.74)
    hair = _mean_color(part, above, HAIR_COLORS[rng.integers(len(HAIR_COLORS))])
    if np.abs(part - part[..., :1].astype(np.int16)).max() < 12:
        hair = np.full(3, hair.mean())
    cut = rng.choice(3, p=[BALD, SHORT, LONG])
    color = skin if cut == 0 else hair
    grain = 0.05 if cut == 0 else rng.uniform(0.08, 0.4)
    painted = _paint_hair(rng, across, down, color, grain)
    oval = ((across - 0) / 0.6) ** 2 + ((down + 0.08) / 0.64) ** 2
    cover = oval < 1
    if cut == 2:
        width, end = rng.uniform(0.5, 0.72), rng.uniform(0.5, 1.2)
        cover |= (np.abs(across) < width - 0.1 * (down - 0.2) ** 2) & (down > -0.1) & (down < end)
    elif cut == 1:
        line = rng.uniform(0.16, 0.42) + 0.06 * np.cos(across * 6)
        neck = _paint_hair(rng, across, down, skin * rng.uniform(0.75, 1.0), 0.04)
        share = np.clip((down - line) / 0.06 + 0.5, 0, 1)[..., None]
        painted = painted * (1 - share) + neck * share
    soft = max(0.03 * head.width, 0.6)
    mask = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), soft)[..., None]
    result = image.copy()
    result[y0:y1, x0:x1] = np.clip(part * (1 - mask) + painted * mask, 0, 255)
    return result


def _find_head(box: np.ndarray, points: np.ndarray) -> _Head:
    width, height = float(box[2] - box[0]), float(box[3] - box[1])
    center = (box[:2] + box[2:]) / 2
    if not np.isfinite(points).all():
        return _Head(center, 0.0, width, height)
    eyes = points[:2].mean(0)
    axis = points[3:].mean(0) - eyes
    angle = math.atan2(-float(axis[0]), float(axis[1]))
    if abs(angle) > math.radians(25):  # the box is upright, the head is not: a circle covers it
        width = height = max(width, height)
    return _Head(center, angle, width, height)


def _mean_color(part: np.ndarray, where: np.ndarray, otherwise: tuple[int, int, int]) -> np.ndarray:
    """Returns the median color of a region, (3,) float; another one where the region lies outside the image."""
    if where.sum() < 12:
        return np.array(otherwise, float)
    return np.median(part[where], axis=0).astype(float)


def _paint_hair(rng: Generator, across: np.ndarray, down: np.ndarray, color: np.ndarray, grain: float) -> np.ndarray:
    """Returns strands that run down from a crown, shaded like a ball, (H, W, 3) float32."""
    crown = (rng.normal(0, 0.12), rng.uniform(-0.6, -0.15))
    x, y = across - crown[0], down - crown[1]
    radius = np.sqrt(x * x + y * y)
    bend = rng.normal(0, 0.4)
    straight = rng.uniform(0, 1)
    where = (1 - straight) * (np.arctan2(x, y + 0.02) / np.pi + bend * radius) + straight * (x + bend * 0.3 * y * y)
    strands = rng.normal(0, 1, 4096).astype(np.float32)
    fine = strands[(where * rng.uniform(20, 80)).astype(int) % 4096]
    coarse = np.interp((where * rng.uniform(4, 14)) % 64, np.arange(65), strands[:65])
    spots = cv2.resize(rng.normal(0, 1, (6, 6)).astype(np.float32), across.shape[::-1], interpolation=cv2.INTER_CUBIC)
    pattern = 0.5 * fine + 0.6 * coarse + 0.5 * spots
    light = rng.normal(0, 0.35, 2)
    shade = 1.05 - 0.35 * (across**2 + down**2) + light[0] * across + light[1] * down
    gloss = rng.uniform(0, 0.5) * np.exp(-(((down - crown[1] - 0.15) / 0.1) ** 2)) * (1 + fine * 0.3)
    values = np.clip(shade, 0.3, 1.5) * (1 + grain * pattern) + (gloss if grain > 0.06 else 0.3 * gloss)
    return (color[None, None] * values[..., None] + rng.normal(0, 2)).astype(np.float32)

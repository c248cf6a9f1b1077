"""Made-up images without faces: noise, stripes, checkerboards, discs, and drawings of round things and letters."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

LETTERS = "ABCDEFGHKMNOPQRSUXYZ0689&@%?"


def texture(rng: Generator, width: int, height: int) -> np.ndarray:
    """Returns a synthetic face-free image, (height, width, 3) uint8: a pattern, or a drawing on one."""
    image = _pattern(rng, width, height)
    if rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 7))):
            _draw_object(rng, image)
    return image


def _pattern(rng: Generator, width: int, height: int) -> np.ndarray:
    kind = rng.integers(5)
    ys, xs = np.mgrid[:height, :width]
    colors = rng.integers(0, 256, (2, 3))
    if kind == 0:
        grain = int(rng.integers(1, 24))
        noise = rng.integers(0, 256, (height // grain + 2, width // grain + 2, 3), dtype=np.uint8)
        return cv2.resize(noise, (width, height), interpolation=int(rng.integers(0, 3)))
    if kind == 1:
        wave = np.sin((xs * rng.normal(0, 0.3) + ys * rng.normal(0, 0.3)) + rng.random() * 6) * 0.5 + 0.5
    elif kind == 2:
        cell = int(rng.integers(4, 60))
        wave = ((xs // cell + ys // cell) % 2).astype(float)
    elif kind == 3:
        wave = np.zeros((height, width))
        for _ in range(int(rng.integers(1, 12))):
            center = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.circle(wave, center, int(rng.integers(3, 90)), float(rng.random()), -1)
    else:
        wave = (xs * rng.normal(0, 1) / width + ys * rng.normal(0, 1) / height) * 0.5 + 0.5
    return np.clip(colors[0] + wave[..., None] * (colors[1] - colors[0]), 0, 255).astype(np.uint8)


def _color(rng: Generator) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return red, green, blue


def _draw_object(rng: Generator, image: np.ndarray) -> None:
    """Draws one thing into the image: a ball, a wheel, a letter, a drawn smile, or a head without features."""
    height, width = image.shape[:2]
    center = (int(rng.integers(width)), int(rng.integers(height)))
    radius = int(np.exp(rng.uniform(np.log(6), np.log(0.5 * max(width, height)))))
    kind = rng.integers(5)
    if kind == 0:
        _draw_ball(rng, image, center, radius)
    elif kind == 1:
        for share in np.sort(rng.uniform(0.1, 1, int(rng.integers(2, 6))))[::-1]:
            cv2.circle(image, center, max(int(radius * share), 1), _color(rng), -1, cv2.LINE_AA)
    elif kind == 2:
        letter = LETTERS[rng.integers(len(LETTERS))]
        thickness = max(int(radius * rng.uniform(0.05, 0.4)), 1)
        cv2.putText(image, letter, center, int(rng.integers(0, 5)), radius / 12, _color(rng), thickness, cv2.LINE_AA)
    elif kind == 3:
        _draw_smile(rng, image, center, radius)
    else:
        _draw_ball(rng, image, (center[0], center[1] + 2 * radius), int(radius * 1.6))
        _draw_ball(rng, image, center, radius)


def _draw_ball(rng: Generator, image: np.ndarray, center: tuple[int, int], radius: int) -> None:
    """Draws an ellipse, shaded in steps from one side."""
    color, axes = np.array(_color(rng)), (radius, max(int(radius * rng.uniform(0.7, 1.4)), 1))
    light, angle = rng.normal(0, 0.35, 2), float(rng.uniform(0, 180))
    for step in range(6):
        share = 1 - step / 6
        place = (int(center[0] + light[0] * radius * (1 - share)), int(center[1] + light[1] * radius * (1 - share)))
        size = (max(int(axes[0] * share), 1), max(int(axes[1] * share), 1))
        tone = np.clip(color * (0.6 + 0.1 * step), 0, 255)
        cv2.ellipse(image, place, size, angle, 0, 360, tuple(int(v) for v in tone), -1, cv2.LINE_AA)


def _draw_smile(rng: Generator, image: np.ndarray, center: tuple[int, int], radius: int) -> None:
    """Draws two dots and an arc in a circle: drawings are no faces."""
    x, y = center
    if rng.random() < 0.8:
        cv2.circle(image, center, radius, _color(rng), -1 if rng.random() < 0.7 else 2, cv2.LINE_AA)
    ink = _color(rng)
    eye = max(int(radius * rng.uniform(0.06, 0.2)), 1)
    for side in (-1, 1):
        place = (int(x + side * 0.35 * radius), int(y - rng.uniform(0.2, 0.3) * radius))
        cv2.circle(image, place, eye, ink, -1, cv2.LINE_AA)
    mouth = (max(int(radius * 0.5), 1), max(int(radius * rng.uniform(0.1, 0.5)), 1))
    start = 0 if rng.random() < 0.7 else 180
    cv2.ellipse(image, (x, int(y + 0.25 * radius)), mouth, 0, start, start + 180, ink, max(eye // 2, 1), cv2.LINE_AA)

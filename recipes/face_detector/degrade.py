"""Photometric changes of a training image: light, color, gray, blur, noise, low resolution, JPEG, patches."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import Generator

from recipes.face_detector.augment import Scene


def degrade(rng: Generator, scene: Scene, *, gray: float) -> np.ndarray:
    """Returns the image of the scene as a worse camera would give it, (H, W, 3) uint8; the scene is left alone.

    Args:
        rng: source of all choices.
        scene: geometry is kept; the boxes tell where to lay patches.
        gray: chance of a gray image.
    """
    image = scene.image
    if len(scene.boxes) and rng.random() < 0.2:
        image = _lay_patch(rng, image.copy(), scene.boxes[rng.integers(len(scene.boxes))])
    if rng.random() < 0.15:
        image = _lower_resolution(rng, image)
    if rng.random() < 0.15:
        image = _blur(rng, image)
    if rng.random() < gray:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    if rng.random() < 0.08:
        image = _dim(rng, image)
    elif rng.random() < 0.85:
        image = _change_light(rng, image)
    if rng.random() < 0.15:
        image = _add_noise(rng, image)
    if rng.random() < 0.15:
        quality = int(rng.integers(20, 80))
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return image


def _change_light(rng: Generator, image: np.ndarray) -> np.ndarray:
    values = np.arange(256, dtype=np.float32) / 255
    gamma = math.exp(rng.normal(0, 0.35))
    gain = math.exp(rng.normal(0, 0.25))
    shift = rng.normal(0, 0.08)
    tint = np.exp(rng.normal(0, 0.08, 3))
    curve = (values[:, None] ** gamma * gain - 0.5 * (gain - 1)) * tint + shift
    table = np.clip(curve * 255, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


def _dim(rng: Generator, image: np.ndarray) -> np.ndarray:
    """Returns the image in little light: an eighth to a half of it, with the noise of a sensor that amplifies."""
    height, width = image.shape[:2]
    noise = np.empty((height, width, 3), np.int16)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(noise, 0, rng.uniform(1, 7))
    return np.clip(image * np.float32(rng.uniform(0.12, 0.5)) + noise, 0, 255).astype(np.uint8)


def _blur(rng: Generator, image: np.ndarray) -> np.ndarray:
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.0))
    length = int(rng.integers(3, 9))
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    angle = rng.random() * math.pi
    step = np.array([math.cos(angle), math.sin(angle)]) * middle
    cv2.line(
        kernel,
        tuple(np.round(middle - step).astype(int).tolist()),
        tuple(np.round(middle + step).astype(int).tolist()),
        1.0,
    )
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _lower_resolution(rng: Generator, image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    factor = rng.uniform(0.35, 0.9)
    small = cv2.resize(image, (max(int(width * factor), 8), max(int(height * factor), 8)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=int(rng.integers(0, 3)))


def _add_noise(rng: Generator, image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    noise = np.empty((height, width, 3), np.int16)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(noise, 0, rng.uniform(2, 16))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _lay_patch(rng: Generator, image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Returns the image with up to about a third of a face covered by a flat or noisy patch."""
    width, height = box[2:] - box[:2]
    size = np.array([width * rng.uniform(0.2, 0.6), height * rng.uniform(0.15, 0.5)])
    center = box[:2] + rng.random(2) * [width, height]
    x0, y0 = np.maximum(np.round(center - size / 2), 0).astype(int)
    x1, y1 = np.minimum(np.round(center + size / 2), image.shape[1::-1]).astype(int)
    if x1 <= x0 or y1 <= y0:
        return image
    if rng.random() < 0.3:
        image[y0:y1, x0:x1] = rng.integers(0, 256, (y1 - y0, x1 - x0, 3), dtype=np.uint8)
    elif rng.random() < 0.4:
        image[y0:y1, x0:x1] = image[::-1, ::-1][y0:y1, x0:x1]
    else:
        image[y0:y1, x0:x1] = rng.integers(0, 256, 3)
    return image

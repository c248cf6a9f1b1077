"""Disturbances of a face, one kind at a time, to train and to measure the stated errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recipes.face_encoder.augment import plain, warp
from recipes.face_encoder.cover import hand, mask_lower

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _levels(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _small(tile: np.ndarray, random: np.random.Generator) -> np.ndarray:
    import cv2

    side = int(random.integers(18, 28))
    return plain(cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA))


def _blurred(tile: np.ndarray, random: np.random.Generator) -> np.ndarray:
    import cv2

    return np.asarray(cv2.GaussianBlur(plain(tile), (0, 0), float(random.uniform(3, 6))))


def _dark(tile: np.ndarray, random: np.random.Generator) -> np.ndarray:
    dim = plain(tile) * np.float32(random.uniform(0.08, 0.25))
    return _levels(dim + 3.0 * random.standard_normal(dim.shape))


def _either(random: np.random.Generator, low: float, high: float) -> float:
    return float(random.choice((-1, 1)) * random.uniform(low, high))


# Each takes a 48-px tile and gives the 96-px crop.
HINDRANCES: dict[str, Change] = {
    "mask": lambda tile, random: _levels(mask_lower(plain(tile).astype(np.float32), random)),
    "hand": lambda tile, random: _levels(hand(plain(tile).astype(np.float32), random)),
    "blur": _blurred,
    "turn": lambda tile, random: warp(tile, keystone=(_either(random, 0.15, 0.32), 0.0)),
    "down": lambda tile, random: warp(tile, keystone=(0.0, float(random.uniform(0.1, 0.25)))),
    "dark": _dark,
    "small": _small,
    "roll": lambda tile, random: warp(tile, degrees=_either(random, 15, 35)),
    "bright": lambda tile, random: _levels(2.0 * plain(tile).astype(np.float32)),
}


def hinder(tile: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the crop of a face under one hindrance at random: (48, 48) -> (96, 96) uint8."""
    names = list(HINDRANCES)
    return HINDRANCES[names[random.integers(len(names))]](tile, random)

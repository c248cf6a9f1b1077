"""Draws over a 96-px crop what covers faces or makes them speak: masks, hands, glasses, hair, open mouths.

Positions are those of a face that fills its tile as in FER+: eyes near 40 % of the height, mouth near 76 %.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeaff.spec import CROP_SIZE_PX

Draw = Callable[[np.ndarray, np.random.Generator], np.ndarray]
EYES_Y, MOUTH_Y = 0.40, 0.76
EYE_X = (0.31, 0.69)


def _tone(image: np.ndarray, random: np.random.Generator) -> float:
    """Returns a gray level: any, or near the median of the image as skin over skin is."""
    return float(random.uniform(0, 255) if random.random() < 0.7 else np.median(image) + random.normal(0, 20))


def _fill(image: np.ndarray, points: np.ndarray, tone: float, random: np.random.Generator) -> np.ndarray:
    """Returns the image with a polygon of one tone, softly shaded, with a soft edge. points: (N, 2) x, y shares of the side."""
    import cv2

    mask = np.zeros(image.shape, np.float32)
    cv2.fillPoly(mask, [np.rint(points * CROP_SIZE_PX * 16).astype(np.int32)], 1.0, lineType=cv2.LINE_AA, shift=4)
    mask = cv2.GaussianBlur(mask, (0, 0), random.uniform(0.4, 1.2))
    angle, depth = random.uniform(0, 2 * np.pi), random.uniform(0, 40)
    axis = np.linspace(-1, 1, CROP_SIZE_PX, dtype=np.float32)
    surface = tone + depth * (np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None])
    if random.random() < 0.3:
        surface = surface + random.normal(0, random.uniform(2, 25), image.shape)
    return np.clip(image + mask * (surface.astype(np.float32) - image), 0.0, 255.0)


def mask_lower(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the face with its lower half covered: a mask, a scarf, a cup held close. image: (96, 96) float32."""
    top = random.uniform(0.50, 0.66)
    if random.random() < 0.3:  # straight edge over the whole crop
        shape = np.array([[-0.1, top], [1.1, top + random.normal(0, 0.03)], [1.1, 1.1], [-0.1, 1.1]])
    else:
        side = random.uniform(0.04, 0.16)
        shape = np.array(
            [
                [side, top + 0.06],
                [0.5, top - random.uniform(0.0, 0.08)],
                [1 - side, top + 0.06],
                [1 - side - 0.04, 0.86],
                [0.62, 1.04],
                [0.38, 1.04],
                [side + 0.04, 0.86],
            ]
        )
    shape = shape + [random.normal(0, 0.02), 0.0]
    image = _fill(image, shape, _tone(image, random), random)
    for _ in range(int(random.integers(0, 4))):  # folds
        y = random.uniform(top + 0.06, 0.95)
        line = np.array([[0.2, y], [0.8, y + random.normal(0, 0.02)], [0.8, y + 0.012], [0.2, y + 0.012]])
        image = _fill(image, line, _tone(image, random), random)
    return image


def hand(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the face behind fingers or a fist that come in from one side. image: (96, 96) float32."""
    tone = float(np.median(image) + random.normal(0, 25))
    center = np.array([random.uniform(0.1, 0.9), random.uniform(0.45, 0.95)])
    angle = random.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    width = random.uniform(0.05, 0.09)
    for finger in range(int(random.integers(1, 5))):
        middle = center + across * (finger * 2.1 * width) + along * random.normal(0, 0.04)
        tip = middle + along * random.uniform(0.1, 0.25)
        root = middle - along * 1.2
        shape = np.array(
            [root - across * width, tip - 0.6 * across * width, tip + 0.6 * across * width, root + across * width]
        )
        image = _fill(image, shape, tone + random.normal(0, 8), random)
    return image


def glasses(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the face with dark lenses or frames. image: (96, 96) float32."""
    import cv2

    radius = np.array([random.uniform(0.11, 0.17), random.uniform(0.08, 0.14)])
    dark, drop = float(random.uniform(0, 90)), random.normal(0, 0.02)
    lens = np.zeros(image.shape, np.float32)
    filled = random.random() < 0.4
    thick = -1 if filled else int(random.integers(1, 4))
    size = CROP_SIZE_PX * 16
    for x in EYE_X:
        middle = (round(x * size), round((EYES_Y + drop) * size))
        axes = (round(radius[0] * size), round(radius[1] * size))
        cv2.ellipse(lens, middle, axes, 0, 0, 360, 1.0, thick, cv2.LINE_AA, 4)
    y = round((EYES_Y + drop) * size)
    cv2.line(lens, (round(0.42 * size), y), (round(0.58 * size), y), 1.0, 2, cv2.LINE_AA, 4)
    opacity = random.uniform(0.6, 1.0) if filled else random.uniform(0.5, 1.0)
    return image + np.float32(opacity) * lens * (np.float32(dark) - image)


def hair(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the face under a fringe or strands at one side. image: (96, 96) float32."""
    tone = float(random.choice([random.uniform(0, 70), random.uniform(120, 230)]))
    for _ in range(int(random.integers(2, 9))):
        x = random.uniform(-0.05, 1.05)
        length = random.uniform(0.2, 0.55 if 0.25 < x < 0.75 else 1.1)
        lean, width = random.normal(0, 0.1), random.uniform(0.01, 0.06)
        shape = np.array([[x - width, -0.1], [x + width, -0.1], [x + lean + 0.3 * width, length], [x + lean, length]])
        image = _fill(image, shape, tone + random.normal(0, 12), random)
    return image


def talk(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the face with a mouth opened by speech: a dark slit, sometimes with teeth. image: (96, 96) float32."""
    import cv2

    wide, tall = random.uniform(0.08, 0.16), random.uniform(0.015, 0.06)
    size = CROP_SIZE_PX * 16
    middle = (round((0.5 + random.normal(0, 0.03)) * size), round((MOUTH_Y + random.normal(0, 0.025)) * size))
    axes = (round(wide * size), round(tall * size))
    slit = np.zeros(image.shape, np.float32)
    cv2.ellipse(slit, middle, axes, 0, 0, 360, 1.0, -1, cv2.LINE_AA, 4)
    slit = cv2.GaussianBlur(slit, (0, 0), 0.6)
    image = image + slit * (np.float32(random.uniform(10, 60)) - image)
    if random.random() < 0.5:
        teeth = np.zeros(image.shape, np.float32)
        lifted = (middle[0], middle[1] - round(0.45 * tall * size))
        cv2.ellipse(
            teeth, lifted, (round(0.7 * wide * size), round(0.4 * tall * size)), 0, 0, 360, 1.0, -1, cv2.LINE_AA, 4
        )
        image = image + teeth * (np.float32(random.uniform(150, 230)) - image)
    return image


def cover(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the face with one of the coverings of this file. image: (96, 96) float32."""
    draws: tuple[Draw, ...] = (mask_lower, hand, glasses, hair, talk)
    return draws[int(random.choice(len(draws), p=(0.35, 0.2, 0.15, 0.15, 0.15)))](image, random)

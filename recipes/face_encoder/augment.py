"""Makes a 96-px crop from a 48-px training face, as varied as a camera and a face detector make them at run time.

Everything is drawn from the generator that is passed in, so the same seed gives the same images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeaff.spec import CROP_SIZE_PX
from recipes.face_encoder.cover import cover


@dataclass(frozen=True, slots=True)
class AugmentConfig:
    """Strength of each change; probabilities are per frame.

    Attributes:
        scale: the side of the crop varies by this factor either way (box jitter and margins of other detectors).
        shift: standard deviation of the crop's center, as a share of its side.
        rotation_degrees: standard deviation of the roll of the head.
        pose: standard deviation of the keystone by pitch and yaw: the far edge is so much smaller, relatively.
        clean: share of images that are only scaled to size and mirrored.
    """

    scale: float = 1.22
    shift: float = 0.035
    rotation_degrees: float = 9.0
    pose: float = 0.0
    clean: float = 0.1
    low_resolution: float = 0.25
    tone: float = 0.6
    shade: float = 0.25
    noise: float = 0.3
    blur: float = 0.3
    jpeg: float = 0.4
    occlusion: float = 0.25
    covering: float = 0.0
    faint: float = 0.0
    bright: float = 0.0


# What the encoder that ships was trained on: also poses, coverings, light and contrast that the tiles do not hold.
WIDE = AugmentConfig(
    scale=1.2,
    rotation_degrees=13.0,
    pose=0.12,
    clean=0.12,
    tone=0.5,
    occlusion=0.1,
    covering=0.3,
    faint=0.1,
    bright=0.15,
    noise=0.25,
)


def plain(image: np.ndarray) -> np.ndarray:
    """Returns the whole tile at crop size: (48, 48) uint8 -> (96, 96) uint8, bilinear as the runtime's crop."""
    import cv2

    return cv2.resize(image, (CROP_SIZE_PX, CROP_SIZE_PX), interpolation=cv2.INTER_LINEAR)


def warp(
    image: np.ndarray,
    *,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    degrees: float = 0.0,
    aspect: float = 1.0,
    mirror: bool = False,
    border: int | None = None,
    cubic: bool = False,
    keystone: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Returns the crop of a tile through a similarity (and aspect) transform.

    Args:
        image: (H, W) uint8.
        scale: side of the crop / side of the tile; above 1 the face gets smaller.
        shift: of the crop's center in x and y, as a share of the tile.
        degrees: rotation of the face.
        aspect: width of the face is divided, its height multiplied by the root of this.
        mirror: left and right are exchanged.
        border: an OpenCV border mode; None replicates, as the runtime's crop does.
        cubic: bicubic instead of bilinear.
        keystone: of the crop by yaw and pitch: how much smaller its right and lower edges are; the face turns away there,
            so it is foreshortened as well.

    Returns:
        (96, 96) uint8.
    """
    import cv2

    side = image.shape[0]
    angle, stretch = np.deg2rad(degrees), np.sqrt(aspect)
    step = scale * side / CROP_SIZE_PX
    x_step = -step if mirror else step
    # Crop pixel -> tile pixel, both counted from their centers.
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = matrix @ np.diag([x_step * stretch, step / stretch])
    center = (side - 1) / 2 + np.array(shift) * side
    offset = center - matrix @ np.full(2, (CROP_SIZE_PX - 1) / 2)
    flags = (cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    mode = cv2.BORDER_REPLICATE if border is None else border
    to_tile = np.column_stack([matrix, offset])
    size = (CROP_SIZE_PX, CROP_SIZE_PX)
    if keystone == (0.0, 0.0):
        return cv2.warpAffine(image, to_tile, size, flags=flags, borderMode=mode, borderValue=96.0)
    whole = np.vstack([to_tile, [0.0, 0.0, 1.0]]) @ _turned(*keystone)
    return cv2.warpPerspective(image, whole, size, flags=flags, borderMode=mode, borderValue=96.0)


def _turned(yaw: float, pitch: float) -> np.ndarray:
    """Returns the map from the pixels of the crop of a turned face to those of the crop of the same face seen frontally."""
    half = (CROP_SIZE_PX - 1) / 2
    center = np.array([[1 / half, 0.0, -1.0], [0.0, 1 / half, -1.0], [0.0, 0.0, 1.0]])
    squeeze = np.diag([1.0 + abs(yaw), 1.0 + abs(pitch), 1.0])
    perspective = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-yaw, -pitch, 1.0]])
    return np.asarray(np.linalg.inv(center) @ squeeze @ np.linalg.inv(perspective) @ center)


def change_tone(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the frame with another gamma, contrast and brightness, clipped: float32 in [0, 255]."""
    unit = np.power(frame * np.float32(1 / 255), np.float32(np.exp(random.normal(0.0, 0.35))))
    gain, bias = np.exp(random.normal(0.0, 0.35)), random.normal(0.0, 0.16)
    return np.clip((unit - 0.5) * np.float32(255 * gain) + np.float32(255 * (0.5 + bias)), 0.0, 255.0)


def shade(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the frame under light from one side: a ramp of 0.3 to 1 in a random direction."""
    angle, depth = random.uniform(0.0, 2 * np.pi), random.uniform(0.2, 0.7)
    axis = np.linspace(-0.7, 0.7, CROP_SIZE_PX, dtype=np.float32)
    ramp = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
    return frame * (1.0 - np.float32(depth) * np.clip(ramp + 0.5, 0.0, 1.0)).astype(np.float32)


def fade(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the frame with 0.05 to 0.5 of its contrast around a random level, in whole levels: haze, a dark room."""
    contrast = np.exp(random.uniform(np.log(0.05), np.log(0.5)))
    low = random.uniform(0.0, 255.0 * (1.0 - contrast))
    return np.clip(np.rint(frame * np.float32(contrast) + np.float32(low)), 0.0, 255.0)


def expose(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the frame overexposed 1.3 to 2.4 times, with what is clipped gone, sometimes on one side only."""
    gain = np.float32(random.uniform(1.3, 2.4))
    if random.random() < 0.3:
        side = np.linspace(0.0, 1.0, CROP_SIZE_PX, dtype=np.float32)[:: 1 if random.random() < 0.5 else -1]
        return np.clip(frame * (1.0 + (gain - 1.0) * side)[None, :], 0.0, 255.0)
    return np.clip(frame * gain, 0.0, 255.0)


def add_noise(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the frame as a small sensor sees it: often dark, with grain, clipped to whole levels."""
    if random.random() < 0.5:
        frame = frame * np.float32(random.uniform(0.15, 0.6))
    grain = random.standard_normal(frame.shape, dtype=np.float32) * np.float32(random.uniform(2.0, 9.0))
    return np.clip(np.rint(frame + grain), 0.0, 255.0)


def blur(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the frame out of focus or, one time in four, smeared by motion."""
    import cv2

    if random.random() < 0.75:
        return cv2.GaussianBlur(frame, (0, 0), random.uniform(0.6, 2.4))
    length = int(random.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    angle = random.uniform(0.0, np.pi)
    for along in np.linspace(-0.5, 0.5, 4 * length):
        x, y = (0.5 + 0.99 * along * np.array([np.cos(angle), np.sin(angle)])) * (length - 1)
        kernel[round(y), round(x)] = 1.0
    return cv2.filter2D(frame, -1, kernel / kernel.sum())


def occlude(frame: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns the frame with a patch (hand, cup, hair, microphone) of one tone or of noise over it."""
    frame = frame.copy()
    height, width = (int(value) for value in random.integers(12, 44, size=2))
    top, left = int(random.integers(-8, CROP_SIZE_PX - height + 8)), int(random.integers(-8, CROP_SIZE_PX - width + 8))
    patch = frame[max(0, top) : top + height, max(0, left) : left + width]
    patch[:] = random.uniform(0.0, 255.0)
    if random.random() < 0.3:
        patch += random.normal(0.0, 40.0, patch.shape).astype(np.float32)
    return np.clip(frame, 0.0, 255.0)


def compress(frame: np.ndarray, quality: int) -> np.ndarray:
    """Returns the frame through JPEG: (H, W[, 3]) uint8 in and out."""
    import cv2

    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED))


def lower_resolution(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Returns a tile of 24 to 44 px side: a small face in a big frame."""
    import cv2

    side = int(random.integers(24, 45))
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def _random_pose(random: np.random.Generator, spread: float) -> tuple[float, float]:
    if not spread:
        return 0.0, 0.0
    yaw, pitch = np.clip(random.normal(0.0, spread, 2), -0.35, 0.35)
    return float(yaw), float(pitch)


def augment(image: np.ndarray, random: np.random.Generator, config: AugmentConfig | None = None) -> np.ndarray:
    """Returns one varied crop of a face.

    Args:
        image: (48, 48) uint8 gray.
        random: source of every choice.
        config: strengths.

    Returns:
        (96, 96) uint8 gray.
    """
    import cv2

    config = config or AugmentConfig()
    if random.random() < config.clean:
        return plain(image[:, ::-1].copy() if random.random() < 0.5 else image)
    if random.random() < config.low_resolution:
        image = lower_resolution(image, random)
    borders = (cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)
    shift = random.normal(0.0, config.shift, 2)
    crop = warp(
        image,
        scale=float(np.exp(random.uniform(-1.0, 1.0) * np.log(config.scale))),
        shift=(float(shift[0]), float(shift[1])),
        degrees=float(np.clip(random.normal(0.0, config.rotation_degrees), -35.0, 35.0)),
        aspect=float(np.exp(random.normal(0.0, 0.06))),
        mirror=random.random() < 0.5,
        border=borders[random.integers(len(borders))],
        cubic=random.random() < 0.5,
        keystone=_random_pose(random, config.pose),
    )
    frame = crop.astype(np.float32)
    changes = (
        (config.covering, cover),
        (config.occlusion, occlude),
        (config.tone, change_tone),
        (config.shade, shade),
        (config.bright, expose),
        (config.faint, fade),
        (config.blur, blur),
        (config.noise, add_noise),
    )
    for probability, change in changes:
        if random.random() < probability:
            frame = change(frame, random)
    result = np.rint(frame).astype(np.uint8)
    return compress(result, int(random.integers(25, 96))) if random.random() < config.jpeg else result

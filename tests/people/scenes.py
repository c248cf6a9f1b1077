"""Made faces and voices: crops whose lips open with a loudness, and the ticks that carry both."""

from __future__ import annotations

import numpy as np

from edgeaff.people.speaker import LOUDNESS_COLUMN
from edgeaff.preprocess import FaceInput, TickInput
from edgeaff.types import FaceBox, TrackedFace

TICK_NS = 1_000_000_000 // 30
LAG_TICKS = 4  # of the audio of `edge`
SKIN = np.random.default_rng(3).integers(100, 180, (24, 24)).repeat(4, 0).repeat(4, 1)


def syllables(ticks: int, seed: int) -> np.ndarray:
    """Returns a loudness per tick, in [0, 1], that rises and falls four or five times a second."""
    random = np.random.default_rng(seed)
    bumps = np.zeros(ticks + 20)
    at = 0
    while at < ticks:
        bumps[at + 1 : at + 5] += random.uniform(0.4, 1.0) * np.array([0.5, 1.0, 0.8, 0.3])
        at += int(random.integers(5, 10))
    return np.clip(bumps[:ticks], 0, 1)


def face_crop(opening: float, *, light: float = 1.0, shift_px: int = 0) -> np.ndarray:
    """Returns a (96, 96, 3) crop of a textured face with a mouth that is open by a share in [0, 1]."""
    image = SKIN.astype(float).copy()
    half = round(1 + 7 * opening)
    image[74 - half : 74 + half, 36:60] = 30
    image = np.roll(image, shift_px, axis=1) * light
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def tick_of(number: int, openings: dict[int, float], loudness: float | None, *, speech: bool = True) -> TickInput:
    """Returns a tick: one face per opening, by track id. loudness: None where audio is missing."""
    lld = None if loudness is None else np.zeros(65, np.float32)
    if lld is not None:
        lld[LOUDNESS_COLUMN] = 2 * loudness
    pts_ns, empty = number * TICK_NS, np.zeros(0, np.float32)
    faces = tuple(
        FaceInput(TrackedFace(track, FaceBox(0, 0, 9, 9), 0.9), face_crop(opening), empty, pts_ns, pts_ns)
        for track, opening in openings.items()
    )
    audio = np.zeros(65, np.float32) if speech and lld is not None else None
    return TickInput(number, pts_ns, number == 0, faces, pts_ns, audio, lld, None, False)

"""Simulated camera and microphone of the latency benchmark: 30 images a second with one face, and a voice-like buzz."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgeaff.detection.detector import FaceDetector
from edgeaff.ops.crop_resize import crop_resize
from edgeaff.spec import NANOSECONDS
from edgeaff.spec import SAMPLE_RATE_HZ as RATE_HZ
from edgeaff.types import FaceBox, FaceDetection

FPS, WIDTH, HEIGHT = 30, 640, 480
IMAGES = 60
VIEW = (88.0, 22.0, 376.0, 238.0)  # x0, y0, x1, y1: the part of the portrait that is shown
GIVEN_BOX = FaceBox(260.0, 130.0, 420.0, 330.0)


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """Returns a voice-like buzz with moving pitch, pauses and noise, (n,) int16 at 16 kHz; about 70 % voiced."""
    rng = np.random.default_rng(seed)
    clock = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    pitch_hz = rng.uniform(100, 200) * (1 + 0.3 * np.sin(2 * np.pi * 0.37 * clock) + 0.05 * np.sin(31 * clock))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    buzz = np.zeros(len(clock))
    for harmonic in range(1, 25):
        buzz += np.sin(harmonic * phase + harmonic**2) / harmonic
    open_mouth = np.clip(0.6 + np.sin(2 * np.pi * 2.3 * clock) + 0.5 * np.sin(2 * np.pi * 0.31 * clock), 0, 1)
    audio = 0.25 * open_mouth * buzz + 0.01 * rng.standard_normal(len(clock))
    return (np.clip(audio, -1, 1) * 32_767).astype(np.int16)


@dataclass(frozen=True)
class Media:
    """Frames and audio of the simulated camera and microphone, repeated.

    Attributes:
        kind: "portrait": a face the detector finds; "noise, box given": no portrait is installed, see GivenFace.
        images: (H, W, 3) uint8 RGB images; they sway to and fro.
        samples: (n,) int16 mono at 16 kHz.
    """

    kind: str
    images: list[np.ndarray]
    samples: np.ndarray = field(repr=False)
    _buffer: list[np.ndarray] = field(default_factory=list, repr=False)

    def image(self, tick: int) -> np.ndarray:
        """Returns the image of a tick, just written into the one buffer of the camera, as a decoder does before it hands it over."""
        if not self._buffer:
            self._buffer.append(np.empty_like(self.images[0]))
        np.copyto(self._buffer[0], self.images[tick % len(self.images)])
        return self._buffer[0]

    def take(self, tick: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the audio before the next image, and that image."""
        return self.audio(tick), self.image(tick + 1)

    def audio(self, tick: int) -> np.ndarray:
        """Returns the samples between the image of the tick before and this one; 533 or 534."""
        start, end = tick * RATE_HZ // FPS, (tick + 1) * RATE_HZ // FPS
        return np.take(self.samples, np.arange(start, end), mode="wrap")


class GivenFace:
    """Runs the real detector and reports a fixed box: all stages work if no image of a face is available."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self.id = detector.id

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        """Returns the fixed box, after the detector's work on the (H, W, 3) uint8 RGB image."""
        self._detector.detect(image)
        return [FaceDetection(GIVEN_BOX, 1.0, None)]


def pts_ns(tick: int) -> int:
    """Returns the time of a tick's image."""
    return tick * NANOSECONDS // FPS


def make_media(seconds: float = 20.0) -> Media:
    """Returns images and a voice. seconds: length of the voice before it comes again."""
    path = portrait_path()
    if path is None:
        noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        return Media("noise, box given", [np.roll(noise, 2 * shift, axis=1) for shift in range(IMAGES)], voice(seconds))
    from PIL import Image

    portrait = np.ascontiguousarray(Image.open(path).convert("RGB"))
    images = []
    for index in range(IMAGES):
        angle = 2 * np.pi * index / IMAGES
        x, y = 3 * np.sin(angle), 1.5 * np.sin(2 * angle)
        view = (VIEW[0] + x, VIEW[1] + y, VIEW[2] + x, VIEW[3] + y)
        images.append(crop_resize(portrait, view, width=WIDTH, height=HEIGHT))
    return Media("portrait", images, voice(seconds))


def portrait_path() -> Path | None:
    """Returns the public-domain portrait that scikit-image ships, or None where it or Pillow is not installed."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None or find_spec("PIL") is None:
        return None
    path = Path(spec.origin).parent / "data" / "astronaut.png"
    return path if path.is_file() else None

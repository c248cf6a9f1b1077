"""Makes a short clip of a moving face and a voice-like audio_clip: no camera, no recording, no download.

The face is the public-domain NASA portrait that scikit-image ships, warped smoothly into a smile and a frown; the audio is a sum of
harmonics with a pitch and a loudness that rise and fall.
"""

from __future__ import annotations

import shutil
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np

SECONDS, FPS, RATE_HZ = 12, 25, 44_100
WIDTH, HEIGHT = 640, 480
VIEW = (88.0, 22.0, 288.0, 216.0)  # x, y, width, height of the part of the portrait that is shown
# (x, y, radius x, radius y, dx, dy), in pixels of the portrait: mouth corners, lips, cheeks, inner brows
SMILE = (
    (205, 141, 9, 9, -2.5, -4.5),
    (243, 142, 9, 9, 2.5, -4.5),
    (224, 148, 10, 10, 0, 3.5),
    (199, 125, 12, 12, 0, -2.0),
    (249, 127, 12, 12, 0, -2.0),
    (212, 93, 8, 8, -1.5, -3.5),
    (239, 94, 8, 8, 1.5, -3.5),
)
FROWN = (
    (205, 141, 9, 9, 4.2, 9.8),
    (243, 142, 9, 9, -4.2, 9.8),
    (224, 153, 22, 9, 0, -13.3),
    (224, 136, 22, 7, 0, 3.5),
    (199, 125, 12, 12, 0, 4.2),
    (249, 127, 12, 12, 0, 4.2),
    (212, 93, 8, 8, 3.5, 6.3),
    (239, 94, 8, 8, -3.5, 6.3),
)
FACE = (150, 50, 300, 210)  # x0, y0, x1, y1: where the warp acts
FORMANTS = ((600, 250, 1.0), (1500, 350, 0.5), (2600, 500, 0.25))


def portrait() -> np.ndarray:
    """Returns the portrait, (512, 512, 3) uint8 RGB."""
    from PIL import Image

    spec = find_spec("skimage")
    assert spec is not None and spec.origin is not None, "scikit-image must be installed: pip install edgeaff[demo]"
    return np.asarray(Image.open(Path(spec.origin).parent / "data" / "astronaut.png").convert("RGB"))


def mood(seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (smile in [-1, 1], excitement in [0, 1]) over time: smile up, then down; excitement rises and falls twice."""
    smile = np.sin(2 * np.pi * seconds / SECONDS)
    excitement = 0.5 - 0.5 * np.cos(2 * np.pi * (seconds - 1.0) / (SECONDS / 2))
    return smile, np.clip(excitement, 0, 1)


Fields = tuple[np.ndarray, np.ndarray]


def displacement(handles: tuple[tuple[float, ...], ...]) -> Fields:
    """Returns (dx, dy) of every pixel of the face, portrait pixels, for the full expression."""
    x, y = np.meshgrid(np.arange(FACE[0], FACE[2]), np.arange(FACE[1], FACE[3]))
    along_x, along_y = np.zeros(x.shape), np.zeros(x.shape)
    for center_x, center_y, radius_x, radius_y, dx, dy in handles:
        weight = np.exp(-(((x - center_x) / radius_x) ** 2 + ((y - center_y) / radius_y) ** 2) / 2)
        along_x += dx * weight
        along_y += dy * weight
    return along_x, along_y


def animate(image: np.ndarray, fields: tuple[Fields, Fields], smile: float, seconds: float) -> np.ndarray:
    """Returns one frame, (HEIGHT, WIDTH, 3) uint8 RGB: the portrait with its face warped and its head swaying a little.

    fields: displacement of a full smile and of a full frown; smile: 1 the one, -1 the other, 0 the portrait unchanged.
    """
    from PIL import Image

    x, y = np.meshgrid(np.arange(FACE[0], FACE[2]), np.arange(FACE[1], FACE[3]))
    field = fields[0] if smile >= 0 else fields[1]
    source_x, source_y = x - abs(smile) * field[0], y - abs(smile) * field[1]
    column, row = source_x.astype(int), source_y.astype(int)
    right, down = (source_x - column)[..., None], (source_y - row)[..., None]
    top = image[row, column] * (1 - right) + image[row, column + 1] * right
    bottom = image[row + 1, column] * (1 - right) + image[row + 1, column + 1] * right
    warped = image.copy()
    warped[FACE[1] : FACE[3], FACE[0] : FACE[2]] = np.clip(top * (1 - down) + bottom * down + 0.5, 0, 255)
    x0, y0, width, height = VIEW
    x0, y0 = x0 + 3 * np.sin(1.1 * seconds), y0 + 1.5 * np.sin(1.7 * seconds)
    view = Image.fromarray(warped).resize(
        (WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=(x0, y0, x0 + width, y0 + height)
    )
    return np.asarray(view)


def voice() -> np.ndarray:
    """Returns the audio_clip, (n,) int16: harmonics of a moving pitch under vowel-like formants, in syllables, with pauses."""
    seconds = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    _, excitement = mood(seconds)
    pitch = 150 + 130 * excitement + 12 * np.sin(2 * np.pi * 2.3 * seconds)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    audio_clip = np.zeros_like(seconds)
    for harmonic in range(1, 25):
        frequency = harmonic * pitch
        gain = 0.02 + sum(weight * np.exp(-(((frequency - center) / band) ** 2)) for center, band, weight in FORMANTS)
        audio_clip += gain * np.sin(harmonic * phase) / harmonic**0.5
    syllables = np.clip(np.sin(2 * np.pi * (2.5 + excitement) * seconds), 0, 1) ** 0.5
    noise = np.random.default_rng(0).normal(0, 0.002, len(seconds))
    audio_clip = audio_clip / np.abs(audio_clip).max() * syllables * (0.06 + 0.5 * excitement**1.5) + noise
    return np.round(32767 * np.clip(audio_clip, -1, 1)).astype(np.int16)


def write_clip(path: Path) -> None:
    """Writes the clip: H.264 or MPEG-4 video at 25 fps, AAC audio at 44.1 kHz."""
    import av

    image, samples, fields = portrait(), voice(), (displacement(SMILE), displacement(FROWN))
    with av.open(str(path), "w") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        video = container.add_stream(codec, rate=FPS, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p")
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        for index in range(SECONDS * FPS):
            smile, _ = mood(np.array(index / FPS))
            frame = av.VideoFrame.from_ndarray(animate(image, fields, float(smile), index / FPS), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(video.encode(frame))
            start, end = index * RATE_HZ // FPS, (index + 1) * RATE_HZ // FPS
            chunk = av.AudioFrame.from_ndarray(samples[None, start:end], format="s16", layout="mono")
            chunk.sample_rate, chunk.pts, chunk.time_base = RATE_HZ, start, Fraction(1, RATE_HZ)
            container.mux(audio.encode(chunk))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def write_toy_corpus(folder: Path) -> None:
    """Writes two training videos and one for validation, with a row of valence and arousal per frame."""
    smile, excitement = mood(np.arange(SECONDS * FPS) / FPS)
    rows = [f"{0.8 * v:.3f},{1.4 * a - 0.6:.3f}" for v, a in zip(smile, excitement, strict=True)]
    (folder / "videos").mkdir(parents=True)
    write_clip(folder / "videos" / "toy1.mp4")
    for name, split in (("toy1", "Train_Set"), ("toy2", "Train_Set"), ("toy3", "Validation_Set")):
        if name != "toy1":
            shutil.copy(folder / "videos" / "toy1.mp4", folder / "videos" / f"{name}.mp4")
        annotation = folder / "VA_Estimation_Challenge" / split / f"{name}.txt"
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text("valence,arousal\n" + "\n".join(rows) + "\n", encoding="utf-8")

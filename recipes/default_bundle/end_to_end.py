"""The bundle as it ships, end to end: `python -m recipes.default_bundle.end_to_end --results FILE`.

Each FER+ test photograph becomes its own clip: enlarged to a face of ordinary size, on a synthetic background at the size
of a video, moving a little, with the noise of a camera. `Session` gets the images, so detector, tracker, crop, face encoder and
tail all take part; there is no audio. Clips of voices of speakers that the weights never heard go the same way, without image.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff import Session, measures
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError
from edgeaff.inference import Uncertainty
from edgeaff.machine import stamp
from edgeaff.ops.crop_resize import crop_resize
from edgeaff.types import DIMENSIONS, AffectEvent
from recipes import shared_folder
from recipes.face_encoder.data import FaceSet, read_split

logger = logging.getLogger(__name__)
WIDTH, HEIGHT = 640, 480
SHAKE = 64  # how far the grain of the camera moves between images, pixels
FRAME_NS = 33_333_333
FACE_PX = (96, 260)  # side of the enlarged photograph in the image, at random


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of the bundle for clips. stated: (N, 2), NaN where it gave no number; half: percent -> (N, 2) half-widths."""

    stated: np.ndarray
    half: dict[int, np.ndarray]


def background(rng: np.random.Generator) -> np.ndarray:
    """Returns a synthetic room: soft light and dark, edges of walls and furniture, color. (HEIGHT, WIDTH, 3) float32, 0..255."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    image = np.empty((HEIGHT, WIDTH, 3), np.float32)
    image[:] = rng.uniform(40, 200, 3)
    image += ((x / WIDTH - 0.5) * rng.uniform(-90, 90) + (y / HEIGHT - 0.5) * rng.uniform(-90, 90))[..., None]
    for _ in range(int(rng.integers(2, 7))):
        left, top = rng.integers(-80, WIDTH), rng.integers(-80, HEIGHT)
        right, bottom = left + rng.integers(40, 360), top + rng.integers(40, 360)
        image[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] += rng.uniform(-50, 50, 3)
    return np.clip(image, 0, 255)


def render(rng: np.random.Generator, tile: np.ndarray, *, frames: int) -> Iterator[np.ndarray]:
    """Yields the images of one clip.

    Args:
        rng: source of randomness.
        tile: (48, 48) uint8 gray photograph of a face.
        frames: how many.

    Yields:
        (HEIGHT, WIDTH, 3) uint8 RGB.
    """
    room, side = background(rng), int(rng.integers(*FACE_PX))
    tint = rng.uniform(0.85, 1.1, 3).astype(np.float32)
    place = np.array([rng.uniform(0, WIDTH - side), rng.uniform(0, HEIGHT - side)])
    way = rng.normal(0, 0.6, 2)
    whole = (0.0, 0.0, float(tile.shape[1]), float(tile.shape[0]))
    gray = np.ascontiguousarray(np.repeat(tile[..., None], 3, axis=2))
    grain = 2.5 * rng.standard_normal(
        (HEIGHT + SHAKE, WIDTH + SHAKE, 3), dtype=np.float32
    )  # another part of it each time
    for _ in range(frames):
        size = side + int(rng.integers(-1, 2))
        face = crop_resize(gray, whole, width=size, height=size, pixel_format="rgb").astype(np.float32) * tint
        place = np.clip(place + way + rng.normal(0, 0.4, 2), 0, [WIDTH - size, HEIGHT - size])
        left, top = (int(value) for value in place)
        image = room.copy()
        image[top : top + size, left : left + size] = face
        row, column = rng.integers(0, SHAKE, 2)
        image += grain[row : row + HEIGHT, column : column + WIDTH]
        yield np.clip(np.rint(image, out=image), 0, 255, out=image).astype(np.uint8)


def judge(
    events: Sequence[AffectEvent], table: Uncertainty, percents: Sequence[int]
) -> tuple[list[float], dict[int, tuple[float, float]]]:
    """Returns the outcome of a clip: the last event's raw values (NaN for none) and half-widths of its intervals.

    Args:
        events: of one session.
        table: of the bundle.
        percents: of the intervals.

    Returns:
        Valence and arousal, and percent -> half-widths.
    """
    last = events[-1]
    values = [np.nan if value is None else value for value in (last.valence_raw, last.arousal_raw)]
    coverage = (last.video_coverage or 0.0, last.audio_coverage or 0.0)
    stds = (last.valence_std, last.arousal_std)
    stated = None if last.face is None or None in stds else stds
    return values, {percent: table.half_widths(*coverage, percent=percent, stated=stated) for percent in percents}


def see(bundle: ModelBundle, faces: FaceSet, *, frames: int, seed: int = 0) -> Predictions:
    """Returns the bundle's predictions on photographs, each a clip and its own session.

    Args:
        bundle: as it ships.
        faces: photographs.
        frames: of each clip.
        seed: of the rendering.

    Returns:
        What it stated.
    """
    table = Uncertainty(bundle.manifest.uncertainty)
    # A bundle from before there was a table for 68 % has intervals of 95 % only.
    percents = (68, 95) if "valence_half_68" in bundle.manifest.uncertainty else (95,)
    stated: list[list[float]] = []
    half: dict[int, list[tuple[float, float]]] = {percent: [] for percent in percents}
    session = Session(bundle, audio=False)
    for index, tile in enumerate(faces.images):
        if index and index % 100 == 0:
            logger.info("%d of %d", index, len(faces))
        session.reset()
        events: list[AffectEvent] = []
        for number, image in enumerate(render(np.random.default_rng([seed, index]), tile, frames=frames)):
            events += session.push_frame(image, pts_ns=number * FRAME_NS)
        events += session.finish()
        values, widths = judge(events, table, percents)
        stated.append(values)
        for percent, width in widths.items():
            half[percent].append(width)
    return Predictions(np.array(stated), {percent: np.array(rows) for percent, rows in half.items()})


def report(result: Predictions, labels: np.ndarray, *, repeats: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Returns the agreement over clips, with a 95 % bootstrap over them, and how many errors the intervals hold.

    Args:
        result: what was stated.
        labels: (N, 2).
        repeats: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        clips; answered: share with a number; per value ccc (over those with a number), ccc_all (no number counts as 0),
        interval, and inside_68, inside_95.
    """
    answered = np.isfinite(result.stated).all(axis=1)
    out: dict[str, Any] = {"clips": len(labels), "answered": round(float(answered.mean()), 4)}
    x, y = result.stated[answered], labels[answered]
    for column, name in enumerate(DIMENSIONS):
        clips = [list(np.split(values[:, column], len(x))) for values in (x, y)]
        interval = measures.bootstrap(*clips, repeats=repeats, seed=seed)
        out[f"{name}_ccc"] = round(interval.estimate, 4)
        out[f"{name}_interval"] = [round(interval.low, 4), round(interval.high, 4)]
        out[f"{name}_ccc_all"] = round(measures.ccc(np.nan_to_num(result.stated[:, column]), labels[:, column]), 4)
        error = np.abs(x[:, column] - y[:, column])
        for percent, half in result.half.items():
            out[f"{name}_inside_{percent}"] = round(float(np.mean(error <= half[answered, column])), 4)
    return out


def main() -> None:
    """Measures from the command line.

    Raises:
        ArgumentError: faces or frames is out of range.
    """
    parser = argparse.ArgumentParser(prog="python -m recipes.default_bundle.end_to_end", description=__doc__)
    parser.add_argument("--shared", type=Path, default=shared_folder())
    parser.add_argument("--bundle", type=Path, help="default: the one that ships")
    parser.add_argument("--faces", type=int, default=0, help="this many test photographs at random (default: all)")
    parser.add_argument("--frames", type=int, default=15, help="of each clip, at 30 a second")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="JSON file; the figures go under through_session.ferplus_rendered")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.faces < 0 or options.frames < 1:
        raise ArgumentError(f"faces and frames must be positive, got {options.faces} and {options.frames}; see --help.")
    faces = read_split(options.shared / "data" / "affect" / "fer2013plus", "test")
    chosen = np.random.default_rng(options.seed).permutation(len(faces))[: options.faces or None]
    faces = FaceSet(faces.images[chosen], faces.votes[chosen], faces.affect[chosen])
    bundle = ModelBundle.load(options.bundle)
    figures = report(see(bundle, faces, frames=options.frames, seed=options.seed), faces.affect)
    figures["how"] = (
        f"{options.frames} frames of {WIDTH} x {HEIGHT} per face through Session.push_frame, audio absent, last event, raw value; "
        f"faces {FACE_PX[0]} to {FACE_PX[1]} px"
    )
    figures |= {"model_id": bundle.manifest.model_id, **stamp()}
    if options.results:
        known = json.loads(options.results.read_text()) if options.results.exists() else {}
        known.setdefault("through_session", {})["ferplus_rendered"] = figures
        options.results.write_text(json.dumps(known, indent=1) + "\n")
    logger.info("%s", json.dumps(figures))


if __name__ == "__main__":
    main()

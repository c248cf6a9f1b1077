"""Writes predictions in the formats of the challenges: a file per track (2020 on), or one file by image (2025 on).

Networks predict on the ticks of the model, challenges expect a row per video frame; `values_of_frames` converts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.spec import PreprocessSpec
from edgeaff.training.corpora.record import canonical_name

MOST_FRAMES_SHORT = 30  # decoders differ by a few frames at the end; more is another video


def values_of_frames(values: np.ndarray, ticks: np.ndarray, times_ns: np.ndarray, spec: PreprocessSpec) -> np.ndarray:
    """Returns the prediction for each video frame: the value of the tick that the frame belongs to.

    Args:
        values: (T, 2) predictions.
        ticks: (T,) int64 rising, number of each tick (`Features.ticks`).
        times_ns: (frames,) int64 rising, when the frames are shown (`MediaFile.frame_times_ns`).
        spec: of the features.

    Returns:
        (frames, 2) float64; NaN where a frame's tick has no prediction.
    """
    wanted = np.array([spec.frame_tick(int(time)) for time in times_ns], dtype=np.int64)
    places = np.searchsorted(ticks, wanted).clip(0, len(ticks) - 1)
    rows = np.array(values, dtype=np.float64)[places]
    rows[ticks[places] != wanted] = np.nan
    return rows


def read_locations(path: Path) -> list[str]:
    """Returns the images of an official sample file, in its order.

    Args:
        path: header `image_location,...`, then `<track>/00001.jpg[,...]` in each line.

    Returns:
        `<track>/00001.jpg` and so on.

    Raises:
        ArgumentError: the header is another.
    """
    lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    cells = [line.split(",")[0].strip() for line in lines if line.strip()]
    if not cells or cells[0] != "image_location":
        raise ArgumentError(
            f"{path} must begin with image_location, got {lines[:1]}; is it the sample of a submission?"
        )
    return cells[1:]


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2 or not len(values):
        raise ArgumentError(
            f"values of {name} must have shape (T, 2), got {values.shape}; give valence and arousal per frame."
        )
    return np.where(np.isfinite(values), np.clip(values, -1.0, 1.0), np.nan)


def filled_from_nearest(values: np.ndarray) -> np.ndarray:
    """Returns (T, 2) values with every row that has a NaN replaced by the nearest complete row (the earlier on a tie).

    Args:
        values: (T, 2), NaN = no prediction.

    Returns:
        (T, 2) without NaN; zeros when no row is complete.
    """
    values = np.array(values, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(values).all(axis=1))
    if len(known) == 0:
        return np.zeros_like(values)
    rows = np.arange(len(values))
    right = np.searchsorted(known, rows).clip(0, len(known) - 1)
    left = (right - 1).clip(0)
    nearer_left = np.abs(known[left] - rows) <= np.abs(known[right] - rows)
    return values[np.where(nearer_left, known[left], known[right])]


def write_track_files(folder: Path, predictions: Mapping[str, np.ndarray]) -> None:
    """Writes `<track>.txt` per track: header, then one row per video frame, clipped, three decimals.

    Args:
        folder: made where it is missing.
        predictions: track -> (T, 2), NaN = no prediction (taken from the nearest frame).
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in predictions.items():
        rows = filled_from_nearest(_checked(name, values))
        text = "valence,arousal\n" + "".join(f"{valence:.3f},{arousal:.3f}\n" for valence, arousal in rows)
        (folder / f"{name}.txt").write_text(text, encoding="ascii", newline="\n")


def write_single_file(path: Path, predictions: Mapping[str, np.ndarray], locations: list[str]) -> None:
    """Writes one file with the header `image_location,valence,arousal` and a row per image, in the official order.

    Args:
        path: file to write.
        predictions: track -> (T, 2), row i belongs to image i + 1; NaN = no prediction (taken from the nearest frame).
        locations: `<track>/00001.jpg` ... as in the official sample file; the last frame also stands for up to a second of
            images after it, as decoders do not agree on the last frames.

    Raises:
        ArgumentError: a location has no track among the predictions, or lies past its end.
    """
    ready = {canonical_name(name): filled_from_nearest(_checked(name, values)) for name, values in predictions.items()}
    lines = ["image_location,valence,arousal"]
    for location in locations:
        track, _, image = canonical_name(location).rpartition("/")
        row = int(Path(image).stem) - 1 if Path(image).stem.isdigit() else -1
        if track not in ready or not 0 <= row < len(ready[track]) + MOST_FRAMES_SHORT:
            known = f"{len(ready[track])} frames of it" if track in ready else "no such track"
            raise ArgumentError(
                f"locations must be images of predicted tracks, got {location!r} with {known}; predict {track or 'its track'} "
                "first, on the video that the list is of."
            )
        valence, arousal = ready[track][min(row, len(ready[track]) - 1)]
        lines.append(f"{location},{valence:.3f},{arousal:.3f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")

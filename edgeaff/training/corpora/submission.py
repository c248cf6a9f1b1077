"""Writes predictions as the challenges want them: a file per track (2020 on), or one file by picture (2025 on)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError


def _checked(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2 or not len(values):
        raise ArgumentError(
            f"values of {name} must have shape (T, 2), got {values.shape}; give valence and arousal per frame."
        )
    return np.clip(values, -1.0, 1.0)


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
    """Writes one file with the header `image_location,valence,arousal` and a row per picture, in the official order.

    Args:
        path: file to write.
        predictions: track -> (T, 2), row i belongs to picture i + 1; NaN = no prediction (taken from the nearest frame).
        locations: `<track>/00001.jpg` ... as in the official sample file.

    Raises:
        ArgumentError: a location has no track among the predictions, or lies past its end.
    """
    ready = {name: filled_from_nearest(_checked(name, values)) for name, values in predictions.items()}
    lines = ["image_location,valence,arousal"]
    for location in locations:
        track, _, picture = location.rpartition("/")
        row = int(Path(picture).stem) - 1 if Path(picture).stem.isdigit() else -1
        if track not in ready or not 0 <= row < len(ready[track]):
            raise ArgumentError(
                f"locations must be pictures of predicted tracks, got {location!r}; predict {track or 'its track'} first."
            )
        valence, arousal = ready[track][row]
        lines.append(f"{location},{valence:.3f},{arousal:.3f}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")

"""Corpora rated on a time line instead of per frame: RECOLA, SEWA and MuSe, AFEW-VA (per frame, own scale), OMG-Emotion.

All give `Series`: instants and labels in [-1, 1]; `labels_at` brings them to the ticks of the model.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.spec import NANOSECONDS
from edgeaff.training.corpora.record import UNANNOTATED

DIMENSIONS = ("valence", "arousal")
AFEW_SCALE = 10.0


@dataclass(frozen=True, slots=True)
class Series:
    """Ratings of one recording.

    Attributes:
        name: of the recording.
        times_ns: (N,) int64 rising.
        labels: (N, 2) float32 valence, arousal; -5 = not annotated.
    """

    name: str
    times_ns: np.ndarray
    labels: np.ndarray


def labels_at(series: Series, pts_ns: np.ndarray, *, rater_delay_seconds: float = 0.0) -> np.ndarray:
    """Returns the labels at some instants, linear between ratings; outside them, and next to a gap, not annotated.

    Args:
        series: of one recording.
        pts_ns: (T,) int64 instants.
        rater_delay_seconds: raters react late (2 to 4 s in RECOLA): the label of an instant is read that much later.

    Returns:
        (T, 2) float32, -5 = not annotated.
    """
    wanted = np.asarray(pts_ns, dtype=np.int64) + round(rater_delay_seconds * NANOSECONDS)
    labels = np.full((len(wanted), 2), UNANNOTATED, dtype=np.float32)
    valid = (np.abs(series.labels) <= 1).all(axis=1)
    if not valid.any():
        return labels
    right = np.searchsorted(series.times_ns, wanted, side="left").clip(0, len(series.times_ns) - 1)
    exact = series.times_ns[right] == wanted
    left = np.where(exact, right, (right - 1).clip(0))
    inside = (wanted >= series.times_ns[0]) & (wanted <= series.times_ns[-1]) & valid[left] & valid[right]
    for column in range(2):
        values = np.interp(wanted, series.times_ns, series.labels[:, column])
        labels[inside, column] = values[inside]
    return labels


def _joined(name: str, each: dict[str, dict[int, float]]) -> Series:
    """Returns the series of the instants that both dimensions have.

    Raises:
        ArgumentError: there are none.
    """
    times = sorted(set(each["valence"]) & set(each["arousal"]))
    if not times:
        raise ArgumentError(f"{name} must have instants with valence and arousal, got none; are both files there?")
    labels = np.array([[each[dimension][time] for dimension in DIMENSIONS] for time in times], dtype=np.float32)
    return Series(name, np.array(times, dtype=np.int64), labels)


def _rows(path: Path, delimiter: str) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [
            [cell.strip() for cell in row] for row in csv.reader(file, delimiter=delimiter) if any(map(str.strip, row))
        ]


def read_recola(root: Path) -> list[Series]:
    """Returns RECOLA's ratings, the mean over its raters.

    Args:
        root: holds `valence/<name>.csv` and `arousal/<name>.csv`: `time;rater;rater;...`, seconds, steps of 40 ms.

    Returns:
        One series per recording, in order of name.
    """
    result = []
    for path in sorted((root / "arousal").glob("*.csv")):
        each = {}
        for dimension in DIMENSIONS:
            rows = _rows(root / dimension / path.name, ";")[1:]
            each[dimension] = {
                round(float(row[0]) * NANOSECONDS): float(np.mean([float(cell) for cell in row[1:] if cell]))
                for row in rows
            }
        result.append(_joined(path.stem, each))
    return result


def read_timestamp_csv(root: Path) -> list[Series]:
    """Returns ratings in the form of SEWA and MuSe.

    Args:
        root: holds `valence/<name>.csv` and `arousal/<name>.csv`: `timestamp,value[,segment_id]`, milliseconds.

    Returns:
        One series per recording, in order of name.
    """
    result = []
    for path in sorted((root / "arousal").glob("*.csv")):
        each = {
            dimension: {
                round(float(row[0]) * 1_000_000): float(row[1]) for row in _rows(root / dimension / path.name, ",")[1:]
            }
            for dimension in DIMENSIONS
        }
        result.append(_joined(path.stem, each))
    return result


def read_afew_va(root: Path, *, rate_hz: float = 25.0) -> list[Series]:
    """Returns AFEW-VA: `01/`..`12/`, `<clip>/<clip>.json` with frames numbered from 0 and values in -10..10.

    Args:
        root: folder of the corpus.
        rate_hz: of the clips; their pictures carry no times.

    Returns:
        One series per clip, in order of name.
    """
    result = []
    for path in sorted(root.glob("*/*/*.json")):
        frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
        order = sorted(frames, key=int)
        labels = [[frames[key][dimension] / AFEW_SCALE for dimension in DIMENSIONS] for key in order]
        times = np.array([round(int(key) * NANOSECONDS / rate_hz) for key in order], dtype=np.int64)
        result.append(Series(path.stem, times, np.array(labels, dtype=np.float32)))
    return result


@dataclass(frozen=True, slots=True)
class Utterance:
    """One rated stretch of OMG-Emotion. start_seconds, end_seconds: in its video; labels: (2,) valence, arousal."""

    video: str
    name: str
    start_seconds: float
    end_seconds: float
    labels: np.ndarray


def read_omg(path: Path) -> list[Utterance]:
    """Returns OMG-Emotion's utterances; arousal stays on its scale of 0 to 1.

    Args:
        path: csv with the columns start, end, video, utterance, arousal, valence.

    Returns:
        Utterances in the order of the file.

    Raises:
        ArgumentError: a column is missing.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        wanted = {"start", "end", "video", "utterance", "arousal", "valence"}
        if not wanted <= set(reader.fieldnames or ()):
            raise ArgumentError(
                f"{path} must have the columns {sorted(wanted)}, got {reader.fieldnames}; is it OMG-Emotion?"
            )
        return [
            Utterance(
                row["video"],
                row["utterance"],
                float(row["start"]),
                float(row["end"]),
                np.array([float(row["valence"]), float(row["arousal"])], dtype=np.float32),
            )
            for row in reader
        ]

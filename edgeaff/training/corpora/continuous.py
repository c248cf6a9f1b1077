"""Corpora rated on a time line instead of per frame: RECOLA, SEWA and MuSe, AFEW-VA (per frame, own scale), OMG-Emotion.

All give `Track` with `times_ns`: instants and labels in [-1, 1]; `labels_at` brings them to the ticks of the model. Where the recordings
lie is the caller's to say (`dataclasses.replace(track, media=..., split=...)`): these corpora come in many forms.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.spec import NANOSECONDS
from edgeaff.training.corpora.record import Track
from edgeaff.types import DIMENSIONS

AFEW_SCALE = 10.0


def _joined(name: str, split: str, each: dict[str, dict[int, float]]) -> Track:
    """Returns the track of the instants that both dimensions have.

    Raises:
        ArgumentError: there are none.
    """
    times = sorted(set(each["valence"]) & set(each["arousal"]))
    if not times:
        raise ArgumentError(f"{name} must have instants with valence and arousal, got none; are both files there?")
    labels = np.array([[each[dimension][time] for dimension in DIMENSIONS] for time in times], dtype=np.float32)
    return Track(name, split, labels, times_ns=np.array(times, dtype=np.int64))


def _rows(path: Path, delimiter: str) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [
            [cell.strip() for cell in row] for row in csv.reader(file, delimiter=delimiter) if any(map(str.strip, row))
        ]


def read_recola(root: Path, *, split: str = "train") -> list[Track]:
    """Returns RECOLA's ratings, the mean over its raters.

    Args:
        root: holds `valence/<name>.csv` and `arousal/<name>.csv`: `time;rater;rater;...`, seconds, steps of 40 ms.
        split: of all of them.

    Returns:
        One track per recording, in order of name.
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
        result.append(_joined(path.stem, split, each))
    return result


def read_timestamp_csv(root: Path, *, split: str = "train") -> list[Track]:
    """Returns ratings in the form of SEWA and MuSe.

    Args:
        root: holds `valence/<name>.csv` and `arousal/<name>.csv`: `timestamp,value[,segment_id]`, milliseconds.
        split: of all of them.

    Returns:
        One track per recording, in order of name.
    """
    result = []
    for path in sorted((root / "arousal").glob("*.csv")):
        each = {
            dimension: {
                round(float(row[0]) * 1_000_000): float(row[1]) for row in _rows(root / dimension / path.name, ",")[1:]
            }
            for dimension in DIMENSIONS
        }
        result.append(_joined(path.stem, split, each))
    return result


def read_afew_va(root: Path, *, split: str = "train", rate_hz: float = 25.0) -> list[Track]:
    """Returns AFEW-VA: `01/`..`12/`, `<clip>/<clip>.json` with frames numbered from 0 and values in -10..10.

    Args:
        root: folder of the corpus.
        split: of all of them.
        rate_hz: of the clips; their pictures carry no times.

    Returns:
        One track per clip, in order of name.
    """
    result = []
    for path in sorted(root.glob("*/*/*.json")):
        frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
        order = sorted(frames, key=int)
        labels = [[frames[key][dimension] / AFEW_SCALE for dimension in DIMENSIONS] for key in order]
        times = np.array([round(int(key) * NANOSECONDS / rate_hz) for key in order], dtype=np.int64)
        result.append(Track(path.stem, split, np.array(labels, dtype=np.float32), times_ns=times))
    return result


def read_omg(path: Path, *, split: str = "train") -> list[Track]:
    """Returns OMG-Emotion's utterances, `VIDEO/UTTERANCE`, labelled from start to end; arousal stays on its scale of 0 to 1.

    Args:
        path: csv with the columns start, end, video, utterance, arousal, valence.
        split: of all of them.

    Returns:
        One track per utterance, in the order of the file.

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
        tracks = []
        for row in reader:
            times = np.array([round(float(row[key]) * NANOSECONDS) for key in ("start", "end")], dtype=np.int64)
            labels = np.tile(np.array([float(row[key]) for key in DIMENSIONS], dtype=np.float32), (2, 1))
            tracks.append(
                Track(f"{row['video']}/{row['utterance']}", split, labels, times_ns=times, subject=row["video"])
            )
        return tracks

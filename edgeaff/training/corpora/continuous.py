"""Corpora rated on a time line instead of per frame: RECOLA, SEWA and MuSe, AFEW-VA (per frame, own scale), OMG-Emotion.

All give `Track` with `times_ns`: instants and labels in [-1, 1]; `labels_at` brings them to the ticks of the model. A value outside
[-1, 1] (after AFEW-VA's division), or none where a rater may be missing, is not annotated. Where the recordings lie is the
caller's to say (`dataclasses.replace(track, media=..., split=...)`): these corpora come in many forms.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.spec import NANOSECONDS
from edgeaff.training.corpora.record import Track, canonical_name
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


def _rows(path: Path, delimiter: str) -> list[tuple[int, list[str]]]:
    """Returns the rows that are not blank, each with its line, without the header where there is one."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, delimiter=delimiter)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    filled = [(line, cells) for line, cells in rows if any(cells)]
    return filled[1:] if filled and not filled[0][1][0].replace(".", "", 1).isdecimal() else filled


def _numbers(path: Path, line: int, cells: list[str], least: int) -> list[float]:
    """Returns the cells of a row as numbers; an empty one is NaN.

    Args:
        path: for the message.
        line: for the message.
        cells: of the row.
        least: how many the row must have.

    Raises:
        ArgumentError: a cell is no number, or there are too few.
    """
    try:
        numbers = [float(cell) if cell else math.nan for cell in cells]
    except ValueError:
        numbers = []
    if len(numbers) < least or not math.isfinite(numbers[0]):
        raise ArgumentError(
            f"{path}, line {line} must be a time and {least - 1} or more numbers, got {cells}; fetch the file again, or convert "
            "decimal commas."
        )
    return numbers


def _both_dimensions(root: Path) -> list[tuple[str, dict[str, Path]]]:
    """Returns name and files of every recording, in order of name.

    Raises:
        ArgumentError: there are none, or one lacks a dimension.
    """
    files: dict[str, dict[str, Path]] = {}
    for dimension in DIMENSIONS:
        for path in sorted((root / dimension).glob("[!.]*")):
            if path.suffix.lower() == ".csv":
                files.setdefault(canonical_name(path.stem), {})[dimension] = path
    if not files:
        raise ArgumentError(
            f"root must hold valence/NAME.csv and arousal/NAME.csv, got none in {root}; check the folder."
        )
    for name, own in files.items():
        for dimension in DIMENSIONS:
            if dimension not in own:
                raise ArgumentError(
                    f"{name} must have valence and arousal, got no {dimension}/{name}.csv in {root}; fetch it."
                )
    return sorted(files.items())


def read_recola(root: Path, *, split: str = "train") -> list[Track]:
    """Returns RECOLA's ratings, the mean over its raters.

    Args:
        root: holds `valence/<name>.csv` and `arousal/<name>.csv`: `time;rater;rater;...`, seconds, steps of 40 ms.
        split: of all of them.

    Returns:
        One track per recording, in order of name.

    Raises:
        ArgumentError: no recording is there, one lacks a dimension, or a row is not of numbers.
    """
    result = []
    for name, files in _both_dimensions(root):
        each: dict[str, dict[int, float]] = {}
        for dimension, path in files.items():
            rows = [_numbers(path, line, cells, least=2) for line, cells in _rows(path, ";")]
            each[dimension] = {round(row[0] * NANOSECONDS): _mean(row[1:]) for row in rows}
        result.append(_joined(name, split, each))
    return result


def _mean(ratings: list[float]) -> float:
    """Returns the mean over the raters who gave a number; NaN where none did."""
    given = [rating for rating in ratings if math.isfinite(rating)]
    return float(np.mean(given)) if given else math.nan


def read_timestamp_csv(root: Path, *, split: str = "train") -> list[Track]:
    """Returns ratings in the form of SEWA and MuSe.

    Args:
        root: holds `valence/<name>.csv` and `arousal/<name>.csv`: `timestamp,value[,segment_id]`, milliseconds.
        split: of all of them.

    Returns:
        One track per recording, in order of name.

    Raises:
        ArgumentError: no recording is there, one lacks a dimension, or a row is not of numbers.
    """
    result = []
    for name, files in _both_dimensions(root):
        each: dict[str, dict[int, float]] = {}
        for dimension, path in files.items():
            rows = [_numbers(path, line, cells[:2], least=2) for line, cells in _rows(path, ",")]
            each[dimension] = {round(row[0] * 1_000_000): row[1] for row in rows}
        result.append(_joined(name, split, each))
    return result


def read_afew_va(root: Path, *, split: str = "train", rate_hz: float = 25.0) -> list[Track]:
    """Returns AFEW-VA: `01/`..`12/`, `<clip>/<clip>.json` with frames numbered from 0 and values in -10..10.

    Args:
        root: folder of the corpus.
        split: of all of them.
        rate_hz: of the clips; their images carry no times.

    Returns:
        One track per clip, in order of path.

    Raises:
        ArgumentError: there is no clip, or a file is none of the corpus.
    """
    paths = sorted(root.glob("[!.]*/*/[!.]*.json"))
    if not paths:
        raise ArgumentError(
            f"root must hold 01/CLIP/CLIP.json and so on, got none in {root}; point at the unpacked corpus."
        )
    result = []
    for path in paths:
        try:
            frames = json.loads(path.read_text(encoding="utf-8-sig"))["frames"]
            order = sorted(frames, key=int)
            labels = [[frames[key][dimension] / AFEW_SCALE for dimension in DIMENSIONS] for key in order]
        except (ValueError, KeyError, TypeError) as error:
            raise ArgumentError(
                f"{path} must hold frames by number with valence and arousal, got {type(error).__name__}: {error}; fetch it again."
            ) from error
        times = np.array([round(int(key) * NANOSECONDS / rate_hz) for key in order], dtype=np.int64)
        rows = np.array(labels, dtype=np.float32).reshape(-1, 2)
        result.append(Track(path.stem, split, rows, times_ns=times))
    return result


def read_omg(path: Path, *, split: str = "train") -> list[Track]:
    """Returns OMG-Emotion's utterances, `VIDEO_UTTERANCE`, labeled from start to end; arousal stays on its scale of 0 to 1.

    Args:
        path: csv with the columns start, end, video, utterance, arousal, valence.
        split: of all of them.

    Returns:
        One track per utterance, in the order of the file.

    Raises:
        ArgumentError: a column is missing, or a row is not what it must be.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        wanted = {"start", "end", "video", "utterance", "arousal", "valence"}
        if not wanted <= set(reader.fieldnames or ()):
            raise ArgumentError(
                f"{path} must have the columns {sorted(wanted)}, got {reader.fieldnames}; is it OMG-Emotion?"
            )
        tracks = []
        for row in reader:
            try:
                start, end, *values = (float(row[key]) for key in ("start", "end", *DIMENSIONS))
            except (TypeError, ValueError):
                start, end, values = 0.0, 0.0, []
            if not 0.0 <= start < end < math.inf:
                raise ArgumentError(
                    f"{path}, line {reader.line_num} must have numbers as valence, arousal, start and a later end, got {row}; "
                    "correct it."
                )
            times = np.array([round(start * NANOSECONDS), round(end * NANOSECONDS)], dtype=np.int64)
            labels = np.tile(np.array(values, dtype=np.float32), (2, 1))
            name = f"{row['video']}_{Path(row['utterance']).stem}"  # a name becomes a file's
            tracks.append(Track(name, split, labels, times_ns=times, subject=row["video"]))
        return tracks

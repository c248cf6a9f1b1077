"""FER+: photographs of FER-2013 with the votes of ten raters, from the published table; a track is one photograph.

Labels are a projection: the expectation of circumplex anchors over the votes (`ANCHORS`).
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.training.corpora.record import Track

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
# Valence, arousal of each emotion, in the order of EMOTIONS. Choice: points on the circumplex near the class means of
# published valence/arousal ratings. So the targets are a projection of categorical votes, not human valence ratings.
ANCHORS = np.array(
    [
        [0.0, 0.0],
        [0.70, 0.14],
        [0.17, 0.68],
        [-0.62, -0.26],
        [-0.42, 0.56],
        [-0.66, 0.43],
        [-0.13, 0.77],
        [-0.53, 0.54],
    ],
    dtype=np.float32,
)
USAGES = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}
IMAGE_COLUMN = "Image name"


def votes_to_affect(votes: np.ndarray) -> np.ndarray:
    """Returns the expectation of the circumplex anchors: (N, 8) shares -> (N, 2) float32 valence, arousal."""
    return (votes @ ANCHORS).astype(np.float32)


def read_ferplus(table: Path, images: Path | None = None) -> list[Track]:
    """Returns the photographs that have a name and a vote for one of the eight emotions; the others are left out, as published.

    Args:
        table: `fer2013new.csv`: Usage, Image name, eight emotions, unknown, NF.
        images: folder that holds the named images, at any depth; None = labels alone.

    Returns:
        One track per photograph, in the order of the table: its one row is the label, `media` the image, `category` the
        emotion with most votes (the earlier column on a tie).

    Raises:
        ArgumentError: the table lacks a column, a row is not what it must be, or the folder holds none of the images.
    """
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        wanted = ("Usage", IMAGE_COLUMN, *EMOTIONS)
        if not set(wanted) <= set(reader.fieldnames or ()):
            raise ArgumentError(
                f"{table} must have the columns {', '.join(wanted)}, got {reader.fieldnames}; is it fer2013new.csv?"
            )
        rows = [(reader.line_num, row) for row in reader if (row[IMAGE_COLUMN] or "").strip()]
    files = {} if images is None else _frames(images)
    tracks = []
    for line, row in rows:
        track = _photograph(f"{table}, line {line}", row, files)
        if track is not None:
            tracks.append(track)
    if images is not None and not any(track.media for track in tracks):
        raise ArgumentError(
            f"images must hold the {len(tracks)} images that {table.name} names, got none of them in {images}; write them "
            "under those names first."
        )
    return tracks


def _photograph(where: str, row: dict[str, str], files: dict[str, Path]) -> Track | None:
    """Returns the track of a row, or None where nobody named an emotion.

    Args:
        where: of the row, for messages.
        row: of the table.
        files: image by name.

    Raises:
        ArgumentError: the usage is unknown, or a vote is no number.
    """
    if row["Usage"] not in USAGES:
        raise ArgumentError(f"{where}: Usage must be one of {', '.join(USAGES)}, got {row['Usage']!r}; fetch it again.")
    try:
        votes = np.array([[float(row[emotion]) for emotion in EMOTIONS]], dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{where}: votes must be numbers, got {error}; fetch the table again.") from error
    if not votes.sum() > 0:
        return None
    name = row[IMAGE_COLUMN].strip()
    return Track(
        Path(name).stem,
        USAGES[row["Usage"]],
        votes_to_affect(votes / votes.sum()),
        files.get(name),
        times_ns=np.zeros(1, dtype=np.int64),
        category=EMOTIONS[int(votes.argmax())],
    )


def _frames(folder: Path) -> dict[str, Path]:
    return {name: Path(top) / name for top, _, names in os.walk(folder) for name in names}

"""Aff-Wild2 / ABAW: reads the annotations, finds videos and crops in every layout seen, never writes to the folder.

```
<root>/VA_Set/{Training_Set|Train_Set,Validation_Set}/<track>.txt                  2020 and 2021
<root>/VA_Estimation_Challenge/{Train_Set,Validation_Set}/<track>.txt              2022 on (annotations/ may stand above)
<root>/**/{cropped_aligned|cropped}/**/<track>/00001.jpg                           crops, 1-based, gaps = no detection
<root>/**/<video>.{mp4,avi,mkv,mov,webm}                                           batch1/, batch2/ or anything else
```
Test annotations were never given out; a corpus of one's own, or a made-up one, may have them in Test_Set.
A track is a video name with `_left` or `_right` where two people are annotated; `_1`, `_2`, `_3` belong to the video's name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.training.corpora.record import UNANNOTATED, Track

logger = logging.getLogger(__name__)
HEADER = ("valence", "arousal")
ANNOTATION_FOLDERS = ("VA_Set", "VA_Estimation_Challenge")
SPLIT_FOLDERS = {"train": ("Training_Set", "Train_Set"), "valid": ("Validation_Set",), "test": ("Test_Set",)}
CROP_FOLDERS = ("cropped_aligned", "cropped")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")
SIDES = ("_left", "_right")


def video_name(track: str) -> str:
    """Returns the name of the video that a track is in: without `_left` or `_right`."""
    for side in SIDES:
        if track.endswith(side):
            return track[: -len(side)]
    return track


def side_of(track: str, others: Iterable[str]) -> str | None:
    """Returns where the person of a track stands in the video: "left", "right", or None where one person is annotated.

    Args:
        track: name.
        others: names of all tracks of the corpus; the one without suffix stands opposite the one with.

    Returns:
        The side.
    """
    left, right = SIDES
    for side, other in ((left, right), (right, left)):
        if track.endswith(side) or track + other in others:
            return side.removeprefix("_")
    return None


def read_annotation(path: Path) -> np.ndarray:
    """Returns the labels of one track.

    Args:
        path: text file, first line `valence,arousal`, then one row per video frame; -5 in either column = not annotated.

    Returns:
        (T, 2) float32; rows with a value outside [-1, 1] in either column are -5, -5.

    Raises:
        ArgumentError: the header or a row is not what it must be; the message names file and line.
    """
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    header = tuple(part.strip().lower() for part in lines[0].split(",")) if lines else ()
    if header != HEADER:
        raise ArgumentError(
            f"{path} must begin with the line 'valence,arousal', got {lines[:1]}; is it a VA annotation?"
        )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        try:
            valence, arousal = (float(part) for part in line.split(","))
        except ValueError as error:
            raise ArgumentError(
                f"{path}, line {number} must be two numbers 'valence,arousal', got {line!r}; fetch the file again."
            ) from error
        rows.append((valence, arousal))
    labels = np.array(rows, dtype=np.float32).reshape(-1, 2)
    with np.errstate(invalid="ignore"):
        labels[~(np.abs(labels) <= 1.0).all(axis=1)] = UNANNOTATED
    return labels


def annotation_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yields (split, file) of every annotation under a root, both generations, in order of name."""
    for split, folders in SPLIT_FOLDERS.items():
        files = [
            path
            for generation in ANNOTATION_FOLDERS
            for folder in folders
            for path in root.glob(f"**/{generation}/{folder}/*.txt")
        ]
        yield from ((split, path) for path in sorted(files, key=lambda path: path.name))


def find_videos(root: Path) -> dict[str, Path]:
    """Returns video files by name without suffix, wherever they lie; of two with one name the first in order counts."""
    found: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.stem not in found:
            found[path.stem] = path
    return found


def find_crops(root: Path) -> dict[str, Path]:
    """Returns crop folders by track; aligned crops before plain ones. A folder counts when it holds a numbered picture."""
    found: dict[str, Path] = {}
    for kind in CROP_FOLDERS:
        for top in sorted(path for path in root.rglob(kind) if path.is_dir()):
            for folder in sorted(path for path in top.rglob("*") if path.is_dir()):
                if folder.name not in found and any(True for _ in crop_files(folder)):
                    found[folder.name] = folder
    return found


def crop_files(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yields (row, file) of the pictures of a track, row 0 = `00001.jpg`; stray files are passed over."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"} and path.stem.isdigit() and int(path.stem) >= 1:
            yield int(path.stem) - 1, path


def read_track_list(path: Path) -> list[str]:
    """Returns the tracks of a test-set list, one name a line."""
    return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]


def read_corpus(root: Path, *, test_list: Path | None = None) -> list[Track]:
    """Returns every annotated track, and those of a test list without labels.

    Args:
        root: folder with annotations, and with videos and crops where they are at hand.
        test_list: file with the names of test tracks.

    Returns:
        Tracks of train, valid and test, each in order of name.

    Raises:
        ArgumentError: no annotation is found, or a track is annotated in two splits.
    """
    videos, crops = find_videos(root), find_crops(root)
    tracks: dict[str, Track] = {}
    for split, path in annotation_files(root):
        name = path.stem
        if name in tracks and tracks[name].split != split:
            raise ArgumentError(
                f"{name} must be in one split, got {tracks[name].split} and {split}; the two generations must not be mixed."
            )
        if name not in tracks:
            tracks[name] = Track(name, split, read_annotation(path), videos.get(video_name(name)), crops.get(name))
    if not tracks:
        raise ArgumentError(
            f"root must hold {' or '.join(ANNOTATION_FOLDERS)} with {' or '.join(SPLIT_FOLDERS['train'])}, got none in "
            f"{root}; point at the folder that the annotations were unpacked in."
        )
    for name in read_track_list(test_list) if test_list else []:
        if name in tracks and tracks[name].split == "test":
            continue
        if name in tracks:
            raise ArgumentError(
                f"{name} must not be annotated, got it in {test_list} and in {tracks[name].split}; check the list."
            )
        tracks[name] = Track(name, "test", np.empty((0, 2), np.float32), videos.get(video_name(name)), crops.get(name))
    missing = sum(track.media is None for track in tracks.values())
    if missing:
        logger.info("%d of %d tracks have no video under %s", missing, len(tracks), root)
    return list(tracks.values())

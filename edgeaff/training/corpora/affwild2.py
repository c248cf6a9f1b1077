"""Aff-Wild2 / ABAW: reads the annotations, finds videos and crops in every layout seen, never writes to the folder.

```
<root>/VA_Set/{Training_Set|Train_Set,Validation_Set}/<track>.txt                  2020 and 2021
<root>/VA_Estimation_Challenge/{Train_Set,Validation_Set}/<track>.txt              2022 on (annotations/ may stand above)
<root>/**/{cropped_aligned|cropped}/**/<track>/00001.jpg                           crops, 1-based, gaps = no detection
<root>/**/<video>.{mp4,avi,mkv,mov,webm}                                           batch1/, batch2/ or anything else
```
Test annotations were never given out; a corpus of one's own, or a synthetic one, may have them in Test_Set. The tree is walked
once: it holds millions of crops. Symbolic links are followed; hidden files and what a Mac leaves in archives are passed over.
A track is a video name with `_left` or `_right` where two people are annotated; `_1`, `_2`, `_3` belong to the video's name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.training.corpora.record import UNANNOTATED, Track, canonical_name

logger = logging.getLogger(__name__)
HEADER = ("valence", "arousal")
ANNOTATION_FOLDERS = ("VA_Set", "VA_Estimation_Challenge")
SPLIT_FOLDERS = {"train": ("Training_Set", "Train_Set"), "valid": ("Validation_Set",), "test": ("Test_Set",)}
CROP_FOLDERS = ("cropped_aligned", "cropped")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
SIDES = ("_left", "_right")
ARCHIVE_LITTER = "__MACOSX"


def video_name(track: str) -> str:
    """Returns the name of the video that a track is in: composed, without `_left` or `_right`."""
    track = canonical_name(track)
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
    lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
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


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of the files under a root.

    Attributes:
        annotations: (split, file) of every annotation, both generations, by split and name.
        videos: file by composed name without suffix; of two with one name the first in order of path counts.
        crops: folder by track, aligned crops before plain ones; one counts when it holds a numbered image.
    """

    annotations: list[tuple[str, Path]] = field(default_factory=list)
    videos: dict[str, Path] = field(default_factory=dict)
    crops: dict[str, Path] = field(default_factory=dict)


def find_files(root: Path) -> Layout:
    """Returns annotations, videos and crops, where they lie, from one walk that asks for no file's state."""
    splits = {folder: split for split, folders in SPLIT_FOLDERS.items() for folder in folders}
    annotations: dict[str, list[Path]] = {split: [] for split in SPLIT_FOLDERS}
    crops: dict[str, dict[str, Path]] = {kind: {} for kind in CROP_FOLDERS}
    videos: list[Path] = []
    for folder, names in _walk(root):
        inside = folder.relative_to(root).parts
        kind = next((part for part in inside[:-1] if part in CROP_FOLDERS), None)
        if kind is not None:
            if any(_is_image(name) for name in names):
                crops[kind].setdefault(canonical_name(folder.name), folder)
            continue
        videos += [folder / name for name in names if name.lower().endswith(VIDEO_SUFFIXES)]
        if folder.name in splits and folder.parent.name in ANNOTATION_FOLDERS:
            annotations[splits[folder.name]] += [folder / name for name in names if name.lower().endswith(".txt")]
    layout = Layout()
    for split, files in annotations.items():
        layout.annotations.extend((split, path) for path in sorted(files, key=lambda path: (path.name, path)))
    for path in sorted(videos):
        layout.videos.setdefault(canonical_name(path.stem), path)
    for kind in CROP_FOLDERS:
        for name, folder in crops[kind].items():
            layout.crops.setdefault(name, folder)
    return layout


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yields every folder with the names of its files, in order of path; each folder once, however many links lead to it."""
    seen: set[str] = set()
    for top, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(top)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != ARCHIVE_LITTER)
        yield Path(top), [name for name in names if not name.startswith(".")]


def _is_image(name: str) -> bool:
    """Returns whether a file is a crop by its name: `00001.jpg` and the like."""
    stem, suffix = os.path.splitext(name)
    return suffix.lower() in IMAGE_SUFFIXES and stem.isdecimal() and int(stem) >= 1


def crop_files(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yields (row, file) of the images of a track, row 0 = `00001.jpg`; stray files are passed over."""
    for name in sorted(filter(_is_image, os.listdir(folder))):
        path = folder / name
        yield int(path.stem) - 1, path


def read_track_list(path: Path) -> list[str]:
    """Returns the tracks of a test-set list, one name a line."""
    lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    return [canonical_name(line.strip()) for line in lines if line.strip()]


def read_corpus(root: Path, *, test_list: Path | None = None) -> list[Track]:
    """Returns every annotated track, and those of a test list without labels.

    Args:
        root: folder with annotations, and with videos and crops if available.
        test_list: file with the names of test tracks.

    Returns:
        Tracks of train, valid and test, each in order of name.

    Raises:
        ArgumentError: no annotation is found, or a track is annotated in two splits.
    """
    layout = find_files(root)
    videos, crops = layout.videos, layout.crops
    tracks: dict[str, Track] = {}
    for split, path in layout.annotations:
        name = canonical_name(path.stem)
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

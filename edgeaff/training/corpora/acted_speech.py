"""Corpora of acted emotion, one label a clip, read from file names and vote tables: CREMA-D, RAVDESS, EmoDB."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.training.corpora.record import UNANNOTATED, Track

AUDIO_OR_VIDEO = (".wav", ".flac", ".mp4", ".flv", ".mp3")
CREMAD_EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
CREMAD_VOTES = {"A": "anger", "D": "disgust", "F": "fear", "H": "happiness", "N": "neutral", "S": "sadness"}
RAVDESS_EMOTIONS = ("neutral", "calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise")
EMODB_EMOTIONS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}


@dataclass(frozen=True, slots=True)
class ActedClip:
    """One clip.

    Attributes:
        path: of the file; for CREMA-D's vote table without media, the name only.
        speaker: unique in its corpus.
        emotion: what was acted.
        intensity: as the corpus names it, or "".
        votes: emotion -> share of raters, empty without votes.
    """

    path: Path
    speaker: str
    emotion: str
    intensity: str = ""
    votes: dict[str, float] = field(default_factory=dict)

    def track(self, anchors: Mapping[str, tuple[float, float]], *, split: str = "train") -> Track:
        """Returns the clip as a track with one label: the anchor of its emotion, or the expectation over its votes.

        Args:
            anchors: emotion -> valence, arousal; of a projection onto the circumplex (`default_bundle.voices.ANCHORS`).
            split: of the clip.

        Returns:
            The track; its row is not annotated where an emotion has no anchor.
        """
        shares = self.votes or {self.emotion: 1.0}
        label = np.full(2, UNANNOTATED, dtype=np.float32)
        if set(shares) <= set(anchors):
            label = sum(share * np.array(anchors[name]) for name, share in shares.items()) / sum(shares.values())
        return Track(
            self.path.stem,
            split,
            np.asarray(label, dtype=np.float32)[None],
            self.path,
            times_ns=np.zeros(1, dtype=np.int64),
            subject=self.speaker,
            category=self.emotion,
        )


def _clips(root: Path) -> list[Path]:
    """Returns the media files under a folder, hidden ones apart, in order of path.

    Raises:
        ArgumentError: there is none, or two have one name (CREMA-D comes as AudioWAV, AudioMP3 and VideoFlash).
    """
    clips = sorted(
        path for path in root.rglob("*") if path.suffix.lower() in AUDIO_OR_VIDEO and not path.name.startswith(".")
    )
    if not clips:
        raise ArgumentError(
            f"root must hold {', '.join(AUDIO_OR_VIDEO)} files, got none under {root}; check the folder."
        )
    first: dict[str, Path] = {}
    for path in clips:
        if first.setdefault(path.stem, path) is not path:
            raise ArgumentError(
                f"clips must have their own names, got {first[path.stem]} and {path}; point at the folder of one medium."
            )
    return clips


def _refuse(path: Path, corpus: str, form: str) -> None:
    """States that a file is not named as in its corpus.

    Raises:
        ArgumentError: always.
    """
    raise ArgumentError(
        f"{path.name} must be named {form} as in {corpus}, got another name; keep other files elsewhere."
    )


def parse_cremad(path: Path, votes: dict[str, float] | None = None) -> ActedClip:
    """Returns a CREMA-D clip from its name.

    Args:
        path: `<actor>_<sentence>_<EMO>_<LEVEL>.*`.
        votes: of the table, if available.

    Returns:
        The clip.
    """
    parts = path.stem.split("_")
    if len(parts) != 4 or parts[2] not in CREMAD_EMOTIONS or not parts[0].isdigit():
        _refuse(path, "CREMA-D", "<actor>_<sentence>_<EMO>_<LEVEL>")
    return ActedClip(path, parts[0], CREMAD_EMOTIONS[parts[2]], parts[3], dict(votes or {}))


def read_cremad_votes(path: Path, *, kind: str = "Voice") -> dict[str, dict[str, float]]:
    """Returns the winning emotion of CREMA-D's summary table as vote shares: clip -> emotion -> share.

    A tie is written with colons in the table; its emotions share equally.

    Args:
        path: `summaryTable.csv`.
        kind: "Voice", "Face" or "MultiModal".

    Returns:
        Shares by clip.

    Raises:
        ArgumentError: the table has no such column.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        column = f"{kind}Vote"
        if not {"FileName", column} <= set(reader.fieldnames or ()):
            raise ArgumentError(
                f"{path} must have the columns FileName and {column}, got {reader.fieldnames}; which table is it?"
            )
        result = {}
        for row in reader:
            winners = [CREMAD_VOTES[letter] for letter in row[column].split(":") if letter in CREMAD_VOTES]
            result[row["FileName"]] = {emotion: 1.0 / len(winners) for emotion in winners}
        return result


def read_cremad(root: Path, table: Path | None = None, *, kind: str = "Voice") -> list[ActedClip]:
    """Returns the CREMA-D clips under a folder, with votes where the table is given."""
    votes = read_cremad_votes(table, kind=kind) if table else {}
    return [parse_cremad(path, votes.get(path.stem)) for path in _clips(root)]


def parse_ravdess(path: Path) -> ActedClip:
    """Returns a RAVDESS clip from its name: seven two-digit fields, the third the emotion, the last the actor."""
    parts = path.stem.split("-")
    if len(parts) != 7 or not all(part.isdigit() for part in parts) or not 1 <= int(parts[2]) <= len(RAVDESS_EMOTIONS):
        _refuse(path, "RAVDESS", "03-01-05-01-02-01-12")
    intensity = {"01": "normal", "02": "strong"}.get(parts[3], "")
    return ActedClip(path, parts[6], RAVDESS_EMOTIONS[int(parts[2]) - 1], intensity)


def read_ravdess(root: Path) -> list[ActedClip]:
    """Returns the RAVDESS clips under a folder."""
    return [parse_ravdess(path) for path in _clips(root)]


def parse_emodb(path: Path) -> ActedClip:
    """Returns an EmoDB clip from its name: two digits of the speaker, text, letter of the emotion, version."""
    stem = path.stem
    if len(stem) != 7 or not stem[:2].isdigit() or stem[5] not in EMODB_EMOTIONS:
        _refuse(path, "EmoDB", "03a01Wa")
    return ActedClip(path, stem[:2], EMODB_EMOTIONS[stem[5]])


def read_emodb(root: Path) -> list[ActedClip]:
    """Returns the EmoDB clips under a folder."""
    return [parse_emodb(path) for path in _clips(root)]

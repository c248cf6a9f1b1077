"""CREMA-D complete, as its repository lies on disk: 7,442 clips with face and voice of one actor, six emotions, four intensities.

```
ROOT/AudioWAV/1001_DFA_ANG_XX.wav     ROOT/VideoFlash/1001_DFA_ANG_XX.flv     ROOT/processedResults/summaryTable.csv
```
One of the two media folders may be missing, and so may the table (also found as ROOT/summaryTable.csv); then a label is what was acted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeaff.errors import ArgumentError
from edgeaff.training.corpora.acted_speech import ActedClip, read_cremad, read_cremad_votes

AUDIO_FOLDER, VIDEO_FOLDER, TABLE = "AudioWAV", "VideoFlash", "summaryTable.csv"
KINDS = {"voice": "Voice", "face": "Face", "both": "MultiModal"}
LFS_MARK = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class CremadClip:
    """One clip.

    Attributes:
        name: `<actor>_<sentence>_<EMO>_<LEVEL>`.
        speaker: the actor.
        emotion: what was acted.
        intensity: "LO", "MD", "HI", or "XX" where none was asked for.
        audio: its recording, None where the folder lacks it.
        video: its film, None where the folder lacks it.
        votes: "voice", "face", "both" -> emotion -> share of those that won; empty without the table.
    """

    name: str
    speaker: str
    emotion: str
    intensity: str
    audio: Path | None = None
    video: Path | None = None
    votes: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Three letters of the sentence."""
        return self.name.split("_")[1]


def read_cremad_complete(root: Path) -> list[CremadClip]:
    """Returns the clips of a folder, in order of name.

    Args:
        root: of the corpus.

    Returns:
        A clip for each name in AudioWAV or VideoFlash.

    Raises:
        ArgumentError: both folders are missing, a file is named otherwise, or it is the pointer of a file that Git LFS has not fetched.
    """
    folders = {kind: root / name for kind, name in (("audio", AUDIO_FOLDER), ("video", VIDEO_FOLDER))}
    there = {kind: folder for kind, folder in folders.items() if folder.is_dir()}
    if not there:
        raise ArgumentError(
            f"cremad must be a folder with {AUDIO_FOLDER} or {VIDEO_FOLDER}, got {root}; clone CheyneyComputerScience/CREMA-D."
        )
    media: dict[str, dict[str, Path]] = {}
    acted: dict[str, ActedClip] = {}
    for kind, folder in there.items():
        for clip in read_cremad(folder):
            _check_fetched(clip.path)
            media.setdefault(clip.path.stem, {})[kind] = clip.path
            acted[clip.path.stem] = clip
    tables = [path for path in (root / "processedResults" / TABLE, root / TABLE) if path.is_file()]
    votes = {kind: read_cremad_votes(tables[0], kind=column) for kind, column in KINDS.items()} if tables else {}
    return [
        CremadClip(
            name,
            acted[name].speaker,
            acted[name].emotion,
            acted[name].intensity,
            media[name].get("audio"),
            media[name].get("video"),
            {kind: shares[name] for kind, shares in votes.items() if shares.get(name)},
        )
        for name in sorted(media)
    ]


def _check_fetched(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(LFS_MARK))
    if start == LFS_MARK:
        raise ArgumentError(f"{path} must be a recording, got the pointer of Git LFS; run: git lfs pull, in the clone.")

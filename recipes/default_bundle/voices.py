"""The available emotional voices as clips with a place on the circumplex: EmoDB, CREMA-D, JL-Corpus, EmoGator."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.features.samples import as_float_samples
from edgeaff.spec import SAMPLE_RATE_HZ
from edgeaff.training.corpora.acted_speech import parse_emodb

CORPORA = ("EmoDB", "CREMA-D", "JL-Corpus", "EmoGator")
# Valence, arousal of an emotion unchanged heard. Choice: between the class means published for faces and those for
# voices, where acted joy is louder and sadness quieter than on a face. A projection of categories, not human ratings of
# arousal.
ANCHORS = {
    "neutral": (0.0, -0.05),
    "happiness": (0.65, 0.35),
    "excitement": (0.6, 0.6),
    "surprise": (0.15, 0.65),
    "sadness": (-0.6, -0.3),
    "anger": (-0.45, 0.6),
    "disgust": (-0.6, 0.35),
    "fear": (-0.25, 0.65),
    "boredom": (-0.3, -0.45),
    "calm": (0.3, -0.35),
}
CHECKED = "1001_DFA_"
_VOTED = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance or burst.

    Attributes:
        samples: (n,) float32 in [-1, 1] at 16 kHz.
        corpus: one of CORPORA.
        speaker: unique over all corpora.
        emotion: key of ANCHORS.
        affect: (2,) float32 valence, arousal; the expectation over the votes where there are votes.
    """

    samples: np.ndarray
    corpus: str
    speaker: str
    emotion: str
    affect: np.ndarray


def decode(data: bytes | str) -> np.ndarray:
    """Returns all samples of a mono 16 kHz file as float32.

    Raises:
        ArgumentError: the file has another rate or more channels.
    """
    import av

    with av.open(io.BytesIO(data) if isinstance(data, bytes) else data) as container:
        stream = container.streams.audio[0]
        if stream.rate != SAMPLE_RATE_HZ or stream.channels != 1:
            raise ArgumentError(
                f"voices must be mono at {SAMPLE_RATE_HZ} Hz, got {stream.channels} channels, {stream.rate} Hz; convert them."
            )
        parts = [frame.to_ndarray().reshape(-1) for frame in container.decode(stream)]
    return as_float_samples(np.concatenate(parts))


def _anchor(emotion: str) -> np.ndarray:
    return np.array(ANCHORS[emotion], dtype=np.float32)


def _emodb(folder: Path) -> Iterator[Clip]:
    for path in sorted(folder.glob("*.flac")):
        acted = parse_emodb(path)
        yield Clip(decode(str(path)), "EmoDB", f"emodb_{acted.speaker}", acted.emotion, _anchor(acted.emotion))


def _voted(row: dict[str, str]) -> np.ndarray:
    """Returns the expectation of the anchors over the votes for the voice, else that of the acted emotion."""
    shares = np.array([float(row[f"vote_{name}"] or 0.0) for name in _VOTED])
    if not row["votes_n"] or shares.sum() == 0:
        return _anchor(row["emotion"])
    points = np.array([ANCHORS[name] for name in _VOTED])
    return (shares @ points / shares.sum()).astype(np.float32)


def is_checked_against(name: str) -> bool:
    """Returns whether a clip of CREMA-D is one of the audio-visual clips that the shipped model is checked with."""
    return Path(name).stem.startswith(CHECKED)


def _packed(folder: Path) -> Iterator[Clip]:
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in sorted({row["tar"] for row in rows}):
        with tarfile.open(folder / name) as archive:
            for row in (
                row
                for row in rows
                if row["tar"] == name and not (row["corpus"] == "CREMA-D" and is_checked_against(row["file"]))
            ):
                member = archive.extractfile(row["file"])
                if member is None:
                    raise ArgumentError(f"{name} must hold {row['file']}, got no such file; fetch the folder again.")
                affect = _voted(row) if row["corpus"] == "CREMA-D" else _anchor(row["emotion"])
                yield Clip(decode(member.read()), row["corpus"], row["speaker"], row["emotion"], affect)


def load_clips(shared: Path) -> list[Clip]:
    """Returns every voice clip of the data folder.

    Args:
        shared: the folder that holds `data/affect/emodb` and `data/voices`.

    Returns:
        Clips of the four corpora, in a fixed order.

    Raises:
        ArgumentError: a folder is missing.
    """
    emodb, packed = shared / "data" / "affect" / "emodb", shared / "data" / "voices"
    for folder in (emodb, packed):
        if not folder.is_dir():
            raise ArgumentError(f"shared must hold {folder}, got no such folder; point EDGEAFF_SHARED at the data.")
    return [*_emodb(emodb), *_packed(packed)]


def active_level_db(samples: np.ndarray) -> float:
    """Returns the level of the loud half of a clip in dB of full scale (RMS over 20 ms pieces above their median)."""
    pieces = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    power = np.mean(np.square(pieces, dtype=np.float64), axis=1) if len(pieces) else np.array([0.0])
    return float(10.0 * np.log10(np.mean(power[power >= np.median(power)]) + 1e-10))

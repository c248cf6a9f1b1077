"""Features on disk, extracted once: a folder with one .npz per track, and the spec that they were made for.

A track is written under another name and then renamed, so an extraction that is killed leaves whole files only, and the
next one goes on where it stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError, SpecMismatchError
from edgeaff.spec import PreprocessSpec

SPEC_FILE = "spec.json"


@dataclass(frozen=True, slots=True)
class Features:
    """One track on the model's ticks.

    Attributes:
        name: of the track.
        split: "train", "valid" or "test".
        video: (T, D) float32 descriptors, zeros where no face is.
        audio: (T, A) float32 audio vectors, zeros where no sound is.
        present: (T, 2) bool, face and sound.
        labels: (T, 2) float32, -5 = not annotated.
    """

    name: str
    split: str
    video: np.ndarray
    audio: np.ndarray
    present: np.ndarray
    labels: np.ndarray


class FeatureCache:
    """A folder of features made for one preprocessing.

    Args:
        folder: made where it is missing.
        spec: what the features are made for.
        encoder_id: which face encoder made the descriptors.

    Raises:
        SpecMismatchError: the folder holds features of another preprocessing or encoder.
    """

    def __init__(self, folder: Path, spec: PreprocessSpec, *, encoder_id: str) -> None:
        self.folder = folder
        stated = {"fingerprint": spec.fingerprint, "encoder_id": encoder_id}
        path = folder / SPEC_FILE
        if path.exists():
            found = json.loads(path.read_text())
            if found != stated:
                raise SpecMismatchError(f"{folder} must hold features of {stated}, got {found}; use another folder.")
            return
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(stated))

    @classmethod
    def open(cls, folder: Path) -> FeatureCache:
        """Returns the cache in a folder that is there already.

        Args:
            folder: as made by extraction.

        Returns:
            The cache.

        Raises:
            ArgumentError: the folder holds no features.
        """
        if not (folder / SPEC_FILE).is_file():
            raise ArgumentError(f"folder must hold {SPEC_FILE} and features, got {folder}; extract features first.")
        cache = cls.__new__(cls)
        cache.folder = folder
        return cache

    def path(self, name: str) -> Path:
        """Returns the file of a track."""
        return self.folder / f"{name}.npz"

    def missing(self, names: Iterable[str]) -> list[str]:
        """Returns the tracks that are still to be extracted, in order."""
        return [name for name in names if not self.path(name).exists()]

    def write(self, features: Features) -> None:
        """Writes one track, whole or not at all.

        Args:
            features: of the track.

        Raises:
            ArgumentError: the arrays do not have the same number of ticks.
        """
        arrays = {key: getattr(features, key) for key in ("video", "audio", "present", "labels")}
        lengths = {key: len(value) for key, value in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ArgumentError(
                f"features of {features.name} must have one row per tick, got {lengths}; align them first."
            )
        part = self.folder / f".{features.name}.{os.getpid()}.npz"
        np.savez(part, split=np.array(features.split), **arrays)
        part.replace(self.path(features.name))

    def fill(self, names: Iterable[str], extract: Callable[[str], Features]) -> int:
        """Extracts what is missing and writes each track as soon as it is there.

        Args:
            names: tracks wanted.
            extract: makes the features of one track.

        Returns:
            How many tracks were extracted now.
        """
        wanted = self.missing(names)
        for name in wanted:
            self.write(extract(name))
        return len(wanted)

    def read(self, name: str) -> Features:
        """Returns the features of one track."""
        with np.load(self.path(name), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in ("video", "audio", "present", "labels")}
            return Features(name, str(archive["split"]), **arrays)

    def read_all(self, split: str | None = None) -> list[Features]:
        """Returns the features of all tracks, or of one split, in order of name."""
        everything = [self.read(path.stem) for path in sorted(self.folder.glob("[!.]*.npz"))]
        return [features for features in everything if split in (None, features.split)]

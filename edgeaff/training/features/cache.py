"""Features on disk, extracted once: a folder with one .npz per track, and what they were made with.

A track is written under another name and then renamed, so an extraction that is killed leaves whole files only, and the
next one resumes where it stopped. Wide arrays are memory-mapped on reading: a corpus need not fit into memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, SpecMismatchError
from edgeaff.spec import PreprocessSpec
from edgeaff.training.corpora.record import canonical_name

SPEC_FILE = "spec.json"
ARRAYS = ("video", "audio", "present", "labels")
TICKS = "ticks"
MAPPED = ("video", "audio")


@dataclass(frozen=True, slots=True)
class Features:
    """One track on the model's ticks.

    Attributes:
        name: of the track.
        split: "train", "valid" or "test".
        video: (T, D) float32 descriptors, zeros where no face is.
        audio: (T, A) float32 audio vectors, zeros where no audio is.
        present: (T, 2) bool, face and audio.
        labels: (T, 2) float32, -5 = not annotated.
        ticks: (T,) int64, number of each tick on the clock of its video; None in a cache of an earlier version.
    """

    name: str
    split: str
    video: np.ndarray
    audio: np.ndarray
    present: np.ndarray
    labels: np.ndarray
    ticks: np.ndarray | None = None


def statistics_id(statistics: Mapping[str, Any]) -> str:
    """Returns the identity of the LLD statistics in features and in the runs that learned from them."""
    return hashlib.sha256(json.dumps(statistics).encode()).hexdigest()[:16]


class FeatureCache:
    """A folder of features made for one preprocessing.

    Args:
        folder: made where it is missing.
        spec: what the features are made for.
        encoder_id: which face encoder made the descriptors.
        encoder_mode: how it was applied, where it has several modes and this is not the default one.
        statistics: with which audio was normalized; None = not stated.

    Attributes:
        folder: of the features.
        made_with: fingerprint, encoder_id and, where given, encoder_mode and a digest of the statistics.
        spec: what the features are made for.

    Raises:
        SpecMismatchError: the folder holds features of another preprocessing, encoder or normalization.
    """

    def __init__(
        self,
        folder: Path,
        spec: PreprocessSpec,
        *,
        encoder_id: str,
        encoder_mode: str | None = None,
        statistics: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.spec = folder, spec
        self.made_with = {"fingerprint": spec.fingerprint, "encoder_id": encoder_id}
        if encoder_mode is not None:
            self.made_with["encoder_mode"] = encoder_mode
        if statistics is not None:
            self.made_with["statistics"] = statistics_id(statistics)
        if (folder / SPEC_FILE).exists():
            found = _read_note(folder)["made_with"]
            if found != self.made_with:
                raise SpecMismatchError(
                    f"{folder} must hold features of {_described(self.made_with)}, got {_described(found)}; use another folder."
                )
            return
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{SPEC_FILE}.{os.getpid()}"
        part.write_text(
            json.dumps({"made_with": self.made_with, "spec": spec.to_dict()}, indent=1) + "\n", encoding="utf-8"
        )
        part.replace(folder / SPEC_FILE)

    @staticmethod
    def check(folder: Path, spec: PreprocessSpec, *, encoder_id: str, encoder_mode: str | None = None) -> None:
        """Checks, before anything is computed, that a folder can take features.

        Args:
            folder: may be missing.
            spec: of the features.
            encoder_id: which face encoder makes the descriptors.
            encoder_mode: as for the constructor.

        Raises:
            SpecMismatchError: it holds features of another preprocessing or encoder.
        """
        if not (folder / SPEC_FILE).exists():
            return
        found = _read_note(folder)["made_with"]
        wanted = {"fingerprint": spec.fingerprint, "encoder_id": encoder_id, "encoder_mode": encoder_mode}
        if {name: found.get(name) for name in wanted} != wanted:
            raise SpecMismatchError(
                f"{folder} must hold features of {_described(wanted)}, got {_described(found)}; use another folder."
            )

    @classmethod
    def open(cls, folder: Path) -> FeatureCache:
        """Returns the cache in an existing folder.

        Args:
            folder: as made by extraction.

        Returns:
            The cache.

        Raises:
            ArgumentError: the folder holds no features.
            SpecMismatchError: they were made by another version's preprocessing.
        """
        if not (folder / SPEC_FILE).is_file():
            raise ArgumentError(
                f"features must be a folder that edgeaff extract made, got {folder} without {SPEC_FILE}; "
                "run: edgeaff extract CORPUS --cache FOLDER."
            )
        note = _read_note(folder)
        try:
            spec = PreprocessSpec.from_dict(note["spec"])
        except ValueError as error:
            raise SpecMismatchError(f"{folder} must be of this version's preprocessing, got: {error}") from error
        if spec.fingerprint != note["made_with"]["fingerprint"]:
            raise SpecMismatchError(
                f"{folder} must hold features of fingerprint {spec.fingerprint} (this version), got "
                f"{note['made_with']['fingerprint']}; extract again into another folder."
            )
        cache = cls.__new__(cls)
        cache.folder, cache.spec, cache.made_with = folder, spec, note["made_with"]
        return cache

    def path(self, name: str) -> Path:
        """Returns the file of a track.

        Args:
            name: of the track.

        Raises:
            ArgumentError: it cannot name a file here.
        """
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            raise ArgumentError(
                f"name of a track must be usable as the name of a file, got {name!r}; dataclasses.replace(track, name=...)."
            )
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
        arrays = {key: getattr(features, key) for key in ARRAYS}
        if features.ticks is not None:
            arrays[TICKS] = features.ticks
        lengths = {key: len(value) for key, value in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ArgumentError(
                f"features of {features.name} must have one row per tick, got {lengths}; align them first."
            )
        part = self.folder / f".{features.name}.{os.getpid()}.npz"
        np.savez(part, split=np.array(features.split), **arrays)
        part.replace(self.path(features.name))

    def fill(self, names: Iterable[str], extract: Callable[[str], Features]) -> int:
        """Extracts what is missing and writes each track as soon unchanged there.

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
        """Returns the features of one track; video and audio are mapped, not read, and cannot be written to.

        Raises:
            ArgumentError: the track's file is damaged.
        """
        path = self.path(name)
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in ARRAYS if key not in MAPPED}
                split = str(archive["split"])
                ticks = archive[TICKS] if TICKS in archive.files else None
            arrays |= {key: _mapped(path, f"{key}.npy") for key in MAPPED}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ArgumentError(
                f"{path} must hold the features of a track, got {error}; delete it and extract again."
            ) from error
        return Features(canonical_name(name), split, **arrays, ticks=ticks)

    def read_all(self, split: str | None = None) -> list[Features]:
        """Returns the features of all tracks, or of one split, in order of name."""
        everything = [self.read(path.stem) for path in sorted(self.folder.glob("[!.]*.npz"))]
        return [features for features in everything if split in (None, features.split)]


def _read_note(folder: Path) -> dict[str, Any]:
    """Returns the description of a cache.

    Raises:
        ArgumentError: the file is none of ours.
    """
    try:
        note = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        return {"made_with": dict(note["made_with"]), "spec": dict(note["spec"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ArgumentError(
            f"{folder / SPEC_FILE} must be written by edgeaff extract, got {error}; use another folder."
        ) from error


def _described(made_with: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in made_with.items() if value is not None)


def _mapped(path: Path, member: str) -> np.ndarray:
    """Returns an array of a stored .npz as a read-only map of the file.

    Raises:
        ValueError: the member is compressed.
    """
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        entry = archive.getinfo(member)
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{member} is compressed")
        file.seek(entry.header_offset + 26)  # local header: 26 bytes, then the lengths of name and extra field
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
        file.seek(name + extra, os.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")

"""The training pictures: labels, a memory-mapped cache of decoded pixels, and the validation part.

Labels: `train_labels.jsonl` of the faces folder (one row per picture; boxes are consensus of several detectors,
`face` 0 means ignore). Pictures are decoded once into one flat uint8 file, so that a loader only copies pixels.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError

VALIDATION_SOURCES = ("dlib", "facerec", "omz")
VALIDATION_SHARE = 0.12
LAST_HISTORIC_MEMBER = 10_500


@dataclass(frozen=True, slots=True)
class Picture:
    """One labeled picture.

    Attributes:
        name: file name inside the shards.
        source: key of the source it comes from.
        gray: it has no color.
        status: "faces", "negative" (no face anywhere) or "ambiguous".
        size: (width, height) pixels.
        boxes: (n, 4) float32, x0 y0 x1 y1 pixels; faces.
        landmarks: (n, 5, 2) float32 pixels; NaN where not known.
        ignore: (m, 4) float32; neither face nor background.
        group: what must stay on one side of the validation split.
        origin: path in the source.
    """

    name: str
    source: str
    gray: bool
    status: str
    size: tuple[int, int]
    boxes: np.ndarray
    landmarks: np.ndarray
    ignore: np.ndarray
    group: str
    origin: str


def _group(source: str, origin: str) -> str:
    """Returns what must not be split over training and validation: a person where the name tells, else the picture."""
    stem = Path(origin).stem
    if source in {"muxspace", "maskset"}:
        name = re.sub(r"( copy)?[ _\d]*$", "", stem)
        if len(name) > 4 and not name.startswith(("augmented", "with_mask", "without")):
            return f"{source}/{name}"
    if source == "intel":
        return f"{source}/{origin.split('#')[0]}"
    return f"{source}/{stem if source == 'voteview' else origin}"


def _row_to_picture(row: dict) -> tuple[str, Picture]:
    faces = [box for box in row["boxes"] if box["face"]]
    ignored = [box["box"] for box in row["boxes"] if not box["face"]]
    points = [box["lm"] if box["lm"] else [np.nan] * 10 for box in faces]
    picture = Picture(
        name=row["file"],
        source=row["src"],
        gray=bool(row["gray"]),
        status=row["status"],
        size=(row["w"], row["h"]),
        boxes=np.array([box["box"] for box in faces], np.float32).reshape(-1, 4),
        landmarks=np.array(points, np.float32).reshape(-1, 5, 2),
        ignore=np.array(ignored, np.float32).reshape(-1, 4),
        group=_group(row["src"], row["origin"]),
        origin=row["origin"],
    )
    return row["shard"], picture


def read_labels(folder: Path) -> list[tuple[str, Picture]]:
    """Returns (shard, picture) for each row of the labels, sorted by name.

    Args:
        folder: holds `train_labels.jsonl` and the shards.

    Raises:
        ArgumentError: the labels are not there.
    """
    path = folder / "train_labels.jsonl"
    if not path.is_file():
        raise ArgumentError(f"folder must hold train_labels.jsonl, got {folder}; name the folder of the face pictures.")
    with path.open() as lines:
        rows = [_row_to_picture(json.loads(line)) for line in lines]
    return sorted(rows, key=lambda row: row[1].name)


def is_validation(picture: Picture) -> bool:
    """Returns whether a picture belongs to the validation part: whole sources, and a share of persons of the others.

    Congress members occur in two sources under different keys: of these only members who left long before the second
    source begins (a low member number) may be cut off.
    """
    if picture.source in VALIDATION_SOURCES:
        return True
    if picture.source in {"congress225", "ulfg"}:
        return False
    if (
        picture.source == "voteview"
        and int(re.sub(r"\D", "", Path(picture.group).name) or 10**9) > LAST_HISTORIC_MEMBER
    ):
        return False
    digest = hashlib.sha256(picture.group.encode()).digest()
    return int.from_bytes(digest[:4], "little") < VALIDATION_SHARE * 2**32


class PictureCache:
    """Decoded pictures in one memory-mapped file; `cache[i]` is (H, W, 3) uint8 RGB."""

    def __init__(self, folder: Path, cache_folder: Path) -> None:
        rows = read_labels(folder)
        self.pictures = [picture for _, picture in rows]
        sizes = np.array([picture.size for picture in self.pictures], np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(sizes[:, 0] * sizes[:, 1] * 3)])
        self._path = cache_folder / "pictures.u8"
        if not self._path.is_file() or self._path.stat().st_size != self._offsets[-1]:
            cache_folder.mkdir(parents=True, exist_ok=True)
            self._decode(folder, rows)
        self._pixels = np.memmap(self._path, np.uint8, "r")

    def _decode(self, folder: Path, rows: list[tuple[str, Picture]]) -> None:
        import cv2

        position = {picture.name: index for index, (_, picture) in enumerate(rows)}
        partial = self._path.with_suffix(".partial")
        pixels = np.memmap(partial, np.uint8, "w+", shape=(int(self._offsets[-1]),))
        for shard in sorted({shard for shard, _ in rows}):
            with tarfile.open(folder / shard) as archive:
                for member in archive:
                    index = position.get(Path(member.name).name)
                    stream = archive.extractfile(member)
                    if index is None or stream is None:
                        continue
                    image = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)
                    if image.shape[1::-1] != self.pictures[index].size:
                        raise ArgumentError(
                            f"picture {member.name} must be {self.pictures[index].size} as labeled, got "
                            f"{image.shape[1::-1]}; fetch the shards again."
                        )
                    pixels[self._offsets[index] : self._offsets[index + 1]] = image[:, :, ::-1].reshape(-1)
        pixels.flush()
        partial.replace(self._path)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> np.ndarray:
        width, height = self.pictures[index].size
        return self._pixels[self._offsets[index] : self._offsets[index + 1]].reshape(height, width, 3)

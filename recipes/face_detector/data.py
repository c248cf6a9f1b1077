"""The training images: labels, a memory-mapped cache of decoded pixels, and the validation part.

Labels: `train_labels.jsonl` of the faces folder (one row per frame; boxes are consensus of several detectors,
`face` 0 means ignore). Images are decoded once into one flat uint8 file, so that a loader only copies pixels.
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
class Image:
    """One labeled frame.

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
    """Returns the group that must not be split over training and validation: a person where the name reports, else the frame."""
    stem = Path(origin).stem
    if source in {"muxspace", "maskset"}:
        name = re.sub(r"( copy)?[ _\d]*$", "", stem)
        if len(name) > 4 and not name.startswith(("augmented", "with_mask", "without")):
            return f"{source}/{name}"
    if source == "intel":
        return f"{source}/{origin.split('#')[0]}"
    return f"{source}/{stem if source == 'voteview' else origin}"


def _row_to_image(row: dict) -> tuple[str, Image]:
    faces = [box for box in row["boxes"] if box["face"]]
    ignored = [box["box"] for box in row["boxes"] if not box["face"]]
    points = [box["lm"] if box["lm"] else [np.nan] * 10 for box in faces]
    frame = Image(
        name=row["file"],
        source=row["src"],
        gray=bool(row["grey"]),
        status=row["status"],
        size=(row["w"], row["h"]),
        boxes=np.array([box["box"] for box in faces], np.float32).reshape(-1, 4),
        landmarks=np.array(points, np.float32).reshape(-1, 5, 2),
        ignore=np.array(ignored, np.float32).reshape(-1, 4),
        group=_group(row["src"], row["origin"]),
        origin=row["origin"],
    )
    return row["shard"], frame


def read_labels(folder: Path) -> list[tuple[str, Image]]:
    """Returns (shard, frame) for each row of the labels, sorted by name.

    Args:
        folder: holds `train_labels.jsonl` and the shards.

    Raises:
        ArgumentError: the labels are not there.
    """
    path = folder / "train_labels.jsonl"
    if not path.is_file():
        raise ArgumentError(f"folder must hold train_labels.jsonl, got {folder}; name the folder of the face images.")
    with path.open() as lines:
        rows = [_row_to_image(json.loads(line)) for line in lines]
    return sorted(rows, key=lambda row: row[1].name)


def is_validation(frame: Image) -> bool:
    """Returns whether a frame belongs to the validation part: whole sources, and a share of persons of the others.

    Congress members occur in two sources under different keys: of these only members who left long before the second
    source begins (a low member number) may be cut off.
    """
    if frame.source in VALIDATION_SOURCES:
        return True
    if frame.source in {"congress225", "ulfg"}:
        return False
    if frame.source == "voteview" and int(re.sub(r"\D", "", Path(frame.group).name) or 10**9) > LAST_HISTORIC_MEMBER:
        return False
    digest = hashlib.sha256(frame.group.encode()).digest()
    return int.from_bytes(digest[:4], "little") < VALIDATION_SHARE * 2**32


class ImageCache:
    """Decoded images in one memory-mapped file; `cache[i]` is (H, W, 3) uint8 RGB."""

    def __init__(self, folder: Path, cache_folder: Path) -> None:
        rows = read_labels(folder)
        self.images = [frame for _, frame in rows]
        sizes = np.array([frame.size for frame in self.images], np.int64)
        self._offsets = np.concatenate([[0], np.cumsum(sizes[:, 0] * sizes[:, 1] * 3)])
        self._path = cache_folder / "images.u8"
        if not self._path.is_file() or self._path.stat().st_size != self._offsets[-1]:
            cache_folder.mkdir(parents=True, exist_ok=True)
            self._decode(folder, rows)
        self._pixels = np.memmap(self._path, np.uint8, "r")

    def _decode(self, folder: Path, rows: list[tuple[str, Image]]) -> None:
        import cv2

        position = {frame.name: index for index, (_, frame) in enumerate(rows)}
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
                    if image.shape[1::-1] != self.images[index].size:
                        raise ArgumentError(
                            f"frame {member.name} must be {self.images[index].size} as labeled, got "
                            f"{image.shape[1::-1]}; fetch the shards again."
                        )
                    pixels[self._offsets[index] : self._offsets[index + 1]] = image[:, :, ::-1].reshape(-1)
        pixels.flush()
        partial.replace(self._path)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> np.ndarray:
        width, height = self.images[index].size
        return self._pixels[self._offsets[index] : self._offsets[index + 1]].reshape(height, width, 3)

"""Reads FER+ (48-px gray faces with the votes of ten raters) and turns votes into soft valence/arousal.

The folder holds mosaics of 20x20 tiles in row order, `SPLIT_NNN.png|webp`, `SPLIT_votes.csv` and `meta.json`.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.training import SPLITS
from edgeaff.training.corpora.ferplus import EMOTIONS, votes_to_affect
from recipes import shared_folder

# Side of the crop / longer side of a box at which a face looks as in these tiles. Measured: the distance from eyes to
# mouth = 0.352 of the tile's side (733 faces of the valid part), 0.358 of the longer side (8,216 labeled boxes); YuNet's
# own boxes on padded tiles have 1.00 of the tile as median of the longer side. (0.358 / 0.352 = 1.02.)
CROP_MARGIN = 1.0


@dataclass(frozen=True, slots=True)
class FaceSet:
    """One split of FER+.

    Attributes:
        images: (N, 48, 48) uint8 gray.
        votes: (N, 8) float32, share of the raters per emotion, rows sum to 1.
        affect: (N, 2) float32 valence, arousal: expectation of ANCHORS over the votes.
    """

    images: np.ndarray
    votes: np.ndarray
    affect: np.ndarray

    def __len__(self) -> int:
        return len(self.images)


def default_data() -> Path:
    """Returns the FER+ folder under EDGEAFF_SHARED (default ../shared)."""
    return shared_folder() / "data" / "affect" / "fer2013plus"


def rarity(votes: np.ndarray) -> np.ndarray:
    """Returns 1 / sqrt(faces of the same majority) for each face: (N, 8) -> (N,)."""
    majority = votes.argmax(axis=1)
    return np.asarray(1.0 / np.sqrt(np.bincount(majority, minlength=votes.shape[1])[majority]))


def read_tiles(folder: Path, split: str) -> np.ndarray:
    """Returns the faces of a split, (N, 48, 48) uint8, in the order of the votes.

    Raises:
        ArgumentError: a mosaic is missing or too small.
    """
    import cv2

    meta = json.loads((folder / "meta.json").read_text())[split]
    tile, grid = meta["tile"], meta["grid"]
    tiles: list[np.ndarray] = []
    for index in range(meta["mosaics"]):
        path = folder / f"{split}_{index:03d}{meta['ext']}"
        mosaic = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if mosaic is None or mosaic.shape[1] != tile * grid or mosaic.shape[0] % tile:
            raise ArgumentError(
                f"{path.name} must be a mosaic {tile * grid} px wide with whole rows of {tile}-px tiles, got "
                f"{None if mosaic is None else mosaic.shape}; fetch the folder again."
            )
        rows = mosaic.shape[0] // tile
        tiles.append(mosaic.reshape(rows, tile, grid, tile).transpose(0, 2, 1, 3).reshape(-1, tile, tile))
    images = np.concatenate(tiles)
    if len(images) < meta["images"]:
        raise ArgumentError(f"{split} must have {meta['images']} tiles, got {len(images)}; fetch the folder again.")
    return np.ascontiguousarray(images[: meta["images"]])


def read_votes(folder: Path, split: str) -> np.ndarray:
    """Returns the raters' counts of a split: (N, 10) float32, EMOTIONS then unknown and not-a-face."""
    with (folder / f"{split}_votes.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    return np.array(rows[1:], dtype=np.float32)


def read_split(folder: Path, split: str) -> FaceSet:
    """Returns one split with soft labels. Faces without any vote for one of the 8 emotions are left out.

    Args:
        folder: the FER+ folder.
        split: "train", "valid" or "test".

    Raises:
        ArgumentError: split is another name, or the files do not fit together.
    """
    if split not in SPLITS:
        raise ArgumentError(f"split must be one of {SPLITS}, got {split!r}; choose one.")
    images, counts = read_tiles(folder, split), read_votes(folder, split)
    if len(images) != len(counts):
        raise ArgumentError(f"{split}_votes.csv must have {len(images)} rows, got {len(counts)}; fetch it again.")
    named = counts[:, : len(EMOTIONS)]
    keep = named.sum(axis=1) > 0
    votes = named[keep] / named[keep].sum(axis=1, keepdims=True)
    return FaceSet(images[keep], votes.astype(np.float32), votes_to_affect(votes))

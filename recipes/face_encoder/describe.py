"""Writes the descriptors of all FER+ faces, for the training of the affect model on pseudo audio-visual sessions.

`python -m recipes.face_encoder.describe FOLDER OUT.npz` reads FOLDER/face_encoder.onnx. Per split it writes
`SPLIT_descriptor` (N, K, D) float16, `SPLIT_affect` (N, 2) and `SPLIT_votes` (N, 8); of the K views of a face the first is
the plain crop, the others are varied as neighboring frames of a camera are, more mildly than in training.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgeaff.training import SPLITS
from recipes.face_encoder.augment import AugmentConfig, augment, plain
from recipes.face_encoder.data import FaceSet, read_split
from recipes.face_encoder.evaluate import Encode, encoder_of, session_of
from recipes.face_encoder.train import default_data

MILD = AugmentConfig(
    scale=1.12, shift=0.025, rotation_degrees=6.0, clean=0.0, low_resolution=0.15, tone=0.5, shade=0.2, noise=0.15,
    blur=0.2, jpeg=0.3, occlusion=0.05,
)  # fmt: skip


def describe(faces: FaceSet, encode: Encode, *, views: int) -> np.ndarray:
    """Returns the descriptors of every view of every face.

    Args:
        faces: one split.
        encode: crops to descriptors.
        views: varied views beside the plain one.

    Returns:
        (N, 1 + views, D) float16.
    """
    rows = [encode(np.stack([plain(image) for image in faces.images]))]
    for view in range(views):
        random = np.random.default_rng([11, view])
        rows.append(encode(np.stack([augment(image, random, MILD) for image in faces.images])))
    return np.stack(rows, axis=1).astype(np.float16)


def main() -> None:
    """Describes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--views", type=int, default=2, help="varied views of a train face (one of the others)")
    arguments = parser.parse_args()
    encode = encoder_of(session_of((arguments.folder / "face_encoder.onnx").read_bytes()))
    result: dict[str, np.ndarray] = {}
    for split in SPLITS:
        faces = read_split(arguments.data, split)
        views = arguments.views if split == "train" else min(1, arguments.views)
        result[f"{split}_descriptor"] = describe(faces, encode, views=views)
        result |= {f"{split}_affect": faces.affect, f"{split}_votes": faces.votes}
    np.savez(arguments.out, **cast(Any, result))


if __name__ == "__main__":
    main()

"""Writes the descriptors of all FER+ faces, for the training of the affect model on pseudo audio-visual sessions.

`python -m recipes.face_encoder.describe FOLDER OUT.npz` reads FOLDER/face_encoder.onnx, or the graph that `--graph` names. Per split
it writes `SPLIT_descriptor` (N, K, D) float16, `SPLIT_affect` (N, 2) and `SPLIT_votes` (N, 8); of the K views of a face the first is
the plain crop, the second its mirror image, then come `--views` varied as neighboring frames of a camera are, more mildly than in
training. A train face has APART more, each of another scene: two as in the training of the encoder, one under a hindrance. The other
splits have `SPLIT_NAME` (N, D) for each name of HINDRANCES.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgeaff.training import SPLITS
from recipes.face_encoder.augment import WIDE, AugmentConfig, augment, plain
from recipes.face_encoder.data import FaceSet, default_data, read_split
from recipes.face_encoder.disturb import HINDRANCES, hinder
from recipes.face_encoder.evaluate import Encode, encoder_of, session_of

MILD = AugmentConfig(
    scale=1.12,
    shift=0.025,
    rotation_degrees=6.0,
    clean=0.0,
    low_resolution=0.15,
    tone=0.5,
    shade=0.2,
    noise=0.15,
    blur=0.2,
    jpeg=0.3,
    occlusion=0.05,
)


APART = 3


def describe(faces: FaceSet, encode: Encode, *, views: int, apart: bool = False) -> np.ndarray:
    """Returns the descriptors of every view of every face.

    Args:
        faces: one split.
        encode: crops to descriptors.
        views: mildly varied views beside the plain and the mirrored one.
        apart: whether APART views of other scenes follow.

    Returns:
        (N, 2 + views, D) float16, or APART more.
    """
    rows = [
        encode(np.stack([plain(image) for image in faces.images])),
        encode(np.stack([plain(image[:, ::-1].copy()) for image in faces.images])),
    ]
    kinds = [MILD] * views + [WIDE] * (APART - 1 if apart else 0)
    for view, kind in enumerate(kinds):
        random = np.random.default_rng([11, view])
        rows.append(encode(np.stack([augment(image, random, kind) for image in faces.images])))
    if apart:
        random = np.random.default_rng([12])
        rows.append(encode(np.stack([hinder(image, random) for image in faces.images])))
    return np.stack(rows, axis=1).astype(np.float16)


def describe_hindered(faces: FaceSet, encode: Encode) -> dict[str, np.ndarray]:
    """Returns the descriptors of every face under each of HINDRANCES, (N, D) float16 by name."""
    found = {}
    for number, (name, change) in enumerate(HINDRANCES.items()):
        random = np.random.default_rng([5, number])
        found[name] = encode(np.stack([change(image, random) for image in faces.images])).astype(np.float16)
    return found


def main() -> None:
    """Describes from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--graph", default="face_encoder.onnx", help="face_encoder.int8.onnx is what ships, and faster")
    parser.add_argument("--faces", type=int, help="this many of the train faces, at random; default: all")
    parser.add_argument("--judged", type=int, help="this many of the valid and the test faces; default: all")
    parser.add_argument("--views", type=int, default=2, help="varied views of a train face (one of the others)")
    arguments = parser.parse_args()
    encode = encoder_of(session_of((arguments.folder / arguments.graph).read_bytes()))
    result: dict[str, np.ndarray] = {}
    for split in SPLITS:
        faces = read_split(arguments.data, split)
        count = arguments.faces if split == "train" else arguments.judged
        if count:
            chosen = np.random.default_rng(0).permutation(len(faces))[:count]
            faces = FaceSet(faces.images[chosen], faces.votes[chosen], faces.affect[chosen])
        views = arguments.views if split == "train" else min(1, arguments.views)
        result[f"{split}_descriptor"] = describe(faces, encode, views=views, apart=split == "train")
        if split != "train":
            result |= {f"{split}_{name}": rows for name, rows in describe_hindered(faces, encode).items()}
        result |= {f"{split}_affect": faces.affect, f"{split}_votes": faces.votes}
    np.savez(arguments.out, **cast(Any, result))


if __name__ == "__main__":
    main()

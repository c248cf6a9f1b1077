"""Corpora that are not in the data folder but that a user may have: `python -m recipes.default_bundle --with cremad=DIR`.

| name | what it gives |
|---|---|
| `cremad` | all voices of CREMA-D in the place of the few at hand, and three faces of each film |
| `emonet_face` | portraits of EmoNet-Face |

Faces are found and cut by the detector and the crop of the runtime. The clips that the shipped model is checked with are left out.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.training.corpora.cremad import CremadClip, read_cremad_complete
from edgeaff.training.corpora.emonet_face import read_emonet_face
from edgeaff.training.corpora.ferplus import EMOTIONS, votes_to_affect
from recipes.default_bundle.voices import ANCHORS, Clip, decode, is_checked_against
from recipes.face_encoder.data import FaceSet
from recipes.face_encoder.describe import APART, describe
from recipes.face_encoder.evaluate import encoder_of, session_of

logger = logging.getLogger(__name__)
CORPORA = ("cremad", "emonet_face")
TILE = 48
MOMENTS = (0.35, 0.55, 0.75)  # of a film, where a face is taken
# Choice: a clip without votes is as far from neutral as its actor was asked to be.
STRENGTH = {"LO": 0.6, "MD": 0.8}
Locate = Callable[[np.ndarray], "np.ndarray | None"]


def named_folder(text: str) -> tuple[str, Path]:
    """Returns name and folder of NAME=FOLDER, an option of the command line.

    Raises:
        argparse.ArgumentTypeError: the name is unknown, or there is no such folder.
    """
    name, _, folder = text.partition("=")
    if name not in CORPORA or not folder or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(
            f"must be NAME=FOLDER with a name of {', '.join(CORPORA)}, got {text!r}; unpack the corpus first"
        )
    return name, Path(folder)


def with_voices(clips: Sequence[Clip], more: Mapping[str, Path]) -> list[Clip]:
    """Returns the voices to train on.

    Args:
        clips: of the data folder.
        more: name -> folder.

    Returns:
        The clips; with `cremad`, those of CREMA-D are of its folder.

    Raises:
        ArgumentError: the folder has no recordings.
    """
    if "cremad" not in more:
        return list(clips)
    own = list(cremad_voices(read_cremad_complete(more["cremad"])))
    if not own:
        raise ArgumentError(
            f"cremad must hold recordings (AudioWAV), got none in {more['cremad']}; fetch that folder too."
        )
    logger.info("CREMA-D: %d voices", len(own))
    return [*(clip for clip in clips if clip.corpus != "CREMA-D"), *own]


def cremad_voices(clips: Iterable[CremadClip]) -> Iterator[Clip]:
    """Yields the recordings, labeled by the votes for the voice, or by what was acted."""
    for clip in clips:
        if clip.audio is None or is_checked_against(clip.name):
            continue
        shares = clip.votes.get("voice")
        affect = np.array(ANCHORS[clip.emotion]) * STRENGTH.get(clip.intensity, 1.0)
        if shares:
            affect = sum(share * np.array(ANCHORS[name]) for name, share in shares.items()) / sum(shares.values())
        yield Clip(
            decode(str(clip.audio)), "CREMA-D", f"crema_{clip.speaker}", clip.emotion, np.asarray(affect, np.float32)
        )


def face_finder() -> Locate:
    """Returns a function from an image (H, W, 3) uint8 RGB to its face as a gray tile (48, 48) uint8, None without a face."""
    import cv2

    from edgeaff.bundle import ModelBundle
    from edgeaff.preprocess.parts import parts_from_bundle

    parts = parts_from_bundle(ModelBundle.load())
    detector, encoder = parts.detector, parts.encoder
    assert detector is not None and encoder is not None

    def find(image: np.ndarray) -> np.ndarray | None:
        found = detector.detect(image)
        if not found:
            return None
        crop = np.asarray(encoder.crop(image, found[0].box))
        return np.asarray(
            cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (TILE, TILE), interpolation=cv2.INTER_AREA)
        )

    return find


def frames_of(path: Path) -> list[np.ndarray]:
    """Returns the images of a film at MOMENTS, (H, W, 3) uint8 RGB each."""
    import av

    from edgeaff.capture.container import open_file

    with open_file(av, path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [frames[int(share * (len(frames) - 1))] for share in MOMENTS] if frames else []


def images_of(more: Mapping[str, Path]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the images of the corpora that have faces, with their votes: (H, W, 3) uint8 RGB, (8,) shares."""
    if "cremad" in more:
        for clip in read_cremad_complete(more["cremad"]):
            if clip.video is None or is_checked_against(clip.name):
                continue
            shares = clip.votes.get("face") or {clip.emotion: 1.0}
            votes = np.array([shares.get(name, 0.0) for name in EMOTIONS], np.float32)
            for image in frames_of(clip.video):
                yield image, votes / votes.sum()
    if "emonet_face" in more:
        for face in read_emonet_face(more["emonet_face"]):
            yield face.decode(), face.votes


def face_set(images: Iterable[tuple[np.ndarray, np.ndarray]], locate: Locate) -> FaceSet:
    """Returns the faces found in images, as FER+ has them.

    Args:
        images: image and votes each.
        locate: gives the tile of a face.

    Raises:
        ArgumentError: no image has a face.
    """
    tiles, votes, count = [], [], 0
    for image, shares in images:
        count += 1
        tile = locate(image)
        if tile is not None:
            tiles.append(tile)
            votes.append(shares)
    if not tiles:
        raise ArgumentError(f"images must show faces, got none in {count} images; check the folders of --with.")
    logger.info("%d faces in %d images", len(tiles), count)
    stacked = np.stack(votes).astype(np.float32)
    return FaceSet(np.stack(tiles), stacked, votes_to_affect(stacked))


def with_faces(faces: Path, more: Mapping[str, Path], encoder: Path | None, work: Path) -> Path:
    """Returns the descriptors to train on, with the faces of the corpora added to those of FER+'s train part.

    Args:
        faces: .npz of recipes.face_encoder.describe.
        more: name -> folder.
        encoder: `face_encoder.onnx` that made them.
        work: folder where the joined descriptors are kept.

    Returns:
        `faces` itself where no corpus has faces.

    Raises:
        ArgumentError: the encoder is not given, or makes descriptors of another width.
    """
    films = "cremad" in more and any(clip.video for clip in read_cremad_complete(more["cremad"]))
    if not films and "emonet_face" not in more:
        return faces
    if encoder is None:
        raise ArgumentError("encoder must be given with corpora that have faces, got none; name face_encoder.onnx.")
    joined = work / "faces.npz"
    if joined.exists():
        return joined
    with np.load(faces, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    views = arrays["train_descriptor"].shape[1] - 2 - APART
    own = face_set(images_of(more), face_finder())
    described = describe(own, encoder_of(session_of(encoder.read_bytes())), views=views, apart=True)
    if described.shape[1:] != arrays["train_descriptor"].shape[1:]:
        raise ArgumentError(
            f"encoder must make descriptors of shape {arrays['train_descriptor'].shape[1:]}, got {described.shape[1:]}; name the one "
            f"that made {faces}."
        )
    added = {"train_descriptor": described, "train_votes": own.votes, "train_affect": own.affect}
    part = joined.with_suffix(".part.npz")
    np.savez(part, **cast(Any, arrays | {name: np.concatenate([arrays[name], rows]) for name, rows in added.items()}))
    part.replace(joined)
    return joined


def provenance_of(more: Mapping[str, Path]) -> str:
    """Returns the sentence that a bundle states of these corpora, with a space before it; "" without any."""
    named = {
        "cremad": "CREMA-D complete (ODbL 1.0 + DbCL 1.0), voices and faces",
        "emonet_face": "EmoNet-Face (CC BY 4.0), generated portraits",
    }
    return f" Also trained on {' and '.join(named[name] for name in sorted(more))}." if more else ""

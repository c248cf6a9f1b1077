"""Expression networks that a user could pick instead, beside the shipped bundle: `python benchmarks/affect_peers.py --json OUT.json`.

Faces are those of FER+ test, which nothing of ours was trained on or chosen by; most peers may have been trained on them, as the
table states. A peer's shares of emotions become valence and arousal by the same anchors as the votes of the raters. Each system gets
the crop at which it is best on FER+ valid, one for both dimensions. Intervals: 95 % bootstrap over faces, paired for differences.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import affect_peer_nets as nets
from edgeaff.bundle import ModelBundle
from edgeaff.errors import BackendUnavailableError
from edgeaff.machine import stamp
from edgeaff.measures import ccc
from edgeaff.session import Session
from edgeaff.training.corpora.ferplus import ANCHORS, EMOTIONS
from edgeaff.types import DIMENSIONS, FaceBox, TrackedFace
from recipes import shared_folder
from recipes.face_encoder.augment import warp
from recipes.face_encoder.data import FaceSet, read_split

logger = logging.getLogger(__name__)
SCALES = (0.8, 0.9, 1.0, 1.1, 1.2)  # side of the crop / side of the tile
FRAMES = 15
DRAWS = 1000
Values = Callable[[np.ndarray], np.ndarray]
SEEN = {
    "edgeaff": "no: FER+ train only",
    "face-api.js": "may be: public sets, unnamed",
    "mini_XCEPTION": "may be: FER-2013, whose last fifth chose the epoch",
    "facex 1.1.0": "may be: its set is not stated",
}


def shipped(bundle: ModelBundle) -> Values:
    """Returns a function from gray crops (N, 96, 96) to values (N, 2) of the bundle through Session, each face held still."""
    session, face = Session(bundle, audio=False), TrackedFace(1, FaceBox(0.0, 0.0, 96.0, 96.0), 1.0)

    def run(crops: np.ndarray) -> np.ndarray:
        rows = []
        for crop in crops:
            session.reset()
            image, events = np.repeat(crop[..., None], 3, axis=2), []
            for number in range(FRAMES):
                events += session.push_face([(face, image)], pts_ns=number * 1_000_000_000 // 30)
            last = (events + session.finish())[-1]
            rows.append([last.valence_raw or 0.0, last.arousal_raw or 0.0])  # no answer counts as neutral
        return np.array(rows)

    return run


def peer(expressions: nets.Expressions, names: Sequence[str]) -> Values:
    """Returns a function from gray crops to values: the expectation of the anchors over a network's shares."""
    anchors = ANCHORS[[EMOTIONS.index(name) for name in names]]

    def run(crops: np.ndarray) -> np.ndarray:
        shares = expressions(crops)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True) @ anchors)

    return run


def systems(bundle: ModelBundle, models: Path, facex: Path | None) -> tuple[dict[str, Values], dict[str, str]]:
    """Returns the systems that can be had, and why the others cannot."""
    found: dict[str, Values] = {
        "edgeaff": shipped(bundle),
        "face-api.js": peer(nets.face_api(models), nets.FACE_API),
        "mini_XCEPTION": peer(nets.mini_xception(models), nets.MINI_XCEPTION),
    }
    try:
        found["facex 1.1.0"] = peer(nets.facex(facex), nets.FACEX)
    except BackendUnavailableError as error:
        return found, {"facex 1.1.0": str(error)}
    return found, {}


def crops_of(images: np.ndarray, scale: float) -> np.ndarray:
    """Returns the crops of tiles (N, 48, 48) at a scale, (N, 96, 96) uint8."""
    return np.stack([warp(image, scale=scale) for image in images])


def best_scale(values: Values, faces: FaceSet) -> float:
    """Returns the scale of the highest mean CCC."""
    scores = {}
    for scale in SCALES:
        stated = values(crops_of(faces.images, scale))
        scores[scale] = np.mean([ccc(stated[:, column], faces.affect[:, column]) for column in range(2)])
    logger.info("CCC by scale: %s", scores)
    return max(scores, key=lambda scale: scores[scale])


def ccc_of_draws(stated: np.ndarray, truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Returns the CCC of each resample. stated, truth: (N,); draws: (K, N) indices; result: (K,)."""
    x, y = stated[draws], truth[draws]
    dx, dy = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    return np.asarray(2 * (dx * dy).mean(1) / ((dx**2).mean(1) + (dy**2).mean(1) + (x.mean(1) - y.mean(1)) ** 2))


def row_of(name: str, stated: np.ndarray, ours: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Returns the row of a system.

    Args:
        name: of the system.
        stated: its values, (N, 2).
        ours: those of the bundle.
        truth: (N, 2).
    """
    draws = np.random.default_rng(0).integers(0, len(truth), (DRAWS, len(truth)))
    row: dict[str, Any] = {"system": name, "trained_on_these_images": SEEN[name]}
    for column, dimension in enumerate(DIMENSIONS):
        own = ccc_of_draws(stated[:, column], truth[:, column], draws)
        behind = ccc_of_draws(ours[:, column], truth[:, column], draws) - own
        row[dimension] = {
            "ccc": round(ccc(stated[:, column], truth[:, column]), 4),
            "interval": [round(float(edge), 4) for edge in np.percentile(own, (2.5, 97.5))],
            "edgeaff_ahead_by": [round(float(edge), 4) for edge in np.percentile(behind, (2.5, 97.5))],
        }
    return row


def drawn(faces: FaceSet, count: int) -> FaceSet:
    """Returns this many faces at random, all with 0."""
    chosen = np.random.default_rng(0).permutation(len(faces))[: count or None]
    return FaceSet(faces.images[chosen], faces.votes[chosen], faces.affect[chosen])


def main() -> None:
    """Measures from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=shared_folder())
    parser.add_argument("--facex", type=Path, help="folder of the package facex (default: the installed one)")
    parser.add_argument("--faces", type=int, default=0, help="test faces, at random; 0 = all (default)")
    parser.add_argument("--valid-faces", type=int, default=500, help="valid faces that choose each crop")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    bundle, affect = ModelBundle.load(), options.shared / "data" / "affect"
    test = drawn(read_split(affect / "fer2013plus", "test"), options.faces)
    valid = drawn(read_split(affect / "fer2013plus", "valid"), options.valid_faces)
    found, left_out = systems(bundle, affect / "models", options.facex)
    rows, ours = [], np.zeros((len(test), 2))
    for name, values in found.items():
        scale = best_scale(values, valid)
        stated = values(crops_of(test.images, scale))
        ours = stated if name == "edgeaff" else ours
        rows.append({**row_of(name, stated, ours, test.affect), "crop_scale": scale})
        logger.info("%s", rows[-1])
    result = {
        "model_id": bundle.manifest.model_id, "faces": len(test), "valid_faces": len(valid), "rows": rows, "left_out": left_out, **stamp()
    }  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

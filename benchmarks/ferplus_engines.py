"""Compares agreement with FER+ raters end to end on the native face networks and on ONNX Runtime.

python benchmarks/ferplus_engines.py [--faces N] [--frames N] [--json benchmarks/results/ferplus_engines.json]

Each test photograph is its own clip, rendered once and pushed to both Sessions (`recipes/default_bundle/end_to_end.py` describes
the clips). Agreement is the CCC of the last raw value with the raters; `worse_by` is how far native lies below ONNX Runtime.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # makes `recipes` importable from a script

import argparse
import json
from typing import Any

import numpy as np

from edgeaff import Session, measures
from edgeaff.bundle import ModelBundle
from edgeaff.machine import stamp
from edgeaff.types import DIMENSIONS, AffectEvent
from recipes import shared_folder
from recipes.default_bundle.end_to_end import FRAME_NS, render
from recipes.face_encoder.data import read_split

ENGINES = ("native", "onnxruntime")
LIMITS = {"worse_by": 0.002}


def last_values(events: list[AffectEvent]) -> list[float]:
    """Returns valence and arousal of the last event, NaN where there is no number."""
    return [np.nan if value is None else value for value in (events[-1].valence_raw, events[-1].arousal_raw)]


def measure(shared: Path, faces: int, frames: int, seed: int) -> dict[str, Any]:
    """Returns the CCC of both engines, their largest difference, and how far native is worse.

    Args:
        shared: folder with `data/affect/fer2013plus`.
        faces: how many test photographs, at random; 0 takes all.
        frames: of each clip.
        seed: of choice and rendering.
    """
    split, bundle = read_split(shared / "data" / "affect" / "fer2013plus", "test"), ModelBundle.load()
    chosen = np.random.default_rng(seed).permutation(len(split.images))[: faces or None]
    sessions = {name: Session(bundle, audio=False, backend=name) for name in ENGINES}
    found: dict[str, list[list[float]]] = {name: [] for name in ENGINES}
    for count, index in enumerate(chosen):
        images = list(render(np.random.default_rng([seed, count]), split.images[index], frames=frames))
        for name, session in sessions.items():
            session.reset()
            events: list[AffectEvent] = []
            for number, image in enumerate(images):
                events += session.push_frame(image, pts_ns=number * FRAME_NS)
            found[name].append(last_values(events + session.finish()))
    values, labels = {name: np.array(rows) for name, rows in found.items()}, split.affect[chosen]
    both = np.isfinite(values["native"]).all(axis=1) & np.isfinite(values["onnxruntime"]).all(axis=1)
    result: dict[str, Any] = {"clips": len(chosen), "answered_by_both": int(both.sum())}
    result["answered"] = {name: int(np.isfinite(rows).all(axis=1).sum()) for name, rows in values.items()}
    for column, dimension in enumerate(DIMENSIONS):
        ccc = {name: measures.ccc(rows[both, column], labels[both, column]) for name, rows in values.items()}
        gap = np.abs(values["native"][both, column] - values["onnxruntime"][both, column])
        result[dimension] = {
            **{name: round(float(value), 5) for name, value in ccc.items()},
            "worse_by": round(float(ccc["onnxruntime"] - ccc["native"]), 5),
            "largest_difference": round(float(gap.max()), 6),
        }
    result["worse_by"] = max(result[dimension]["worse_by"] for dimension in DIMENSIONS)
    return result


def main() -> int:
    """Returns 1 where native is worse by more than LIMITS, after printing and writing the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=shared_folder())
    parser.add_argument("--faces", type=int, default=0, help="test photographs (default 0: all)")
    parser.add_argument("--frames", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = stamp()
    found = measure(options.shared, options.faces, options.frames, options.seed)
    print(json.dumps(found))
    if options.json:
        whole = {**started, "limits": LIMITS, "frames_of_each_clip": options.frames, **found}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")
    return 0 if found["worse_by"] <= LIMITS["worse_by"] else 1


if __name__ == "__main__":
    sys.exit(main())

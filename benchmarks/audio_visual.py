"""What the shipped bundle gives of six clips with face and voice of one actor: `python benchmarks/audio_visual.py --json OUT.json`.

The clips are of CREMA-D (`data/cremad_av`), actor 1001, one sentence, six emotions; nothing was trained on them or chosen by them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import edgeaff
from edgeaff.bundle import ModelBundle
from edgeaff.machine import stamp
from edgeaff.types import DIMENSIONS
from recipes import shared_folder

NAMES = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")


def of_clip(path: Path) -> dict[str, float]:
    """Returns the means over the events of a clip that have both values, and the share of its events that have."""
    events = list(edgeaff.analyze(path))
    stated = [event for event in events if event.valence is not None and event.arousal is not None]
    names = [f"{name}{kind}" for name in DIMENSIONS for kind in ("", "_std")] + ["audio_coverage"]
    means = {name: round(float(np.mean([getattr(event, name) for event in stated])), 4) for name in names}
    return {"answered": round(len(stated) / len(events), 4), **means}


def measure(folder: Path) -> dict[str, Any]:
    """Returns the result of the six clips, and the emotions from the largest to the smallest value of each dimension."""
    clips = {name: of_clip(folder / f"1001_DFA_{name}_XX.flv") for name in NAMES}
    order = {name: sorted(clips, key=lambda clip: -clips[clip][name]) for name in DIMENSIONS}
    return {"model_id": ModelBundle.load().manifest.model_id, "clips": clips, "order": order}


def main() -> None:
    """Measures from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=shared_folder())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = {**measure(options.shared / "data" / "cremad_av"), **stamp()}
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

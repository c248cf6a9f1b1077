"""Compares the events of whole clips on the native face networks with those on another engine, or of another bundle.

python benchmarks/face_engines.py --json benchmarks/results/face_engines.json --before OLD.eaff

With --before the values of another bundle, on ONNX Runtime, are compared as well: the shift of a release.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # makes `benchmarks` importable from a script

import argparse
import json
import os
from typing import Any

import numpy as np

from benchmarks.face_media import CLIPS
from edgeaff.machine import stamp
from edgeaff.runtime.analyze import analyze
from edgeaff.types import AffectEvent

LIMITS = {"valence": 0.002, "arousal": 0.004, "box_px": 0.7}
"""Allowed difference of two engines on the same graphs."""


def compare_events(ours: list[AffectEvent], theirs: list[AffectEvent]) -> dict[str, Any]:
    """Returns the differences of two runs over the same clip: statuses by count, values and boxes by the largest difference.

    Args:
        ours: events of one run.
        theirs: events of the other run; as many, at the same times.
    """
    row: dict[str, Any] = {"events": len(ours), "statuses_differ": abs(len(ours) - len(theirs)), "faces_differ": 0}
    gaps: dict[str, list[float]] = {"valence": [0.0], "arousal": [0.0], "box_px": [0.0]}
    for a, b in zip(ours, theirs, strict=False):
        row["statuses_differ"] += (a.pts_ns, a.status) != (b.pts_ns, b.status)
        row["faces_differ"] += (a.face is None) != (b.face is None)
        for name in ("valence", "arousal"):
            left, right = getattr(a, name), getattr(b, name)
            if left is not None and right is not None:
                gaps[name].append(abs(left - right))
        if a.face is not None and b.face is not None:
            gaps["box_px"].append(float(np.abs(np.subtract(a.face.box, b.face.box)).max()))
    return row | {f"{name}_max": round(max(values), 7) for name, values in gaps.items()}


def measure(media: Path, clips: list[str], before: Path | None = None) -> dict[str, Any]:
    """Returns the rows of clips and the largest of each over all.

    Args:
        media: folder with `av` and `face`.
        clips: files in it.
        before: another bundle to compare as well.
    """
    sides: dict[str, dict[str, dict[str, Any]]] = {"onnxruntime": {}}
    if before is not None:
        sides["before"] = {}
    for clip in clips:
        ours = list(analyze(media / clip))
        sides["onnxruntime"][clip] = compare_events(ours, list(analyze(media / clip, backend="onnxruntime")))
        if before is not None:
            theirs = list(analyze(media / clip, bundle=before, backend="onnxruntime"))
            sides["before"][clip] = compare_events(ours, theirs)
        print(f"{clip}: {' | '.join(str(rows[clip]) for rows in sides.values())}", flush=True)
    return {name: {"clips": rows, "all": _largest(rows)} for name, rows in sides.items()}


def _largest(rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        key: (max if key.endswith("_max") else sum)(row[key] for row in rows.values())
        for key in next(iter(rows.values()))
    }


def within_limits(row: dict[str, Any]) -> bool:
    """Returns whether two engines agree: the same statuses, and values within LIMITS."""
    return not row["statuses_differ"] and all(row[f"{name}_max"] <= limit for name, limit in LIMITS.items())


def main() -> int:
    """Returns 1 where the engines differ by more than LIMITS, after printing and writing the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("EDGEAFF_SHARED", "../shared")))
    parser.add_argument("--clip", action="append", help="one clip of the list instead of all; may be repeated")
    parser.add_argument("--before", type=Path, help="another bundle, to state the shift")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = measure(args.shared / "data" / "media", args.clip or list(CLIPS), args.before)
    report = {**stamp(), "limits": LIMITS, "within_limits": within_limits(found["onnxruntime"]["all"]), **found}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps({name: rows["all"] for name, rows in found.items()}))
    return 0 if report["within_limits"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""Compares face detectors side by side on real frames.

python benchmarks/faces.py --json benchmarks/results/faces.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

import numpy as np

from edgeaff.backends.engines import import_onnxruntime
from edgeaff.bench.faces import compare
from edgeaff.machine import stamp


def main() -> None:
    """Prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("EDGEAFF_SHARED", "../shared")))
    parser.add_argument("--detector", default="ssd", help="ours, as load_detector takes it (default: the bundle's)")
    parser.add_argument("--no-tracks", action="store_true", help="leave out the tracker on whole clips")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = compare(args.shared, ours=args.detector, tracks=not args.no_tracks)
    result = {**stamp(), **result}
    result["versions"] = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnxruntime": import_onnxruntime().__version__,
    }
    for name, row in result["detectors"].items():
        recall = "  ".join(
            f"{size} {values['recall']} {values['interval']} of {values['faces']}"
            for size, values in row["recall"].items()
        )
        print(f"{name:15s} {recall}")
        print(f"{'':15s} false per 100: {row['false_per_100']} {row['false_interval']}, face-free: {row['false_on_face_free']}, "
              f"{row['latency']}, {row['jitter']}, {row.get('tracks', '')}")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

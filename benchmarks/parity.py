"""Compares every backend and precision with the torch system that the bundle was exported from.

OMP_NUM_THREADS=1 python benchmarks/parity.py --json benchmarks/results/parity.json
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

from edgeaff.bench.machine import describe_machine, describe_run
from edgeaff.bench.parity import compare
from edgeaff.bundle import ModelBundle
from edgeaff.export.certificate import versions


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the rows, and where they were measured."""
    bundle = ModelBundle.load(options.bundle)
    print(
        f"{'model':5s} {'backend':12s} {'prec.':5s} {'modalities':12s} {'CCC valence':10s} {'CCC arousal':10s} largest difference"
    )
    result = compare(bundle, count=options.sequences, ticks=options.ticks, seed=options.seed, say=print)
    for case, reason in result["left_out"].items():
        print(f"{case}: left out: {reason}")
    print(f"columns of label loss: {result['data']['labels']}")
    backends = sorted({row["backend"] for row in result["rows"]})
    return {
        **result,
        "bundle": {"model_id": bundle.manifest["model_id"], "fingerprint": bundle.spec.fingerprint},
        "versions": {"python": platform.python_version(), **{name: versions(name) for name in backends}},
        "run": describe_run(Path(__file__).parent),
        "machine": describe_machine(),
    }


def main() -> None:
    """Measures, prints the table and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, help="default: the one that ships")
    parser.add_argument("--sequences", type=int, default=12, help="to draw beside the golden ones (default 12)")
    parser.add_argument("--ticks", type=int, default=300, help="of each drawn sequence (default 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()

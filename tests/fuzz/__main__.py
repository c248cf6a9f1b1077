"""`python -m tests.fuzz --seconds 60 [--json FILE] [--doors NAMES] [--seed N] [--keep FOLDER]`.

Prints the figures and every finding; ends with 1 where there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from importlib import import_module
from pathlib import Path

HEAVY = (
    "numpy",
    "onnxruntime",
    "torch",
    "av",
    "h5py",
    "cryptography",
    "edgeaff.session",
    "edgeaff.runtime",
    "edgeaff.ops._C",
)


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="in all, over all doors")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--doors", help="names, comma-separated; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="children at once")
    parser.add_argument("--keep", type=Path, help="folder for the inputs of findings")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    for name in HEAVY:  # once, before the forks
        with contextlib.suppress(ImportError):
            import_module(name)
    from edgeaff.machine import stamp
    from tests.fuzz.door import all_doors
    from tests.fuzz.runner import fuzz

    chosen = None if options.doors is None else options.doors.split(",")
    doors = [door for door in all_doors() if chosen is None or door.name in chosen]
    result = fuzz(doors, seconds=options.seconds, seed=options.seed, jobs=options.jobs, keep=options.keep)
    findings = result.pop("findings")
    for finding in findings:
        print(f"{finding['door']} {finding['index']}: {finding['kind']}: {finding['text']}\n  {finding['input']}\n")
    print(json.dumps(result, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(result | stamp(), indent=2) + "\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

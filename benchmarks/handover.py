"""Measures what a handover between two backends costs and changes.

python benchmarks/handover.py --json benchmarks/results/handover.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeaff.bench.handover import measure
from edgeaff.bundle import ModelBundle
from edgeaff.machine import stamp


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="default: the one that ships")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(ModelBundle.load(options.bundle))
    for row in rows:
        print(json.dumps(row))
    result = {**stamp(), "rows": rows}
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

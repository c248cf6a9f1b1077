"""Measures what 8 bits gain on one core: `OMP_NUM_THREADS=1 python benchmarks/int8.py [--rounds N] [--json PATH]`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeaff.bench.int8 import measure
from edgeaff.machine import stamp


def main() -> None:
    """Prints a row per graph, and writes the JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="of each pair (default 60)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(rounds=options.rounds)
    for row in result["rows"]:
        bar = "" if row["bar"] is None else f", bar {row['bar']}: {'met' if row['met'] else 'MISSED'}"
        print(
            f"{row['graph']:18s} fp32 {row['fp32_cpu_ms']:8.3f} ms  int8 {row['int8_cpu_ms']:7.3f} ms  {row['speed_up']:.2f} x{bar}"
        )
    print(f"weights: {result['weights']}")
    if options.json:
        text = json.dumps(
            {**stamp(), **result}, indent=1
        )
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()

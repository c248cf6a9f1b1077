"""Measures what a tick costs: `python benchmarks/latency.py [--json PATH]`, the same as `edgeaff bench`. See edgeaff/bench/latency.py."""

from __future__ import annotations

import argparse
import sys

from edgeaff.cli import bench


def main() -> int:
    """Returns the exit code, after measuring."""
    parser = argparse.ArgumentParser(description=__doc__)
    bench.add_arguments(parser)
    return bench.run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())

"""Measures what a tick costs: `python benchmarks/latency.py [--json PATH]`, the same as `edgeaff bench`. See edgeaff/bench/latency.py."""

from __future__ import annotations

import sys

from edgeaff.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))

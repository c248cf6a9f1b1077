"""Measures four runtimes in one process, and one with four faces: `python benchmarks/several.py [--seconds S] [--json PATH]`."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from edgeaff.bench.latency_media import make_media
from edgeaff.bench.several import measure
from edgeaff.machine import stamp


def main() -> None:
    """Prints the result, and writes it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two (default 20)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), make_media(), seconds=options.seconds)
    text = json.dumps({**stamp(), **result}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

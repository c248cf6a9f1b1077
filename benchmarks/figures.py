"""Writes the figures of README and docs from benchmarks/results: `python benchmarks/figures.py [--check]` (make readme-figures)."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edgeaff.bench.figures import load_results, pages, render, untraced

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Returns 1 where a page is out of date (--check) or a number is not traceable."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--json", type=Path, help="write the pages, and what is wrong on them, here")
    options = parser.parse_args()
    check = options.check
    results = load_results(ROOT / "benchmarks" / "results")
    stated = json.loads((ROOT / "benchmarks" / "stated_numbers.json").read_text(encoding="utf-8"))
    faults = []
    for path in pages(ROOT):
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
        made = render(text, results)
        if made != text and check:
            faults.append(f"{name}: figures differ from benchmarks/results; run `make readme-figures`")
        elif made != text:
            path.write_text(made, encoding="utf-8")
        faults += [f"{name}: {number!r} stands in no JSON" for number in untraced(name, made, results, stated)]
    if options.json is not None:
        looked_at = [path.relative_to(ROOT).as_posix() for path in pages(ROOT)]
        options.json.write_text(json.dumps({"pages": looked_at, "faults": faults}, indent=1) + "\n", encoding="utf-8")
    sys.stderr.write("".join(f"{fault}\n" for fault in faults))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())

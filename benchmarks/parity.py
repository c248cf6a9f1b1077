"""Compares every backend and precision with the torch system it was exported from, and with labels.

    OMP_NUM_THREADS=1 python benchmarks/parity.py --json benchmarks/results/parity.json
    OMP_NUM_THREADS=1 python benchmarks/parity.py --preset paper --work FOLDER --json benchmarks/results/parity.json

`edge` is the bundle; `paper` a tail that is trained first (some minutes). Labels: a corpus in the layout of Aff-Wild2 (--corpus), else
one made up from the data folder, else none. Rows of the other preset in the JSON are kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # makes `benchmarks` and `recipes` importable from a script

import argparse
import hashlib
import json
import logging
import tempfile
from typing import Any

from benchmarks.parity_corpus import MADE_UP, edge_tracks, has_sources, make_corpus
from benchmarks.parity_rows import compare
from edgeaff.bundle import ModelBundle
from edgeaff.machine import stamp

HEAD = f"{'model':5s} {'backend':12s} {'prec.':5s} {'modalities':12s} {'CCC valence':10s} {'CCC arousal':10s} largest  CCC with labels lost"


def measure_edge(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Returns the rows of the bundle."""
    bundle = ModelBundle.load(options.bundle)
    corpus = options.corpus
    if corpus is None and has_sources(options.data):
        corpus = make_corpus(work / "corpus", options.data, limit=options.tracks)
    tracks = edge_tracks(bundle, corpus, most=options.tracks) if corpus is not None else []
    print(HEAD)
    result = compare(
        bundle,
        count=options.sequences,
        ticks=options.ticks,
        seed=options.seed,
        tracks=tracks,
        corpus=MADE_UP if options.corpus is None else "a corpus of the user",
        say=print,
    )
    named = {"model_id": bundle.manifest.model_id, "fingerprint": bundle.spec.fingerprint}
    named["affect_step_sha256"] = hashlib.sha256(bundle.graph_bytes("affect_step")).hexdigest()
    return {**result, "bundle": named}


def measure_paper(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Returns the rows of the paper's transformer."""
    from benchmarks.parity_paper import compare_paper

    corpus = options.corpus or make_corpus(work / "corpus", options.data)
    origin = MADE_UP if options.corpus is None else "a corpus of the user"
    print(HEAD)
    return compare_paper(corpus, work, most=options.tracks, ticks=min(150, options.ticks), origin=origin, say=print)


def merged(target: Path | None, preset: str, found: dict[str, Any]) -> dict[str, Any]:
    """Returns the whole JSON: these rows, and those of the other preset that are in it already."""
    before = json.loads(target.read_text()) if target is not None and target.is_file() else {}
    others = [row for row in before.get("rows", []) if row["model"] != preset]
    rows = sorted([*others, *found.pop("rows")], key=lambda row: row["model"])
    latest = {name: found[name] for name in ("machine", "run")}
    return {"rows": rows, "presets": {**before.get("presets", {}), preset: found}, **latest}


def main() -> None:
    """Measures, prints the table, writes JSON and image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("edge", "paper"), default="edge")
    parser.add_argument("--bundle", type=Path, help="edge: default: the one that ships")
    parser.add_argument("--corpus", type=Path, help="in the layout of Aff-Wild2; default: one made up on the fly")
    parser.add_argument("--data", type=Path, default=Path("../shared"), help="data folder (default: ../shared)")
    parser.add_argument(
        "--work", type=Path, help="keeps corpus, features and training run; default: a temporary folder"
    )
    parser.add_argument("--tracks", type=int, default=6, help="with labels, of the valid split (default 6)")
    parser.add_argument("--sequences", type=int, default=12, help="to draw beside the golden ones (default 12)")
    parser.add_argument(
        "--ticks", type=int, default=300, help="of each drawn sequence and track, at most (default 300)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        work = options.work or Path(folder)
        found = measure_edge(options, work) if options.preset == "edge" else measure_paper(options, work)
    for case, reason in found["left_out"].items():
        print(f"{case}: left out: {reason}")
    print(f"labels: {found['data']['labels']}")
    found |= stamp()
    result = merged(options.json, options.preset, found)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    if options.png:
        from benchmarks.parity_plot import plot_rows

        plot_rows(result["rows"], options.png)


if __name__ == "__main__":
    main()

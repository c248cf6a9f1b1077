"""edgeaff bench: measures on this machine what a tick costs, stage by stage and as a whole; Markdown, and JSON if wanted."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("--ticks", type=int, default=1_024, help="per engine, back to back (default 1024)")
    parser.add_argument("--rounds", type=int, default=300, help="timings per stage (default 300)")
    parser.add_argument("--camera-seconds", type=float, default=10.0, help="per engine in camera mode (default 10)")
    parser.add_argument("--no-peers", action="store_true", help="leave the window recomputation out")
    parser.add_argument("--json", type=Path, help="write the results here")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after measuring."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: one thread is what is measured
    from edgeaff.bench.latency import run as measure
    from edgeaff.bench.latency_table import as_markdown

    result = measure(
        ticks=options.ticks, rounds=options.rounds, camera_seconds=options.camera_seconds, peers=not options.no_peers
    )
    print(as_markdown(result))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0

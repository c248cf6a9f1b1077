"""Records live sessions that cannot keep up and replays them: `python benchmarks/replay_overload.py [--seeds N] [--json PATH]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from edgeaff.bench.latency_media import make_media
from edgeaff.bench.overload import run_seed, summarise
from edgeaff.machine import stamp


def main() -> int:
    """Returns 0 where every replay is byte-equal, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each live session")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    media, results = make_media(), []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            results.append(run_seed(Path(folder), seed, seconds=options.seconds, media=media))
            found = results[-1]
            print(
                f"seed {seed}: {'equal' if found.equal else 'DIFFERS'}, {found.events} events, "
                f"{found.frames_replaced} pictures dropped, {found.degradations} steps down",
                flush=True,
            )
    summary = {**stamp(), **summarise(results)}
    print(f"{summary['equal']} of {summary['seeds']} equal")
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return 0 if summary["equal"] == summary["seeds"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""Writes a synthetic corpus in the layout of Aff-Wild2 from the faces and voices of the data folder.

`python -m recipes.synth CORPUS --scale 0.1` needs `data/affect` (FER+ faces, voices, names and lengths of the Aff-Wild2 tracks)
in the data folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeaff.errors import ArgumentError, EdgeaffError
from recipes import shared_folder
from recipes.synthetic import read_casts, read_plans, write_corpus


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Returns the values of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.synth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path, help="an empty or new folder")
    parser.add_argument("--data", type=Path, default=shared_folder(), help="data folder (default: EDGEAFF_SHARED)")
    parser.add_argument("--scale", type=float, default=0.01, help="of the lengths of the real tracks (default 0.01)")
    parser.add_argument("--limit", type=int, help="maximum number of tracks of each split")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random generator (default 0)")
    return parser.parse_args(arguments)


def synthesize(options: argparse.Namespace) -> dict[str, object]:
    """Returns the folder of the corpus, its tracks and frames, after writing it.

    Raises:
        ArgumentError: an argument is out of range, or the data folder lacks the corpora.
    """
    affect = options.data / "data" / "affect"
    if not affect.is_dir():
        raise ArgumentError(
            f"data must hold data/affect, got {options.data} without it; pass --data or EDGEAFF_SHARED."
        )
    if not 0 < options.scale <= 1:
        raise ArgumentError(f"scale must be in (0, 1], got {options.scale}; pass 0.01 for a hundredth of the lengths.")
    if options.limit is not None and options.limit < 1:
        raise ArgumentError(f"limit must be at least 1, got {options.limit}; omit it for all tracks.")
    casts = read_casts(options.data)
    plans = read_plans(affect / "affwild2_format", scale=options.scale, limit=options.limit)
    truth = write_corpus(options.output, plans, casts, seed=options.seed)
    frames = sum(len(values) for values in truth.values())
    return {"corpus": str(options.output), "tracks": len(truth), "frames": frames}


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 after writing the corpus, 2 after reporting an unusable argument."""
    try:
        print(json.dumps(synthesize(parse_arguments(arguments))))
    except EdgeaffError as error:
        print(f"python -m recipes.synth: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

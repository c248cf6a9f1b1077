"""Writes a made-up corpus in the layout of Aff-Wild2 from the faces and voices of the data folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeaff.errors import ArgumentError, BackendUnavailableError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of the command."""
    parser.add_argument("output", type=Path, help="an empty or new folder")
    parser.add_argument("--data", type=Path, default=Path("../shared"), help="data folder (default: ../shared)")
    parser.add_argument("--scale", type=float, default=0.01, help="of the lengths of the real tracks (default 1/100)")
    parser.add_argument("--limit", type=int, help="at most so many tracks of each split")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")


def run(options: argparse.Namespace) -> int:
    """Runs the command.

    Args:
        options: parsed arguments.

    Returns:
        The exit code.

    Raises:
        ArgumentError: an argument is out of range, or the data folder lacks the corpora.
        BackendUnavailableError: a package of the extra `train` is missing.
    """
    data = options.data
    affect = data / "data" / "affect"
    if not affect.is_dir():
        raise ArgumentError(f"data must hold data/affect, got {data} without it; see the README on the data folder.")
    if not 0 < options.scale <= 1 or (options.limit is not None and options.limit < 1):
        raise ArgumentError(
            f"scale must be in (0, 1] and limit at least 1, got {options.scale} and {options.limit}; "
            "see edgeaff synth --help."
        )
    try:
        from edgeaff.training.synthetic import read_casts, read_plans, write_corpus

        casts = read_casts(data)
    except ImportError as error:
        raise BackendUnavailableError(f"synth needs more, got: {error}; pip install 'edgeaff[train,live]'.") from error
    plans = read_plans(affect / "affwild2_format", scale=options.scale, limit=options.limit)
    truth = write_corpus(options.output, plans, casts, seed=options.seed)
    frames = sum(len(values) for values in truth.values())
    print(json.dumps({"corpus": str(options.output), "tracks": len(truth), "frames": frames}))
    return 0

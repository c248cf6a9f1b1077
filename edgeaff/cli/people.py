"""The arguments that `run` and `record` share about people: who speaks, who is who, what is usual, what changed."""

import argparse
from typing import Any


def add_people_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `--active-speaker`, `--identity`, `--relative`, `--baseline` and `--changes`."""
    parser.add_argument(
        "--active-speaker",
        action="store_true",
        help="estimate which face speaks, and use the voice as evidence for that face alone",
    )
    parser.add_argument(
        "--identity",
        action="store_true",
        help="give a face that comes back its number again, by a signature kept in memory until the end",
    )
    parser.add_argument(
        "--relative",
        action="store_true",
        help="add values relative to what is usual for each person (docs/baseline.md)",
    )
    parser.add_argument(
        "--baseline", metavar="FILE", help="like --relative, from the baseline of one person saved before"
    )
    parser.add_argument("--changes", action="store_true", help="report lasting changes of valence and arousal")


def people_options(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of a Runtime that belong to these; None where one was not given, so that a file of options counts."""
    return {
        "active_speaker": options.active_speaker or None,
        "identity": options.identity or None,
        "baseline": options.baseline or options.relative or None,
        "changes": options.changes or None,
    }

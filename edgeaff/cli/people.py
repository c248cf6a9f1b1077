"""The arguments about people that commands share: who speaks, who is who, what is usual, what changed."""

import argparse
from typing import Any


def add_people_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `run` and `record`: those of files, `--baseline` and `--changes`."""
    add_file_arguments(parser)
    parser.add_argument(
        "--baseline", metavar="FILE", help="like --relative, from the baseline of one person saved before"
    )
    parser.add_argument("--changes", action="store_true", help="report lasting changes of valence and arousal")


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what holds for any file of an archive too: `--active-speaker`, `--identity` and `--relative`."""
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


def people_options(options: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of a Runtime that belong to these; None where one was not given, so that a file of options counts."""
    return {
        **file_options(options),
        "baseline": options.baseline or options.relative or None,
        "changes": options.changes or None,
    }


def file_options(options: argparse.Namespace) -> dict[str, bool | None]:
    """Returns the same for a file of an archive."""
    return {
        "active_speaker": options.active_speaker or None,
        "identity": options.identity or None,
        "baseline": options.relative or None,
    }

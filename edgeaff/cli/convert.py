"""edgeaff convert IN OUT: writes stored events in another format, selected by the ending of OUT.

IN: events.jsonl, .csv or .parquet. OUT: .jsonl, .csv, .parquet, .vtt, .eaf (ELAN), .TextGrid (Praat), .annotation (NOVA: one
pair of files per dimension) or _physio.tsv.gz (BIDS, with its .json).
"""

from __future__ import annotations

import argparse

from edgeaff.naming import public_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("input", metavar="IN", help="stored events: .jsonl, .csv or .parquet")
    parser.add_argument("output", metavar="OUT", help="file to write; its ending selects the format")
    parser.add_argument("--face", metavar="ID", type=int, help="track id, for NOVA and BIDS, which store one subject")
    parser.add_argument("--media", metavar="FILE", help="media file to link in ELAN's file")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after running the command."""
    from edgeaff.delivery.convert import convert

    for path in convert(options.input, options.output, face=options.face, media=options.media):
        print(public_name(path))
    return 0

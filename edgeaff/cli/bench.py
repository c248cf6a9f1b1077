"""edgeaff bench: measures the time of every stage and of a whole tick on this machine; prints Markdown, writes JSON."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from edgeaff.cli.destination import check_destination, check_packages
from edgeaff.errors import ArgumentError

LEAST = {"turns": 1, "rounds": 1, "part_seconds": 0, "camera_seconds": 0, "hours": 0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument(
        "--turns", type=int, default=12, metavar="N", help="blocks of ticks per engine, back to back (default 12)"
    )
    parser.add_argument("--rounds", type=int, default=60, metavar="N", help="timings per stage (default 60)")
    parser.add_argument(
        "--part-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="start no new round of a set of stages or pipelines after this time (default 10)",
    )
    parser.add_argument(
        "--camera-seconds",
        type=float,
        default=2.0,
        metavar="S",
        help="time per engine in camera mode, 0 for none (default 2)",
    )
    parser.add_argument(
        "--hours",
        type=float,
        default=1 / 60,
        metavar="H",
        help="simulated hours in the scaling rows (default: a minute)",
    )
    parser.add_argument("--no-peers", action="store_true", help="measure edgeaff alone")
    parser.add_argument("--no-paper", action="store_true", help="skip the paper preset (its weights are random)")
    parser.add_argument("--paper-bundle", type=Path, metavar="B", help="existing 8-bit bundle of the paper preset")
    parser.add_argument("--compile", action="store_true", help="include torch.compile; compiling takes minutes")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results here")
    parser.add_argument(
        "--figure", type=Path, metavar="PNG", help="write the waterfall of one tick here (needs matplotlib: extra view)"
    )


def check(options: argparse.Namespace) -> None:
    """Checks now what would fail after minutes.

    Raises:
        ArgumentError: an option is out of range, a bundle is not there, or a result could not be written.
    """
    for name, least in LEAST.items():
        if not getattr(options, name) >= least:
            raise ArgumentError(
                f"--{name.replace('_', '-')} must be at least {least}, got {getattr(options, name)}; leave it out for the default."
            )
    if options.paper_bundle is not None and not options.paper_bundle.is_file():
        raise ArgumentError(
            f"--paper-bundle must be an .eaff file, got {options.paper_bundle}; leave it out and one is made."
        )
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
    check_destination("json", options.json)
    check_destination("figure", options.figure, endings=(".png",))
    if options.figure is not None:
        check_packages("figure", ["matplotlib"], "view")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after measuring.

    Raises:
        ArgumentError: an option is out of range, or a result could not be written afterwards.
    """
    check(options)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: NumPy has one thread, networks what their row states
    from edgeaff.bench import latency
    from edgeaff.bench.latency_table import as_markdown

    plan = latency.Plan(
        turns=options.turns,
        rounds=options.rounds,
        part_seconds=options.part_seconds,
        camera_seconds=options.camera_seconds,
        peers=not options.no_peers,
        paper=not options.no_paper,
        paper_bundle=options.paper_bundle,
        compile_peer=options.compile,
        hours=options.hours,
    )
    result = latency.run(plan)
    print(as_markdown(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.figure:
        from edgeaff.bench.latency_waterfall import draw_waterfall

        title = f"One tick of the edge preset, detector included; {result['machine']['processor']}, one thread"
        draw_waterfall(result["waterfall"], options.figure, title)
    return 0

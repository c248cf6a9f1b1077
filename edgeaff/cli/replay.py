"""edgeaff replay FILE: makes the events of a recorded session again; --verify compares them byte for byte."""

from __future__ import annotations

import argparse
from typing import Any

from edgeaff.cli.destination import check_distinct
from edgeaff.cli.process import say
from edgeaff.cli.run import losses
from edgeaff.errors import MediaError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("input", metavar="FILE", help="session file (.eaffrec)")
    parser.add_argument("--bundle", metavar="B", help="another bundle than the one that was recorded with")
    parser.add_argument(
        "--output", metavar="FILE", action="append", default=[], help="events.jsonl, .csv, .vtt or a sink's URI"
    )
    parser.add_argument("--recompute", action="store_true", help="detect and analyse again from raw pictures and sound")
    parser.add_argument("--verify", action="store_true", help="fail unless every event equals the recorded one")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after replaying.

    Raises:
        MediaError: --verify found a difference.
    """
    from edgeaff.delivery.open import open_sink
    from edgeaff.recording.format import Recording
    from edgeaff.recording.replay import first_difference, replay
    from edgeaff.session import Session

    def make_session(tap: Any, recorded: dict[str, Any]) -> Session:
        known = {**recorded, "bundle": options.bundle or recorded.get("bundle")}
        return Session(known.pop("bundle"), tap=tap, **known)

    recording = Recording(options.input)
    if options.verify:
        difference = first_difference(recording, make_session)
        if difference:
            raise MediaError(
                f"{options.input}: the replay must equal the recording, got {difference}; is it another version?"
            )
    check_distinct("output", options.output)
    sinks = [open_sink(output, append=False) for output in options.output]
    count = 0
    try:
        for event, _ in replay(recording, make_session, recompute=options.recompute):
            count += 1
            for sink in sinks:
                sink.write(event)
    finally:
        for sink in sinks:
            sink.close()
    counts = {sink.name: sink.counts for sink in sinks if hasattr(sink, "counts")}
    for sentence in losses(counts):
        say(f"warning: {sentence}")
    if not options.quiet:
        print(f"{options.input}: {count} events" + (", equal to the recording" if options.verify else ""))
    return 0

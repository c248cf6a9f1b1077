"""edgeaff replay FILE: recomputes the events of a recorded session; --verify compares them byte for byte."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from edgeaff.cli.destination import check_distinct
from edgeaff.cli.process import print_message
from edgeaff.cli.run import losses
from edgeaff.cli.trust import add_bundle_arguments
from edgeaff.errors import MediaError
from edgeaff.parsing.boundary import printable, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("input", metavar="FILE", help="session file (.eaffrec)")
    add_bundle_arguments(parser, meaning="default: the shipped one; required if the recording was made with another")
    parser.add_argument(
        "--output", metavar="FILE", action="append", default=[], help="events.jsonl, .csv, .vtt or a sink's URI"
    )
    parser.add_argument(
        "--recompute", action="store_true", help="rerun detection and audio analysis on raw frames and audio"
    )
    parser.add_argument("--verify", action="store_true", help="fail unless every event equals the recorded one")
    parser.add_argument("--quiet", action="store_true", help="print only errors")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after replaying.

    Raises:
        MediaError: --verify found a difference or a cut.
    """
    from edgeaff.delivery.open import open_sink
    from edgeaff.delivery.provenance import provenance
    from edgeaff.delivery.queued import QueuedSink, hand_provenance
    from edgeaff.recording.format import Recording
    from edgeaff.recording.replay import first_difference, replay

    def make_session(tap: Any, recorded: dict[str, Any]) -> Any:
        return make_named_session(options, tap, recorded)

    recording = Recording(options.input)
    if options.verify:
        difference = first_difference(recording, make_session)
        if recording.cut:
            raise MediaError(f"{options.input} must be whole to be verified, but {difference}; record again.")
        if difference:
            raise MediaError(
                f"{options.input}: the replay must equal the recording, got {difference}; is it another version?"
            )
    check_distinct("output", options.output)
    sinks = [open_sink(output, append=False) for output in options.output]

    def with_sinks(tap: Any, recorded: dict[str, Any]) -> Any:
        session = make_session(tap, recorded)
        for sink in sinks:
            hand_provenance(sink, provenance(session.bundle))
        return session

    count = 0
    try:
        for event, _ in replay(recording, with_sinks, recompute=options.recompute):
            count += 1
            for sink in sinks:
                sink.write(event)
    finally:
        for sink in sinks:
            sink.close()
    counts = {sink.name: sink.counts for sink in sinks if isinstance(sink, QueuedSink)}
    cut = f"{options.input}: {recording.cut}; it was replayed up to there"
    for sentence in [*losses(counts), *([cut] if recording.cut else [])]:
        print_message(f"warning: {printable(sentence)}")
    if not options.quiet:
        print(f"{options.input}: {count} events" + (", equal to the recording" if options.verify else ""))
    return 0


def make_named_session(options: argparse.Namespace, tap: Any, recorded: dict[str, Any]) -> Any:
    """Returns a session with the recorded options; a recording chooses no file: its bundle is the shipped one, or the one named.

    Args:
        options: of the command line.
        tap: of the replay, or None.
        recorded: options in the header of the recording.

    Raises:
        MediaError: the recording was made with another bundle, and none is named; or an option is none of a Session's.
    """
    from edgeaff.bundle import DEFAULT_BUNDLE, ModelBundle
    from edgeaff.session import Session

    named = recorded.pop("bundle", None)
    unknown = sorted(set(recorded) - set(inspect.signature(Session).parameters) | set(recorded) & {"tap", "detector"})
    if unknown:
        raise MediaError(
            f"{options.input} must hold options of Session, got {shown(unknown[0])}; replay it with the edgeaff that recorded it."
        )
    if options.bundle is None and named is not None and named != str(DEFAULT_BUNDLE):
        raise MediaError(
            f"{options.input} must be replayed with the bundle it was made with, {shown(named)}; pass it as --bundle if you trust it."
        )
    bundle = ModelBundle.load(options.bundle, key=options.key, minimum_version=options.minimum_version)
    return Session(bundle, tap=tap, **recorded)

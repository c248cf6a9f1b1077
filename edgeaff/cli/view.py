"""edgeaff view FILE: serves a stored session as a web page with a scrub bar; needs no camera and no model.

FILE is a recording (.eaffrec) or stored events (.jsonl, .csv, .parquet). Prints the address of the page and opens no browser.
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from edgeaff.cli.process import print_message
from edgeaff.cli.signals import interruptible
from edgeaff.cli.trust import add_bundle_arguments
from edgeaff.errors import MediaError
from edgeaff.naming import public_name
from edgeaff.types import AffectEvent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("input", metavar="FILE", help="session.eaffrec, or events.jsonl, .csv, .parquet")
    parser.add_argument(
        "--live",
        metavar="[HOST:]PORT",
        default="127.0.0.1:0",
        help="address of the page; default: a free port of the loopback",
    )
    add_bundle_arguments(
        parser, meaning="only for a recording without its events, which is replayed; default: the one that ships"
    )


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after a signal ended the page.

    Raises:
        MediaError: the file holds no event.
    """
    from edgeaff.live.server import LivePage, Shown

    events = stored_events(options)
    if not events:
        raise MediaError(f"{options.input} must hold at least one event, got none; record or write it again.")
    faces = len({event.face.track_id for event in events if event.face is not None})
    shown = Shown(input=public_name(options.input), backend=events[-1].backend, max_faces=max(1, faces))
    with LivePage(options.live, shown, stored=events) as page, interruptible(page):
        print_message(f"live: {page.url}", prefix="")
        threading.Event().wait()
    return 0


def stored_events(options: argparse.Namespace) -> list[AffectEvent]:
    """Returns the events of a file, in its order; those of a recording as they were delivered, or replayed where it has none.

    Args:
        options: of the command line.

    Raises:
        MediaError: the file cannot be read, or holds what is no event.
    """
    from edgeaff.delivery.reading import read_events

    if Path(options.input).suffix.lower() != ".eaffrec":
        return read_events(options.input)
    from edgeaff.cli.replay import make_named_session
    from edgeaff.delivery.reading import event_of_dict
    from edgeaff.parsing.boundary import boundary
    from edgeaff.recording.format import Recording
    from edgeaff.recording.replay import replay

    def make_session(tap: Any, recorded: dict[str, Any]) -> Any:
        return make_named_session(options, tap, recorded)

    recording = Recording(options.input)
    with boundary(MediaError, f"{public_name(options.input)} must hold events", "record again."):
        events = [event_of_dict(record.head) for call in recording.calls() for record in call.events]
    events = events or [event for event, _ in replay(recording, make_session)]
    if recording.cut:
        print_message(f"warning: {public_name(options.input)}: {recording.cut}; it is shown up to there")
    return events

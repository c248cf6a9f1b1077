"""edgeaff record INPUT --output session.eaffrec: runs and records the session, for a byte-exact replay."""

from __future__ import annotations

import argparse
import time

from edgeaff.cli.destination import check_destination
from edgeaff.cli.people import add_people_arguments, people_options
from edgeaff.cli.process import print_message
from edgeaff.cli.trust import add_bundle_arguments
from edgeaff.errors import ArgumentError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("input", metavar="INPUT", help="path of a media file, or a URI such as camera:0")
    parser.add_argument("--audio", metavar="URI", help="read the audio from this source instead")
    add_bundle_arguments(parser)
    parser.add_argument(
        "--output", metavar="FILE", required=True, help="session file to write: NAME.eaffrec, or NAME.eaffrec?max_mb=N"
    )
    parser.add_argument(
        "--raw", action="store_true", help="also store frames and audio, not only crops and descriptors"
    )
    parser.add_argument(
        "--max-faces", metavar="N", type=int, default=1, help="maximum number of faces with events (default 1)"
    )
    add_people_arguments(parser)
    parser.add_argument("--seconds", metavar="S", type=float, help="stop after this time")
    parser.add_argument("--quiet", action="store_true", help="print only errors")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after recording.

    Raises:
        ArgumentError: --output or --seconds is not what it must be.
    """
    from edgeaff.capture.uri import parse_uri
    from edgeaff.cli.display import make_display
    from edgeaff.cli.signals import interruptible
    from edgeaff.delivery.open import split_options
    from edgeaff.recording.recorder import Recorder
    from edgeaff.runtime import Runtime

    path, limits = split_options(options.output)
    check_destination("output", path, endings=(".eaffrec",), sources=[options.input, options.audio])
    if options.seconds is not None and not options.seconds > 0:
        raise ArgumentError(f"--seconds must be above 0, got {options.seconds:g}; leave it out to record all.")
    is_file = parse_uri(options.input).scheme == "file"
    with Recorder(path, raw=options.raw, keep_previous=not is_file, **limits) as recorder:
        runtime = Runtime(
            options.bundle,
            video=options.input,
            audio=options.audio,
            max_faces=options.max_faces,
            **people_options(options),
            sinks=[recorder],
            key=options.key,
            minimum_version=options.minimum_version,
        )
        count, deadline = 0, None if options.seconds is None else time.monotonic() + options.seconds
        display = make_display(runtime, quiet=options.quiet, writes_stdout=False)
        with interruptible(runtime), runtime, display:
            for event in runtime:
                count += 1
                display.update(event)
                if deadline is not None and time.monotonic() >= deadline:
                    break
        warnings = runtime.warnings + recorder.warnings
    for warning in warnings:
        print_message(f"warning: {warning}")
    if not options.quiet:
        named = "" if options.bundle is None else f" --bundle {options.bundle}"
        print(f"{path}: {count} events recorded; edgeaff replay {path} --verify{named}")
    return 0

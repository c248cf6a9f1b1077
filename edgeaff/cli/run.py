"""edgeaff run INPUT: reads a media file, device or stream, and writes one event per tick."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from edgeaff.capture.uri import parse_uri
from edgeaff.cli.destination import check_destination, check_distinct, check_packages
from edgeaff.cli.display import Display, make_display
from edgeaff.cli.people import add_people_arguments, people_options
from edgeaff.cli.process import print_message
from edgeaff.cli.signals import interruptible
from edgeaff.cli.tally import Tally, summary
from edgeaff.cli.trust import add_bundle_arguments
from edgeaff.delivery.files import event_json
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.naming import public_name
from edgeaff.types import AffectEvent, ChangeEvent, StatusEvent

IMAGES = {"plot": (".png", ".svg", ".pdf"), "overlay": (".mp4", ".mkv", ".mov")}  # option -> endings
PACKAGES = {"plot": (("matplotlib",), "view"), "overlay": (("cv2", "av"), "live,media")}  # option -> packages, extras
STDOUT = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument(
        "input", metavar="INPUT", help="path of a media file, or a URI such as camera:0 or paced:clip.mp4?loop=1"
    )
    parser.add_argument("--audio", metavar="URI", help="read the audio from this source instead")
    add_bundle_arguments(parser)
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help="onnxruntime, openvino, native, tensorrt, or auto (the fastest in a short trial); default: the bundle's",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        action="append",
        default=[],
        help="events.jsonl, .csv or .vtt, or udp://, ws[s]://, mqtt[s]://; - for JSON lines on standard output; may be repeated",
    )
    parser.add_argument("--plot", metavar="PNG", help="write an image: faces above, valence and arousal below")
    parser.add_argument("--overlay", metavar="MP4", help="write the video with boxes and values")
    parser.add_argument("--max-faces", metavar="N", type=int, help="maximum number of faces with events (default 1)")
    add_people_arguments(parser)
    parser.add_argument(
        "--serve",
        metavar="HOST:PORT",
        help="serve /metrics, /status and /healthz there; a port alone listens on the loopback",
    )
    parser.add_argument(
        "--live",
        metavar="[HOST:]PORT",
        help="serve a live page there; prints its address with the token and opens no browser",
    )
    parser.add_argument(
        "--live-images",
        choices=("crop", "frame"),
        help="show faces or whole frames on the live page; default: no image",
    )
    parser.add_argument("--config", metavar="TOML", help="read options from a file; arguments override it")
    parser.add_argument("--quiet", action="store_true", help="print only errors and the address of --live")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after running the command.

    Raises:
        ArgumentError: a frame or video that is requested cannot be made of this input.
    """
    from edgeaff.delivery.open import open_sink
    from edgeaff.runtime import Runtime

    for name, endings in IMAGES.items():
        check_destination(name, getattr(options, name), endings=endings, sources=[options.input, options.audio])
        if getattr(options, name) is not None:
            check_packages(name, *PACKAGES[name])
    if options.overlay is not None and parse_uri(options.input).scheme != "file":
        raise ArgumentError(
            f"--overlay needs a file that can be read again, got {public_name(options.input)}; record it first."
        )
    check_distinct("output", options.output)
    runtime = Runtime(
        options.bundle,
        video=options.input,
        audio=options.audio,
        backend=options.backend,
        max_faces=options.max_faces,
        **people_options(options),
        serve=options.serve,
        live=options.live,
        live_images=options.live_images,
        config=options.config,
        key=options.key,
        minimum_version=options.minimum_version,
    )
    for output in options.output:
        if output != STDOUT:
            runtime.add_sink(open_sink(output, live=runtime.is_live, append=runtime.is_live), name=public_name(output))
    writes_stdout = STDOUT in options.output
    display = make_display(runtime, quiet=options.quiet, writes_stdout=writes_stdout)
    if not options.quiet:
        runtime.on_change(lambda change: display.print_message(describe_change(change)))
    if runtime.is_live and not options.quiet:
        runtime.on_status(lambda event: display.print_message(describe_status(event)))
    events: list[AffectEvent] | None = [] if options.plot or options.overlay else None
    tally = collect(runtime, display, events=events, to_stdout=writes_stdout)
    for warning in [*runtime.warnings, *losses(runtime.stats().sinks)]:
        print_message(f"warning: {' '.join(warning.split())}")
    if options.plot:
        from edgeaff.cli.plot import plot_events

        plot_events(events or [], options.input, options.plot)
    if options.overlay:
        from edgeaff.cli.overlay import write_overlay

        write_overlay(events or [], options.input, options.overlay)
    if not options.quiet:
        text = summary(runtime, tally, options)
        print_message(text, prefix="") if writes_stdout else print(text)
    return 0


def describe_status(event: StatusEvent) -> str:
    """Returns a description of an event of a device, a sink or the load."""
    return f"{event.name}: {event.kind}{'. ' if event.message else ''}{event.message}"


def describe_change(change: ChangeEvent) -> str:
    """Returns a description of a lasting change."""
    whose = f"{change.what} of face {change.subject}" if change.subject is not None else change.what
    return f"{change.pts_ns / 1e9:.1f} s: {whose} changed from {change.before:+.2f} to {change.after:+.2f}"


def losses(sinks: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Returns a sentence for each sink that did not get every event. sinks: its counts by the sink's name."""
    return [
        f"{name}: {counts['dropped']} of {counts['written'] + counts['dropped']} events were not delivered."
        for name, counts in sinks.items()
        if counts.get("dropped")
    ]


def name_page(runtime: Any) -> None:
    """Prints where the live page is, on standard error."""
    print_message(f"live: {runtime.live_url}", prefix="")
    if not runtime.is_live:
        print_message("a file is read as fast as it can be; paced:FILE plays it in real time for the live page.")


def collect(
    runtime: Any, display: Display, *, events: list[AffectEvent] | None = None, to_stdout: bool = False
) -> Tally:
    """Reads all events.

    Args:
        runtime: not started yet.
        display: shows them.
        events: takes them where they are needed again.
        to_stdout: write them to standard output too, as lines of JSON.

    Returns:
        What was counted.

    Raises:
        MediaError: nothing came out of a file.
    """
    tally = Tally()
    with interruptible(runtime), runtime:
        if runtime.live_url is not None:
            name_page(runtime)
        with display:
            for event in runtime:
                tally.add(event)
                if events is not None:
                    events.append(event)
                if to_stdout:
                    print(event_json(event), flush=runtime.is_live)
                display.update(event)
    if tally.events == 0 and not runtime.is_live:
        raise MediaError(
            f"{runtime.source_name}: must hold at least one frame or 60 ms of audio, got nothing readable; check the file."
        )
    return tally

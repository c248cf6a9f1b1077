"""edgeaff run INPUT: reads a media file (or a device), writes one event per tick."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from edgeaff.capture.uri import parse_uri
from edgeaff.cli.destination import check_destination, check_distinct, check_packages
from edgeaff.cli.process import say
from edgeaff.cli.signals import interruptible
from edgeaff.cli.trust import add_bundle_arguments
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.naming import public_name
from edgeaff.types import AffectEvent, StatusEvent

PICTURES = {"plot": (".png", ".svg", ".pdf"), "overlay": (".mp4", ".mkv", ".mov")}  # option -> endings
PACKAGES = {"plot": (("matplotlib",), "view"), "overlay": (("cv2", "av"), "live,media")}  # option -> packages, extras
READ = ("frames", "audio_frames", "frames_used", "chunks_used", "frames_unused", "chunks_unused")  # no causes of trouble


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("input", metavar="INPUT", help="path of a media file, or a URI such as camera:0")
    parser.add_argument("--audio", metavar="URI", help="take the sound from here instead")
    add_bundle_arguments(parser)
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help="onnxruntime, openvino, native, tensorrt, or auto: the fastest in a short trial; default: the bundle's",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        action="append",
        default=[],
        help="events.jsonl, .csv or .vtt, or udp://, ws[s]://, mqtt[s]://; may be repeated",
    )
    parser.add_argument("--plot", metavar="PNG", help="write a picture: faces above, valence and arousal below")
    parser.add_argument("--overlay", metavar="MP4", help="write the video with boxes and values drawn in")
    parser.add_argument("--max-faces", metavar="N", type=int, help="most faces with events of their own (default 1)")
    parser.add_argument(
        "--serve", metavar="HOST:PORT", help="show /metrics, /status and /healthz there; a port alone is the loopback's"
    )
    parser.add_argument("--config", metavar="TOML", help="options from a file; arguments win")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(options: argparse.Namespace) -> int:
    """Returns the exit code, after running the command.

    Raises:
        ArgumentError: a picture or video that is asked for cannot be made of this input.
    """
    from edgeaff.delivery.open import open_sink
    from edgeaff.runtime import Runtime

    for name, endings in PICTURES.items():
        check_destination(name, getattr(options, name), endings=endings, sources=[options.input, options.audio])
        if getattr(options, name) is not None:
            check_packages(name, *PACKAGES[name])
    if options.overlay is not None and parse_uri(options.input).scheme != "file":
        raise ArgumentError(f"--overlay needs a file that can be read again, got {public_name(options.input)}; record it first.")
    check_distinct("output", options.output)
    runtime = Runtime(
        options.bundle,
        video=options.input,
        audio=options.audio,
        backend=options.backend,
        max_faces=options.max_faces,
        serve=options.serve,
        config=options.config,
        key=options.key,
        minimum_version=options.minimum_version,
    )
    for output in options.output:
        runtime.add_sink(open_sink(output, live=runtime.is_live, append=runtime.is_live), name=public_name(output))
    if runtime.is_live and not options.quiet:
        runtime.on_status(print_status)
    events: list[AffectEvent] = []
    collect(runtime, events, quiet=options.quiet, keep=bool(options.plot or options.overlay))
    for warning in [*runtime.warnings, *losses(runtime.stats().sinks)]:
        say(f"warning: {' '.join(warning.split())}")
    if options.plot:
        from edgeaff.cli.plot import plot_events

        plot_events(events, options.input, options.plot)
    if options.overlay:
        from edgeaff.cli.overlay import write_overlay

        write_overlay(events, options.input, options.overlay)
    if not options.quiet:
        print(summary(runtime, options))
    return 0


def print_status(event: StatusEvent) -> None:
    """Prints what happened to a device, a sink or the load, on standard error."""
    say(f"{event.name}: {event.kind}{'. ' if event.message else ''}{event.message}")


def losses(sinks: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Returns a sentence for each sink that did not get every event. sinks: its counts by the sink's name."""
    return [
        f"{name}: {counts['dropped']} of {counts['written'] + counts['dropped']} events were not delivered."
        for name, counts in sinks.items()
        if counts.get("dropped")
    ]


def collect(runtime: Any, events: list[AffectEvent], *, quiet: bool, keep: bool) -> None:
    """Reads all events, into `events` if they are needed again, with a progress bar on a terminal.

    Raises:
        MediaError: nothing came out of a file.
    """
    with interruptible(runtime), runtime, Progress(runtime.duration_seconds, enabled=not quiet) as progress:
        for event in runtime:
            if keep:
                events.append(event)
            progress.update(event)
    if progress.count == 0 and not runtime.is_live:
        raise MediaError(
            f"{runtime.source_name}: must hold at least one picture or 60 ms of sound, got nothing readable; check the file."
        )


class Progress:
    """A bar on standard error when that is a terminal and rich is installed; counts events in any case."""

    def __init__(self, duration_seconds: float | None, *, enabled: bool) -> None:
        self.count = 0
        self._duration = duration_seconds
        self._bar: Any = None
        if enabled and sys.stderr is not None and sys.stderr.isatty():
            try:
                from rich.progress import Progress as RichProgress
            except ImportError:
                return
            from rich.console import Console

            self._bar = RichProgress(console=Console(stderr=True), transient=True)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("edgeaff", total=self._duration)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, event: AffectEvent) -> None:
        """Counts an event and moves the bar to its time."""
        self.count += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=event.pts_ns / 1e9)


def summary(runtime: Any, options: argparse.Namespace) -> str:
    """Returns a few lines on what came out."""
    stats = runtime.stats()
    by_status = Counter(stats.events_by_status)
    lines = [
        f"{public_name(options.input)}: {stats.events} events from {stats.frames} frames and {stats.samples} samples of sound",
        "status: " + ", ".join(f"{name} {count}" for name, count in by_status.most_common()),
        f"computed by {runtime.bundle.manifest.model_id} on {runtime.health().backend['name']}",
    ]
    trouble = {**stats.inputs, **stats.source}
    repaired = ", ".join(
        f"{name.replace('_', ' ')} {count}" for name, count in trouble.items() if count and name not in READ
    )
    if repaired:
        lines.append(f"repaired or dropped: {repaired}")
    written = [*options.output, *(path for path in (options.plot, options.overlay) if path)]
    if written:
        lines.append("written: " + ", ".join(map(public_name, written)))
    return "\n".join(lines)

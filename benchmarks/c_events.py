"""Compares the events of libedgeaff with those of `edgeaff.Session` on whole clips, to the last bit.

python benchmarks/c_events.py --library PREFIX/lib/libedgeaff.so.1 [--seconds N] [--json benchmarks/results/c_events.json]

Both take the same frames and samples in the order of the file, and the same bundle. A clip counts as equal when every number of every
event is, and every count of what became of the input.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # makes `benchmarks` and `tests` importable from a script

import argparse
import dataclasses
import json
import os
from typing import Any

from benchmarks.face_media import CLIPS
from edgeaff.bundle import DEFAULT_BUNDLE
from edgeaff.capture.media_file import MediaFile
from edgeaff.machine import stamp
from edgeaff.session import Session
from edgeaff.types import VideoFrame
from tests.capi.library import Library


def compare(library: Library, model: Any, bundle: Path, clip: Path, seconds: float | None) -> dict[str, Any]:
    """Returns the number of events of a clip that were compared, and that differ.

    Args:
        library: the C library.
        model: opened from `bundle`.
        bundle: the bundle's path.
        clip: a media file.
        seconds: of the clip; None takes all.
    """
    ours = library.session(model, library.options(event_room=1 << 12, most_width=4096, most_height=4096, live=0))
    twin = Session(bundle, live=False)
    row = {"events": 0, "events_differ": 0, "with_values": 0, "with_face": 0}

    def take(found: list[dict[str, Any]], expected: list[Any]) -> None:
        row["events"] += max(len(found), len(expected))
        row["events_differ"] += abs(len(found) - len(expected))
        for one, event in zip(found, expected, strict=False):
            theirs = event.to_dict()
            row["events_differ"] += any(theirs[key] != value for key, value in one.items())
            row["with_values"] += event.valence is not None
            row["with_face"] += event.face is not None

    first_ns = None
    for item in MediaFile(clip):
        first_ns = item.pts_ns if first_ns is None else first_ns
        if seconds is not None and item.pts_ns - first_ns > seconds * 1e9:
            break
        if isinstance(item, VideoFrame):
            take(ours.push_frame(item.image, pts_ns=item.pts_ns), twin.push_frame(item.image, pts_ns=item.pts_ns))
        else:
            named = {"pts_ns": item.pts_ns, "sample_rate_hz": item.sample_rate_hz}
            take(ours.push_audio(item.samples, **named), twin.push_audio(item.samples, **named))
    take(ours.finish(), twin.finish())
    counts = ours.counts
    row["counts_differ"] = sum(counts[name] != value for name, value in dataclasses.asdict(twin.counts).items())
    ours.close()
    return row


def main() -> int:
    """Returns 1 where an event differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True, help="the shared library")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("EDGEAFF_SHARED", "../shared")))
    parser.add_argument("--clip", action="append", help="one clip instead of all; may be repeated")
    parser.add_argument("--seconds", type=float, help="of each clip; default: all")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started, library = stamp(), Library(options.library)
    model = library.open(DEFAULT_BUNDLE)
    rows = {}
    for clip in options.clip or CLIPS:
        path = options.shared / "data" / "media" / clip
        rows[clip] = compare(library, model, DEFAULT_BUNDLE, path, options.seconds)
        print(f"{clip}: {rows[clip]}", flush=True)
    total = {key: sum(row[key] for row in rows.values()) for key in next(iter(rows.values()))}
    print(json.dumps(total))
    if options.json:
        whole = {**started, "seconds_of_each_clip": options.seconds, "all": total, "clips": rows}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")
    return 1 if total["events_differ"] or total["counts_differ"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""Several runtimes in one process, and one runtime with several faces: separate, steady, and fair with the processor.

python benchmarks/several.py --json benchmarks/results/several.json
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # makes `benchmarks` and `recipes` importable from a script

import argparse
import json
import os
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.replay_overload import replay_lines
from edgeaff.bench.latency_media import FPS, HEIGHT, RATE_HZ, WIDTH, Media, make_media
from edgeaff.capture.push import PushAudio, PushVideo
from edgeaff.delivery.files import event_json
from edgeaff.machine import stamp
from edgeaff.runtime import Policy, Runtime
from edgeaff.types import AffectEvent

WORKER = "edgeaff-runtime"
_NO_LIMIT = Policy(capacity=100_000)


@dataclass(frozen=True)
class RuntimeShare:
    """One of several runtimes.

    Attributes:
        events: delivered; one per tick.
        ticks_missing: ticks between its first and last event without one.
        first_seq: of its first event; each runtime counts for itself.
        in_place: share of its faces that lie where only its own frames have one.
        replayed_equal: its recording, replayed alone, gives the same bytes: nothing of the others is in its state.
        cpu_seconds: of its worker.
        cpu_share: of all workers.
        latency_p50_ms: capture to delivery.
        latency_p99_ms: capture to delivery.
        ladder_step: work left out at the end; 0 is none.
    """

    events: int
    ticks_missing: int
    first_seq: int
    in_place: float
    replayed_equal: bool
    cpu_seconds: float
    cpu_share: float
    latency_p50_ms: float
    latency_p99_ms: float
    ladder_step: int


def quadrant(image: np.ndarray, place: int) -> np.ndarray:
    """Returns a gray image twice as wide and high with the image in one of its quarters, 0 to 3 in reading order."""
    canvas = np.full((2 * HEIGHT, 2 * WIDTH, 3), 96, np.uint8)
    y, x = place // 2 * HEIGHT, place % 2 * WIDTH
    canvas[y : y + HEIGHT, x : x + WIDTH] = image
    return canvas


def place_of(event: AffectEvent) -> int | None:
    """Returns the quarter in which the middle of an event's face lies, None without a face."""
    if event.face is None:
        return None
    box = event.face.box
    return int((box.y0 + box.y1) / 2 >= HEIGHT) * 2 + int((box.x0 + box.x1) / 2 >= WIDTH)


def together(frames: list[np.ndarray]) -> np.ndarray:
    """Returns four frames as one, in reading order: (2H, 2W, 3) uint8."""
    return np.concatenate([np.concatenate(frames[:2], axis=1), np.concatenate(frames[2:], axis=1)], axis=0)


def variants(image: np.ndarray) -> list[np.ndarray]:
    """Returns four frames of one: itself, mirrored, darker, darker and mirrored; so that four faces differ."""
    darker = (image * np.float32(0.7)).astype(np.uint8)
    return [image, image[:, ::-1], darker, darker[:, ::-1]]


def thread_seconds(native_id: int) -> float:
    """Returns the processor time of a thread of this process, seconds. Linux."""
    text = Path(f"/proc/self/task/{native_id}/stat").read_text(encoding="utf-8")
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def run_four(folder: Path, media: Media, *, seconds: float) -> list[RuntimeShare]:
    """Returns the outcome of four runtimes side by side, each with a face in its own quarter and its own clip.

    Args:
        folder: where their recordings go.
        media: what is pushed.
        seconds: how long, in real time.
    """
    paths = [folder / f"runtime_{index}.eaffrec" for index in range(4)]
    runtimes = [
        Runtime(video=PushVideo(), audio=PushAudio(sample_rate_hz=RATE_HZ), policy=_NO_LIMIT, sinks=[path])
        for path in paths
    ]
    events: list[list[AffectEvent]] = [[] for _ in runtimes]
    workers = []
    for runtime, found in zip(runtimes, events, strict=True):
        runtime.on_event(found.append, policy=_NO_LIMIT)
        before = set(threading.enumerate())
        runtime.start()
        workers += [thread for thread in threading.enumerate() if thread not in before and thread.name == WORKER]
    _push_all(runtimes, media, seconds)
    used = [thread_seconds(thread.native_id or 0) for thread in workers]
    for runtime in runtimes:
        runtime.finish()
        runtime.join()
        runtime.stop()
    return [_share(*row, sum(used)) for row in zip(range(4), runtimes, events, paths, used, strict=True)]


def _push_all(runtimes: list[Runtime], media: Media, seconds: float) -> None:
    frames = [
        [quadrant(variants(image)[place], place) for image in media.images[::6]] for place in range(len(runtimes))
    ]
    base = time.monotonic_ns()
    for tick in range(int(seconds * FPS)):
        due = base + tick * 1_000_000_000 // FPS
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        for place, runtime in enumerate(runtimes):
            runtime.push_frame(frames[place][tick % len(frames[place])], pts_ns=due)
            samples = media.audio(tick + 97 * place)
            runtime.push_audio(samples, pts_ns=base + tick * RATE_HZ // FPS * 1_000_000_000 // RATE_HZ)


def _share(
    place: int, runtime: Runtime, events: list[AffectEvent], path: Path, used: float, all_used: float
) -> RuntimeShare:
    ticks = [round(event.pts_ns * FPS / 1e9) for event in events]
    places = [where for event in events if (where := place_of(event)) is not None]
    latency = runtime.stats().stages_ms["latency"]
    return RuntimeShare(
        events=len(events),
        ticks_missing=ticks[-1] - ticks[0] + 1 - len(set(ticks)),
        first_seq=events[0].seq,
        in_place=sum(where == place for where in places) / max(1, len(places)),
        replayed_equal=[event_json(event) for event in events] == replay_lines(path),
        cpu_seconds=round(used, 3),
        cpu_share=round(used / max(all_used, 1e-9), 4),
        latency_p50_ms=latency["p50"],
        latency_p99_ms=latency["p99"],
        ladder_step=int(runtime.health().ladder["step"]),
    )


def run_four_faces(media: Media, *, seconds: float) -> dict[str, Any]:
    """Returns the outcome of one live runtime with four faces: tracks, ticks with all four, places, latency.

    Args:
        media: what is pushed.
        seconds: how long, in real time.
    """
    frames = [together(variants(image)) for image in media.images[::6]]
    events: list[AffectEvent] = []
    runtime = Runtime(
        video=PushVideo(), audio=PushAudio(sample_rate_hz=RATE_HZ), max_faces=4, policy=_NO_LIMIT, ladder=False
    )
    runtime.on_event(events.append, policy=_NO_LIMIT)
    with runtime:
        base = time.monotonic_ns()
        for tick in range(int(seconds * FPS)):
            due = base + tick * 1_000_000_000 // FPS
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            runtime.push_frame(frames[tick % len(frames)], pts_ns=due)
            runtime.push_audio(media.audio(tick), pts_ns=base + tick * RATE_HZ // FPS * 1_000_000_000 // RATE_HZ)
        runtime.finish()
        runtime.join()
        stats = runtime.stats()
    return {**describe_faces(events), "latency_ms": stats.stages_ms["latency"], "work_ms": stats.stages_ms["frame"]}


def describe_faces(events: list[AffectEvent]) -> dict[str, Any]:
    """Returns tracks and their places: with four still faces there are four tracks, each in its own quarter.

    Args:
        events: of one runtime or session.
    """
    places: dict[int, set[int | None]] = {}
    by_tick: dict[int, list[AffectEvent]] = {}
    for event in events:
        by_tick.setdefault(event.pts_ns, []).append(event)
        if event.face is not None:
            places.setdefault(event.face.track_id, set()).add(place_of(event))
    full = [rows for rows in by_tick.values() if len({row.face.track_id for row in rows if row.face}) == 4]
    return {
        "ticks": len(by_tick),
        "ticks_with_four_faces": len(full),
        "tracks": len(places),
        "places_per_track": max((len(where) for where in places.values()), default=0),
        "events": len(events),
    }


def measure(folder: Path, media: Media, *, seconds: float) -> dict[str, Any]:
    """Returns both measurements, ready for JSON.

    Args:
        folder: where recordings go.
        media: what is pushed.
        seconds: of each.
    """
    shares = run_four(folder, media, seconds=seconds)
    used = [share.cpu_share for share in shares]
    return {
        "seconds": seconds,
        "four_runtimes": {"fairness": round(min(used) / max(used), 4), "runtimes": [asdict(share) for share in shares]},
        "four_faces": run_four_faces(media, seconds=seconds),
    }


def main() -> None:
    """Prints the result, and writes it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two (default 20)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), make_media(), seconds=options.seconds)
    text = json.dumps({**stamp(), **result}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

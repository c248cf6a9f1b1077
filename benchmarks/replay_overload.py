"""A live Runtime that cannot keep up, recorded, then replayed: are the events the same, byte for byte?

    python benchmarks/replay_overload.py --seeds 20 --json benchmarks/results/replay_overload.json


The load is real: threads that hold the interpreter while frames are pushed twice as often as the model wants them, one to
three faces, audio with holes and clocks that step, pauses, another engine in the middle. What is dropped, when time is advanced,
when the ladder leaves work out and when the engine is swapped differs from run to run; all of it is in the recording.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.bench.latency_media import RATE_HZ, Media, make_media
from edgeaff.capture.push import PushAudio, PushVideo
from edgeaff.delivery.files import event_json
from edgeaff.machine import stamp
from edgeaff.recording.format import Recording
from edgeaff.recording.replay import replay
from edgeaff.runtime import Policy, Runtime
from edgeaff.session import Session
from edgeaff.types import AffectEvent

PUSHES_HZ = 60


@dataclass(frozen=True)
class OverloadResult:
    """One seed.

    Attributes:
        seed: of everything that is random.
        seconds: how long it ran live.
        events: delivered live.
        equal: the replay gave the same lines of JSON.
        difference: the first line that differs, or empty.
        statuses: events by status.
        faces: tracks that had events.
        frames_replaced: frames that were dropped because newer ones came.
        degradations: steps down the ladder.
        calls: of the session, by name, as recorded.
        latency_p99_ms: capture to delivery.
    """

    seed: int
    seconds: float
    events: int
    equal: bool
    difference: str
    statuses: dict[str, int]
    faces: int
    frames_replaced: int
    degradations: int
    calls: dict[str, int]
    latency_p99_ms: float


class Load:
    """Threads that hold the interpreter most of the time, while entered."""

    def __init__(self, threads: int) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._burn, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Load:
        """Returns the load, begun."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the load."""
        self.end()

    def end(self) -> None:
        """Ends the load; may be called again."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _burn(self) -> None:
        while not self._stop.is_set():
            sum(range(20_000))


def several(image: np.ndarray, faces: int) -> np.ndarray:
    """Returns the image `faces` times side by side, (H, faces * W, 3) uint8."""
    return np.concatenate([np.roll(image, 7 * index, axis=1) for index in range(faces)], axis=1)


def run_live(path: Path, *, seed: int, seconds: float, media: Media) -> tuple[list[AffectEvent], Runtime]:
    """Returns the events as delivered, and the runtime, stopped; the session is recorded.

    Args:
        path: of the recording.
        seed: of faces, load, pauses, holes, steps of the clock and the swap of the engine.
        seconds: how long; the load ends after two thirds.
        media: what is pushed.
    """
    random = np.random.default_rng(seed)
    faces = int(random.integers(1, 4))
    options: dict[str, Any] = {
        "max_faces": int(random.integers(1, faces + 1)),
        "detector_stride": int(random.integers(1, 4)),
    }
    runtime = Runtime(
        video=PushVideo(),
        audio=PushAudio(sample_rate_hz=RATE_HZ),
        policy=Policy(capacity=100_000),
        sinks=[path],
        **options,
    )
    delivered: list[AffectEvent] = []
    runtime.on_event(delivered.append, policy=Policy(capacity=100_000))
    with Load(int(random.integers(2, 5))) as load, runtime:
        _push(runtime, load, random, seconds=seconds, faces=faces, media=media)
        load.end()
        runtime.finish()
        runtime.join()
    return delivered, runtime


def _push(
    runtime: Runtime, load: Load, random: np.random.Generator, *, seconds: float, faces: int, media: Media
) -> None:
    frames = [several(image, faces) for image in media.images[::6]]
    base, heard, index = time.monotonic_ns(), 0, 0
    pause_until, silent = 0.0, False
    swap_at = seconds * random.uniform(0.2, 0.8)
    while (now := (time.monotonic_ns() - base) / 1e9) < seconds:
        if now > seconds * 2 / 3:
            load.end()
        if now > swap_at:
            runtime.swap_backend("onnxruntime" if runtime.health().backend["name"] == "native" else "native")
            swap_at = seconds
        index += 1
        if now > pause_until:
            late_ns = int(random.integers(0, 80_000_000)) * (random.random() < 0.05)
            runtime.push_frame(frames[index % len(frames)], pts_ns=time.monotonic_ns() - late_ns)
            if random.random() < 0.01:
                pause_until, silent = now + random.uniform(0.1, 0.8), random.random() < 0.5
        due = int(now * RATE_HZ)
        if random.random() > 0.02 and not (silent and now <= pause_until):
            samples = np.take(media.samples, np.arange(heard, due), mode="wrap")
            runtime.push_audio(samples, pts_ns=base + heard * 1_000_000_000 // RATE_HZ)
        heard = due
        time.sleep(1 / PUSHES_HZ)


def replay_lines(path: Path) -> list[str]:
    """Returns the events of a recording, recomputed by a session with the recorded options, as lines of JSON."""
    recording = Recording(path)

    def make_session(tap: Any, recorded: dict[str, Any]) -> Session:
        known = dict(recorded)
        return Session(known.pop("bundle", None), tap=tap, **known)

    return [event_json(event) for event, _ in replay(recording, make_session)]


def run_seed(folder: Path, seed: int, *, seconds: float = 8.0, media: Media | None = None) -> OverloadResult:
    """Returns the outcome of one live session and its replay.

    Args:
        folder: where the recording goes.
        seed: of everything that is random.
        seconds: how long the live session runs.
        media: what is pushed; None makes it.
    """
    path = folder / f"overload_{seed}.eaffrec"
    events, runtime = run_live(path, seed=seed, seconds=seconds, media=make_media() if media is None else media)
    live, again = [event_json(event) for event in events], replay_lines(path)
    differing = next((index for index, pair in enumerate(zip(live, again, strict=False)) if pair[0] != pair[1]), None)
    difference = "" if differing is None else f"{live[differing]} != {again[differing]}"
    if not difference and len(live) != len(again):
        difference = f"{len(live)} events live, {len(again)} in the replay"
    stats = runtime.stats()
    return OverloadResult(
        seed=seed,
        seconds=seconds,
        events=len(live),
        equal=live == again,
        difference=difference,
        statuses=dict(stats.events_by_status),
        faces=len({event.face.track_id for event in events if event.face is not None}),
        frames_replaced=stats.source["frames_replaced"],
        degradations=stats.degradations,
        calls=dict(Counter(call.name for call in Recording(path).calls())),
        latency_p99_ms=stats.stages_ms["latency"]["p99"],
    )


def summarize(results: list[OverloadResult]) -> dict[str, Any]:
    """Returns the outcome of all seeds, ready for JSON."""
    return {
        "seeds": len(results),
        "equal": sum(result.equal for result in results),
        "events": sum(result.events for result in results),
        "frames_replaced": sum(result.frames_replaced for result in results),
        "degradations": sum(result.degradations for result in results),
        "runs": [asdict(result) for result in results],
    }


def main() -> int:
    """Returns 0 where every replay is byte-equal, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each live session")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    media, results = make_media(), []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            results.append(run_seed(Path(folder), seed, seconds=options.seconds, media=media))
            found = results[-1]
            print(
                f"seed {seed}: {'equal' if found.equal else 'DIFFERS'}, {found.events} events, "
                f"{found.frames_replaced} frames dropped, {found.degradations} steps down",
                flush=True,
            )
    summary = {**stamp(), **summarize(results)}
    print(f"{summary['equal']} of {summary['seeds']} equal")
    if options.json:
        options.json.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return 0 if summary["equal"] == summary["seeds"] else 1


if __name__ == "__main__":
    sys.exit(main())

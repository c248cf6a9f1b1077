"""The cost of the live page: processor and memory without a viewer and with one, and the latency of ticks beside a run without a page.

python benchmarks/live.py --json benchmarks/results/live.json

Each trial is its own process; the kinds take turns, round after round. A trial runs the made camera and microphone of the latency
benchmark in real time, after its page, if it has one, was given ten minutes of history. The viewer is another process. The latency of
ticks is compared within one process: the page, with a viewer, gets the ticks of every other stretch of a second and a half.
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
import subprocess
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np

from edgeaff.bench.latency_media import FPS, RATE_HZ, Media, make_media
from edgeaff.capture.push import PushAudio, PushVideo
from edgeaff.machine import stamp
from edgeaff.runtime import Policy, Runtime
from edgeaff.types import AffectEvent

KINDS = ("no_page", "no_viewer", "one_viewer", "one_viewer_crops")
PAGE_THREADS = ("edgeaff-live", "edgeaff-thumbnails")
SECOND = 1_000_000_000
WARM_SECONDS = 3.0
STRETCH_SECONDS = 1.5
ALTERNATING_TIMES = 12  # as long as a trial


def watch(url: str) -> None:
    """Reads everything that a page gets, until it ends. url: of the page, with its token."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    address, _, token = url.partition("/#")
    with connect(f"ws{address.removeprefix('http')}/stream", max_size=None) as connection:
        connection.send(json.dumps({"token": token}))
        try:
            while True:
                connection.recv()
        except ConnectionClosed:
            return


def page_seconds() -> float:
    """Returns the processor time of the threads of the page so far."""
    threads = [thread for thread in threading.enumerate() if thread.name in PAGE_THREADS and thread.ident is not None]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0)) for thread in threads)


def resident_mib() -> float:
    """Returns the memory of this process, MiB. Linux."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def push(runtime: Runtime, media: Media, seconds: float) -> None:
    """Pushes a camera and a microphone in real time, each frame at the instant of a tick.

    Args:
        runtime: that takes them.
        media: frames and samples.
        seconds: how long.
    """
    start = time.monotonic_ns() * FPS // SECOND + 1
    for tick in range(start, start + int(seconds * FPS)):
        time.sleep(max(0, tick * SECOND // FPS - time.monotonic_ns()) / 1e9)
        runtime.push_frame(media.images[tick % len(media.images)], pts_ns=tick * SECOND // FPS)
        runtime.push_audio(media.audio(tick), pts_ns=tick * RATE_HZ // FPS * SECOND // RATE_HZ)


def fill(runtime: Runtime, event: AffectEvent) -> None:
    """Gives the page of a runtime ten minutes of history, before it is watched."""
    page = runtime._parts.page
    if page is not None:
        for back in range(page.ring.capacity, 0, -1):
            page.write(replace(event, seq=0, pts_ns=event.pts_ns - back * SECOND // FPS))
            if back % 200 == 0:  # as they would come, so that they do not pile up
                page._listener.loop.call_soon_threadsafe(page._deliver)
                time.sleep(0.005)


def trial(kind: str, seconds: float) -> dict[str, float]:
    """Returns the cost of one run.

    Args:
        kind: of KINDS.
        seconds: in real time, after a warm-up.
    """
    media, events = make_media(), list[AffectEvent]()
    page: dict[str, Any] = {} if kind == "no_page" else {"live": "127.0.0.1:0"}
    if kind == "one_viewer_crops":
        page["live_images"] = "crop"
    runtime = Runtime(
        video=PushVideo(),
        audio=PushAudio(sample_rate_hz=RATE_HZ),
        ladder=False,
        policy=Policy(capacity=100_000),
        **page,
    )
    runtime.on_event(events.append)
    viewer = None
    with runtime:
        push(runtime, media, WARM_SECONDS)
        fill(runtime, events[-1])
        if kind.startswith("one_viewer"):
            viewer = subprocess.Popen([sys.executable, __file__, "--watch", str(runtime.live_url)])
        push(runtime, media, WARM_SECONDS)  # the viewer takes the history
        used, of_page, started = time.process_time(), page_seconds(), time.monotonic()
        push(runtime, media, seconds)
        elapsed = time.monotonic() - started
        found = {
            "page_share": (page_seconds() - of_page) / elapsed,
            "process_share": (time.process_time() - used) / elapsed,
            "resident_mib": resident_mib(),
        }
    if viewer is not None:
        viewer.wait(10.0)
    return found


def alternate(seconds: float) -> dict[str, Any]:
    """Returns the latency of ticks with and without a page that is watched, in stretches that take turns in one process.

    Args:
        seconds: of all stretches together, in real time.
    """
    media, events = make_media(), list[AffectEvent]()
    runtime = Runtime(
        video=PushVideo(),
        audio=PushAudio(sample_rate_hz=RATE_HZ),
        ladder=False,
        policy=Policy(capacity=100_000),
        live="127.0.0.1:0",
    )
    runtime.on_event(events.append)
    stretches: dict[bool, list[list[float]]] = {True: [], False: []}
    with runtime:
        viewer = subprocess.Popen([sys.executable, __file__, "--watch", str(runtime.live_url)])
        push(runtime, media, 2 * WARM_SECONDS)
        observers = list(runtime._outlets._observers)
        for number in range(2 * int(seconds / STRETCH_SECONDS / 2)):
            is_watched = number % 4 in (0, 3)  # so that neither is always the second
            runtime._outlets._observers = observers if is_watched else []
            first = len(events)
            push(runtime, media, STRETCH_SECONDS)
            stretches[is_watched].append([event.latency_ms for event in events[first:] if event.latency_ms is not None])
    viewer.wait(10.0)
    rows: dict[str, Any] = {}
    for is_watched, name in ((False, "without"), (True, "with")):
        every = np.concatenate([np.array(one) for one in stretches[is_watched]])
        rows[name] = {f"p{share}_ms": round(float(np.percentile(every, share)), 3) for share in (50, 90, 99)}
        rows[name]["ticks"] = len(every)
    for share in (50, 99):
        pairs = zip(stretches[True], stretches[False], strict=True)
        ratios = [float(np.percentile(one, share) / np.percentile(other, share)) for one, other in pairs]
        rows[f"p{share}_ratio"] = round(float(np.median(ratios)), 3)  # of stretches next to each other, the median
    return rows


def measure(*, seconds: float, rounds: int) -> dict[str, Any]:
    """Returns the medians of every kind, and how they compare with a run without a page in the same round.

    Args:
        seconds: of each trial.
        rounds: trials of each kind; each round begins with another.
    """
    trials: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind in (*KINDS[number % len(KINDS) :], *KINDS[: number % len(KINDS)]):
            command = [sys.executable, __file__, "--trial", kind, "--seconds", str(seconds)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            trials[kind].append(json.loads(answer.stdout))
    names = list(trials["no_page"][0])
    rows = {
        kind: {name: round(float(np.median([one[name] for one in found])), 4) for name in names}
        for kind, found in trials.items()
    }
    for kind in KINDS[1:]:
        pairs = list(zip(trials[kind], trials["no_page"], strict=True))
        more = [one["resident_mib"] - other["resident_mib"] for one, other in pairs]
        rows[kind]["more_resident_mib"] = round(float(np.median(more)), 2)
    return {"seconds": seconds, "rounds": rounds, "kinds": rows, "latency": alternate(ALTERNATING_TIMES * seconds)}


def main() -> None:
    """Prints the result, and writes it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each trial (default 20)")
    parser.add_argument("--rounds", type=int, default=6, help="trials of each kind (default 6)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--trial", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--watch", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        watch(options.watch)
        return
    if options.trial:
        print(json.dumps(trial(options.trial, options.seconds)))
        return
    text = json.dumps({**stamp(), **measure(seconds=options.seconds, rounds=options.rounds)}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

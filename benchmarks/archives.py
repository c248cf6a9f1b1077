"""Archives: speed against an earlier commit, two workers against one, and the driver with 100,000 tasks and 512 workers.

python benchmarks/archives.py --before CHECKOUT --json benchmarks/results/archives.json

| row | how it is measured |
|---|---|
| throughput | seconds of media per second of processor time, one thread; CHECKOUT and this one take turns, each in its own process |
| workers | `annotate` with one and two workers in turns; wall clock, and processor time, which other programs distort less |
| driver | the real driver, ledger and order with workers that take simulated time: durations drawn from those of `workers`; the driver's \
own processor time passes on the simulated clock too |

CHECKOUT is a built checkout of the commit to compare with; without it there are no ratios.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # makes `benchmarks` and `recipes` importable from a script

import argparse
import heapq
import json
import os
import random
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from edgeaff.archive import annotate
from edgeaff.archive.driver import Driver
from edgeaff.archive.engines import Reply
from edgeaff.archive.ledger import Ledger
from edgeaff.archive.sources import find_tasks
from edgeaff.archive.storage import LocalStore
from edgeaff.archive.task import Task
from edgeaff.bench.latency_media import RATE_HZ, Media, make_media
from edgeaff.machine import commit, peak_mib, stamp

ROOT = Path(__file__).resolve().parents[1]
CLIPS = ((640, 480, 25), (640, 480, 60), (1920, 1080, 25), (1920, 1080, 60))  # width, height, frames a second
FILE_SECONDS = (4, 5, 6, 7, 8, 9, 10, 11)  # of the files that workers annotate
TASKS, WORKERS = 100_000, 512
ONE = """
import json, sys, time
import edgeaff
from edgeaff.bundle import ModelBundle
bundle = ModelBundle.load(None)
edgeaff.analyze(sys.argv[1], bundle=bundle)
start = time.process_time()
ticks = len(edgeaff.analyze(sys.argv[1], bundle=bundle)["valence"])
print(json.dumps({"cpu_seconds": time.process_time() - start, "ticks": ticks, "place": sys.modules["edgeaff"].__file__}))
"""


def write_clip(path: Path, media: Media, size: tuple[int, int], fps: int, seconds: float) -> None:
    """Writes H.264 and AAC of a made camera and microphone.

    Args:
        path: an MP4 file.
        media: images and samples.
        size: width and height.
        fps: frames a second.
        seconds: length.
    """
    import av

    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("libx264", rate=fps), container.add_stream("aac", rate=RATE_HZ)
        video.width, video.height, video.pix_fmt, audio.layout = *size, "yuv420p", "mono"
        for index in range(int(seconds * fps)):
            image = media.images[index * 30 // fps % len(media.images)]
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(*size, "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(video.encode(frame))
        samples = media.samples[: int(seconds * RATE_HZ)]
        for first in range(0, len(samples), 1024):
            chunk = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], format="s16", layout="mono")
            chunk.sample_rate, chunk.pts = RATE_HZ, first
            container.mux(audio.encode(chunk))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def decoding_seconds(path: Path) -> float:
    """Returns the processor time of decoding every packet of a file once, on one thread, without conversion."""
    import av

    with av.open(str(path)) as container:
        for stream in container.streams:
            stream.codec_context.thread_count = 1
        start = time.process_time()
        for packet in container.demux():
            packet.decode()
        return time.process_time() - start


def analyzed(checkout: Path, clip: Path) -> dict[str, Any]:
    """Returns the processor time of analyze on a clip, with the edgeaff of a checkout.

    Raises:
        RuntimeError: another edgeaff was imported.
    """
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ONE, str(clip)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=checkout, env=environment)
    row: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    if not Path(row["place"]).is_relative_to(checkout):
        raise RuntimeError(f"{checkout} must hold the edgeaff that runs, got {row['place']}.")
    return row


def throughput(folder: Path, before: Path | None, *, seconds: float, rounds: int) -> dict[str, Any]:
    """Returns the speed on every clip, and its ratio to that of an earlier commit.

    Args:
        folder: for the clips.
        before: a built checkout; None for no ratio.
        seconds: length of a clip.
        rounds: in which both take turns.
    """
    media, rows = make_media(seconds), []
    for width, height, fps in CLIPS:
        clip = folder / f"{height}-{fps}.mp4"
        write_clip(clip, media, (width, height), fps, seconds)
        used: dict[str, list[float]] = {"now": [], "before": [], "decoding": []}
        for number in range(rounds):
            turns = [("now", ROOT)] + ([("before", before)] if before is not None else [])
            for name, checkout in turns if number % 2 else reversed(turns):
                used[name].append(analyzed(checkout, clip)["cpu_seconds"])
            used["decoding"].append(decoding_seconds(clip))
        row: dict[str, Any] = {
            "clip": f"{width}x{height}", "fps": fps,
            "times_real_time": round(seconds / statistics.median(used["now"]), 1),
            "decoding_all_share": round(statistics.median(used["decoding"]) / statistics.median(used["now"]), 2),
        }  # fmt: skip
        if before is not None:
            ratios = [then / now for then, now in zip(used["before"], used["now"], strict=True)]
            row |= {
                "before_times_real_time": round(seconds / statistics.median(used["before"]), 1),
                "ratio": round(statistics.median(ratios), 2),
                "ratio_range": [round(min(ratios), 2), round(max(ratios), 2)],
            }
        rows.append(row)
    return {"seconds": seconds, "rounds": rounds, "before": commit_of(before), "clips": rows}


def commit_of(checkout: Path | None) -> str | None:
    """Returns the commit of a checkout."""
    return None if checkout is None else commit(checkout / "edgeaff" / "__init__.py")


def children_seconds() -> float:
    """Returns the processor time of this process and of all its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def two_workers(folder: Path, *, rounds: int) -> dict[str, Any]:
    """Returns the efficiency of two workers against one, and the seconds that each file took.

    Args:
        folder: for files and outputs.
        rounds: in which one and two workers take turns.

    Raises:
        RuntimeError: a file was not done.
    """
    media, clips = make_media(max(FILE_SECONDS)), folder / "clips"
    clips.mkdir()
    for seconds in FILE_SECONDS:
        write_clip(clips / f"{seconds}.mp4", media, (640, 480), 25, seconds)
    trials: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for number in range(rounds):
        for workers in (1, 2) if number % 2 else (2, 1):
            output = folder / f"{workers}-{number}"
            used, start = children_seconds(), time.monotonic()
            report = annotate([clips], output, workers=workers)
            trials[workers].append((time.monotonic() - start, children_seconds() - used))
            if report["done"] != len(FILE_SECONDS):
                raise RuntimeError(f"every file must be done, got {report}.")
    wall = {workers: min(one[0] for one in found) for workers, found in trials.items()}
    used_best = {workers: min(one[1] for one in found) for workers, found in trials.items()}
    rate = used_best[1] / sum(FILE_SECONDS)
    return {
        "files": len(FILE_SECONDS), "seconds": sum(FILE_SECONDS), "rounds": rounds,
        "wall_seconds": {str(workers): round(value, 2) for workers, value in wall.items()},
        "processor_seconds": {str(workers): round(value, 2) for workers, value in used_best.items()},
        "wall_efficiency": round(wall[1] / (2 * wall[2]), 3),
        "processor_efficiency": round(used_best[1] / used_best[2], 3),
        "file_seconds": [round(rate * seconds, 3) for seconds in FILE_SECONDS],
    }  # fmt: skip


class SimulatedWorkers:
    """An engine whose workers take simulated time. What the driver spends between two calls passes on the same clock."""

    def __init__(self, capacity: int, seconds: dict[str, float]) -> None:
        """Starts at 0.

        Args:
            capacity: workers.
            seconds: that each file takes.
        """
        self.capacity, self.now, self.driver_seconds = capacity, 0.0, 0.0
        self._seconds, self._mark = seconds, time.process_time()
        self._open: list[tuple[float, str, Task]] = []

    def _pass(self) -> None:
        spent = time.process_time() - self._mark
        self.now += spent
        self.driver_seconds += spent
        self._mark += spent

    def submit(self, task: Task) -> None:
        """Takes an order."""
        self._pass()
        heapq.heappush(self._open, (self.now + self._seconds[task.file], task.id, task))

    def next(self, timeout_seconds: float) -> Reply | None:
        """Returns the next reply."""
        self._pass()
        ends, _, task = heapq.heappop(self._open)
        self.now = max(self.now, ends)
        return Reply(task, "done", "", {"seconds": self._seconds[task.file], "rows": 1})

    def seconds_open(self) -> float:
        """Returns 0."""
        return 0.0

    def close(self) -> None:
        """Does nothing."""


def simulate(folder: Path, durations: Sequence[float], *, tasks: int, workers: int) -> dict[str, Any]:
    """Returns the efficiency of simulated workers under the real driver, and what the driver needs.

    Args:
        folder: for the ledger.
        durations: seconds of files to draw from.
        tasks: number of files.
        workers: number of workers.

    Raises:
        RuntimeError: a task was not done.
    """
    rng = random.Random(0)
    seconds = {f"{number}.mp4": rng.choice(durations) for number in range(tasks)}
    manifest = folder / "manifest.csv"
    manifest.write_text("file\n" + "".join(f"s3://archive/{name}\n" for name in seconds), encoding="utf-8")
    found = [Task(Path(task.file).name, int(1e6 * seconds[Path(task.file).name])) for task in find_tasks([manifest])]
    found.sort(key=lambda task: (-task.size, task.file))  # as find_tasks does where it knows sizes
    engine = SimulatedWorkers(workers, seconds)
    ledger = Ledger(LocalStore(folder / "ledger"))
    Driver(ledger, engine, clock=lambda: engine.now).run(found)
    done = sum(entry.state == "done" for entry in ledger.entries())
    if done != tasks:
        raise RuntimeError(f"{tasks} tasks must be done, got {done}.")
    return {
        "tasks": tasks, "workers": workers,
        "efficiency": round(sum(seconds.values()) / workers / engine.now, 4),
        "simulated_hours": round(engine.now / 3600, 3),
        "driver_ms_per_task": round(1e3 * engine.driver_seconds / tasks, 3),
        "driver_peak_mb": round(peak_mib() * 2**20 / 1e6, 1),
    }  # fmt: skip


def main() -> None:
    """Prints the result, and writes it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="built checkout of the commit to compare with")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip (default 10)")
    parser.add_argument("--rounds", type=int, default=5, help="in which the kinds take turns (default 5)")
    parser.add_argument("--tasks", type=int, default=TASKS, help=f"of the simulated archive (default {TASKS})")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--simulate", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.simulate:
            print(json.dumps(simulate(folder, json.loads(options.simulate), tasks=options.tasks, workers=WORKERS)))
            return
        before = None if options.before is None else options.before.resolve()
        rows: dict[str, Any] = {
            "throughput": throughput(folder, before, seconds=options.seconds, rounds=options.rounds),
            "workers": two_workers(folder, rounds=options.rounds),
        }
        durations = json.dumps(rows["workers"]["file_seconds"])  # in its own process: for its memory
        command = [sys.executable, __file__, "--simulate", durations, "--tasks", str(options.tasks)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        rows["driver"] = json.loads(answer.stdout)
    text = json.dumps({**stamp(), **rows}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

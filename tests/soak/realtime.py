"""The soak in real time: a file-backed camera and a virtual microphone, the default bundle, one reader, one file sink."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import edgeaff
from edgeaff.capture.microphone import Microphone
from edgeaff.capture.paced import PacedFile
from edgeaff.delivery.files import JsonlSink
from edgeaff.machine import resident_mib
from tests.soak.rig import Rig
from tests.soak.trial import bundle

WARM_SECONDS = 5.0
SAMPLE_SECONDS = 1.0
HALF_TICK_MS = 1000 / 60


@dataclass
class Series:
    """What is looked at once a second, in arrays that do not grow."""

    seconds: np.ndarray
    rss_mib: np.ndarray
    queues: np.ndarray  # (n, 4): events, frames, audio in blocks of 10 ms, sinks
    count: int = 0

    @classmethod
    def of_size(cls, size: int) -> Series:
        return cls(np.zeros(size), np.zeros(size), np.zeros((size, 4)))

    def look(self, second: float, runtime: edgeaff.Runtime) -> None:
        if self.count == len(self.seconds):
            return
        queues = runtime.stats().queues
        self.seconds[self.count], self.rss_mib[self.count] = second, resident_mib()
        self.queues[self.count] = queues["events"], queues["frames"], queues["audio_ms"] / 10, queues["sinks"]
        self.count += 1

    def rss_slope_mb_per_hour(self) -> float:
        """Returns the least-squares slope over the last two thirds, MB (10^6 bytes) per hour."""
        first = self.count // 3
        times, memory = self.seconds[first : self.count], self.rss_mib[first : self.count]
        return float(np.polyfit(times, memory, 1)[0] * 3600 * 1.048576)

    def queue_growth(self) -> float:
        """Returns by how much the fullest-growing queue is longer in the last third than in the middle one (medians)."""
        third = self.count // 3
        middle = np.median(self.queues[third : 2 * third], axis=0)
        last = np.median(self.queues[2 * third : self.count], axis=0)
        return float(np.max(last - middle))


@dataclass
class Ticks:
    """Latency of every tick, and ticks that never came."""

    latency_ms: np.ndarray
    count: int = 0
    missed: int = 0
    last_tick: int | None = None
    by_status: dict[str, int] = field(default_factory=dict)

    def note(self, event: edgeaff.AffectEvent, *, warm: bool) -> None:
        tick = round(event.pts_ns * 30 / 1e9)
        if self.last_tick is not None:
            self.missed += max(0, tick - self.last_tick - 1)
        self.last_tick = tick
        if warm and event.latency_ms is not None and self.count < len(self.latency_ms):
            # from glass to value, never too small: the latency already holds the age of a tick's own frame
            age_ms = event.video_age_ms or 0.0
            self.latency_ms[self.count] = event.latency_ms + (age_ms if age_ms > HALF_TICK_MS else 0.0)
            self.count += 1
            self.by_status[event.status.value] = self.by_status.get(event.status.value, 0) + 1


def run_realtime(rig: Rig, seconds: float) -> dict[str, Any]:
    """Returns the figures of the soak.

    Args:
        rig: gives voice and frames.
        seconds: how long.
    """
    rig.speak()
    series, ticks = Series.of_size(int(seconds / SAMPLE_SECONDS) + 2), Ticks(np.zeros(int(seconds * 31) + 300))
    camera = PacedFile(rig.clip(), audio=False, loop=True)
    sinks = [JsonlSink(rig.folder / "soak.jsonl")]
    with edgeaff.Runtime(bundle(), video=camera, audio=Microphone(), sinks=sinks) as runtime:
        started = next_look = time.monotonic()
        while (passed := time.monotonic() - started) < seconds:
            event = runtime.poll(0.1)
            if event is not None:
                ticks.note(event, warm=passed > WARM_SECONDS)
            if time.monotonic() >= next_look:
                series.look(passed, runtime)
                next_look += SAMPLE_SECONDS
        stats, reported = runtime.stats(), runtime.status.recent()
    rig.silence()
    latency = ticks.latency_ms[: ticks.count]
    return {
        "seconds": round(seconds, 1),
        "rss_slope_mb_per_hour": round(series.rss_slope_mb_per_hour(), 3),
        "missed_ticks": ticks.missed,
        "queue_growth": round(series.queue_growth(), 2),
        "p50_ms": round(float(np.percentile(latency, 50)), 2),
        "p99_ms": round(float(np.percentile(latency, 99)), 2),
        "details": {
            "events": stats.events,
            "events_by_status": ticks.by_status,
            "events_dropped": stats.events_dropped,
            "rss_mib_each_minute": [round(float(value), 2) for value in series.rss_mib[: series.count : 60]],
            "stages_ms": stats.stages_ms,
            "skew_ppm": stats.skew_ppm,
            "source": stats.source,
            "inputs": {name: value for name, value in stats.inputs.items() if value},
            "sinks": stats.sinks,
            "degradations": stats.degradations,
            "reported": dict(Counter(f"{event.source} {event.kind}" for event in reported)),
        },
    }

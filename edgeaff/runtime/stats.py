"""Counters and measurements of a Runtime."""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass, field
from typing import Any

KEPT = 2048  # of each measure: the last 68 s of ticks


@dataclass(slots=True)
class RuntimeStats:
    """Counters since the start.

    Attributes:
        events: delivered by the worker.
        events_by_status: the same by status.
        events_dropped: events that slow readers and callbacks missed.
        frames: frames taken by the worker.
        samples: of audio taken by the worker.
        inputs: used, repaired or dropped by the session, by cause (InputCounts).
        source: delivered, repaired or dropped by the sources, by cause.
        sinks: written, dropped and failures, by the sink's name.
        stages_ms: p50, p95 and p99 of the last 2048: "frame" and "audio" (work of the session), "latency" (capture to
            delivery, live only).
        queues: what waits now, by name: "events", "frames", "audio_ms", "sinks".
        skew_ppm: of the microphone's clock against the monotonic clock, or None if there is none.
        degradations: steps down the ladder so far.
    """

    events: int = 0
    events_by_status: dict[str, int] = field(default_factory=dict)
    events_dropped: int = 0
    frames: int = 0
    samples: int = 0
    inputs: dict[str, int] = field(default_factory=dict)
    source: dict[str, int] = field(default_factory=dict)
    sinks: dict[str, dict[str, int]] = field(default_factory=dict)
    stages_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    queues: dict[str, float] = field(default_factory=dict)
    skew_ppm: float | None = None
    degradations: int = 0


class Measures:
    """Keeps the last values of each stage, in rings that never grow, and gives their quantiles."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rings: dict[str, array[float]] = {}
        self._counts: dict[str, int] = {}

    def add(self, stage: str, milliseconds: float) -> None:
        """Notes one value."""
        with self._lock:
            count = self._counts.get(stage, 0)
            if not count:
                self._rings[stage] = array("d", bytes(8 * KEPT))
            self._rings[stage][count % KEPT] = milliseconds
            self._counts[stage] = count + 1

    def quantiles(self) -> dict[str, dict[str, float]]:
        """Returns p50, p95 and p99 of each stage, milliseconds."""
        with self._lock:
            stages = {stage: sorted(ring[: self._counts[stage]]) for stage, ring in self._rings.items()}
        return {
            stage: {
                f"p{share}": round(values[min(len(values) - 1, len(values) * share // 100)], 3)
                for share in (50, 95, 99)
            }
            for stage, values in stages.items()
        }


@dataclass(frozen=True, slots=True)
class RuntimeHealth:
    """The state of a Runtime now.

    Attributes:
        state: "new", "starting", "running", "degraded", "failed", "ended" or "stopped".
        healthy: running, possibly degraded, with every source OK, no sink failing, input that can be used, values in their
            range and, live, events that arrive.
        sources: by name: kind, state, detail, age_ms of the last delivery, reconnects, frames and audio_ms that wait, skew_ppm.
        worker: alive, age_ms of what it took last, event_age_ms since the last event, busy_share of the last second.
        sinks: by name: state ("ok", "failing"), waiting, written, dropped, failures.
        ladder: step (0 is full work), name of the step, degradations so far.
        backend: `name` of the backend that runs, and `swap`: the state of the last swap that was requested.
        problems: current problems, one sentence each.
    """

    state: str
    healthy: bool
    sources: dict[str, dict[str, Any]]
    worker: dict[str, Any]
    sinks: dict[str, dict[str, Any]]
    ladder: dict[str, Any]
    backend: dict[str, Any]
    problems: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Returns nested mappings of numbers, texts and None: what StatusServer takes."""
        return {
            "state": self.state,
            "healthy": self.healthy,
            "sources": self.sources,
            "worker": self.worker,
            "sinks": self.sinks,
            "ladder": self.ladder,
            "backend": self.backend,
            "problems": {str(index): text for index, text in enumerate(self.problems)},
        }

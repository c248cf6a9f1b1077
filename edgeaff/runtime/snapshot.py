"""Snapshots of a running Runtime: its counters and its health."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from edgeaff.capture.group import LiveGroup
from edgeaff.capture.health import Health
from edgeaff.capture.live import LiveSource
from edgeaff.capture.source import Source
from edgeaff.preprocess.inputs import InputCounts
from edgeaff.runtime.ladder import STEPS
from edgeaff.runtime.monitor import Monitor
from edgeaff.runtime.outlets import Outlets
from edgeaff.runtime.stats import RuntimeHealth, RuntimeStats
from edgeaff.runtime.worker import Worker

SILENT_SECONDS = 1.5  # a live session gives 30 events a second; the monitor reports a silence a little earlier


def counters(counts: InputCounts) -> dict[str, int]:
    """Returns the counters of a session by name."""
    return dataclasses.asdict(counts)


def stats(worker: Worker, outlets: Outlets, source: Source) -> RuntimeStats:
    """Returns a snapshot of the counters and measures."""
    live_sources = source.sources if isinstance(source, LiveGroup) else ()
    sizes = [part.inbox.sizes() for part in live_sources]
    skews = [part.skew_ppm for part in live_sources if part.skew_ppm is not None]
    queues = {
        "events": len(outlets.queue),
        "frames": sum(frames for frames, _ in sizes),
        "audio_ms": round(1e3 * sum(seconds for _, seconds in sizes), 1),
        "sinks": sum(sink.waiting for sink in outlets.queued_sinks),
    }
    return dataclasses.replace(
        worker.stats,
        events_by_status=dict(worker.stats.events_by_status),
        events_dropped=outlets.dropped,
        inputs=counters(worker.session.counts),
        source=dict(source.counts),
        sinks=dict(_sinks(outlets, "counts")),
        stages_ms=worker.measures.quantiles(),
        queues=queues,
        skew_ppm=round(skews[0], 2) if skews else None,
    )


def health(
    worker: Worker, outlets: Outlets, monitor: Monitor, sources: Sequence[LiveSource], *, failed: bool, swap: str = ""
) -> RuntimeHealth:
    """Returns the health of sources, worker and sinks."""
    now = time.monotonic()
    step = 0 if worker.ladder is None else worker.ladder.step
    state = "degraded" if worker.state == "running" and step else worker.state
    source_rows = {source.name: _source(source) for source in sources}
    sink_rows = {}
    for sink_name, sink in _sinks(outlets):
        sink_rows[sink_name] = {
            "state": "failing" if sink.failing else "ok",
            "waiting": sink.waiting,
            **sink.counts,
        }
    for recorder in outlets.recorders:
        sink_rows["recording"] = {"state": "failing" if recorder.warnings else "ok"}
    good = all(row["state"] == Health.OK.value for row in source_rows.values())
    good = good and all(row["state"] == "ok" for row in sink_rows.values())
    silent_seconds = worker.silent_seconds()
    good = good and not monitor.unhealthy and (silent_seconds is None or silent_seconds < SILENT_SECONDS)
    return RuntimeHealth(
        state="failed" if failed else state,
        healthy=good and not failed and state in ("running", "degraded"),
        sources=source_rows,
        worker={
            "alive": worker.alive,
            "age_ms": _age_ms(now, worker.last_unit),
            "event_age_ms": _age_ms(now, worker.last_event),
            "busy_share": None if worker.ladder is None else round(worker.ladder.busy_share, 3),
        },
        sinks=sink_rows,
        ladder={"step": step, "name": STEPS[step], "degradations": worker.stats.degradations},
        backend={"name": worker.session.backend, "swap": swap},
        problems=monitor.problems(),
    )


def _source(source: LiveSource) -> dict[str, Any]:
    found = source.health()
    frames, seconds = source.inbox.sizes()
    return {
        "kind": source.kind,
        "state": found.state.value,
        "detail": found.detail,
        "age_ms": None if found.age_seconds is None else round(1e3 * found.age_seconds, 1),
        "reconnects": found.reconnects,
        "frames_waiting": frames,
        "audio_waiting_ms": round(1e3 * seconds, 1),
        "skew_ppm": None if source.skew_ppm is None else round(source.skew_ppm, 2),
    }


def _sinks(outlets: Outlets, attribute: str | None = None) -> list[tuple[str, Any]]:
    """Returns (name, sink or one of its attributes), equal names numbered."""
    rows: list[tuple[str, Any]] = []
    names: set[str] = set()
    for index, sink in enumerate(outlets.queued_sinks):
        name = sink.name if sink.name not in names else f"{sink.name} {index}"
        names.add(name)
        rows.append((name, sink if attribute is None else getattr(sink, attribute)))
    return rows


def _age_ms(now: float, then: float | None) -> float | None:
    return None if then is None else round(1e3 * (now - then), 1)

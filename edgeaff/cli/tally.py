"""Statistics of a run, and the summary that `edgeaff run` prints at its end."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from edgeaff.naming import public_name
from edgeaff.types import AffectEvent

READ = (
    "frames",
    "audio_frames",
    "frames_used",
    "chunks_used",
    "frames_unused",
    "chunks_unused",
)  # no causes of trouble


@dataclass(slots=True)
class Values:
    """Count, sum and range of one value; last_ns: time of the last tick that had one."""

    ticks: int = 0
    count: int = 0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    last_ns: int | None = None

    def add(self, value: float | None, pts_ns: int) -> None:
        """Counts a value; ignores None."""
        if value is None:
            return
        self.ticks += pts_ns != self.last_ns
        self.last_ns = pts_ns
        self.count += 1
        self.total += value
        self.least, self.most = min(self.least, value), max(self.most, value)

    def describe(self, name: str, ticks: int) -> str:
        """Returns one line: mean, range, and the share of ticks with a number."""
        if not self.count:
            return f"{name}: no number at any of {ticks} ticks"
        share = f"a number at {self.ticks / ticks:.0%} of {ticks} ticks"
        return f"{name}: mean {self.total / self.count:+.2f}, from {self.least:+.2f} to {self.most:+.2f}, {share}"


@dataclass(slots=True)
class Tally:
    """Counts events and ticks; with several faces a tick has several events."""

    events: int = 0
    ticks: int = 0
    valence: Values = field(default_factory=Values)
    arousal: Values = field(default_factory=Values)
    _last_ns: int | None = None

    def add(self, event: AffectEvent) -> None:
        """Counts an event."""
        self.events += 1
        self.ticks += event.pts_ns != self._last_ns
        self._last_ns = event.pts_ns
        self.valence.add(event.valence, event.pts_ns)
        self.arousal.add(event.arousal, event.pts_ns)

    def lines(self) -> list[str]:
        """Returns one line for valence and one for arousal."""
        return [self.valence.describe("valence", self.ticks), self.arousal.describe("arousal", self.ticks)]


def summary(runtime: Any, tally: Tally, options: argparse.Namespace) -> str:
    """Returns the summary of a run, a few lines.

    Args:
        runtime: the ended runtime.
        tally: counts of its events.
        options: arguments of the command.
    """
    stats = runtime.stats()
    by_status = Counter(stats.events_by_status)
    lines = [
        f"{public_name(options.input)}: {stats.events} events from {stats.frames} frames and {stats.samples} audio samples",
        *tally.lines(),
        "status: " + ", ".join(f"{name} {count}" for name, count in by_status.most_common()),
        f"computed by {runtime.bundle.manifest.model_id} on {runtime.health().backend['name']}",
    ]
    trouble = {**stats.inputs, **stats.source}
    repaired = ", ".join(
        f"{name.replace('_', ' ')} {count}" for name, count in trouble.items() if count and name not in READ
    )
    if repaired:
        lines.append(f"repaired or dropped: {repaired}")
    outputs = [output for output in options.output if output != "-"]
    written = [*outputs, *(path for path in (options.plot, options.overlay) if path)]
    if written:
        lines.append("written: " + ", ".join(map(public_name, written)))
    return "\n".join(lines)

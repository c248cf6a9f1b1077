"""The page as text: one line a second, for screen readers and terminals."""

from __future__ import annotations

import math

import numpy as np

from edgeaff.live.history import Ring
from edgeaff.live.protocol import STATUSES, TICK_HZ, VALUES
from edgeaff.spec import NANOSECONDS
from edgeaff.types import DIMENSIONS

SECONDS = 60
INTERVAL_95 = 1.96


def text_of(ring: Ring, *, title: str) -> str:
    """Returns the last minute, oldest line first: time, status, values with their 95 % range, latency.

    Args:
        ring: the ticks.
        title: first line.
    """
    lines = [title, f"{'time':>10}  {'status':<10} {DIMENSIONS[0]:<22} {DIMENSIONS[1]:<22} latency"]
    first = max(ring.first, ring.end - SECONDS * TICK_HZ)
    exact, values = ring.rows(first, ring.end)
    seconds = exact[:, 1] // NANOSECONDS
    newest = np.flatnonzero(np.diff(seconds, append=seconds[-1:] + 1)) if len(seconds) else ()
    for place in newest:
        row = dict(zip(VALUES, values[place].tolist(), strict=True))
        latency = "" if math.isnan(row["latency_ms"]) else f"{row['latency_ms']:.0f} ms"
        stated = " ".join(f"{_stated(row, name):<22}" for name in DIMENSIONS)
        line = f"{exact[place, 1] / NANOSECONDS:>9.1f}s  {STATUSES[int(row['status'])].value:<10} {stated} {latency}"
        lines.append(line.rstrip())
    if not len(exact):
        lines.append("no tick yet")
    return "\n".join(lines) + "\n"


def _stated(row: dict[str, float], name: str) -> str:
    value, std = row[name], row[f"{name}_std"]
    if math.isnan(value):
        return "no value"
    return f"{value:+.2f}" if math.isnan(std) else f"{value:+.2f} +/- {INTERVAL_95 * std:.2f}"

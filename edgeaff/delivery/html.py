"""A table of events as HTML for notebooks: counts per status, and an SVG of both traces with their 95 % bands."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence

from edgeaff.types import DIMENSIONS, AffectEvent

WIDTH, HEIGHT, POINTS = 640, 160, 320
COLORS = {"valence": "#1f6fb2", "arousal": "#c8442c"}
INTERVAL_95 = 1.96


def table_html(events: Sequence[AffectEvent], *, source: str = "") -> str:
    """Returns a small block of HTML without scripts, styles from outside, or references to other files.

    Args:
        events: in order; may be empty.
        source: name of the media file, for the caption.
    """
    counts = Counter(event.status.value for event in events)
    cells = "".join(f"<tr><td>{html.escape(name)}</td><td>{count}</td></tr>" for name, count in counts.most_common())
    caption = f"{len(events)} events" + (f" of {html.escape(source)}" if source else "")
    drawing = _drawing(events) if events else ""
    return f"<div><p>{caption}</p>{drawing}<table><tr><th>status</th><th>ticks</th></tr>{cells}</table></div>"


def _drawing(events: Sequence[AffectEvent]) -> str:
    step = max(1, len(events) // POINTS)
    chosen = events[::step]
    first, last = chosen[0].pts_ns, max(chosen[-1].pts_ns, chosen[0].pts_ns + 1)
    parts = [f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}" stroke="#999" stroke-width="0.5"/>']
    for name in DIMENSIONS:
        for run in _runs(chosen, name):
            points = [((event.pts_ns - first) / (last - first) * WIDTH, event) for event in run]
            parts += [_band(points, name), _line(points, name)]
    label = "apparent valence and arousal over time"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{label}"><title>{label}</title>{"".join(parts)}</svg>'
    )


def _runs(events: Sequence[AffectEvent], name: str) -> list[list[AffectEvent]]:
    """Returns the stretches of events that have a value."""
    runs: list[list[AffectEvent]] = [[]]
    for event in events:
        if getattr(event, name) is not None:
            runs[-1].append(event)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _y(value: float) -> float:
    return (1 - min(max(value, -1.0), 1.0)) / 2 * HEIGHT


def _line(points: Sequence[tuple[float, AffectEvent]], name: str) -> str:
    path = " ".join(f"{x:.1f},{_y(getattr(event, name)):.1f}" for x, event in points)
    return f'<polyline points="{path}" fill="none" stroke="{COLORS[name]}" stroke-width="1.5"/>'


def _band(points: Sequence[tuple[float, AffectEvent]], name: str) -> str:
    known = [(x, getattr(event, name), getattr(event, f"{name}_std")) for x, event in points]
    edge = [(x, value, INTERVAL_95 * std) for x, value, std in known if std is not None]
    upper = [f"{x:.1f},{_y(value + half):.1f}" for x, value, half in edge]
    lower = [f"{x:.1f},{_y(value - half):.1f}" for x, value, half in reversed(edge)]
    return f'<polygon points="{" ".join(upper + lower)}" fill="{COLORS[name]}" opacity="0.15"/>'

"""Praat (.TextGrid): an interval tier of status, and point tiers of valence and arousal with one point per tick."""

from __future__ import annotations

import os
from collections.abc import Sequence

from edgeaff.delivery.annotations.lab import load_pympi
from edgeaff.delivery.annotations.series import by_face, spans, tick_ns, tick_of, tier
from edgeaff.errors import ArgumentError
from edgeaff.types import DIMENSIONS, AffectEvent


def write(events: Sequence[AffectEvent], path: str | os.PathLike[str]) -> None:
    """Writes a TextGrid from 0 to the end of the last tick.

    Args:
        events: of one session; no tick before 0.
        path: file to write.

    Raises:
        ArgumentError: there are no events, or one lies before 0.
        BackendUnavailableError: pympi-ling is not installed.
    """
    if not events or min(event.pts_ns for event in events) < 0:
        raise ArgumentError(
            "events must hold ticks at or after 0 s, got none or an earlier one; a TextGrid starts at 0."
        )
    end = max(tick_ns(tick_of(event.pts_ns) + 1) for event in events) / 1e9
    grid = load_pympi().Praat.TextGrid(xmin=0.0, xmax=end)
    for name, series in by_face(events).items():
        status = grid.add_tier(tier("status", name), tier_type="IntervalTier")
        for span in spans(series):
            status.add_interval(span.start_ns / 1e9, span.end_ns / 1e9, span.status.value)
        for dimension in DIMENSIONS:
            points = grid.add_tier(tier(dimension, name), tier_type="TextTier")
            for event in series:
                value = getattr(event, dimension)
                if value is not None:
                    points.add_point(event.pts_ns / 1e9, f"{value:.6f}")
    grid.to_file(os.fspath(path))

"""Events grouped for annotation formats: one series per face, spans of equal status, a regular grid of ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeaff.errors import ArgumentError
from edgeaff.types import AffectEvent, Status

MODEL_RATE_HZ = 30  # of the ticks: tick k is at round(k * 10^9 / 30)


def tick_ns(tick: int) -> int:
    """Returns the time of a tick, nanoseconds."""
    return (tick * 2_000_000_000 + MODEL_RATE_HZ) // (2 * MODEL_RATE_HZ)


def tick_of(pts_ns: int) -> int:
    """Returns the tick at a time, or the nearest one."""
    return (pts_ns * 2 * MODEL_RATE_HZ + 1_000_000_000) // 2_000_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """Ticks of one status in a row: start and end in nanoseconds, half-open."""

    start_ns: int
    end_ns: int
    status: Status


def by_face(events: Sequence[AffectEvent]) -> dict[str, list[AffectEvent]]:
    """Returns the events per face, in order of time, under the name of its tier.

    Where no tick has several events they are one series named "": a track that ends and returns under another id does not
    split it. Otherwise each track is a series "face ID", and ticks without a face are "no face".
    """
    if len({event.pts_ns for event in events}) == len(events):
        return {"": sorted(events, key=lambda event: event.pts_ns)} if events else {}
    series: dict[str, list[AffectEvent]] = {}
    for event in sorted(events, key=lambda event: event.pts_ns):
        name = "no face" if event.face is None else f"face {event.face.track_id}"
        series.setdefault(name, []).append(event)
    return series


def one_face(events: Sequence[AffectEvent], track_id: int | None, *, format_name: str) -> list[AffectEvent]:
    """Returns the one series that a format with a single subject holds.

    Args:
        events: of one session.
        track_id: the face; None where there is only one series.
        format_name: for the message.

    Raises:
        ArgumentError: there are several faces and none is named, or the named one is absent.
    """
    if track_id is not None:
        chosen = [event for event in events if event.face is not None and event.face.track_id == track_id]
        if chosen:
            return chosen
    series = by_face(events)
    if track_id is None and len(series) == 1:
        return next(iter(series.values()))
    found = sorted({event.face.track_id for event in events if event.face is not None})
    raise ArgumentError(f"face must be one of {found} for {format_name}, got {track_id}; pass --face ID.")


def spans(events: Sequence[AffectEvent]) -> list[Span]:
    """Returns the stretches of equal status of one series; a missing tick ends a stretch."""
    result: list[Span] = []
    for event in events:
        tick = tick_of(event.pts_ns)
        end = tick_ns(tick + 1)
        last = result[-1] if result else None
        if last is not None and last.status is event.status and last.end_ns == event.pts_ns:
            result[-1] = Span(last.start_ns, end, last.status)
        else:
            result.append(Span(event.pts_ns, end, event.status))
    return result


def on_grid(events: Sequence[AffectEvent]) -> tuple[int, list[AffectEvent | None]]:
    """Returns the first tick of a series, and an event or None for every tick from it to the last.

    Raises:
        ArgumentError: the series is empty.
    """
    if not events:
        raise ArgumentError("events must hold at least one event, got none; check the input file.")
    found = {tick_of(event.pts_ns): event for event in events}
    first, last = min(found), max(found)
    return first, [found.get(tick) for tick in range(first, last + 1)]


def tier(name: str, series: str) -> str:
    """Returns the name of a tier: of what it holds and, where there are several, of the face."""
    return f"{name} ({series})" if series else name

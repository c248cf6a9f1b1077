"""ELAN (.eaf): a tier of status spans, and tiers of valence and arousal with one annotation per tick. Times in milliseconds."""

from __future__ import annotations

import os
from collections.abc import Sequence

from edgeaff.delivery.annotations.lab import load_pympi
from edgeaff.delivery.annotations.series import by_face, spans, tick_ns, tick_of, tier
from edgeaff.types import DIMENSIONS, AffectEvent


def write(events: Sequence[AffectEvent], path: str | os.PathLike[str], *, media: str | None = None) -> None:
    """Writes an ELAN file.

    Args:
        events: of one session.
        path: file to write.
        media: media file that the annotations belong to, linked where it is given.

    Raises:
        BackendUnavailableError: pympi-ling is not installed.
    """
    eaf = load_pympi().Elan.Eaf(author="edgeaff")
    eaf.remove_tier("default")
    if media is not None:
        eaf.add_linked_file(media, mimetype="video/*")
    for name, series in by_face(events).items():
        _add_status(eaf, tier("status", name), series)
        for dimension in DIMENSIONS:
            _add_values(eaf, tier(dimension, name), series, dimension)
    eaf.to_file(os.fspath(path))


def _add_status(eaf: object, name: str, series: Sequence[AffectEvent]) -> None:
    eaf.add_tier(name)  # type: ignore[attr-defined]
    for span in spans(series):
        eaf.add_annotation(name, _ms(span.start_ns), _ms(span.end_ns), span.status.value)  # type: ignore[attr-defined]


def _add_values(eaf: object, name: str, series: Sequence[AffectEvent], dimension: str) -> None:
    eaf.add_tier(name)  # type: ignore[attr-defined]
    for event in series:
        value = getattr(event, dimension)
        if value is not None:
            end_ns = tick_ns(tick_of(event.pts_ns) + 1)
            eaf.add_annotation(name, _ms(event.pts_ns), _ms(end_ns), f"{value:.6f}")  # type: ignore[attr-defined]


def _ms(pts_ns: int) -> int:
    return (pts_ns + 500_000) // 1_000_000

"""What an evaluation states about time: agreement by lag, and the synchrony of two subjects recorded together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgeaff import measures
from edgeaff.errors import ArgumentError
from edgeaff.types import DIMENSIONS

TICKS_PER_SECOND = 30.0
_SOURCES = ("predicted", "annotated")


@dataclass(frozen=True, slots=True)
class TimingOptions:
    """What is measured in time.

    Attributes:
        most_lag_seconds: of labels against predictions; None measures no lag. Dyads are searched up to it, 5 s without it.
        dyads: names of two tracks recorded together.
    """

    most_lag_seconds: float | None = None
    dyads: Sequence[tuple[str, str]] = ()


def in_time(tracks: Mapping[str, Sequence[np.ndarray]], options: TimingOptions) -> dict[str, Any]:
    """Returns agreement by lag and the synchrony of dyads.

    Args:
        tracks: name -> (T, 2) predictions and (T, 2) labels, at ticks of the model; -5 = not annotated.
        options: what is measured.

    Returns:
        lag_* of valence and arousal (the largest CCC, its lag in seconds, the CCC at 0) and synchrony, one entry a dyad and source.

    Raises:
        ArgumentError: a dyad names a track that is not there.
    """
    result: dict[str, Any] = {}
    if options.most_lag_seconds is not None:
        pairs = list(tracks.values())
        for column, name in enumerate(DIMENSIONS):
            found = measures.lagged_ccc(
                [values[:, column] for values, _ in pairs],
                [labels[:, column] for _, labels in pairs],
                most_lag_seconds=options.most_lag_seconds,
                rate_hz=TICKS_PER_SECOND,
            )
            at_zero = float(found.values[len(found.values) // 2])
            result[f"lag_{name}"] = {"ccc": found.value, "lag_seconds": found.lag_seconds, "ccc_at_zero": at_zero}
    if options.dyads:
        result["synchrony"] = [row for dyad in options.dyads for row in _dyad(tracks, dyad, options)]
    return result


def _dyad(
    tracks: Mapping[str, Sequence[np.ndarray]], names: tuple[str, str], options: TimingOptions
) -> list[dict[str, Any]]:
    """Returns the synchrony of two tracks: of predictions and, where both are annotated, of labels.

    Raises:
        ArgumentError: a name is not that of a track.
    """
    for name in names:
        if name not in tracks:
            raise ArgumentError(
                f"dyad must name annotated tracks of the split, got {name!r} among {len(tracks)} tracks; check the name."
            )
    ticks = min(len(tracks[name][0]) for name in names)
    rows = []
    for source, values in zip(_SOURCES, zip(*(tracks[name] for name in names), strict=True), strict=True):
        for column, dimension in enumerate(DIMENSIONS):
            found = measures.synchrony(
                *(each[:ticks, column] for each in values),
                most_lag_seconds=options.most_lag_seconds or 5.0,
                rate_hz=TICKS_PER_SECOND,
            )
            rows.append({"tracks": list(names), "of": source, "dimension": dimension, **asdict(found)})
    return rows


def timing_lines(result: Mapping[str, Any]) -> list[str]:
    """Returns the findings of `in_time` as lines of Markdown; none where nothing was measured. result: of an evaluation."""
    lines: list[str] = []
    if f"lag_{DIMENSIONS[0]}" in result:
        lines += ["", "| labels read later or earlier | CCC at 0 | largest CCC | lag, s |", "|---|---|---|---|"]
        for name in DIMENSIONS:
            row = result[f"lag_{name}"]
            lines.append(f"| {name} | {row['ccc_at_zero']:.3f} | {row['ccc']:.3f} | {row['lag_seconds']:+.2f} |")
    if "synchrony" in result:
        lines += [
            "",
            "| dyad | of | largest correlation | lag, s | 95 % of surrogates below | p |",
            "|---|---|---|---|---|---|",
        ]
        for row in result["synchrony"]:
            numbers = (
                f"{row['value']:.3f} | {row['lag_seconds']:+.2f} | {row['surrogate_95']:.3f} | {row['p_value']:.4f}"
            )
            lines.append(f"| {' and '.join(row['tracks'])} | {row['of']} {row['dimension']} | {numbers} |")
    return lines

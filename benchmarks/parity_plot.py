"""The parity rows as an image: how far each export is from its reference, on a logarithmic axis, with the floors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeaff.errors import BackendUnavailableError
from edgeaff.golden import LEAST_CCC

NEAREST = 1e-9  # nearer is drawn here


def plot_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Writes the image.

    Args:
        rows: of benchmarks/parity.py.
        path: .png, .svg or .pdf.

    Raises:
        BackendUnavailableError: matplotlib is not installed.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise BackendUnavailableError(
            f"matplotlib must be installed, got: {error}; pip install edgeaff[view]."
        ) from error
    figure, axes = pyplot.subplots(figsize=(8, 0.45 * len(rows) + 1.4), layout="constrained")
    names = [
        f"{row['model']}  {row['backend']} {row['precision']}  {row['modalities'].replace('_', '+')}" for row in rows
    ]
    for shift, dimension, color in ((-0.15, "valence", "#b5482a"), (0.15, "arousal", "#2a6fb5")):
        distance = [max(NEAREST, 1 - row[f"ccc_reference_{dimension}"]) for row in rows]
        places = [place + shift for place in range(len(rows))]
        axes.scatter(distance, places, s=22, color=color, label=dimension, zorder=3)
    for place, row in enumerate(rows):
        floor = 1 - LEAST_CCC[row["precision"]]
        axes.plot([floor, floor], [place - 0.4, place + 0.4], color="black", linewidth=1.5)
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("1 - CCC with the torch system (left is nearer; bar: what is allowed)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)

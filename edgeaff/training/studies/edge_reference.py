"""`edge` beside the windowed transformer of equal width that sees both directions, offline and live.

| arrangement | the reference sees for the value of a tick | it costs a tick |
|---|---|---|
| offline | a window of 100 ticks around it, 50 of them still to come on average | one row |
| live | the window that ends with it, as a runtime without look-ahead has to; the newest row counts | the whole window |

`edge` sees what the live reference sees, and computes one row. The gain of offline over both is the value of look-ahead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgeaff.training.models.registry import System
from edgeaff.training.studies.study import PlannedRun, Study, kept, read_predictions
from edgeaff.training.trainer.checkpoint import load_run
from edgeaff.training.trainer.complexity import count_macs_per_frame
from edgeaff.training.trainer.metrics import summary
from edgeaff.training.trainer.sequences import system_inputs
from edgeaff.types import DIMENSIONS

EDGE, REFERENCE = "edge", "edge+both_directions"
EVERY = 4  # the live reference is requested every fourth tick, as it costs a window each
BATCH = 64


def edge_reference(
    study: Study, results: Sequence[Mapping[str, Any]], folder: Path, tracks: Sequence[Any]
) -> dict[str, Any]:
    """Returns `edge` beside its reference, in both arrangements.

    Args:
        study: what was trained.
        results: of `run_study`, with at least one seed of both.
        folder: of the runs.
        tracks: the test tracks in the form of both.

    Returns:
        Means over the seeds that both have, their differences, and what a tick costs `edge` and the live reference.
    """
    tests = {name: {r["seed"]: r["test"] for r in results if r["run"] == name} for name in (EDGE, REFERENCE)}
    seeds = [seed for seed in tests[REFERENCE] if seed in tests[EDGE]]
    means = {name: _means([own[seed] for seed in seeds]) for name, own in tests.items()}
    ordered = sorted(tracks, key=lambda track: str(track.name))
    live = {
        EDGE: _means([_at_every(*read_predictions(folder / f"{EDGE}-{seed}")) for seed in seeds]),
        REFERENCE: _means([_live_scores(folder / f"{REFERENCE}-{seed}", ordered) for seed in seeds]),
    }
    edge_macs = run_macs(study.runs[EDGE])
    window_macs = run_macs(study.runs[REFERENCE]) * study.runs[REFERENCE].system.window_ticks
    return {
        "edge": means[EDGE],
        "reference": means[REFERENCE],
        "edge_less_reference": _difference(means),
        "live": {
            "every": EVERY,
            "edge": live[EDGE],
            "reference": live[REFERENCE],
            "edge_less_reference": _difference(live),
        },
        "edge_macs_per_tick": edge_macs,
        "reference_macs_per_tick": window_macs,
        "macs_ratio": window_macs / edge_macs,
    }


def run_macs(run: PlannedRun) -> int:
    """Returns the MACs per frame of a run as it was trained."""
    return count_macs_per_frame(run.system, width=run.config.width, sizes=run.config.sizes)


def newest_rows(module: nn.Module, system: System, track: Any, ticks: np.ndarray) -> np.ndarray:
    """Returns a windowed system's prediction for each tick when its window ends there.

    Args:
        module: in evaluation mode, on the CPU.
        system: of the registry, windowed.
        track: in its form.
        ticks: (N,) which ones; before the window is full it is shorter.

    Returns:
        (N, 2) float32 in [-1, 1].
    """
    window, values = system.window_ticks, np.empty((len(ticks), 2), np.float32)
    full = np.flatnonzero(ticks >= window - 1)
    groups = [[index] for index in np.flatnonzero(ticks < window - 1)]
    groups += [list(full[first : first + BATCH]) for first in range(0, len(full), BATCH)]
    for group in groups:
        cuts = [slice(max(0, ticks[index] + 1 - window), ticks[index] + 1) for index in group]
        rows = [system_inputs(system, track, cut) for cut in cuts]
        inputs = {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}
        with torch.no_grad():
            values[group] = module(**inputs)[:, -1].numpy()
    return np.clip(values, -1.0, 1.0)


def _live_scores(folder: Path, tracks: Sequence[Any]) -> dict[str, float]:
    def made() -> dict[str, float]:
        system, module, _ = load_run(folder)
        values = [newest_rows(module, system, track, np.arange(0, len(track.labels), EVERY)) for track in tracks]
        return summary(values, [track.labels[::EVERY] for track in tracks])

    scores: dict[str, float] = kept(folder, f"live-{EVERY}-{len(tracks)}.json", made)
    return scores


def _at_every(predictions: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> dict[str, float]:
    return summary([values[::EVERY] for values in predictions], [each[::EVERY] for each in labels])


def _means(tests: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {f"ccc_{what}": float(np.mean([test[f"ccc_{what}"] for test in tests])) for what in (*DIMENSIONS, "mean")}


def _difference(means: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {key: means[EDGE][key] - means[REFERENCE][key] for key in means[EDGE]}

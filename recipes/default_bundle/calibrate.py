"""Calibration: standard deviation of the error by coverage, and thresholds of abstention.

Coverage is what the runtime counts: the share of the last 100 ticks that had the modality. The table is fitted on one
half of a held-out pseudo corpus (other speakers, other photographs) and its intervals are checked on the other half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edgeaff.inference import NORMAL_95, WINDOW_TICKS
from edgeaff.training.models.edge import Edge
from edgeaff.types import DIMENSIONS
from recipes.default_bundle.data import Batch, trailing_share
from recipes.default_bundle.fit import tensors

GRID = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
SHARE_68 = 0.6827  # within one standard deviation of a normal distribution
FEWEST_TICKS = 1500.0  # a grid point with less (interpolation-weighted) takes the nearest that has enough
ROUNDS = 6  # of fitting the grid points to what the interpolation between them leaves over


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors of many ticks: error (N, 2) valence, arousal; target (N, 2); coverages (N,) in [0, 1]."""

    error: np.ndarray
    target: np.ndarray
    video_coverage: np.ndarray
    audio_coverage: np.ndarray


def collect(model: Edge, batches: Sequence[Batch]) -> Errors:
    """Returns the errors of a system on every tick with some evidence in the last 100.

    Args:
        model: in evaluation mode.
        batches: of the held-out corpus.

    Returns:
        The errors with the coverage that the runtime would have counted.
    """
    errors, targets, video, audio = [], [], [], []
    for batch in batches:
        with torch.no_grad():
            values = model(*tensors(batch)[:3]).clamp(-1, 1).numpy()
        seen = np.stack([trailing_share(row > 0, WINDOW_TICKS) for row in batch.present[..., 0]])
        heard = np.stack([trailing_share(row > 0, WINDOW_TICKS) for row in batch.present[..., 1]])
        keep = batch.valid & ((seen > 0) | (heard > 0))
        errors.append((values - batch.target)[keep])
        targets.append(batch.target[keep])
        video.append(seen[keep])
        audio.append(heard[keep])
    return Errors(*(np.concatenate(parts) for parts in (errors, targets, video, audio)))


def _hat(coverage: np.ndarray) -> np.ndarray:
    """Returns the weights of the runtime's linear interpolation between grid points: (N,) -> (N, len(GRID))."""
    return np.stack([np.interp(coverage, GRID, row) for row in np.eye(len(GRID))], axis=1)


def _weighted_quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, share * total[-1])])


def fit_table(errors: Errors) -> dict[str, Any]:
    """Returns the uncertainty table of the manifest.

    The standard deviation stated is the 95 % quantile of |error| / 1.96, so that value +- 1.96 std holds 95 % of the
    cases even where errors have longer tails than a normal distribution. Then value +- std holds more than 68 % (with a
    face) or less (valence from audio alone), so the half-width that holds 68 % is its own table.

    Args:
        errors: of the calibration half.

    Returns:
        video_coverage, audio_coverage, valence_std, arousal_std, valence_half_68, arousal_half_68 (rows: video),
        abstain_above_std, audio_only_valence_max_std.
    """
    video, audio = _hat(errors.video_coverage), _hat(errors.audio_coverage)
    size = len(GRID)
    weight = np.einsum("nv,na->va", video, audio)
    known = [(i, j) for i in range(size) for j in range(size) if weight[i, j] >= min(FEWEST_TICKS, 0.2 * weight.max())]
    near = [
        min(known, key=lambda point: (abs(GRID[point[0]] - GRID[i]) + abs(GRID[point[1]] - GRID[j]), point))
        for i in range(size)
        for j in range(size)
    ]
    grids = {
        (name, share): _quantile_grid(errors, column, share, known, near)
        for column, name in enumerate(DIMENSIONS)
        for share in (SHARE_68, 0.95)
    }
    aside = np.abs(errors.target - errors.target.mean(axis=0))
    guess = np.quantile(aside, 0.95, axis=0) / NORMAL_95  # the same figure for always saying the mean
    return {
        "video_coverage": list(GRID),
        "audio_coverage": list(GRID),
        "valence_std": np.round(grids["valence", 0.95] / NORMAL_95, 4).tolist(),
        "arousal_std": np.round(grids["arousal", 0.95] / NORMAL_95, 4).tolist(),
        "valence_half_68": np.round(grids["valence", SHARE_68], 4).tolist(),
        "arousal_half_68": np.round(grids["arousal", SHARE_68], 4).tolist(),
        # Choice: a number clearly worse than always saying the mean is no number; valence from audio has to be better.
        "abstain_above_std": round(float(1.3 * guess.max()), 4),
        "audio_only_valence_max_std": round(float(0.85 * guess[0]), 4),
    }


def _blurred(grid: np.ndarray) -> np.ndarray:
    """Returns the grid averaged with its neighbors, 1 2 1 along both axes, edges repeated."""
    for axis in (0, 1):
        padded = np.pad(grid, [(1, 1) if axis == a else (0, 0) for a in (0, 1)], mode="edge")
        before, after = (np.take(padded, np.arange(grid.shape[axis]) + shift, axis=axis) for shift in (0, 2))
        grid = 0.5 * grid + 0.25 * (before + after)
    return grid


def _interpolated(grid: np.ndarray, errors: Errors) -> np.ndarray:
    return np.einsum("nv,va,na->n", _hat(errors.video_coverage), grid, _hat(errors.audio_coverage))


def _quantile_grid(
    errors: Errors, column: int, share: float, known: list[tuple[int, int]], near: list[tuple[int, int]]
) -> np.ndarray:
    """Returns the grid whose interpolation holds a share of |error|, everywhere and over everything.

    Args:
        errors: of the calibration half.
        column: 0 valence, 1 arousal.
        share: quantile of |error|.
        known: grid points with enough ticks.
        near: for every grid point, in order, the known one that stands for it.

    Returns:
        (len(GRID), len(GRID)), rows: video.
    """
    video, audio = _hat(errors.video_coverage), _hat(errors.audio_coverage)
    magnitude = np.abs(errors.error[:, column])
    grid = np.full((len(GRID), len(GRID)), float(np.quantile(magnitude, share)))
    for _ in range(ROUNDS):
        ratio = magnitude / _interpolated(grid, errors)
        step = {point: _weighted_quantile(ratio, video[:, point[0]] * audio[:, point[1]], share) for point in known}
        grid *= np.array([step[point] for point in near]).reshape(grid.shape) ** 0.8
        grid = 0.5 * grid + 0.5 * _blurred(grid)  # neighboring ticks are alike, so a grid point holds few cases
    grid *= float(np.quantile(magnitude / _interpolated(grid, errors), share))
    grid[0] = np.maximum.accumulate(grid[0][::-1])[::-1]  # without any face, less audio is never better evidence
    return grid


def interval_coverage(table: dict[str, Any], errors: Errors) -> dict[str, float]:
    """Returns the share of ticks inside the 68 % and 95 % intervals, per value, on data the table was not fitted on.

    Args:
        table: of the manifest.
        errors: of the other half.

    Returns:
        Keys valence_68, valence_95, arousal_68, arousal_95, and valence_one_std, arousal_one_std: within +- std.
    """
    result = {}
    for column, name in enumerate(DIMENSIONS):
        magnitude = np.abs(errors.error[:, column])
        std = _interpolated(np.asarray(table[f"{name}_std"]), errors)
        half = _interpolated(np.asarray(table[f"{name}_half_68"]), errors)
        shares = {"68": magnitude <= half, "95": magnitude <= NORMAL_95 * std, "one_std": magnitude <= std}
        result |= {f"{name}_{key}": round(float(np.mean(inside)), 4) for key, inside in shares.items()}
    return result

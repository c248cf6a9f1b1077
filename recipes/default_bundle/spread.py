"""Trains the standard deviations that the model states for the current face, against the votes of single raters.

The target of a face is the distribution of its raters' votes, each an anchor of the circumplex: the error of the value against one
rater drawn from it. The loss is the expected negative log likelihood of a normal distribution, plus the expected pinball loss of
the 95 % quantile at 1.96 standard deviations, so that the interval holds its share on clear faces and on covered ones alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgeaff.inference import NORMAL_95
from edgeaff.training.corpora.ferplus import ANCHORS
from edgeaff.training.models.edge import Spread
from edgeaff.types import DIMENSIONS

SHARE_95, SHARE_68 = 0.95, 0.6827
PINBALL_WEIGHT = 6.0
STILL_TICKS = 10


@dataclass(frozen=True, slots=True)
class Seen:
    """Faces as the model sees them. descriptors: (N, D) float32; values: (N, 2) given for them; votes: (N, 8) shares of raters."""

    descriptors: np.ndarray
    values: np.ndarray
    votes: np.ndarray

    def errors(self) -> np.ndarray:
        """Returns |error| against each possible vote: (N, 8, 2)."""
        return np.abs(ANCHORS[None] - self.values[:, None])


def look(edge: Any, descriptors: np.ndarray, votes: np.ndarray, *, ticks: int = STILL_TICKS, batch: int = 512) -> Seen:
    """Returns the values of faces, each shown still for a moment in its own session, without audio.

    Args:
        edge: in evaluation mode.
        descriptors: (N, D).
        votes: (N, 8).
        ticks: how long.
        batch: faces at once.
    """
    stated = []
    for start in range(0, len(descriptors), batch):
        rows = torch.from_numpy(descriptors[start : start + batch].astype(np.float32))
        present = torch.zeros(len(rows), ticks, 2)
        present[..., 0] = 1.0
        with torch.no_grad():
            values = edge(
                rows[:, None].expand(-1, ticks, -1), torch.zeros(len(rows), ticks, edge.config.audio_size), present
            )
        stated.append(values[:, -1].clamp(-1, 1).numpy())
    return Seen(descriptors.astype(np.float32), np.concatenate(stated), votes)


def loss_of(std: Tensor, error: Tensor, votes: Tensor) -> Tensor:
    """Returns the expected loss. std: (B, 2); error: (B, 8, 2) to each vote; votes: (B, 8)."""
    std = std[:, None]
    likelihood = torch.log(std) + 0.5 * (error / std).square()
    beyond = error - NORMAL_95 * std
    pinball = torch.maximum(SHARE_95 * beyond, (SHARE_95 - 1) * beyond)
    return (votes[..., None] * (likelihood + PINBALL_WEIGHT * pinball)).sum(1).mean()


def fit_spread(seen: Seen, *, weight: np.ndarray, hidden: int = 48, steps: int = 3000, seed: int = 0) -> Spread:
    """Returns the trained standard deviations, not yet calibrated.

    Args:
        seen: training faces, plain and disturbed.
        weight: (N,) how often each is drawn.
        hidden: width.
        steps: of 512 faces.
        seed: of weights and order.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    spread = Spread(seen.descriptors.shape[1], hidden)
    with torch.no_grad():
        spread.out.bias.fill_(float(np.log(0.35)))
    optimizer = torch.optim.AdamW(spread.parameters(), lr=2e-3, weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    odds, errors = np.cumsum(weight / weight.sum()), seen.errors().astype(np.float32)
    for _ in range(steps):
        rows = np.minimum(np.searchsorted(odds, random.random(512)), len(odds) - 1)
        video, values, error, votes = (
            torch.from_numpy(array[rows].astype(np.float32))
            for array in (seen.descriptors, seen.values, errors, seen.votes)
        )
        video = torch.nn.functional.dropout(video, 0.1)
        loss = loss_of(spread(video, values), error, votes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return spread.eval()


def stds_of(spread: Spread, seen: Seen) -> np.ndarray:
    """Returns the standard deviations stated for faces, (N, 2)."""
    with torch.no_grad():
        return np.asarray(
            spread(torch.from_numpy(seen.descriptors), torch.from_numpy(seen.values.astype(np.float32))).numpy()
        )


def _quantile(ratio: np.ndarray, weight: np.ndarray, share: float) -> float:
    order = np.argsort(ratio)
    total = np.cumsum(weight[order])
    return float(ratio[order][np.searchsorted(total, share * total[-1])])


def _half_68(ratios: Sequence[np.ndarray], votes: Sequence[np.ndarray]) -> float:
    """Returns the half-width, in standard deviations, for which the kind of face that is farthest from holding 68 % is nearest to it.

    Args:
        ratios: of each kind, (N, 8) |error| / std against each possible vote.
        votes: of each kind, (N, 8) shares of raters.
    """
    halves = np.linspace(0.2, 2.0, 361)
    held = [
        np.interp(halves, np.sort(ratio.ravel()), np.cumsum(vote.ravel()[np.argsort(ratio.ravel())]) / vote.sum())
        for ratio, vote in zip(ratios, votes, strict=True)
    ]
    return float(halves[np.abs(np.stack(held) - SHARE_68).max(axis=0).argmin()])


def calibrate_spread(spread: Spread, sets: Mapping[str, Seen], *, share: float = SHARE_95) -> dict[str, float]:
    """Scales the standard deviations in place until +- 1.96 of them hold a share of the votes over all sets together.

    Args:
        spread: changed.
        sets: held-out faces, plain and disturbed.
        share: to be held.

    Returns:
        Half-width that holds 68 % of every kind as nearly as one number can, in standard deviations, by dimension:
        `face_half_68_of_std` of the manifest.
    """
    votes = [seen.votes for seen in sets.values()]
    stds = {name: stds_of(spread, seen) for name, seen in sets.items()}
    halves = {}
    for column, dimension in enumerate(DIMENSIONS):
        ratios = [seen.errors()[..., column] / stds[name][:, None, column] for name, seen in sets.items()]
        pooled = [np.concatenate([values.ravel() for values in arrays]) for arrays in (ratios, votes)]
        scale = _quantile(pooled[0], pooled[1], share) / NORMAL_95
        halves[dimension] = round(_half_68([ratio / scale for ratio in ratios], votes), 4)
        with torch.no_grad():
            spread.out.bias[column] += float(np.log(scale))
    return halves


def honesty(spread: Spread, seen: Seen, halves: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Returns, by dimension, how true the standard deviations are against one rater at a time.

    Args:
        spread: calibrated.
        seen: faces of one kind.
        halves: from `calibrate_spread`.

    Returns:
        inside_95, inside_68, inside_one_std: shares held; correlation of std with |error|; thirds: RMSE of the third with the
        smallest std / that of the third with the largest; std: the mean; rmse.
    """
    std, report = stds_of(spread, seen), {}
    for column, dimension in enumerate(DIMENSIONS):
        error, own, votes = seen.errors()[..., column], std[:, None, column], seen.votes
        votes = votes / len(votes)
        share = {
            "inside_95": NORMAL_95 * own,
            "inside_68": halves[dimension] * own,
            "inside_one_std": own,
        }
        found = {name: float((votes * (error <= half)).sum()) for name, half in share.items()}
        broad = np.broadcast_to(own, error.shape)
        centered_std, centered_error = broad - (votes * broad).sum(), error - (votes * error).sum()
        covariance = (votes * centered_std * centered_error).sum()
        found["correlation"] = float(
            covariance / np.sqrt((votes * centered_std**2).sum() * (votes * centered_error**2).sum() + 1e-12)
        )
        order, third = np.argsort(own[:, 0]), len(own) // 3
        square = (seen.votes * error**2).sum(axis=1)
        found["thirds"] = float(np.sqrt(square[order[:third]].mean() / square[order[-third:]].mean()))
        found |= {"std": float(own.mean()), "rmse": float(np.sqrt(square.mean()))}
        report[dimension] = {name: round(value, 4) for name, value in found.items()}
    return report

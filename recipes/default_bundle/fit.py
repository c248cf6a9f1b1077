"""Trains the edge transformer on the pseudo corpus: one thread, a time budget, exponential average of the weights."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from edgeaff import measures
from edgeaff.training.models.edge import Edge, EdgeConfig
from edgeaff.training.trainer.losses import ccc
from edgeaff.types import DIMENSIONS
from recipes.default_bundle.data import MODES, Batch, PseudoCorpus
from recipes.loop import Loop, half_cosine

logger = logging.getLogger(__name__)
WATCH_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Length and learning rate.

    Attributes:
        minutes: wall time budget; the learning rate falls along it.
        steps: most optimization steps, whichever comes first.
        batch: sequences per step.
        ticks: their length.
        learning_rate: highest, after a warm-up of 3 %.
        weight_decay: of AdamW.
        squared_error_weight: beside 1 - CCC.
        seed: of weights and dropout.
    """

    minutes: float = 20.0
    steps: int = 6000
    batch: int = 24
    ticks: int = 160
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    squared_error_weight: float = 0.5
    seed: int = 0


def tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns video, audio, present, target and valid as tensors."""
    arrays = (batch.video, batch.audio, batch.present, batch.target, batch.valid)
    video, audio, present, target, valid = (torch.from_numpy(array) for array in arrays)
    return video, audio, present, target, valid


def grouped_loss(
    values: Tensor, target: Tensor, valid: Tensor, group: np.ndarray, squared_error_weight: float
) -> Tensor:
    """Returns the mean over modality groups of 1 - CCC, plus squared error over everything.

    Choice: each group has its own CCC, so that the arousal of a voice alone is not shrunk by faces elsewhere in the
    batch. The valence of a voice alone is left to the squared error: it is hardly there, and CCC would inflate it.

    Args:
        values: (B, T, 2) predictions.
        target: (B, T, 2).
        valid: (B, T) bool.
        group: (B,) index into MODES.
        squared_error_weight: weight of the squared error.

    Returns:
        Scalar.
    """
    weight = valid.unsqueeze(-1).to(values.dtype)
    squared = (weight * (values - target).square()).sum() / (2.0 * weight.sum())
    terms = []
    for index, mode in enumerate(MODES):
        rows = torch.from_numpy(np.flatnonzero(group == index))
        if len(rows) == 0:
            continue
        agreement = ccc(values[rows], target[rows], valid[rows])
        terms.append(1.0 - (agreement[1] if mode == "audio" else agreement.mean()))
    return torch.stack(terms).mean() + squared_error_weight * squared


def fit(
    corpus: PseudoCorpus,
    config: FitConfig,
    edge_config: EdgeConfig,
    *,
    watch: Callable[[Edge], dict[str, float]] | None = None,
    start_from: Edge | None = None,
) -> Edge:
    """Returns the trained transformer: the exponential average of its weights.

    Args:
        corpus: where batches come from.
        config: how long and how fast.
        edge_config: sizes.
        watch: called every WATCH_SECONDS with the averaged system; what it returns is logged.
        start_from: a system of the same sizes to start from.

    Returns:
        The averaged system, in evaluation mode.
    """
    torch.manual_seed(config.seed)
    model = Edge(edge_config)
    if start_from is not None:
        model.load_state_dict(start_from.state_dict())
    loop = Loop(model, weight_decay=config.weight_decay, clip_norm=1.0, average_decay=0.998)
    average = cast(Edge, loop.average)
    start = last_watch = time.monotonic()
    for step in range(config.steps):
        progress = max(step / config.steps, (time.monotonic() - start) / (60.0 * config.minutes))
        if progress >= 1.0:
            break
        rate = min(1.0, progress / 0.03 + 0.01) * (0.02 + 0.98 * half_cosine(progress))
        batch = corpus.batch(config.batch, config.ticks)
        video, audio, present, target, valid = tensors(batch)
        loss = grouped_loss(model(video, audio, present), target, valid, batch.group, config.squared_error_weight)
        loop.update(loss, learning_rate=config.learning_rate * rate)
        if watch is not None and time.monotonic() - last_watch > WATCH_SECONDS:
            last_watch = time.monotonic()
            logger.info("step %d progress %.2f loss %.3f %s", step, progress, loss.item(), watch(average))
    return average


def evaluate(model: Edge, batches: list[Batch]) -> dict[str, float]:
    """Returns the CCC of valence and arousal by modality mode over fixed batches.

    Args:
        model: in evaluation mode.
        batches: fixed.

    Returns:
        Keys `MODE_valence`, `MODE_arousal`; modes without a sequence are left out.
    """
    values, targets, valid, group = [], [], [], []
    with torch.no_grad():
        for batch in batches:
            video, audio, present, _, _ = tensors(batch)
            values.append(model(video, audio, present).clamp(-1, 1).numpy())
            targets.append(batch.target)
            valid.append(batch.valid)
            group.append(batch.group)
    predicted, target = np.concatenate(values), np.concatenate(targets)
    mask, kinds = np.concatenate(valid), np.concatenate(group)
    result = {}
    for index, mode in enumerate(MODES):
        rows = kinds == index
        if rows.any():
            for column, name in enumerate(DIMENSIONS):
                agreement = measures.ccc(predicted[rows][..., column], target[rows][..., column], mask[rows])
                result[f"{mode}_{name}"] = round(agreement, 4)
    return result

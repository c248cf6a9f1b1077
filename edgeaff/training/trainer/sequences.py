"""Inputs of a system from a track: keyword inputs of a cut, random windows for training, predictions for every tick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeaff.errors import ArgumentError
from edgeaff.measures import annotated
from edgeaff.training.features.cache import Features
from edgeaff.training.models.registry import System
from edgeaff.training.trainer.config import TrainConfig
from edgeaff.training.trainer.metrics import summary

STREAM_TICKS = 2048  # of a piece of a long track


def system_inputs(system: System, features: Any, cut: slice, keep: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Returns the keyword inputs of one sequence.

    Args:
        system: of the registry.
        features: Features of one track, or anything else with `name`, `split`, `labels` and `inputs(system, cut, keep)`.
        cut: ticks.
        keep: (T, 2) bool, what modality dropout leaves; the rest is zeros, and absent where the system knows absence.

    Returns:
        keyword -> (T, ...) float32.

    Raises:
        ArgumentError: the system learns from pixels and these are features.
    """
    if not isinstance(features, Features):
        return dict(features.inputs(system, cut, keep))
    if system.from_pixels:
        raise ArgumentError(f"system must learn from features, got {system.name}, which wants images; choose another.")
    present = features.present[cut] if keep is None else features.present[cut] & keep
    video, audio = features.video[cut] * present[:, :1], features.audio[cut] * present[:, 1:]
    available = {
        "video": video,
        "audio": audio,
        "present": present,
        "features": audio if system.name == "transformer_a" else video,
    }
    return {name: np.asarray(available[name], dtype=np.float32) for name in system.inputs}


class Draw:
    """Random windows of the training tracks, by length; its whole state is one random generator.

    Args:
        tracks: to draw from; those with fewer than two annotated ticks are left out.
        system: that they are for.
        config: batch, most_missing, modality_dropout, seed.

    Raises:
        ArgumentError: no track is annotated.
    """

    def __init__(self, tracks: Sequence[Any], system: System, config: TrainConfig) -> None:
        self.rng = np.random.default_rng([config.seed, 1])
        self._system, self._config = system, config
        self._ticks = config.window_ticks or system.window_ticks
        self._tracks = [track for track in tracks if annotated(track.labels).sum() >= 2]
        if not self._tracks:
            raise ArgumentError(
                "features must hold annotated training tracks, got none; extract the train split first."
            )
        lengths = np.array([max(1, len(track.labels)) for track in self._tracks], dtype=np.float64)
        self._odds = lengths / lengths.sum()
        once = max(1, math.ceil(lengths.sum() / self._ticks / config.batch))
        self.steps_per_epoch = config.steps_per_epoch or once

    def batch(self, rank: int = 0, ranks: int = 1) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Returns inputs by keyword, labels (B, T, 2) and valid (B, T).

        Args:
            rank: of this process: it gets rows rank, rank + ranks, ... of the one batch that all processes draw.
            ranks: how many processes share the batch.
        """
        rows = [self._window() for _ in range(self._config.batch)][rank::ranks]
        inputs = {name: torch.from_numpy(np.stack([row[0][name] for row in rows])) for name in rows[0][0]}
        labels = torch.from_numpy(np.stack([row[1] for row in rows]))
        return inputs, labels, (labels.abs() <= 1).all(dim=-1)

    def _window(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        for _ in range(100):
            track = self._tracks[self.rng.choice(len(self._tracks), p=self._odds)]
            start = int(self.rng.integers(0, max(1, len(track.labels) - self._ticks + 1)))
            cut = slice(start, min(start + self._ticks, len(track.labels)))
            labels = track.labels[cut]
            if (~annotated(labels)).mean() <= self._config.most_missing:
                break
        inputs = system_inputs(self._system, track, cut, self._dropout(len(labels)))
        pad = self._ticks - len(labels)
        padded = {name: np.pad(value, [(0, pad)] + [(0, 0)] * (value.ndim - 1)) for name, value in inputs.items()}
        return padded, np.pad(labels, [(0, pad), (0, 0)], constant_values=-5.0).astype(np.float32)

    def _dropout(self, ticks: int) -> np.ndarray:
        """Returns all that is left of both modalities (T, 2): whole clips, single ticks or blocks are lost."""
        keep = np.ones((ticks, 2), dtype=bool)
        for column in range(2):
            if self.rng.random() >= self._config.modality_dropout:
                continue
            way = self.rng.random()
            if way < 0.3:
                keep[:, column] = False
            elif way < 0.7:
                keep[:, column] = self.rng.random(ticks) < self.rng.random()
            else:
                length = int(self.rng.integers(1, ticks + 1))
                start = int(self.rng.integers(0, ticks - length + 1))
                keep[start : start + length, column] = False
        return keep


def windows_of(system: System, total: int, reach_ticks: int | None = None) -> list[tuple[int, int, int]]:
    """Returns the windows in which a track is predicted: first tick, first tick whose prediction is new, end.

    Windowed systems see disjoint windows and a last one aligned to the end. Streaming ones see everything; since their full
    form takes memory by the square of the ticks, long tracks go in pieces, each with the earlier ticks that it depends on.

    Args:
        system: of the registry.
        total: ticks of the track.
        reach_ticks: of a streaming network (`Edge.reach_ticks`); None = in one piece.
    """
    if system.streaming:
        piece = total if reach_ticks is None else STREAM_TICKS
        news = range(0, total, max(1, piece))
        return [(max(0, new - (reach_ticks or 0)), new, min(total, new + piece)) for new in news]
    ticks = min(system.window_ticks, total)
    starts = list(range(0, total - ticks + 1, ticks))
    windows = [(start, start, start + ticks) for start in starts]
    if starts[-1] + ticks < total:
        windows.append((total - ticks, starts[-1] + ticks, total))
    return windows


def predict(module: nn.Module, system: System, features: Any, keep: np.ndarray | None = None) -> np.ndarray:
    """Returns predictions for every tick of a track, clipped.

    Windowed systems see disjoint windows and a last one aligned to the end (its new ticks count); streaming ones everything
    (`windows_of`).

    Args:
        module: in evaluation mode, on any device.
        system: of the registry.
        features: of the track.
        keep: (T, 2) bool, what is left of video and audio; None = all.

    Returns:
        (T, 2) float32 in [-1, 1].
    """
    total = len(features.labels)
    values = np.zeros((total, 2), dtype=np.float32)
    first = next(module.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    for start, new, end in windows_of(system, total, getattr(module, "reach_ticks", None)):
        cut = slice(start, end)
        inputs = system_inputs(system, features, cut, None if keep is None else keep[cut])
        with torch.no_grad():
            answer = module(**{name: torch.from_numpy(value)[None].to(device) for name, value in inputs.items()})[0]
        values[new:end] = answer.cpu().numpy()[new - start :]
    return np.clip(values, -1.0, 1.0)


def validate(module: nn.Module, system: System, tracks: Sequence[Any]) -> dict[str, float]:
    """Returns the measures over tracks."""
    module.eval()
    return summary([predict(module, system, track) for track in tracks], [track.labels for track in tracks])

"""Trains a system on cached features: a plain loop with the paper's recipe and a fast one, resumable to the bit.

A run is a folder: `config.json`, `log.csv`, `last.safetensors` + `last.json` (everything needed to go on) and
`best.safetensors` (averaged weights with the best mean CCC on validation).
"""

from __future__ import annotations

import copy
import csv
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeaff.errors import ArgumentError
from edgeaff.training.feature_cache import Features
from edgeaff.training.losses import flattened_ccc_loss, sequence_ccc_loss
from edgeaff.training.metrics import summary
from edgeaff.training.models.registry import System

LOSSES = {"sequence_ccc": sequence_ccc_loss, "flattened_ccc": flattened_ccc_loss}


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One training run.

    Attributes:
        system: name in SYSTEMS.
        seed: of weights, order, dropout.
        loss: key of LOSSES. Paper: sequence_ccc.
        learning_rate: Paper: 1e-5.
        weight_decay: of AdamW; 0 is plain Adam, as in the paper.
        batch: sequences per step.
        epochs: at most. One epoch draws each 100 annotated ticks once on average.
        patience: epochs without a better validation before it stops.
        warmup_share: of all steps with a rising rate; 0 = constant rate without cosine, as in the paper.
        clip: largest gradient norm; 0 = none.
        average: exponential average of the weights; 0 = none.
        most_missing: windows with a larger share of unannotated ticks are not drawn.
        modality_dropout: chance that a modality of a sequence loses a random share of its ticks.
    """

    system: str = "transformer_av"
    seed: int = 0
    loss: str = "sequence_ccc"
    learning_rate: float = 1e-5
    weight_decay: float = 0.0
    batch: int = 32
    epochs: int = 50
    patience: int = 10
    warmup_share: float = 0.0
    clip: float = 0.0
    average: float = 0.0
    most_missing: float = 0.25
    modality_dropout: float = 0.0

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Returns the configuration with these values.

        Args:
            values: as read from TOML.

        Returns:
            The configuration.

        Raises:
            ArgumentError: a key is unknown, or the loss is.
        """
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ArgumentError(f"config must have keys of {sorted(known)}, got {unknown}; correct the file.")
        config = cls(**values)
        if config.loss not in LOSSES:
            raise ArgumentError(f"loss must be one of {sorted(LOSSES)}, got {config.loss!r}; correct the file.")
        return config


def system_inputs(
    system: System, features: Features, cut: slice, keep: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Returns the keyword inputs of one sequence for a system that learns from features.

    Args:
        system: of the registry.
        features: of one track.
        cut: ticks.
        keep: (T, 2) bool, what modality dropout leaves; the rest is zeros, and absent where the system knows absence.

    Returns:
        keyword -> (T, ...) float32.

    Raises:
        ArgumentError: the system learns from pixels.
    """
    if system.from_pixels:
        raise ArgumentError(
            f"system must learn from features, got {system.name}, which wants pictures; choose another."
        )
    present = features.present[cut] if keep is None else features.present[cut] & keep
    video, audio = features.video[cut] * present[:, :1], features.audio[cut] * present[:, 1:]
    available = {
        "video": video,
        "audio": audio,
        "present": present,
        "features": audio if system.name == "transformer_a" else video,
    }
    return {name: np.asarray(available[name], dtype=np.float32) for name in system.inputs}


def check_features(system: System, tracks: Sequence[Features]) -> None:
    """Checks, before anything is trained, that the features are what the system takes.

    Args:
        system: of the registry.
        tracks: all tracks of the run.

    Raises:
        ArgumentError: a width differs, or a track holds a value that is not finite.
    """
    for track in tracks:
        for name, value in system_inputs(system, track, slice(0, None)).items():
            if value.shape[1:] != system.inputs[name]:
                raise ArgumentError(
                    f"{name} of {track.name} must have shape (T, {system.inputs[name][0]}) for {system.name}, got "
                    f"{value.shape}; extract features with the preset that the system belongs to."
                )
            if not np.isfinite(value).all():
                raise ArgumentError(f"{name} of {track.name} must be finite, got NaN or inf; extract the track again.")


class _Draw:
    """Random windows of the training tracks, by annotated length; its whole state is one random generator."""

    def __init__(self, tracks: Sequence[Features], system: System, config: TrainConfig) -> None:
        self.rng = np.random.default_rng([config.seed, 1])
        self._system, self._config, self._ticks = system, config, system.window_ticks
        self._tracks = [track for track in tracks if (np.abs(track.labels) <= 1).all(axis=1).sum() >= 2]
        if not self._tracks:
            raise ArgumentError(
                "features must hold annotated training tracks, got none; extract the train split first."
            )
        lengths = np.array([max(1, len(track.labels)) for track in self._tracks], dtype=np.float64)
        self._odds = lengths / lengths.sum()
        self.steps_per_epoch = max(1, math.ceil(lengths.sum() / self._ticks / config.batch))

    def batch(self) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Returns inputs by keyword, labels (B, T, 2) and valid (B, T)."""
        rows = [self._window() for _ in range(self._config.batch)]
        inputs = {name: torch.from_numpy(np.stack([row[0][name] for row in rows])) for name in rows[0][0]}
        labels = torch.from_numpy(np.stack([row[1] for row in rows]))
        return inputs, labels, (labels.abs() <= 1).all(dim=-1)

    def _window(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        for _ in range(100):
            track = self._tracks[self.rng.choice(len(self._tracks), p=self._odds)]
            start = int(self.rng.integers(0, max(1, len(track.labels) - self._ticks + 1)))
            cut = slice(start, min(start + self._ticks, len(track.labels)))
            labels = track.labels[cut]
            if (np.abs(labels) > 1).any(axis=1).mean() <= self._config.most_missing:
                break
        inputs = system_inputs(self._system, track, cut, self._dropout(len(labels)))
        pad = self._ticks - len(labels)
        padded = {name: np.pad(value, [(0, pad)] + [(0, 0)] * (value.ndim - 1)) for name, value in inputs.items()}
        return padded, np.pad(labels, [(0, pad), (0, 0)], constant_values=-5.0).astype(np.float32)

    def _dropout(self, ticks: int) -> np.ndarray:
        """Returns what is left of both modalities (T, 2): whole clips, single ticks or blocks are lost."""
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


def predict(module: nn.Module, system: System, features: Features, keep: np.ndarray | None = None) -> np.ndarray:
    """Returns predictions for every tick of a track, clipped.

    Windowed systems see disjoint windows and a last one aligned to the end (its new ticks count); streaming ones everything.

    Args:
        module: in evaluation mode.
        system: of the registry.
        features: of the track.
        keep: (T, 2) bool, what is left of video and audio; None = all.

    Returns:
        (T, 2) float32 in [-1, 1].
    """
    total = len(features.labels)
    ticks = total if system.streaming else min(system.window_ticks, total)
    values = np.zeros((total, 2), dtype=np.float32)
    starts = [*range(0, total - ticks + 1, ticks)]
    if starts[-1] + ticks < total:
        starts.append(total - ticks)
    done = 0
    for start in starts:
        cut = slice(start, start + ticks)
        inputs = system_inputs(system, features, cut, None if keep is None else keep[cut])
        with torch.no_grad():
            answer = module(**{name: torch.from_numpy(value)[None] for name, value in inputs.items()})[0]
        values[done : start + ticks] = answer.numpy()[done - start :]
        done = start + ticks
    return np.clip(values, -1.0, 1.0)


def validate(module: nn.Module, system: System, tracks: Sequence[Features]) -> dict[str, float]:
    """Returns the measures over tracks."""
    module.eval()
    return summary([predict(module, system, track) for track in tracks], [track.labels for track in tracks])


class Trainer:
    """One run. `run()` trains to the end, or goes on where a killed run stopped, to the same bits.

    Args:
        system: of the registry.
        config: of the run.
        train: training tracks.
        valid: validation tracks.
        folder: of the run.
        module: the network, where features are not of the registry's sizes; None = as in the registry.
    """

    def __init__(
        self,
        system: System,
        config: TrainConfig,
        train: Sequence[Features],
        valid: Sequence[Features],
        folder: Path,
        *,
        module: nn.Module | None = None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.system, self.config, self.folder = system, config, folder
        self.module = system.build() if module is None else module
        self.average = copy.deepcopy(self.module)
        self._valid = valid
        self._draw = _Draw(train, system, config)
        self._optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.epoch, self.best, self.best_epoch = 0, -math.inf, -1

    def run(self, *, stop_after_epochs: int | None = None) -> float:
        """Trains until the last epoch, the end of patience, or stop_after_epochs more epochs.

        Args:
            stop_after_epochs: leave after so many epochs, as if killed; None = go on to the end.

        Returns:
            The best mean CCC on validation.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.json").write_text(json.dumps(asdict(self.config), indent=1) + "\n")
        if (self.folder / "last.json").exists():
            self._restore()
        last = (
            self.config.epochs if stop_after_epochs is None else min(self.config.epochs, self.epoch + stop_after_epochs)
        )
        while self.epoch < last and self.epoch - self.best_epoch <= self.config.patience:
            loss = self._train_epoch()
            scores = validate(self.average if self.config.average else self.module, self.system, self._valid)
            self._log(loss, scores)
            if scores["ccc_mean"] > self.best:
                self.best, self.best_epoch = scores["ccc_mean"], self.epoch
                self._save_weights(self.folder / "best.safetensors")
            self.epoch += 1
            self._save()
        return self.best

    def _train_epoch(self) -> float:
        self.module.train()
        total, loss_of = 0.0, LOSSES[self.config.loss]
        for step in range(self._draw.steps_per_epoch):
            for entry in self._optimizer.param_groups:
                entry["lr"] = self._rate(self.epoch * self._draw.steps_per_epoch + step)
            inputs, labels, valid = self._draw.batch()
            loss = loss_of(self.module(**inputs), labels, valid)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if self.config.clip:
                nn.utils.clip_grad_norm_(self.module.parameters(), self.config.clip)
            self._optimizer.step()
            if self.config.average:
                with torch.no_grad():
                    pairs = zip(self.average.parameters(), self.module.parameters(), strict=True)
                    for kept, new in pairs:
                        kept.lerp_(new, 1.0 - self.config.average)
            total += loss.item()
        return total / self._draw.steps_per_epoch

    def _rate(self, step: int) -> float:
        config = self.config
        if not config.warmup_share:
            return config.learning_rate
        progress = step / (config.epochs * self._draw.steps_per_epoch)
        warm = min(1.0, progress / config.warmup_share + 1e-3)
        return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * progress))

    def _log(self, loss: float, scores: dict[str, float]) -> None:
        path = self.folder / "log.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, ["epoch", "loss", *scores])
            if new:
                writer.writeheader()
            writer.writerow({"epoch": self.epoch, "loss": loss, **scores})

    def _save_weights(self, path: Path) -> None:
        from safetensors.torch import save_file

        source = self.average if self.config.average else self.module
        state = {name: tensor.contiguous() for name, tensor in source.state_dict().items()}
        # One entry: safetensors writes several in an order that changes from run to run.
        save_file(state, path, metadata={"run": json.dumps({"system": self.system.name, "config": asdict(self.config)})})

    def _save(self) -> None:
        """Writes everything that the next step depends on; the .json last, so that it vouches for the tensors."""
        from safetensors.torch import save_file

        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        tensors["torch_random"] = torch.get_rng_state()
        name = f"last-{self.epoch}.safetensors"
        save_file({key: value.contiguous().clone() for key, value in tensors.items()}, self.folder / name)
        note = {
            "tensors": name,
            "epoch": self.epoch,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "config": asdict(self.config),
            "random": self._draw.rng.bit_generator.state,
        }
        part = self.folder / "last.json.part"
        part.write_text(json.dumps(note))
        part.replace(self.folder / "last.json")
        for old in self.folder.glob("last-*.safetensors"):
            if old.name != name:
                old.unlink()

    def _restore(self) -> None:
        from safetensors.torch import load_file

        note = json.loads((self.folder / "last.json").read_text())
        if note["config"] != asdict(self.config):
            raise ArgumentError(
                f"config must be that of the run in {self.folder}, got another one; use a new folder or the old config."
            )
        tensors = load_file(self.folder / note["tensors"])

        def part(prefix: str) -> dict[str, Tensor]:
            return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

        self.module.load_state_dict(part("module."))
        self.average.load_state_dict(part("average."))
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimizer.").items():
            index, _, name = key.partition(".")
            states.setdefault(int(index), {})[name] = value
        self._optimizer.load_state_dict({"state": states, "param_groups": self._optimizer.state_dict()["param_groups"]})
        torch.set_rng_state(tensors["torch_random"])
        self._draw.rng.bit_generator.state = note["random"]
        self.epoch, self.best, self.best_epoch = note["epoch"], note["best"], note["best_epoch"]

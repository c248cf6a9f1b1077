"""Trains a system on cached features: a plain loop with the paper's recipe and a fast one, with bit-identical resumption.

A run is a folder: `config.json`, `log.csv`, `tensorboard/`, `curves.png`, `last.json` + `last-N.safetensors` (everything
needed to go on) and `best.safetensors` (the weights, averaged where the recipe averages, of the best mean CCC on validation).
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeaff.errors import ArgumentError
from edgeaff.training.models.registry import System
from edgeaff.training.trainer.checkpoint import (
    BEST,
    load_state,
    optimizer_tensors,
    part_of,
    restore_optimizer,
    save_state,
    save_weights,
)
from edgeaff.training.trainer.checks import check_features
from edgeaff.training.trainer.config import TrainConfig
from edgeaff.training.trainer.losses import LOSSES, training_loss
from edgeaff.training.trainer.metrics import summary
from edgeaff.training.trainer.ranks import Ranks
from edgeaff.training.trainer.run_log import Row, RunLog
from edgeaff.training.trainer.sequences import Draw, predict, system_inputs, validate

__all__ = [
    "LOSSES",
    "TrainConfig",
    "Trainer",
    "check_features",
    "predict",
    "system_inputs",
    "update_average",
    "validate",
]


def update_average(average: nn.Module, module: nn.Module, keep: float) -> None:
    """Moves the averaged weights: average <- keep * average + (1 - keep) * module; buffers are copied.

    Args:
        average: of the same kind as module.
        module: after its step.
        keep: in [0, 1).
    """
    with torch.no_grad():
        for kept, new in zip(average.parameters(), module.parameters(), strict=True):
            kept.lerp_(new, 1.0 - keep)
        for kept, new in zip(average.buffers(), module.buffers(), strict=True):
            kept.copy_(new)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The data of a run.

    Attributes:
        train: training tracks.
        valid: validation tracks.
        made_from: statement of the features for the checkpoint: fingerprint, encoder and the like; JSON.
    """

    train: Sequence[Any]
    valid: Sequence[Any]
    made_from: Mapping[str, Any] = field(default_factory=dict)


class Trainer:
    """One run. `run()` trains to the end, or resumes a killed run with bit-identical results.

    Under `torchrun` every process makes the same Trainer; they share each batch, and the first one writes.

    Args:
        system: of the registry.
        config: of the run.
        data: tracks to train on and to validate with.
        folder: of the run.
        module: the network, where neither the registry nor the configuration has its sizes.
        device: "cpu" or "cuda", "cuda:1", ...
    """

    def __init__(
        self,
        system: System,
        config: TrainConfig,
        data: TrainingData,
        folder: Path,
        *,
        module: nn.Module | None = None,
        device: str = "cpu",
    ) -> None:
        self._ranks = Ranks()
        self._ranks.check_batch(config.batch)
        torch.manual_seed(config.seed)
        self.system, self.config, self.folder = system, config, folder
        self.device = torch.device(device)
        self.module = (system.build(width=config.width, sizes=config.sizes) if module is None else module).to(
            self.device
        )
        self.average = copy.deepcopy(self.module)
        self._shared = self._ranks.wrap(self.module, config.loss)
        if self._ranks.rank:  # other dropout in each process
            torch.manual_seed(config.seed + 7919 * self._ranks.rank)
        self._valid, self._made_from = data.valid, dict(data.made_from)
        self._draw = Draw(data.train, system, config)
        self._optimizer = torch.optim.AdamW(
            self.module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._half = config.amp and self.device.type == "cuda"
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self._half)
        self.epoch, self.best, self.best_epoch = 0, -math.inf, -1
        self.history: list[Row] = []
        self._log = RunLog(folder)

    @property
    def chosen(self) -> nn.Module:
        """The network that is validated and kept: the average where there is one."""
        return self.average if self.config.average else self.module

    def run(self, *, stop_after_epochs: int | None = None, on_epoch: Callable[[Row], None] | None = None) -> float:
        """Trains until the last epoch, the end of patience, or stop_after_epochs more epochs.

        Args:
            stop_after_epochs: leave after this many epochs, as if killed; None = run to the end.
            on_epoch: called in the first process with the row of each epoch.

        Returns:
            The best mean CCC on validation.
        """
        first = self._ranks.rank == 0
        self.folder.mkdir(parents=True, exist_ok=True)
        self._restore()
        if first:
            (self.folder / "config.json").write_text(json.dumps(asdict(self.config), indent=1) + "\n", encoding="utf-8")
            self._log.start(self.epoch)
        last = (
            self.config.epochs if stop_after_epochs is None else min(self.config.epochs, self.epoch + stop_after_epochs)
        )
        while self.epoch < last and self.epoch - self.best_epoch <= self.config.patience:
            row = {"epoch": self.epoch, "loss": self._train_epoch(), **self._validate()}
            self.history.append(row)
            if row["ccc_mean"] > self.best:
                self.best, self.best_epoch = row["ccc_mean"], self.epoch
                if first:
                    save_weights(self.folder / BEST, self.chosen, self._description(row))
            self.epoch += 1
            self._save()
            if first and on_epoch is not None:
                on_epoch(row)
        if first:
            self._log.finish(self.history, self.best_epoch)
        self._ranks.wait()
        return self.best

    def _train_epoch(self) -> float:
        self.module.train()
        steps = self._draw.steps_per_epoch
        return sum(self._step(self.epoch * steps + step) for step in range(steps)) / steps

    def _step(self, number: int) -> float:
        """Makes one optimization step and returns the loss of the whole batch.

        Args:
            number: of the step, from 0 over all epochs.

        Returns:
            The loss.

        Raises:
            ArgumentError: the loss is not finite.
        """
        config, ranks = self.config, self._ranks
        for entry in self._optimizer.param_groups:
            entry["lr"] = self._rate(number)
        inputs, labels, valid = self._draw.batch(ranks.rank, ranks.count)
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        lower = torch.float16 if self._half else torch.bfloat16
        with torch.autocast(self.device.type, dtype=lower, enabled=config.amp):
            outputs = self._shared(inputs)
        whole = [ranks.gather(part) for part in (outputs.float(), labels.to(self.device), valid.to(self.device))]
        loss = training_loss(self.module, config.loss, *whole)
        if not torch.isfinite(loss):
            raise ArgumentError(
                f"Training diverged: loss is {loss.item()} in epoch {self.epoch}. Lower learning_rate, set clip, or disable amp."
            )
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss * ranks.count).backward()  # processes average their gradients; the sum is wanted
        if config.clip:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self.module.parameters(), config.clip)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if config.average:
            # The first steps count for less, or a short run would keep the random weights that it began with.
            update_average(self.average, self.module, min(config.average, (number + 1) / (number + 10)))
        return loss.item()

    def _rate(self, step: int) -> float:
        config = self.config
        if not config.warmup_share:
            return config.learning_rate
        progress = step / (config.epochs * self._draw.steps_per_epoch)
        warm = min(1.0, progress / config.warmup_share + 1e-3)
        return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * progress))

    def _validate(self) -> dict[str, float]:
        """Returns the measures on validation; each process predicts its share of the tracks."""
        ranks, module = self._ranks, self.chosen.eval()
        own = [predict(module, self.system, track) for track in self._valid[ranks.rank :: ranks.count]]
        shares = ranks.gather_objects(own)
        predictions = [shares[index % ranks.count][index // ranks.count] for index in range(len(self._valid))]
        return summary(predictions, [track.labels for track in self._valid])

    def _description(self, row: Row) -> dict[str, Any]:
        from edgeaff.version import __version__

        return {
            "system": self.system.name,
            "config": asdict(self.config),
            "epoch": self.epoch,
            "scores": {name: row[name] for name in ("ccc_valence", "ccc_arousal", "ccc_mean")},
            "features": self._made_from,
            "edgeaff": __version__,
        }

    def _save(self) -> None:
        """Writes everything that the next step depends on."""
        random = self._ranks.gather_objects(self._random_state())
        if self._ranks.rank:
            return
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in optimizer_tensors(self._optimizer).items()}
        for rank, states in enumerate(random):
            tensors |= {f"random.{rank}.{name}": value for name, value in states.items()}
        note = {
            "epoch": self.epoch,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "config": asdict(self.config),
            "ranks": self._ranks.count,
            "features": self._made_from,
            "random": self._draw.rng.bit_generator.state,
            "scaler": self._scaler.state_dict(),
            "history": self.history,
        }
        save_state(self.folder, tensors, note)
        self._log.write(self.history)

    def _random_state(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _restore(self) -> None:
        found = load_state(self.folder, self.config, self._ranks.count, self._made_from)
        if found is None:
            return
        tensors, note = found
        self.module.load_state_dict(part_of(tensors, "module."))
        self.average.load_state_dict(part_of(tensors, "average."))
        restore_optimizer(self._optimizer, part_of(tensors, "optimizer."))
        states = part_of(tensors, f"random.{self._ranks.rank}.")
        torch.set_rng_state(states["cpu"])
        if "cuda" in states and self.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self.device)
        self._draw.rng.bit_generator.state = note["random"]
        self._scaler.load_state_dict(note["scaler"])
        self.epoch, self.best, self.best_epoch = note["epoch"], note["best"], note["best_epoch"]
        self.history = note["history"]

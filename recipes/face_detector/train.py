"""Trains the face detector.

    python -m recipes.face_detector.train --config config.toml --faces FOLDER --output FOLDER [--resume]

The rate is constant until the last `decay_steps` steps: a run that was stopped can be resumed with another `--steps`,
and only then falls to zero. After the last step a run may go on with a second round (`--resume --round 2`): the rate
rises to `second.learning_rate` and falls to zero along a cosine, and the boxes that `mine.py` left in the run's folder
are shown as hard negatives. SIGTERM and Ctrl-C write a checkpoint and end the run. Seeds are fixed: batch i depends on
(seed, i), on the mined boxes and on the weights mined from face-free images only.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from edgeaff.training.trainer.config import read_toml
from recipes import shared_folder
from recipes.face_detector.augment import AugmentConfig
from recipes.face_detector.data import ImageCache
from recipes.face_detector.loss import detection_loss, flatten_maps
from recipes.face_detector.mine import MINED_NAME
from recipes.face_detector.network import FaceDetectorNetwork, NetworkConfig
from recipes.face_detector.stream import BatchStream, training_part
from recipes.face_detector.targets import make_cells
from recipes.loop import CHECKPOINT, Loop, Stop, half_cosine

NEGATIVE_WEIGHTS = "negative_weights"
logger = logging.getLogger(__name__)


def learning_rate(step: int, config: dict[str, Any]) -> float:
    """Returns the rate of a step: linear warm-up, constant, linear to zero; then the cosine of the second round."""
    second = config["second"]
    past = step - config["steps"]
    if past >= 0 and second["steps"]:
        rise = min(1.0, (past + 1) / second["warmup_steps"])
        share = min(past / second["steps"], 1.0)
        return float(second["learning_rate"] * rise * half_cosine(share))
    rise = min(1.0, (step + 1) / config["warmup_steps"])
    fall = min(1.0, max(config["steps"] - step, 0) / config["decay_steps"])
    return float(config["learning_rate"] * rise * fall)


class Trainer:
    """A run: the loop, the mined weights and the history of validations; runs, saves and resumes.

    Attributes:
        stop: ends the run after the current step.
    """

    def __init__(self, config: dict[str, Any], args: argparse.Namespace) -> None:
        torch.manual_seed(config["seed"])
        self._config, self._args = config, args
        self._device = torch.device(args.device)
        sizes = {key: tuple(v) if isinstance(v, list) else v for key, v in config["network"].items()}
        network = FaceDetectorNetwork(NetworkConfig(**sizes)).to(self._device, memory_format=torch.channels_last)
        self._loop = Loop(
            network,
            weight_decay=config["weight_decay"],
            clip_norm=10.0,
            average_decay=config["average_decay"],
            average_lag=20,
            betas=(0.9, 0.99),
        )
        cache = ImageCache(args.faces, args.cache)
        self._negative_weights = torch.ones(len(training_part(cache)[1])).share_memory_()
        self._history: list[dict[str, Any]] = []
        self.stop = Stop()

    @property
    def checkpoint_path(self) -> Path:
        """The one checkpoint of this run."""
        return self._args.output / CHECKPOINT

    @property
    def last_step(self) -> int:
        """Last step of this run."""
        extra = self._config["second"]["steps"] if self._args.round == 2 else 0
        return int(self._config["steps"] + extra)

    def resume(self) -> None:
        """Goes on from the checkpoint in the output folder."""
        note, tensors = self._loop.load(self.checkpoint_path)
        self._negative_weights.copy_(tensors[NEGATIVE_WEIGHTS])
        self._history = note["history"]
        logger.info("resumed at step %d", self._loop.step)

    def save(self) -> None:
        """Writes the checkpoint; a run killed while writing keeps the previous one."""
        note = {"history": self._history, "config": self._config}
        self._loop.save(self.checkpoint_path, note, {NEGATIVE_WEIGHTS: self._negative_weights})

    def run(self) -> None:
        """Trains until the last step or until stopped."""
        stream = BatchStream(
            faces_folder=self._args.faces,
            cache_folder=self._args.cache,
            canvases=[tuple(canvas) for canvas in self._config["canvases"]],
            early_canvases=[tuple(canvas) for canvas in self._config["early_canvases"]],
            early_batches=self._config["early_steps"],
            batch_size=self._config["batch_size"],
            seed=self._config["seed"],
            first_batch=self._loop.step,
            augment=AugmentConfig(**self._config["augment"]),
            teacher=self._args.teacher,
            negative_weights=self._negative_weights,
            mined=self._args.output / MINED_NAME,
        )
        ahead = 4 if self._args.workers else None
        loader = DataLoader(stream, batch_size=None, num_workers=self._args.workers, prefetch_factor=ahead)
        self._loop.network.train()
        started, first = time.monotonic(), self._loop.step
        sums: dict[str, float] = {}
        for batch in loader:
            for key, value in self._train_step(*batch).items():
                sums[key] = sums.get(key, 0.0) + value / 100
            step = self._loop.step
            if step % 100 == 0:
                speed = (step - first) * self._config["batch_size"] / max(time.monotonic() - started, 1e-9)
                text = " ".join(f"{key} {value:.4f}" for key, value in sums.items())
                logger.info("step %d  %s  %.0f images/s", step, text, speed)
                sums = {}
            finished = step >= self.last_step or self.stop.requested
            if finished or step % self._config["checkpoint_every"] == 0:
                self.save()
            if step % self._config["validate_every"] == 0 or finished:
                self._validate()
            if finished:
                break

    def _train_step(self, pixels: Tensor, targets: Tensor, negatives: Tensor) -> dict[str, float]:
        grid = make_cells(pixels.shape[2], pixels.shape[1])
        cells = torch.from_numpy(np.stack([grid.x, grid.y, grid.stride])).to(self._device)
        inputs = pixels.to(self._device).permute(0, 3, 1, 2).float() / 255
        with torch.autocast(self._device.type, torch.bfloat16):
            maps = self._loop.network(inputs.contiguous(memory_format=torch.channels_last))
        raw = flatten_maps(maps)
        loss, parts = detection_loss(raw, targets.to(self._device), cells)
        step = self._loop.step
        past = step - self._config["steps"]  # the second round forgets the first one's average
        rate = learning_rate(step, self._config)
        self._loop.update(loss, learning_rate=rate, averaged_steps=past if past >= 0 else step)
        self._mine(raw.detach()[..., 0].amax(1).sigmoid().cpu(), negatives)
        return parts

    def _mine(self, highest: Tensor, negatives: Tensor) -> None:
        """Raises the weight of face-free images that still fire: the loaders draw by these weights."""
        shown = negatives >= 0
        old = self._negative_weights[negatives[shown]]
        self._negative_weights[negatives[shown]] = 0.6 * old + 0.4 * (0.3 + 6.0 * highest[shown] ** 2)

    def _validate(self) -> None:
        from recipes.face_detector.validate import validate_network

        average = cast(FaceDetectorNetwork, self._loop.average)
        row = {"step": self._loop.step, **validate_network(average, self._args.faces, self._args.cache)}
        self._history.append(row)
        logger.info("validation %s", json.dumps(row))
        (self._args.output / "history.json").write_text(json.dumps(self._history, indent=1))


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Returns the command line's values."""
    data = shared_folder() / "data"
    parser = argparse.ArgumentParser(description="Train the face detector.")
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "config.toml")
    parser.add_argument("--faces", type=Path, default=data / "faces", help="folder of images and labels")
    parser.add_argument("--teacher", type=Path, default=None, help="YuNet file for soft scores (optional)")
    parser.add_argument("--cache", type=Path, required=True, help="folder for decoded images (about 1.5 GB)")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--steps", type=int, default=None, help="instead of the configuration's")
    parser.add_argument("--decay-steps", type=int, default=None)
    parser.add_argument("--round", type=int, choices=(1, 2), default=1, help="2: go on after the first round's end")
    parser.add_argument("--second-steps", type=int, default=None, help="length of the second round")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Runs the training that the command line describes."""
    args = parse_arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    config = read_toml(args.config, "config", ("face_detector",))
    for key in ("steps", "decay_steps", "seed"):
        if getattr(args, key) is not None:
            config[key] = getattr(args, key)
    if args.second_steps is not None:
        config["second"]["steps"] = args.second_steps
    args.output.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, args)
    if args.resume:
        trainer.resume()
    trainer.stop.listen()
    trainer.run()


if __name__ == "__main__":
    main()

"""Trains the face encoder: `python -m recipes.face_encoder.train OUT`.

One seed gives one result; `last.pt` is written after every epoch and picked up again by the same command; `best.pt` is
the averaged (EMA) network with the best mean CCC on the valid part. The test part is never read here.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes import shared_folder
from recipes.face_encoder.augment import augment, plain
from recipes.face_encoder.data import FaceSet, read_split
from recipes.face_encoder.model import FaceEncoder, FaceEncoderConfig, FaceHeads

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How the encoder is trained.

    Attributes:
        epochs: passes over the train part.
        batch: faces per step.
        lr: peak learning rate of AdamW (5 % warm-up, then cosine to 1 % of it).
        weight_decay: on convolution and linear weights only.
        ema: decay of the averaged network per step.
        seed: of weights, order and augmentation.
        bf16: bfloat16 convolutions (twice as fast where the processor has them).
    """

    epochs: int = 21
    batch: int = 128
    lr: float = 3e-3
    weight_decay: float = 0.02
    ema: float = 0.998
    seed: int = 0
    bf16: bool = True


class FaceModel(nn.Module):
    """Encoder and heads together."""

    def __init__(self, config: FaceEncoderConfig) -> None:
        super().__init__()
        self.encoder = FaceEncoder(config)
        self.heads = FaceHeads(self.encoder.descriptor_size, config.dropout)

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        """Returns emotion logits (B, 8) and valence/arousal (B, 2) of grey crops (B, 96, 96) uint8."""
        rgb = (grey[:, None].float() / 127.5 - 1.0).expand(-1, 3, -1, -1)
        return self.heads(self.encoder(rgb))


def ccc(prediction: Tensor, target: Tensor) -> Tensor:
    """Returns the concordance correlation coefficient per column: (B, C), (B, C) -> (C,)."""
    mean_p, mean_t = prediction.mean(0), target.mean(0)
    p, t = prediction - mean_p, target - mean_t
    return 2 * (p * t).mean(0) / (p.square().mean(0) + t.square().mean(0) + (mean_p - mean_t).square() + 1e-8)


def loss_of(logits: Tensor, affect: Tensor, votes: Tensor, target: Tensor) -> Tensor:
    """Returns cross entropy to the votes + (1 - CCC) + 2 MSE; the entropy of the votes is taken off (so: KL)."""
    divergence = functional.kl_div(functional.log_softmax(logits, 1), votes, reduction="batchmean")
    return divergence + (1 - ccc(affect, target)).mean() + 2 * functional.mse_loss(affect, target)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Returns the rate of a step: linear warm-up over 5 %, then a cosine down to 1 % of the peak."""
    warm = max(1, round(0.05 * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))


def predict(model: FaceModel, crops: np.ndarray, batch: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Returns emotion probabilities (N, 8) and valence/arousal (N, 2) of grey crops (N, 96, 96) uint8."""
    model.eval()
    rows = []
    with torch.no_grad():
        for start in range(0, len(crops), batch):
            logits, affect = model(torch.from_numpy(crops[start : start + batch]))
            rows.append(torch.cat([logits.softmax(1), affect], 1))
    values = torch.cat(rows).numpy()
    return values[:, :8], values[:, 8:]


def validate(model: FaceModel, crops: np.ndarray, faces: FaceSet) -> dict[str, float]:
    """Returns CCC of valence and arousal and the accuracy on the majority vote."""
    probabilities, affect = predict(model, crops)
    valence, arousal = ccc(torch.from_numpy(affect), torch.from_numpy(faces.affect)).tolist()
    accuracy = float((probabilities.argmax(1) == faces.votes.argmax(1)).mean())
    return {"ccc_valence": valence, "ccc_arousal": arousal, "accuracy": accuracy}


def make_batch(faces: FaceSet, index: np.ndarray, random: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Returns augmented crops (B, 96, 96) uint8, votes (B, 8) and targets (B, 2)."""
    crops = np.stack([augment(faces.images[i], random) for i in index])
    return torch.from_numpy(crops), torch.from_numpy(faces.votes[index]), torch.from_numpy(faces.affect[index])


def optimizer_of(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Returns AdamW with weight decay on matrices and kernels only."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.lr,
    )


@torch.no_grad()
def average(ema: nn.Module, model: nn.Module, decay: float) -> None:
    """Moves the averaged weights and statistics a step towards the model's."""
    for mean, value in zip(ema.state_dict().values(), model.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


class Trainer:
    """Holds the state of one run; everything in it is saved by `save` and comes back by `resume`.

    Args:
        out: folder of `last.pt`, `best.pt` and `log.jsonl`.
        train: faces to learn from.
        valid: faces to select by.
        config: the training.
        encoder_config: the network.
    """

    def __init__(
        self, out: Path, train: FaceSet, valid: FaceSet, config: TrainConfig, encoder_config: FaceEncoderConfig
    ) -> None:
        torch.manual_seed(config.seed)
        self.out, self.train, self.valid, self.config = out, train, valid, config
        self.model = FaceModel(encoder_config)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.model)
        self.optimizer = optimizer_of(self.model, config)
        self.epoch, self.step, self.best = 0, 0, -1.0
        self.valid_crops = np.stack([plain(image) for image in valid.images])
        out.mkdir(parents=True, exist_ok=True)

    def state(self) -> dict[str, Any]:
        """Returns all that a resumed run needs."""
        return {
            "model": self.model.state_dict(), "ema": self.ema.state_dict(), "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch, "step": self.step, "best": self.best,
            "config": asdict(self.config), "encoder_config": asdict(self.model.encoder.config),
        }  # fmt: skip

    def save(self, name: str) -> None:
        """Writes the state, whole or not at all."""
        temporary = self.out / f"{name}.part"
        torch.save(self.state(), temporary)
        os.replace(temporary, self.out / name)

    def resume(self) -> bool:
        """Takes up `last.pt` if it is there.

        Returns:
            Whether it was.
        """
        path = self.out / "last.pt"
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step, self.best = state["epoch"], state["step"], state["best"]
        return True

    def run_epoch(self) -> float:
        """Runs one pass.

        Returns:
            The mean loss.
        """
        config, total = self.config, 0.0
        # One generator per epoch: a resumed run sees the same order and the same pictures as an unbroken one.
        random = np.random.default_rng([config.seed, self.epoch])
        torch.manual_seed(config.seed * 1000 + self.epoch)
        order = random.permutation(len(self.train))
        steps = max(1, len(order) // config.batch)
        self.model.train()
        for k in range(steps):
            crops, votes, target = make_batch(self.train, order[k * config.batch : (k + 1) * config.batch], random)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(self.step, steps * config.epochs, config.lr)
            with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
                logits, affect = self.model(crops)
            loss = loss_of(logits.float(), affect.float(), votes, target)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
            self.optimizer.step()
            self.step += 1
            average(self.ema, self.model, min(config.ema, (1 + self.step) / (10 + self.step)))
            total += loss.item()
        self.epoch += 1
        return total / steps

    def run(self) -> float:
        """Trains to the last epoch.

        Returns:
            The best mean CCC on the valid part.
        """
        while self.epoch < self.config.epochs:
            started = time.monotonic()
            loss = self.run_epoch()
            scores = validate(self.ema, self.valid_crops, self.valid)
            mean = (scores["ccc_valence"] + scores["ccc_arousal"]) / 2
            if mean > self.best:
                self.best = mean
                self.save("best.pt")
            self.save("last.pt")
            row = {"epoch": self.epoch, "loss": loss, **scores, "seconds": time.monotonic() - started}
            with (self.out / "log.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            logger.info("%s", row)
        return self.best


def default_data() -> Path:
    """Returns the FER+ folder under EDGEAFF_SHARED (default ../shared)."""
    return shared_folder() / "data" / "affect" / "fer2013plus"


def main() -> None:
    """Trains from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--epochs", type=int, default=TrainConfig().epochs)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    config = TrainConfig(epochs=arguments.epochs, seed=arguments.seed)
    train, valid = read_split(arguments.data, "train"), read_split(arguments.data, "valid")
    trainer = Trainer(arguments.out, train, valid, config, FaceEncoderConfig())
    trainer.resume()
    trainer.run()


if __name__ == "__main__":
    main()

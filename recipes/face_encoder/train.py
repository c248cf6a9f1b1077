"""Trains the face encoder: `python -m recipes.face_encoder.train OUT`.

One seed gives one result; `last.safetensors` is written after every epoch and the same command resumes from it.
`best.safetensors` holds the averaged network with the best mean CCC on the valid part. The test part is never read here.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeaff.training.trainer.losses import ccc
from recipes import shared_folder
from recipes.face_encoder.augment import augment, plain
from recipes.face_encoder.data import FaceSet, read_split
from recipes.face_encoder.model import FaceEncoder, FaceEncoderConfig, FaceHeads
from recipes.loop import Loop, half_cosine

BEST, LAST = "best.safetensors", "last.safetensors"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Configuration of the encoder's training.

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

    def forward(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        """Returns emotion logits (B, 8) and valence/arousal (B, 2) of gray crops (B, 96, 96) uint8."""
        rgb = (gray[:, None].float() / 127.5 - 1.0).expand(-1, 3, -1, -1)
        return self.heads(self.encoder(rgb))


def loss_of(logits: Tensor, affect: Tensor, votes: Tensor, target: Tensor) -> Tensor:
    """Returns cross entropy to the votes + (1 - CCC) + 2 MSE; the entropy of the votes is taken off (so: KL)."""
    divergence = functional.kl_div(functional.log_softmax(logits, 1), votes, reduction="batchmean")
    return divergence + (1 - ccc(affect, target)).mean() + 2 * functional.mse_loss(affect, target)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Returns the rate of a step: linear warm-up over 5 %, then a cosine down to 1 % of the peak."""
    warm = max(1, round(0.05 * steps))
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.01 + 0.99 * half_cosine((step - warm) / max(1, steps - warm)))


def predict(model: FaceModel, crops: np.ndarray, batch: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Returns emotion probabilities (N, 8) and valence/arousal (N, 2) of gray crops (N, 96, 96) uint8."""
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


class Trainer:
    """One run; `save` writes its whole state and `resume` continues from it.

    Args:
        out: folder of `last.safetensors`, `best.safetensors` and `log.jsonl`.
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
        model = FaceModel(encoder_config)
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loop = Loop(model, weight_decay=config.weight_decay, clip_norm=2.0, average_decay=config.ema)
        self.encoder_config = encoder_config
        self.epoch, self.best = 0, -1.0
        self.valid_crops = np.stack([plain(image) for image in valid.images])
        out.mkdir(parents=True, exist_ok=True)

    @property
    def average(self) -> FaceModel:
        """The averaged network."""
        return cast(FaceModel, self.loop.average)

    def save(self, name: str) -> None:
        """Writes the state, whole or not at all."""
        note = {"epoch": self.epoch, "best": self.best, "config": asdict(self.config)}
        self.loop.save(self.out / name, {**note, "encoder_config": asdict(self.encoder_config)})

    def resume(self) -> bool:
        """Goes on from the last epoch.

        Returns:
            Whether there was one.
        """
        path = self.out / LAST
        if not path.exists():
            return False
        note, _ = self.loop.load(path)
        self.epoch, self.best = note["epoch"], note["best"]
        return True

    def run_epoch(self) -> float:
        """Runs one pass.

        Returns:
            The mean loss.
        """
        config, total = self.config, 0.0
        # One generator per epoch: a resumed run sees the same order and the same images as an unbroken one.
        random = np.random.default_rng([config.seed, self.epoch])
        torch.manual_seed(config.seed * 1000 + self.epoch)
        order = random.permutation(len(self.train))
        steps = max(1, len(order) // config.batch)
        self.loop.network.train()
        for k in range(steps):
            crops, votes, target = make_batch(self.train, order[k * config.batch : (k + 1) * config.batch], random)
            with torch.autocast("cpu", torch.bfloat16, enabled=config.bf16):
                logits, affect = self.loop.network(crops)
            loss = loss_of(logits.float(), affect.float(), votes, target)
            rate = learning_rate(self.loop.step, steps * config.epochs, config.lr)
            self.loop.update(loss, learning_rate=rate, averaged_steps=self.loop.step + 1)
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
            scores = validate(self.average, self.valid_crops, self.valid)
            mean = (scores["ccc_valence"] + scores["ccc_arousal"]) / 2
            if mean > self.best:
                self.best = mean
                self.save(BEST)
            self.save(LAST)
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

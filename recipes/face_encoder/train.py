"""Trains the face encoder: `python -m recipes.face_encoder.train OUT [--start face_encoder.onnx]`.

One seed gives one result; `last.safetensors` is written after every epoch and the same command goes on from it.
`best.safetensors` holds the averaged network with the best mean CCC on the valid part, plain and hindered, reweighted to equal
classes. The test part is never read here.

With `--start` the training goes on from an exported encoder, which also teaches (recipes.face_encoder.teacher).
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeaff.training.trainer.losses import ccc
from edgeaff.types import DIMENSIONS
from recipes import shared_folder
from recipes.face_detector.data import ImageCache
from recipes.face_encoder.augment import WIDE, augment, plain
from recipes.face_encoder.data import FaceSet, default_data, rarity, read_split
from recipes.face_encoder.disturb import hinder
from recipes.face_encoder.evaluate import encoder_of, session_of
from recipes.face_encoder.model import FaceEncoder, FaceEncoderConfig, FaceHeads
from recipes.face_encoder.teacher import cut_faces, start_from, taught, with_strangers
from recipes.loop import Loop, half_cosine

BEST, LAST = "best.safetensors", "last.safetensors"
CALIBRATION = 1024
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
        faces_per_epoch: drawn at random, rare emotions more often than natural (1 / sqrt of their number).
        hindered: share of the views with one hindrance (recipes.face_encoder.disturb); the others are augmented as WIDE.
        pull: weight of the squared distance to the teacher's descriptor, where there is a teacher.
        strangers: share of the faces drawn that have no votes, where there are such.
        kept: this many of the first layers (the stem, then the stages one by one) stay as they are, which is a third cheaper.
    """

    epochs: int = 24
    batch: int = 128
    lr: float = 3e-3
    weight_decay: float = 0.02
    ema: float = 0.998
    seed: int = 0
    bf16: bool = True
    faces_per_epoch: int = 25_600
    hindered: float = 0.3
    pull: float = 1.5
    strangers: float = 0.15
    kept: int = 0


class FaceModel(nn.Module):
    """Encoder and heads together."""

    def __init__(self, config: FaceEncoderConfig) -> None:
        super().__init__()
        self.encoder = FaceEncoder(config)
        self.heads = FaceHeads(self.encoder.descriptor_size, config.dropout)

    def describe(self, gray: Tensor) -> Tensor:
        """Returns the descriptors (B, D) of gray crops (B, 96, 96) uint8."""
        return self.encoder((gray[:, None].float() / 127.5 - 1.0).expand(-1, 3, -1, -1))

    def forward(self, gray: Tensor) -> tuple[Tensor, Tensor]:
        """Returns emotion logits (B, 8) and valence/arousal (B, 2) of gray crops (B, 96, 96) uint8."""
        return self.heads(self.describe(gray))


def loss_of(logits: Tensor, affect: Tensor, votes: Tensor, target: Tensor) -> Tensor:
    """Returns cross entropy to the votes + (1 - CCC) + 2 MSE; the entropy of the votes is taken off (so: KL).

    Rows without a vote do not count.
    """
    named = votes.sum(1) > 0
    logits, affect, votes, target = logits[named], affect[named], votes[named], target[named]
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


def weighted_ccc(prediction: np.ndarray, target: np.ndarray, weight: np.ndarray) -> list[float]:
    """Returns the CCC of valence and arousal with faces weighted: (N, 2), (N, 2), (N,)."""
    weight = (weight / weight.sum())[:, None]
    means = [(weight * values).sum(0) for values in (prediction, target)]
    centered = prediction - means[0], target - means[1]
    variances = [(weight * values**2).sum(0) for values in centered]
    covariance = (weight * centered[0] * centered[1]).sum(0)
    return [float(value) for value in 2 * covariance / (sum(variances) + (means[0] - means[1]) ** 2)]


def validate(model: FaceModel, views: Mapping[str, np.ndarray], faces: FaceSet) -> dict[str, float]:
    """Measures a network on views of the same faces.

    Args:
        model: in any mode.
        views: crops (N, 96, 96) uint8 of each face by name, "plain" first.
        faces: of the valid part.

    Returns:
        By view: CCC of valence and arousal with each majority of equal weight, accuracy on the majority, and how far valence moves
        from the first view on average.
    """
    weight, found, reference = rarity(faces.votes) ** 2, {}, None
    for name, crops in views.items():
        probabilities, affect = predict(model, crops)
        reference = affect if reference is None else reference
        valence, arousal = weighted_ccc(affect, faces.affect, weight)
        found |= {f"{name}_ccc_valence": valence, f"{name}_ccc_arousal": arousal}
        found[f"{name}_accuracy"] = float((probabilities.argmax(1) == faces.votes.argmax(1)).mean())
        found[f"{name}_moved"] = float(np.abs(affect - reference)[:, 0].mean())
    return found


def vary(image: np.ndarray, random: np.random.Generator, hindered: float) -> np.ndarray:
    """Returns one view of a face: (48, 48) -> (96, 96) uint8."""
    return hinder(image, random) if random.random() < hindered else augment(image, random, WIDE)


def odds_of(faces: FaceSet, strangers: float) -> np.ndarray:
    """Returns the probability of drawing each face, (N,); strangers: share of those without votes."""
    named = faces.votes.sum(axis=1) > 0
    odds = np.zeros(len(faces))
    odds[named] = rarity(faces.votes[named])
    odds[named] /= odds.sum()
    if not named.all():
        odds[named] *= 1.0 - strangers
        odds[~named] = strangers / (~named).sum()
    return odds


class Trainer:
    """One run; `save` writes its whole state and `resume` continues from it.

    Args:
        out: folder of `last.safetensors`, `best.safetensors` and `log.jsonl`.
        train: faces to learn from.
        valid: faces to select by.
        config: the training.
        model: the network.
        lessons: (N, D) descriptor that a teacher states of each face to learn from; None = no teacher.
    """

    def __init__(
        self, out: Path, train: FaceSet, valid: FaceSet, config: TrainConfig, model: FaceModel,
        *, lessons: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        self.out, self.train, self.valid, self.config, self.lessons = out, train, valid, config, lessons
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.loop = Loop(model, weight_decay=config.weight_decay, clip_norm=2.0, average_decay=config.ema)
        self.epoch, self.best = 0, -1.0
        self.odds = odds_of(train, config.strangers)
        random = np.random.default_rng(7)
        self.valid_views = {
            "plain": np.stack([plain(image) for image in valid.images]),
            "mirrored": np.stack([plain(image[:, ::-1].copy()) for image in valid.images]),
            "hindered": np.stack([hinder(image, random) for image in valid.images]),
        }
        out.mkdir(parents=True, exist_ok=True)

    @property
    def average(self) -> FaceModel:
        """The averaged network."""
        return cast(FaceModel, self.loop.average)

    def save(self, name: str) -> None:
        """Writes the state, whole or not at all."""
        note = {"epoch": self.epoch, "best": self.best, "config": asdict(self.config)}
        self.loop.save(self.out / name, {**note, "encoder_config": asdict(self.average.encoder.config)})

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
        steps = max(1, min(len(self.train), config.faces_per_epoch) // config.batch)
        order = random.choice(len(self.train), (steps, config.batch), p=self.odds)
        network = cast(FaceModel, self.loop.network).train()
        network.encoder.scale.train(self.lessons is None)  # the scale of a descriptor is the teacher's
        for layer in [network.encoder.stem, *network.encoder.stages][: config.kept]:
            layer.eval().requires_grad_(False)
        for rows in order:
            loss = self.loss_of(rows, random)
            rate = learning_rate(self.loop.step, steps * config.epochs, config.lr)
            self.loop.update(loss, learning_rate=rate, averaged_steps=self.loop.step + 1)
            total += loss.item()
        self.epoch += 1
        return total / steps

    def loss_of(self, rows: np.ndarray, random: np.random.Generator) -> Tensor:
        """Returns the loss of one view of each of these faces, (B,) int."""
        network = cast(FaceModel, self.loop.network)
        crops = np.stack([vary(self.train.images[row], random, self.config.hindered) for row in rows])
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bf16):
            descriptor = network.describe(torch.from_numpy(crops))
            logits, affect = network.heads(descriptor)
        votes, target = (torch.from_numpy(values[rows]) for values in (self.train.votes, self.train.affect))
        loss = loss_of(logits.float(), affect.float(), votes, target)
        if self.lessons is None:
            return loss
        given = torch.from_numpy(self.lessons[rows])
        return loss + self.config.pull * functional.mse_loss(descriptor.float(), given)

    def run(self) -> float:
        """Trains to the last epoch.

        Returns:
            The best mean CCC on the valid part.
        """
        while self.epoch < self.config.epochs:
            started = time.monotonic()
            loss = self.run_epoch()
            scores = validate(self.average, self.valid_views, self.valid)
            mean = float(np.mean([scores[f"{view}_ccc_{name}"] for view in self.valid_views for name in DIMENSIONS]))
            if mean > self.best:
                self.best = mean
                self.save(BEST)
            self.save(LAST)
            row = {"epoch": self.epoch, "loss": loss, **scores, "seconds": time.monotonic() - started}
            with (self.out / "log.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            logger.info("%s", row)
        return self.best


def student(start: Path, shared: Path, out: Path, train: FaceSet) -> tuple[FaceModel, FaceSet, np.ndarray]:
    """Returns a network with the weights of an exported one, the faces it is to learn from, and what the exported one states of them.

    Args:
        start: float32 `face_encoder.onnx`.
        shared: holds `data/faces`.
        out: folder of the run, for what is made once.
        train: the train part.
    """
    graph = start.read_bytes()
    out.mkdir(parents=True, exist_ok=True)
    model = FaceModel(FaceEncoderConfig())
    crops = np.stack([plain(image) for image in train.images[:CALIBRATION]])
    start_from(model.encoder, graph, crops)
    tiles = out / "tiles.npy"
    if not tiles.exists():
        np.save(tiles, cut_faces(ImageCache(shared / "data" / "faces", out / "faces")))
    whole = with_strangers(train, np.load(tiles))
    given = taught(out / "teacher.npy", whole.images, encoder_of(session_of(graph)))
    named = len(train)
    fit_heads(model.heads, given[:named], train)
    return model, whole, given


def fit_heads(heads: FaceHeads, descriptors: np.ndarray, faces: FaceSet, *, steps: int = 400) -> None:
    """Trains the heads on fixed descriptors, (N, D); batches of 512 in natural order of chance."""
    optimizer, random = torch.optim.Adam(heads.parameters(), lr=5e-3), np.random.default_rng(0)
    for _ in range(steps):
        rows = random.integers(0, len(faces), 512)
        logits, affect = heads(torch.from_numpy(descriptors[rows]))
        loss = loss_of(logits, affect, torch.from_numpy(faces.votes[rows]), torch.from_numpy(faces.affect[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main() -> None:
    """Trains from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--shared", type=Path, default=shared_folder(), help="holds data/faces, read with --start")
    parser.add_argument("--start", type=Path, help="float32 face_encoder.onnx to go on from and to learn from")
    parser.add_argument("--epochs", type=int, default=TrainConfig().epochs)
    parser.add_argument("--lr", type=float, default=TrainConfig().lr)
    parser.add_argument("--faces", type=int, default=TrainConfig().faces_per_epoch, help="drawn per epoch")
    parser.add_argument("--kept", type=int, default=0, help="first layers that stay as they are")
    parser.add_argument("--valid-faces", type=int, help="this many of the valid part, the first; default: all")
    parser.add_argument("--ema", type=float, default=TrainConfig().ema)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    config = TrainConfig(
        epochs=arguments.epochs, seed=arguments.seed, lr=arguments.lr, ema=arguments.ema, kept=arguments.kept,
        faces_per_epoch=arguments.faces,
    )  # fmt: skip
    train, valid = read_split(arguments.data, "train"), read_split(arguments.data, "valid")
    valid = FaceSet(*(values[: arguments.valid_faces] for values in (valid.images, valid.votes, valid.affect)))
    torch.manual_seed(config.seed)
    if arguments.start:
        model, train, given = student(arguments.start, arguments.shared, arguments.out, train)
        trainer = Trainer(arguments.out, train, valid, config, model, lessons=given)
    else:
        trainer = Trainer(arguments.out, train, valid, config, FaceModel(FaceEncoderConfig()))
    trainer.resume()
    trainer.run()


if __name__ == "__main__":
    main()

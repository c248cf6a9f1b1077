"""Fits the tail's input layer of the face to an encoder that was trained on, and makes it steadier; nothing else of the tail changes.

The voice, the memory and the fusion stay as they are. The loss is the agreement of the values with the faces' labels, and how far
the values of two views of one face are from each other.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor

from edgeaff.training.models.edge import Edge
from edgeaff.training.trainer.losses import ccc
from recipes.default_bundle.data import FaceBank
from recipes.loop import half_cosine

TICKS = 6
LEARNING_RATE = 1e-3
STEADY = 4.0  # weight of the distance between two views


def still(edge: Edge, rows: Tensor, ticks: int = TICKS) -> Tensor:
    """Returns the values of faces shown still for a moment, without audio: (B, D) -> (B, 2)."""
    present = torch.zeros(len(rows), ticks, 2)
    present[..., 0] = 1.0
    audio = torch.zeros(len(rows), ticks, edge.config.audio_size)
    values: Tensor = edge(rows[:, None].expand(-1, ticks, -1), audio, present)
    return values[:, -1]


def adapt(edge: Edge, faces: FaceBank, *, steps: int, batch: int = 128, seed: int = 0) -> Edge:
    """Returns a copy whose input layer of the face is fitted.

    Args:
        edge: the tail to go on from.
        faces: of the train part; the first two renderings are the plain face and its mirror image.
        steps: of the training.
        batch: faces per step, two views of each.
        seed: of everything random.
    """
    fitted = copy.deepcopy(edge).eval().requires_grad_(False)
    layer = fitted.video
    layer.weight.requires_grad_(True)
    layer.bias.requires_grad_(True)
    optimizer, random = torch.optim.Adam([layer.weight, layer.bias]), np.random.default_rng(seed)
    count, kinds = faces.descriptors.shape[:2]
    odds = None if faces.weight is None else faces.weight / faces.weight.sum()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * half_cosine(step / steps)
        rows = random.choice(count, batch, p=odds)
        views = (
            faces.descriptors[rows, random.integers(0, 2, batch)],
            faces.descriptors[rows, random.integers(0, kinds, batch)],
        )
        values = still(fitted, torch.from_numpy(np.concatenate(views).astype(np.float32)))
        first, second = values[:batch], values[batch:]
        target = torch.from_numpy(faces.affect[rows].astype(np.float32))
        disagreement = sum(
            (1.0 - ccc(one, target)).mean() + 0.5 * (one - target).square().mean() for one in (first, second)
        )
        loss = disagreement + STEADY * (first - second).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return fitted.requires_grad_(True).eval()

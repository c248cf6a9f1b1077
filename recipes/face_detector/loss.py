"""The loss: quality focal loss on scores, generalized IoU on boxes, smooth L1 on points."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BOX_WEIGHT = 2.0
POINT_WEIGHT = 1.0
FOREGROUND = 0.2


def flatten_maps(maps: list[Tensor]) -> Tensor:
    """Returns (B, N, 15) float32 from three maps (B, 15, H, W), cells in the order of `targets.make_cells`."""
    return torch.cat([part.float().flatten(2).transpose(1, 2) for part in maps], 1)


def decode_boxes(raw: Tensor, cells: Tensor) -> Tensor:
    """Returns boxes (..., N, 4) in pixels. raw: (..., N, 15); cells: (3, N) x, y, stride."""
    x, y, stride = cells
    center = torch.stack([x, y], -1) + raw[..., 1:3] * stride[:, None]
    half = raw[..., 3:5].clamp(-4, 4).exp() * stride[:, None] / 2
    return torch.cat([center - half, center + half], -1)


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """Returns the generalized IoU of paired boxes, (...,), in [-1, 1]."""
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(-1), (b[..., 2:] - b[..., :2]).prod(-1)
    union = area_a + area_b - inter
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return inter / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def detection_loss(raw: Tensor, targets: Tensor, cells: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Returns the loss of a batch and its parts.

    Args:
        raw: (B, N, 15) outputs.
        targets: (B, N, 17) as `targets.make_targets` gives them.
        cells: (3, N) x, y, stride in pixels.
    """
    wanted, weight = targets[..., 0], targets[..., 1]
    logits = raw[..., 0]
    gap = (logits.sigmoid().detach() - wanted).abs()
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    floor = functional.binary_cross_entropy(wanted, wanted, reduction="none").detach()
    total = wanted.sum().clamp(min=1.0)
    score_loss = (weight * gap * (entropy - floor)).sum() / total * 2.0

    chosen = wanted > FOREGROUND
    share = wanted[chosen]
    norm = share.sum().clamp(min=1.0)
    batch, cell = chosen.nonzero(as_tuple=True)
    picked, goal, grid = raw[batch, cell], targets[batch, cell], cells[:, cell]
    boxes = decode_boxes(picked, grid)
    box_loss = (share * (1 - generalized_iou(boxes, goal[:, 2:6]))).sum() / norm

    x, y, stride = grid
    points = picked[:, 5:15].view(-1, 5, 2) * stride[:, None, None] + torch.stack([x, y], -1)[:, None]
    size = (goal[:, 4:6] - goal[:, 2:4]).prod(-1).clamp(min=1).sqrt()
    error = (points - goal[:, 6:16].view(-1, 5, 2)) / size[:, None, None]
    distance = functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.05, reduction="none").sum((1, 2))
    point_loss = (share * goal[:, 16] * distance).sum() / norm
    loss = score_loss + BOX_WEIGHT * box_loss + POINT_WEIGHT * point_loss
    return loss, {"score": score_loss.item(), "box": box_loss.item(), "point": point_loss.item()}

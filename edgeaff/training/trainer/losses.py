"""Losses in torch: 1 - CCC as the paper trains, and the batch-flattened form with a little squared error."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeaff.errors import ArgumentError

EPSILON = 1e-8
ENTROPY_WEIGHT = 0.1


def ccc(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns the concordance correlation coefficient of each channel over all valid frames.

    ccc = 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2), population moments, as in `edgeaff.measures.ccc`, with a gradient
    everywhere (a tiny constant in the denominator).

    Args:
        prediction: (..., C).
        target: (..., C).
        mask: (...) bool or float, True = valid; None = all.

    Returns:
        (C,) values in [-1, 1]; 0 where nothing is valid.
    """
    channels = target.shape[-1]
    x, y = prediction.reshape(-1, channels), target.reshape(-1, channels)
    weight = torch.ones_like(y[:, :1]) if mask is None else mask.reshape(-1, 1).to(y.dtype)
    weight = weight / weight.sum().clamp_min(1.0)
    mean_x, mean_y = (weight * x).sum(0), (weight * y).sum(0)
    dx, dy = x - mean_x, y - mean_y
    covariance = (weight * dx * dy).sum(0)
    spread = (weight * dx * dx).sum(0) + (weight * dy * dy).sum(0) + (mean_x - mean_y).square()
    return 2.0 * covariance / (spread + EPSILON)


def sequence_ccc_loss(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns 1 - CCC, computed per sequence and averaged over sequences and channels. Paper: section 4.4.

    A sequence of constant labels has CCC 0 for any prediction; `flattened_ccc_loss` avoids this.

    Args:
        prediction: (B, T, C).
        target: (B, T, C).
        mask: (B, T) bool, True = valid.

    Returns:
        Scalar in [0, 2].
    """
    masks = [None] * len(target) if mask is None else list(mask)
    each = [ccc(x, y, m) for x, y, m in zip(prediction, target, masks, strict=True)]
    return 1.0 - torch.stack(each).mean()


def flattened_ccc_loss(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, squared_error_weight: float = 0.1
) -> Tensor:
    """Returns 1 - CCC over all valid frames of the batch together, plus a little mean squared error.

    Choice: clips of 3 s often have almost constant labels, for which CCC is ill-posed; the squared error keeps the
    scale.

    Args:
        prediction: (B, T, C).
        target: (B, T, C).
        mask: (B, T) bool, True = valid.
        squared_error_weight: weight of the mean squared error.

    Returns:
        Scalar.
    """
    weight = torch.ones_like(target[..., :1]) if mask is None else mask.unsqueeze(-1).to(target.dtype)
    squared = (weight * (prediction - target).square()).sum() / (weight.sum() * target.shape[-1]).clamp_min(1.0)
    return 1.0 - ccc(prediction, target, mask).mean() + squared_error_weight * squared


def binned_loss(logits: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Returns NISL's loss: cross entropy of the bin that a label is in, and 1 - CCC of the expectation over the bins.

    After the published description (Deng et al.), without its second annotation set and teacher. Choice: cross entropy
    weighs a tenth. The published network starts from one trained on faces; from untrained weights, with equal weights, it
    predicts the most frequent bins for its first thousand steps (CCC 0.02, with a tenth 0.2).

    Args:
        logits: (B, T, C, bins), the bins evenly from -1 to 1.
        target: (B, T, C).
        mask: (B, T) bool, True = valid.

    Returns:
        Scalar.
    """
    bins = logits.shape[-1]
    edges = torch.linspace(-1.0, 1.0, bins + 1, dtype=logits.dtype, device=logits.device)
    expectation = torch.softmax(logits, dim=-1) @ ((edges[1:] + edges[:-1]) / 2)
    where = ((target + 1.0) * (bins / 2)).long().clamp(0, bins - 1)
    each = -torch.log_softmax(logits, dim=-1).gather(-1, where.unsqueeze(-1)).squeeze(-1).mean(dim=-1)
    weight = torch.ones_like(each) if mask is None else mask.to(each.dtype)
    entropy = (weight * each).sum() / weight.sum().clamp_min(1.0)
    return ENTROPY_WEIGHT * entropy + 1.0 - ccc(expectation, target, mask).mean()


LOSSES = {"sequence_ccc": sequence_ccc_loss, "flattened_ccc": flattened_ccc_loss, "binned": binned_loss}


def training_outputs(module: nn.Module, loss: str, inputs: dict[str, Tensor]) -> Tensor:
    """Returns the inputs of a module's loss, apart from the loss so that processes can share it.

    Args:
        module: a system.
        loss: key of LOSSES.
        inputs: keyword -> (B, T, ...).

    Returns:
        (B, T, C) values; for "binned" (B, T, C, bins) logits.

    Raises:
        ArgumentError: the loss wants bins and the module has none.
    """
    if loss != "binned":
        return module(**inputs)
    logits = getattr(module, "logits", None)
    if logits is None:
        raise ArgumentError(
            f"loss must be sequence_ccc or flattened_ccc for {type(module).__name__}, got 'binned'; that one is nisl_v's."
        )
    return logits(**inputs)


def training_loss(module: nn.Module, loss: str, outputs: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Returns the loss of a batch.

    Args:
        module: a system.
        loss: key of LOSSES.
        outputs: of `training_outputs`.
        labels: (B, T, 2).
        valid: (B, T) bool.

    Returns:
        Scalar.
    """
    return LOSSES[loss](outputs, labels, valid)

"""The losses agree with `edgeaff.measures`, ignore masked frames, and have gradients."""

import math

import numpy as np
import pytest
import torch

from edgeaff import measures
from edgeaff.errors import ArgumentError
from edgeaff.training.models import find_system
from edgeaff.training.trainer.losses import (
    ENTROPY_WEIGHT,
    binned_loss,
    ccc,
    flattened_ccc_loss,
    sequence_ccc_loss,
    training_loss,
    training_outputs,
)

pytestmark = pytest.mark.needs_torch


def _pair(seed=0, shape=(3, 40, 2)):
    rng = np.random.default_rng(seed)
    target = rng.uniform(-0.8, 0.8, shape)
    return torch.from_numpy(0.6 * target + 0.2 * rng.standard_normal(shape) + 0.1), torch.from_numpy(target)


def test_ccc_equals_the_measure_with_and_without_mask():
    prediction, target = _pair()
    mask = torch.from_numpy(np.random.default_rng(1).random((3, 40)) > 0.4)
    for keep in (None, mask):
        got = ccc(prediction, target, keep)
        for channel in range(2):
            expected = measures.ccc(
                prediction[..., channel], target[..., channel], None if keep is None else keep.numpy()
            )
            assert got[channel].item() == pytest.approx(expected, abs=1e-6)


def test_masked_frames_have_no_gradient():
    prediction, target = _pair()
    mask = torch.arange(40)[None].repeat(3, 1) % 2 == 0
    prediction.requires_grad_()
    flattened_ccc_loss(prediction, target, mask).backward()
    assert (prediction.grad[~mask] == 0).all()
    assert (prediction.grad[mask] != 0).any()


def test_gradient_is_right():
    prediction, target = _pair(shape=(2, 5, 2))
    mask = torch.tensor([[True] * 5, [True, True, False, True, True]])
    prediction.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: flattened_ccc_loss(x, target, mask), [prediction])
    assert torch.autograd.gradcheck(lambda x: sequence_ccc_loss(x, target, mask), [prediction])


def test_sequence_loss_is_the_mean_over_sequences():
    prediction, target = _pair()
    each = [measures.ccc(prediction[b, :, c], target[b, :, c]) for b in range(3) for c in range(2)]
    assert sequence_ccc_loss(prediction, target).item() == pytest.approx(1 - np.mean(each), abs=1e-6)


def test_perfect_prediction_has_no_loss_and_constants_are_finite():
    _, target = _pair()
    assert flattened_ccc_loss(target, target).item() == pytest.approx(0.0, abs=1e-6)
    flat = torch.zeros(2, 10, 2, requires_grad=True)
    loss = sequence_ccc_loss(flat, torch.zeros(2, 10, 2))
    loss.backward()
    assert loss.item() == pytest.approx(1.0)
    assert torch.isfinite(flat.grad).all()


def test_binned_loss_is_cross_entropy_and_ccc_of_the_expectation():
    torch.manual_seed(0)
    logits, target = torch.randn(2, 7, 2, 20, dtype=torch.float64), torch.rand(2, 7, 2, dtype=torch.float64) * 2 - 1
    mask = torch.rand(2, 7) > 0.3
    centers = torch.linspace(-0.95, 0.95, 20, dtype=torch.float64)
    weights = torch.softmax(logits, dim=-1)
    entropies, kept = [], []
    for b in range(2):
        for t in range(7):
            if mask[b, t]:
                kept.append(((weights[b, t] * centers).sum(-1), target[b, t]))
                for c in range(2):
                    index = min(19, math.floor((target[b, t, c].item() + 1) / 0.1))
                    entropies.append(-math.log(weights[b, t, c, index].item()))
    x, y = (torch.stack(side) for side in zip(*kept, strict=True))
    agreement = np.mean([measures.ccc(x[:, c].numpy(), y[:, c].numpy()) for c in range(2)])
    assert binned_loss(logits, target, mask).item() == pytest.approx(
        ENTROPY_WEIGHT * np.mean(entropies) + 1 - agreement, abs=1e-6
    )


def test_binned_loss_wants_bins_and_lets_nisl_learn():
    system = find_system("nisl_v")
    torch.manual_seed(0)
    module = system.build(width=1 / 16)
    inputs = system.made_up_inputs(1, 4)
    labels, valid = (
        torch.tensor([[[0.5, -0.5], [0.1, 0.9], [-1.0, 1.0], [0.3, 0.2]]]),
        torch.ones(1, 4, dtype=torch.bool),
    )
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = training_loss(module, "binned", training_outputs(module, "binned", inputs), labels, valid)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    with pytest.raises(ArgumentError, match="that one is nisl_v's"):
        training_outputs(find_system("rnn_a").build(), "binned", {})

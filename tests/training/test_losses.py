"""The losses agree with `edgeaff.measures`, ignore masked frames, and have gradients."""

import numpy as np
import pytest
import torch

from edgeaff import measures
from edgeaff.training.losses import ccc, flattened_ccc_loss, sequence_ccc_loss

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

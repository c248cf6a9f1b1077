"""The windowed, causal-banded and one-step forms are one formula; checked against a float64 loop."""

import math

import numpy as np
import pytest

from edgeaff.errors import ArgumentError

pytestmark = pytest.mark.needs_torch


def _by_hand(query, key_value, heads, key_mask=None, band=None, age_bias=None):
    """Loops over everything; no vector trick that the code under test could share."""
    batch, queries, size = query.shape
    keys = key_value.shape[1]
    width = size // heads
    out = np.zeros((batch, queries, size))
    for b in range(batch):
        for h in range(heads):
            cut = slice(h * width, (h + 1) * width)
            for i in range(queries):
                scores, values = [], []
                for j in range(keys):
                    age = i + keys - queries - j
                    if (band is not None and not 0 <= age < band) or (key_mask is not None and not key_mask[b, j]):
                        continue
                    score = float(query[b, i, cut] @ key_value[b, j, :size][cut]) / math.sqrt(width)
                    scores.append(score + (age_bias[h, age] if age_bias is not None else 0.0))
                    values.append(key_value[b, j, size:][cut])
                if scores:
                    weights = np.exp(np.array(scores) - max(scores))
                    out[b, i, cut] = (weights / weights.sum()) @ np.array(values)
    return out


def _inputs(batch, queries, keys, size=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((batch, queries, size)), rng.standard_normal((batch, keys, 2 * size))


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 7), (5, 5), (3, 11), (13, 13), (7, 3)])
@pytest.mark.parametrize("band", [None, 1, 4, 100])
@pytest.mark.parametrize("masked", [False, True])
def test_attend_equals_the_loop(queries, keys, band, masked):
    import torch

    from edgeaff.torch_ops.reference import attend

    query, key_value = _inputs(2, queries, keys)
    rng = np.random.default_rng(1)
    mask = rng.random((2, keys)) > 0.4 if masked else None
    bias = rng.standard_normal((2, band)) if band else None
    expected = _by_hand(query, key_value, 2, mask, band, bias)
    got = attend(
        torch.from_numpy(query),
        torch.from_numpy(key_value),
        num_heads=2,
        key_mask=None if mask is None else torch.from_numpy(mask),
        band=band,
        age_bias=None if bias is None else torch.from_numpy(bias),
    )
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-13)


def test_a_row_without_keys_is_zero_with_finite_gradient():
    import torch

    from edgeaff.torch_ops.reference import attend

    query, key_value = (torch.from_numpy(x).requires_grad_() for x in _inputs(1, 4, 4))
    mask = torch.tensor([[False, False, True, True]])
    out = attend(query, key_value, num_heads=2, key_mask=mask, band=2)
    assert (out[0, :2] == 0).all()
    out.square().sum().backward()
    assert torch.isfinite(query.grad).all()
    assert torch.isfinite(key_value.grad).all()


def test_both_directions_sum_as_the_signature_states():
    import torch

    from edgeaff.torch_ops.reference import cross_modal_attention

    rng = np.random.default_rng(2)
    q_a, q_v, r_a, r_v = (torch.from_numpy(rng.standard_normal((2, 6, 8))) for _ in range(4))
    kv_a, kv_v = (torch.from_numpy(rng.standard_normal((2, 6, 16))) for _ in range(2))
    b_a, b_v = (torch.from_numpy(rng.standard_normal((4, 3))) for _ in range(2))
    m_a, m_v = (torch.from_numpy(rng.random((2, 6)) > 0.3) for _ in range(2))
    got = cross_modal_attention(
        q_a,
        kv_a,
        q_v,
        kv_v,
        0.3,
        -0.7,
        num_heads=4,
        key_mask_audio=m_a,
        key_mask_video=m_v,
        band=3,
        age_bias_audio=b_a,
        age_bias_video=b_v,
        residual_audio=r_a,
        residual_video=r_v,
    )
    branch_a = _by_hand(q_a.numpy(), kv_v.numpy(), 4, m_v.numpy(), 3, b_v.numpy()) + r_a.numpy()
    branch_b = _by_hand(q_v.numpy(), kv_a.numpy(), 4, m_a.numpy(), 3, b_a.numpy()) + r_v.numpy()
    np.testing.assert_allclose(got.numpy(), 0.3 * branch_a - 0.7 * branch_b, atol=1e-13)


def test_gradients_are_right():
    import torch

    from edgeaff.torch_ops.reference import cross_modal_attention

    rng = np.random.default_rng(3)

    def made(*shape):
        return torch.from_numpy(rng.standard_normal(shape)).requires_grad_()

    alpha, beta = made(), made()
    tensors = [made(1, 3, 4), made(1, 3, 8), made(1, 3, 4), made(1, 3, 8), alpha, beta, made(2, 2), made(2, 2)]

    def op(q_a, kv_a, q_v, kv_v, a, b, bias_a, bias_v):
        return cross_modal_attention(
            q_a,
            kv_a,
            q_v,
            kv_v,
            a,
            b,
            num_heads=2,
            band=2,
            age_bias_audio=bias_a,
            age_bias_video=bias_v,
            residual_audio=q_a,
        )

    assert torch.autograd.gradcheck(op, tensors, fast_mode=True)


def test_sizes_that_do_not_fit_are_refused():
    import torch

    from edgeaff.torch_ops.reference import attend

    query, key_value = (torch.from_numpy(x) for x in _inputs(1, 2, 2))
    with pytest.raises(ArgumentError, match="divisible by num_heads"):
        attend(query, key_value, num_heads=3)
    with pytest.raises(ArgumentError, match="age_bias must have shape"):
        attend(query, key_value, num_heads=2, age_bias=torch.zeros(2, 4))

"""The torch operator: values of the kernel, gradients of plain torch, tracing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeaff.ops.cross_modal_attention import NODE_INPUTS
from tests.ops.attention_cases import float64_result, make_case

pytestmark = [pytest.mark.needs_native, pytest.mark.needs_torch]

FULL = {"masks": True, "band": 5, "residuals": True}
DIFFERENTIABLE = [
    "q_audio",
    "kv_audio",
    "q_video",
    "kv_video",
    "alpha",
    "beta",
    "age_bias_audio",
    "age_bias_video",
    "residual_audio",
    "residual_video",
]


def as_tensors(case: dict, dtype: Any, *, gradients: bool = False) -> dict:
    import torch

    tensors = {}
    for name, value in case.items():
        if name in DIFFERENTIABLE:
            tensors[name] = torch.as_tensor(value, dtype=dtype).requires_grad_(gradients)
        else:
            tensors[name] = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
    return tensors


def test_adapter_equals_the_numpy_twin() -> None:
    import torch

    from edgeaff.torch_ops.adapter import cross_modal_attention

    case = make_case(0, 2, 9, 11, 2, 32, **FULL)
    result = cross_modal_attention(**as_tensors(case, torch.float32))
    np.testing.assert_allclose(result.numpy(), float64_result(case), atol=3e-6)


def test_adapter_equals_the_torch_twin() -> None:
    import torch

    from edgeaff.torch_ops.adapter import cross_modal_attention
    from edgeaff.torch_ops.reference import cross_modal_attention as twin

    case = as_tensors(make_case(1, 2, 9, 11, 2, 32, **FULL), torch.float32)
    torch.testing.assert_close(cross_modal_attention(**case), twin(**case), atol=3e-6, rtol=0)


def test_gradients_are_right_by_finite_differences() -> None:
    import torch

    from edgeaff.torch_ops.adapter import cross_modal_attention

    case = as_tensors(make_case(2, 2, 3, 4, 2, 2, **FULL), torch.float64, gradients=True)
    fixed = {name: value for name, value in case.items() if name not in DIFFERENTIABLE}

    def run(*values: Any) -> Any:
        return cross_modal_attention(**dict(zip(DIFFERENTIABLE, values, strict=True)), **fixed)

    assert torch.autograd.gradcheck(run, [case[name] for name in DIFFERENTIABLE])


def test_gradients_through_the_kernel_equal_those_of_plain_torch() -> None:
    import torch

    from edgeaff.torch_ops import reference
    from edgeaff.torch_ops.adapter import cross_modal_attention

    case = make_case(3, 2, 9, 11, 2, 32, **FULL)
    ours, plain = (as_tensors(case, torch.float32, gradients=True) for _ in range(2))
    cross_modal_attention(**ours).square().sum().backward()
    reference.cross_modal_attention(**plain).square().sum().backward()
    for name in DIFFERENTIABLE:
        # The values the gradients start from differ by their rounding: measured 3e-6 relative.
        torch.testing.assert_close(ours[name].grad, plain[name].grad, atol=1e-4, rtol=1e-4)


def test_only_what_is_asked_for_gets_a_gradient() -> None:
    import torch

    from edgeaff.torch_ops.adapter import cross_modal_attention

    case = as_tensors(make_case(4, 1, 3, 4, 1, 16), torch.float32)
    case["kv_video"].requires_grad_()
    cross_modal_attention(**case).sum().backward()
    assert case["kv_video"].grad is not None
    assert case["q_audio"].grad is None


@pytest.mark.parametrize("options", [{}, FULL], ids=["plain", "all"])
def test_operator_passes_the_checks_of_torch(options: dict) -> None:
    import torch

    from edgeaff.torch_ops.adapter import _operator

    case = as_tensors(make_case(5, 2, 3, 4, 2, 16, **options), torch.float32, gradients=True)
    arguments = (*[case.get(name) for name in NODE_INPUTS], 2, case.get("band", 0))
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(_operator, arguments, test_utils=checks)


def test_bfloat16_and_unusual_head_sizes_run() -> None:
    import torch

    from edgeaff.torch_ops.adapter import cross_modal_attention

    case = make_case(6, 1, 5, 6, 2, 32)
    narrow = as_tensors(case, torch.bfloat16)
    assert cross_modal_attention(**narrow).dtype == torch.bfloat16
    odd = make_case(6, 1, 5, 6, 2, 6)
    result = cross_modal_attention(**as_tensors(odd, torch.float32))
    np.testing.assert_allclose(result.numpy(), float64_result(odd), atol=3e-6)

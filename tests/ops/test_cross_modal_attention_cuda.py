"""The CUDA kernel on a card (`make gpu-check STEP=test`)."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.ops.attention_cases import float64_result, make_case, options, torch_result

pytestmark = [pytest.mark.needs_cuda, pytest.mark.needs_native, pytest.mark.needs_torch]

LENGTHS = (1, 7, 99, 100, 101, 128, 257, 512)
ROWS = ("q_", "kv_", "residual_")


def to_card(case: dict, dtype: Any) -> dict:
    import torch

    card = {}
    for name, value in case.items():
        if isinstance(value, np.ndarray):
            tensor = torch.from_numpy(value).cuda()
            card[name] = tensor.to(dtype) if name.startswith(ROWS) else tensor
        else:
            card[name] = value
    return card


def check(case: dict, dtype_name: str) -> None:
    """At most twice the error of torch's own form on the card, plus one rounding of the largest value."""
    import torch

    from edgeaff.ops.cross_modal_attention import cross_modal_attention

    dtype = getattr(torch, dtype_name)
    card = to_card(case, dtype)
    rounded = {
        name: value.float().cpu().numpy() if name.startswith(ROWS) else case[name] for name, value in card.items()
    }
    truth = float64_result(rounded)
    result = cross_modal_attention(**card)
    torch.cuda.synchronize()
    assert result.dtype == dtype and result.is_cuda
    own_error = np.abs(torch_result(rounded, dtype) - truth).max(initial=0)
    rounding = {"float32": 2**-23, "float16": 2**-11, "bfloat16": 2**-8}[dtype_name]
    error = np.abs(result.float().cpu().numpy() - truth).max(initial=0)
    assert error <= 2 * own_error + rounding * np.abs(truth).max(initial=0)


@pytest.mark.parametrize("option", range(4))
@pytest.mark.parametrize("head_size", [16, 32, 64, 128])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("batch", [1, 3])
def test_error_is_at_most_twice_that_of_torch(batch: int, dtype: str, head_size: int, option: int) -> None:
    for query_count, key_count in itertools.product(LENGTHS, LENGTHS):
        check(make_case(query_count, batch, query_count, key_count, 2, head_size, **options(option, key_count)), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_large_batch(dtype: str) -> None:
    for option in range(4):
        check(make_case(1, 64, 100, 100, 4, 128, **options(option, 100)), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_views_of_a_packed_projection_aligned_or_not(dtype: str) -> None:
    import torch

    from edgeaff.ops.cross_modal_attention import cross_modal_attention

    case = to_card(make_case(2, 2, 33, 33, 2, 32), getattr(torch, dtype))
    expected = cross_modal_attention(**case)
    for offset in (0, 8, 3):
        views = {}
        for which in ("audio", "video"):
            packed = torch.cat([case[f"q_{which}"], case[f"kv_{which}"]], dim=-1)
            held = packed.new_zeros(2, 66, packed.shape[-1] + 8 + offset)
            held[:, ::2, offset : offset + packed.shape[-1]] = packed
            rows = held[:, ::2, offset : offset + packed.shape[-1]]
            views[f"q_{which}"], views[f"kv_{which}"] = rows[..., :64], rows[..., 64:]
        assert torch.equal(cross_modal_attention(**{**case, **views}), expected)


def test_masked_keys_may_hold_anything() -> None:
    import torch

    from edgeaff.ops.cross_modal_attention import cross_modal_attention

    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        case = to_card(make_case(4, 2, 20, 50, 2, 32, masks=True), dtype)
        expected = cross_modal_attention(**case)
        case["kv_audio"][~case["key_mask_audio"]] = float("nan")
        case["kv_video"][~case["key_mask_video"]] = float("inf")
        assert torch.equal(cross_modal_attention(**case), expected)


def test_weights_on_the_card_are_read_there() -> None:
    import torch

    from edgeaff.ops.cross_modal_attention import cross_modal_attention

    case = to_card(make_case(5, 1, 9, 11, 1, 32), torch.float32)
    expected = cross_modal_attention(**case)
    weights = {name: torch.tensor(case[name], device="cuda") for name in ("alpha", "beta")}
    assert torch.equal(cross_modal_attention(**{**case, **weights}), expected)


def test_graph_capture_and_replay_with_new_inputs() -> None:
    import torch

    from edgeaff.torch_ops.adapter import cross_modal_attention

    case = to_card(make_case(6, 1, 100, 100, 4, 128), torch.float16)
    case |= {name: torch.tensor(case[name], device="cuda") for name in ("alpha", "beta")}
    cross_modal_attention(**case)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = cross_modal_attention(**case)
    other = to_card(make_case(7, 1, 100, 100, 4, 128), torch.float16)
    for name in ("q_audio", "kv_audio", "q_video", "kv_video"):
        case[name].copy_(other[name])
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, cross_modal_attention(**case))


def test_repeated_launches_are_equal_to_the_bit() -> None:
    import torch

    from edgeaff.ops.cross_modal_attention import cross_modal_attention

    case = to_card(make_case(8, 64, 100, 100, 4, 128, masks=True), torch.bfloat16)
    first = cross_modal_attention(**case)
    assert all(torch.equal(cross_modal_attention(**case), first) for _ in range(20))


class DeviceArray:
    """A card's memory as a library without DLPack shows it."""

    def __init__(self, tensor: Any) -> None:
        self.tensor = tensor
        self.__cuda_array_interface__ = tensor.__cuda_array_interface__


def test_cuda_array_interface_is_read_and_written_in_place() -> None:
    import torch

    from edgeaff.ops.cross_modal_attention import cross_modal_attention

    case = make_case(9, 1, 9, 11, 1, 32)
    card = to_card(case, torch.float32)
    out = torch.zeros(1, 9, 32, device="cuda")
    shown = {name: DeviceArray(value) if torch.is_tensor(value) else value for name, value in card.items()}
    target = DeviceArray(out)
    assert cross_modal_attention(**shown, out=target) is target
    torch.cuda.synchronize()
    np.testing.assert_allclose(out.cpu().numpy(), float64_result(case), atol=3e-6)


def test_gradients_on_the_card_equal_those_of_the_cpu() -> None:
    import torch

    from edgeaff.torch_ops.adapter import cross_modal_attention

    case = make_case(10, 2, 9, 11, 2, 32, masks=True, band=5, residuals=True)
    names = ["q_audio", "kv_video", "age_bias_audio", "residual_video"]
    gradients = []
    for device in ("cpu", "cuda"):
        tensors = {
            name: torch.from_numpy(value).to(device) if isinstance(value, np.ndarray) else value
            for name, value in case.items()
        }
        for name in names:
            tensors[name].requires_grad_()
        cross_modal_attention(**tensors).square().sum().backward()
        gradients.append([tensors[name].grad.cpu() for name in names])
    for on_cpu, on_card in zip(*gradients, strict=True):
        torch.testing.assert_close(on_card, on_cpu, atol=1e-4, rtol=1e-4)

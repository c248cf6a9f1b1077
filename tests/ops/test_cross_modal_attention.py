"""The CPU kernel against the NumPy twin, on every instruction set that this processor has."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeaff.ops import build_info, native
from edgeaff.ops.cross_modal_attention import cross_modal_attention
from tests.ops.attention_cases import float64_result, make_case, options, torch_result

pytestmark = pytest.mark.needs_native

LENGTHS = (1, 7, 99, 100, 101, 128, 257, 512)
# Lengths, head sizes and options are sampled for the quick run; the slow one takes them all.
QUICK = [
    (1, 100, 100, 4, 128),
    (2, 1, 100, 4, 32),
    (1, 7, 99, 2, 64),
    (3, 101, 101, 1, 128),
    (1, 3, 5, 2, 16),
    (1, 257, 300, 1, 48),
    (1, 128, 512, 2, 32),
    (1, 130, 20, 2, 32),
    (64, 7, 9, 1, 32),
    (1, 1, 1, 1, 256),
]


def assert_close(case: dict, result: np.ndarray) -> None:
    """Measured over these cases: at most 1.2e-6; values are of the order of 1."""
    np.testing.assert_allclose(result, float64_result(case), rtol=0, atol=3e-6)


@pytest.mark.parametrize("option", range(4))
@pytest.mark.parametrize("sizes", QUICK, ids=str)
def test_cpu_kernel_equals_the_numpy_twin(instruction_set: str, sizes: tuple, option: int) -> None:
    case = make_case(option, *sizes, **options(option, sizes[2]))
    assert_close(case, cross_modal_attention(**case))


@pytest.mark.needs_torch
@pytest.mark.parametrize("option", range(4))
@pytest.mark.parametrize("sizes", QUICK, ids=str)
def test_error_is_at_most_twice_that_of_torch(sizes: tuple, option: int) -> None:
    check_against_torch(make_case(option, *sizes, **options(option, sizes[2])))


@pytest.mark.slow
@pytest.mark.needs_torch
@pytest.mark.parametrize("option", range(4))
@pytest.mark.parametrize("head_size", [32, 64, 128])
@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_error_is_at_most_twice_that_of_torch_everywhere(batch: int, head_size: int, option: int) -> None:
    lengths = LENGTHS if batch < 64 else (1, 7, 100)
    for query_count, key_count in itertools.product(lengths, lengths):
        case = make_case(query_count, batch, query_count, key_count, 2, head_size, **options(option, key_count))
        check_against_torch(case)


def check_against_torch(case: dict) -> None:
    """In both types. The floor of one rounding of the largest value is for sizes where torch's error is 0 by luck."""
    import torch

    truth = float64_result(case)
    own_error = np.abs(torch_result(case, torch.float32) - truth).max(initial=0)
    error = np.abs(cross_modal_attention(**case) - truth).max(initial=0)
    assert error <= 2 * own_error + 2**-23 * np.abs(truth).max(initial=0)

    narrow = {
        name: torch.from_numpy(value).bfloat16()
        if isinstance(value, np.ndarray) and not name.startswith(("age_bias", "key_mask"))
        else value
        for name, value in case.items()
    }
    rounded = {name: value.float().numpy() if torch.is_tensor(value) else value for name, value in narrow.items()}
    truth = float64_result(rounded)
    for name in ("age_bias_audio", "age_bias_video", "key_mask_audio", "key_mask_video"):
        if name in narrow:
            narrow[name] = torch.from_numpy(case[name])
    own_error = np.abs(torch_result(rounded, torch.bfloat16) - truth).max(initial=0)
    error = np.abs(cross_modal_attention(**narrow).float().numpy() - truth).max(initial=0)
    assert error <= 2 * own_error + 2**-8 * np.abs(truth).max(initial=0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    batch=st.integers(0, 3),
    query_count=st.integers(1, 40),
    key_count=st.integers(0, 70),
    num_heads=st.integers(1, 3),
    head_size=st.sampled_from([16, 32, 48, 64]),
    masks=st.booleans(),
    band=st.none() | st.integers(1, 80),
    residuals=st.booleans(),
    threads=st.integers(1, 3),
)
def test_any_sizes_equal_the_numpy_twin(
    seed: int,
    batch: int,
    query_count: int,
    key_count: int,
    num_heads: int,
    head_size: int,
    masks: bool,
    band: int | None,
    residuals: bool,
    threads: int,
) -> None:
    case = make_case(
        seed, batch, query_count, key_count, num_heads, head_size, masks=masks, band=band, residuals=residuals
    )
    result = cross_modal_attention(**case, threads=threads)
    assert result.shape == case["q_audio"].shape
    assert_close(case, result)


def test_views_of_one_packed_projection_are_read_in_place() -> None:
    case = make_case(3, 2, 33, 33, 2, 32)
    packed = {which: np.concatenate([case[f"q_{which}"], case[f"kv_{which}"]], axis=-1) for which in ("audio", "video")}
    # Every second tick of a longer recording, batch axis backwards: nothing is contiguous but the channels.
    views = {}
    for which, rows in packed.items():
        held = np.zeros((2, 66, rows.shape[-1]), np.float32)
        held[:, ::2] = rows[::-1]
        views[f"q_{which}"], views[f"kv_{which}"] = held[::-1, ::2, :64], held[::-1, ::2, 64:]
    result = cross_modal_attention(**{**case, **views})
    np.testing.assert_array_equal(result, cross_modal_attention(**case))


@pytest.mark.parametrize("query_count", [1, 20])
def test_what_a_masked_key_holds_does_not_matter(query_count: int) -> None:
    case = make_case(4, 1, query_count, 50, 2, 32, masks=True)
    expected = cross_modal_attention(**case)
    case["kv_audio"][~case["key_mask_audio"]] = np.nan
    case["kv_video"][~case["key_mask_video"]] = np.inf
    np.testing.assert_array_equal(cross_modal_attention(**case), expected)


@pytest.mark.parametrize("query_count", [1, 20])
def test_row_without_keys_is_its_residual_alone(query_count: int) -> None:
    case = make_case(5, 1, query_count, 30, 2, 32, residuals=True)
    case["key_mask_audio"] = case["key_mask_video"] = np.zeros((1, 30), bool)
    expected = 0.7 * case["residual_audio"] - 0.4 * case["residual_video"]
    np.testing.assert_allclose(cross_modal_attention(**case), expected, atol=1e-6)


def test_not_a_number_in_a_query_reaches_its_row_and_no_other(instruction_set: str) -> None:
    case = make_case(6, 1, 9, 40, 2, 32)
    case["q_audio"][0, 4, 3] = np.nan
    result = cross_modal_attention(**case)
    assert np.isnan(result[0, 4, :32]).all()
    assert np.isfinite(result[0, [0, 1, 2, 3, 5, 6, 7, 8]]).all()


def test_scores_far_apart_do_not_overflow(instruction_set: str) -> None:
    case = make_case(7, 1, 20, 33, 1, 32)
    for name in ("q_audio", "q_video"):
        case[name] *= 1e4
    result = cross_modal_attention(**case)
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result, float64_result(case), atol=1e-3)  # one key takes all but near ties


def test_threads_change_nothing() -> None:
    case = make_case(8, 3, 50, 60, 4, 32, masks=True)
    one = cross_modal_attention(**case)
    for threads in (2, 3, 16):
        np.testing.assert_array_equal(cross_modal_attention(**case, threads=threads), one)


def test_out_is_written_and_given_back() -> None:
    case = make_case(9, 2, 5, 6, 2, 16)
    held = np.full((2, 10, 32), 7, np.float32)
    out = held[:, ::2]
    assert cross_modal_attention(**case, out=out) is out
    np.testing.assert_array_equal(out, cross_modal_attention(**case))
    assert (held[:, 1::2] == 7).all()


def test_every_instruction_set_of_this_processor_was_built() -> None:
    native()
    assert build_info()["instruction_set_used"] in build_info()["instruction_sets_built"].split()

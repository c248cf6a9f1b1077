"""Arguments of cross_modal_attention: what is refused and how, and arrays of other libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.ops import build_info, native
from edgeaff.ops.arrays import describe
from edgeaff.ops.cross_modal_attention import cross_modal_attention
from tests.ops.attention_cases import make_case

pytestmark = pytest.mark.needs_native


class CudaArray:
    """What a library without DLPack shows of an array on a card. The address is never followed here."""

    def __init__(self, shape: tuple[int, ...], typestr: str = "<f4", strides: tuple[int, ...] | None = None) -> None:
        self.__cuda_array_interface__: dict[str, Any] = {
            "shape": shape,
            "typestr": typestr,
            "data": (4096, False),
            "strides": strides,
            "version": 3,
            "stream": 7,
        }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q_audio": np.zeros((3, 32), np.float32)}, r"q_audio must have shape \(B, Tq, D\), got \(3, 32\)"),
        ({"kv_audio": np.zeros((1, 5, 32), np.float32)}, r"kv_audio must have shape \(1, 5, 64\)"),
        ({"kv_video": np.zeros((1, 6, 64), np.float32)}, r"kv_video must have shape \(1, 5, 64\), got \(1, 6, 64\)"),
        ({"q_video": np.zeros((1, 3, 32))}, "q_video must be float32, got float64; cast it"),
        ({"num_heads": 3}, "num_heads must be a positive int that divides D = 32, got 3"),
        ({"num_heads": 4}, "head size that is a multiple of 16 up to 256, got head size 8"),
        ({"band": 0}, "band must be a positive int or None, got 0"),
        ({"age_bias_audio": np.zeros((2, 4), np.float32)}, "age_bias_audio must come with a band"),
        ({"band": 3, "age_bias_audio": np.zeros((2, 4), np.float32)}, r"age_bias_audio must have shape \(2, 3\)"),
        ({"key_mask_audio": np.zeros((1, 5), np.float32)}, "key_mask_audio must be bool, got float32"),
        ({"alpha": "half"}, "alpha must be a number or a 0-d array, got 'half'"),
        ({"beta": np.zeros(3)}, "beta must be a number or a 0-d array"),
        ({"threads": 0}, r"threads must be an int in \[1, 256\], got 0"),
        ({"q_audio": [[1.0]]}, "q_audio must be a NumPy array or have __dlpack__"),
        ({"q_audio": np.zeros((1, 3, 64), np.float32)[..., ::2]}, "q_audio must be contiguous along its last axis"),
        ({"out": np.zeros((1, 3, 16), np.float32)}, r"out must have shape \(1, 3, 32\)"),
        ({"q_video": CudaArray((1, 3, 32))}, "q_video must lie on cpu:0 as q_audio does, got cuda:0"),
    ],
)
def test_wrong_argument_is_named_with_what_it_must_be(change: dict, message: str) -> None:
    case = {**make_case(0, 1, 3, 5, 2, 16), **change}
    with pytest.raises(ArgumentError, match=message):
        cross_modal_attention(**case)


def test_float16_is_refused_on_the_cpu() -> None:
    case = make_case(0, 1, 3, 5, 2, 16)
    halves = {name: v.astype(np.float16) if isinstance(v, np.ndarray) else v for name, v in case.items()}
    with pytest.raises(ArgumentError, match="q_audio must be float32 or bfloat16 on the CPU, got float16"):
        cross_modal_attention(**halves)


def test_empty_batch_and_no_keys_at_all() -> None:
    assert cross_modal_attention(**make_case(0, 0, 3, 5, 2, 16)).shape == (0, 3, 32)
    np.testing.assert_array_equal(cross_modal_attention(**make_case(0, 1, 3, 0, 2, 16)), np.zeros((1, 3, 32)))


def test_zero_dimensional_weights_are_numbers() -> None:
    case = make_case(0, 1, 3, 5, 2, 16)
    weights = {"alpha": np.float32(0.5), "beta": np.array(0.25)}
    np.testing.assert_array_equal(
        cross_modal_attention(**{**case, **weights}), cross_modal_attention(**{**case, "alpha": 0.5, "beta": 0.25})
    )


@pytest.mark.needs_torch
def test_dlpack_in_is_the_same_kind_out() -> None:
    import torch

    case = make_case(1, 2, 9, 11, 2, 32, masks=True, band=6, residuals=True)
    tensors = {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in case.items()}
    result = cross_modal_attention(**tensors)
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), cross_modal_attention(**case))


class Exporter:
    """A library that offers DLPack and the array API, as CuPy and JAX do."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.dtype, self.device = array, array.dtype, "cpu"

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    @staticmethod
    def __array_namespace__() -> Any:
        class Namespace:
            @staticmethod
            def empty(shape: tuple, *, dtype: Any, device: str) -> Exporter:
                assert device == "cpu"
                return Exporter(np.empty(shape, dtype))

        return Namespace


def test_any_exporter_of_dlpack_is_read_and_its_kind_given_back() -> None:
    case = make_case(1, 2, 9, 11, 2, 32, masks=True, band=6, residuals=True)
    shown = {name: Exporter(v) if isinstance(v, np.ndarray) else v for name, v in case.items()}
    result = cross_modal_attention(**shown)
    assert isinstance(result, Exporter)
    np.testing.assert_array_equal(result.array, cross_modal_attention(**case))


@pytest.mark.needs_torch
def test_tensor_with_gradient_is_sent_to_the_adapter() -> None:
    import torch

    case = make_case(1, 1, 2, 3, 1, 16)
    case = {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in case.items()}
    case["q_audio"].requires_grad_()
    with pytest.raises(ArgumentError, match="torch_ops.adapter"):
        cross_modal_attention(**case)


def test_cuda_array_interface_is_read_in_place() -> None:
    operand = describe(CudaArray((2, 3, 32), "<f2", (512, 128, 2)), "q_audio")
    assert (operand.address, operand.shape, operand.strides) == (4096, (2, 3, 32), (256, 64, 1))
    assert (operand.dtype, operand.device, operand.stream) == ("float16", "cuda", 7)
    assert describe(CudaArray((2, 3, 32)), "q_audio").strides == (96, 32, 1)


def test_arrays_on_a_card_without_a_cuda_build_say_what_to_install() -> None:
    if build_info()["cuda"]:
        expected: tuple[type[Exception], str] = (
            ArgumentError,
            "head size of 16, 32, 64 or 128 on CUDA, got head size 8",
        )
    else:
        expected = (BackendUnavailableError, "install the CUDA toolkit .* EDGEAFF_CUDA=ON")
    rows, keys = CudaArray((1, 3, 32)), CudaArray((1, 5, 64))
    with pytest.raises(expected[0], match=expected[1]):
        cross_modal_attention(rows, keys, rows, keys, 1.0, 1.0, num_heads=4, out=CudaArray((1, 3, 32)))


def test_build_without_cuda_holds_none_of_it_and_one_with_it_names_its_architectures() -> None:
    info = build_info()
    holds_runtime = b"cudaLaunchKernel" in Path(str(native().__file__)).read_bytes()
    assert info["cuda"] == holds_runtime == bool(info["cuda_architectures"])
    assert info["cuda"] == hasattr(native(), "cross_modal_attention_cuda")


def test_device_array_of_an_unknown_library_needs_out() -> None:
    rows, keys = CudaArray((1, 3, 32)), CudaArray((1, 5, 64))
    with pytest.raises(ArgumentError, match="out must be given for arrays of type CudaArray"):
        cross_modal_attention(rows, keys, rows, keys, 1.0, 1.0, num_heads=1)


def test_op_imports_without_torch() -> None:
    code = "import sys, edgeaff.ops.cross_modal_attention, edgeaff.ops.reference; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_bias_without_dimensions_and_band_is_an_argument_error():
    q, kv = np.zeros((1, 2, 8), np.float32), np.zeros((1, 2, 16), np.float32)
    with pytest.raises(ArgumentError, match="must come with a band"):
        cross_modal_attention(q, kv, q, kv, 1.0, 1.0, num_heads=2, age_bias_audio=np.array(0.5, np.float32))

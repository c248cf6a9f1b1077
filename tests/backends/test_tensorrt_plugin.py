"""The plugin's body over plain addresses: on the host with our CPU kernel as its twin, on a GPU with torch's memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeaff.backends import tensorrt_plugin
from edgeaff.backends.tensorrt_plugin import FusionNode, Tensor, attend, expected_type, launch_cuda
from edgeaff.errors import ArgumentError, BackendUnavailableError, DeviceError
from edgeaff.ops import native
from edgeaff.ops.cross_modal_attention import NODE_INPUTS
from tests.ops.attention_cases import float64_result, make_case

pytestmark = pytest.mark.needs_native
CASES = [
    pytest.param((1, 1, 100, 4, 16), {"masks": True, "band": 100, "residuals": True}, id="edge step"),
    pytest.param((1, 100, 100, 4, 128), {"masks": True}, id="paper window"),
    pytest.param((2, 7, 13, 2, 32), {"residuals": True}, id="residuals without masks"),
    pytest.param((3, 5, 5, 1, 64), {}, id="plain"),
    pytest.param((2, 1, 3, 2, 16), {"band": 3}, id="biases alone"),
]


def launch_host(*packed: Any) -> str:
    """The CPU kernel with the launcher's arguments; the stream is left out."""
    return "" if native().cross_modal_attention_cpu(*packed[:-1], 1) else "cudaErrorInvalidValue"


def arguments(case: dict[str, Any], place: Any) -> tuple[list[Tensor], int]:
    """Returns the plugin's inputs and which of the twelve they are; `place` puts an array somewhere and returns its Tensor."""
    arrays = {**case, "alpha": np.float32(case["alpha"]), "beta": np.float32(case["beta"])}
    given = sum(1 << index for index, name in enumerate(NODE_INPUTS) if name in arrays)
    return [
        place(np.ascontiguousarray(arrays[name]).reshape(np.shape(arrays[name])))
        for name in NODE_INPUTS
        if name in arrays
    ], given


class Host:
    """Keeps arrays alive and gives their addresses."""

    def __init__(self) -> None:
        self.kept: list[np.ndarray] = []

    def __call__(self, array: np.ndarray) -> Tensor:
        self.kept.append(array)
        return Tensor(array.ctypes.data, array.shape, str(array.dtype))


@pytest.mark.parametrize(("sizes", "options"), CASES)
def test_attend_equals_the_twin(sizes: tuple[int, ...], options: dict[str, Any]) -> None:
    case = make_case(7, *sizes, **options)
    host = Host()
    inputs, given = arguments(case, host)
    result = np.full(case["q_audio"].shape, np.nan, np.float32)
    node = FusionNode(case["num_heads"], case.get("band") or 0, given)
    attend(inputs, host(result), node, stream=3, launch=launch_host)
    assert np.abs(result - float64_result(case)).max() < 2e-6


@pytest.mark.needs_cuda
@pytest.mark.needs_torch
@pytest.mark.parametrize(("sizes", "options"), CASES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_attend_on_a_gpu(sizes: tuple[int, ...], options: dict[str, Any], dtype: str) -> None:
    import torch

    case = make_case(7, *sizes, **options)
    kept = []

    def place(array: np.ndarray) -> Tensor:
        narrow = array.dtype == np.float32 and array.ndim == 3
        tensor = torch.from_numpy(np.atleast_1d(array)).cuda().to(getattr(torch, dtype) if narrow else None)
        kept.append(tensor)
        return Tensor(tensor.data_ptr(), array.shape, str(tensor.dtype).removeprefix("torch."))

    inputs, given = arguments(case, place)
    output = place(np.full(case["q_audio"].shape, np.nan, np.float32))
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    attend(inputs, output, FusionNode(case["num_heads"], case.get("band") or 0, given), stream=stream.cuda_stream)
    stream.synchronize()
    difference = np.abs(kept[-1].float().cpu().numpy() - float64_result(case)).max()
    assert difference < (1e-5 if dtype == "float32" else 2e-2)


def test_arguments_are_checked_before_the_kernel_reads_them() -> None:
    case = make_case(1, 1, 2, 3, 2, 16, masks=True)
    host = Host()
    inputs, given = arguments(case, host)
    output = host(np.zeros((1, 2, 32), np.float32))

    def call(changed: list[Tensor], *, launch: Any = launch_host, **attributes: int) -> None:
        node = FusionNode(**{"num_heads": 2, "band": 0, "given": given, **attributes})
        attend(changed, output, node, stream=0, launch=launch)

    call(inputs)
    with pytest.raises(ArgumentError, match="given must name 8 inputs"):
        call(inputs, given=0x3F)
    with pytest.raises(ArgumentError, match="given must name 7 inputs and among them q_audio"):
        call(inputs[1:], given=given & ~1)
    with pytest.raises(ArgumentError, match=r"kv_video must be float32 of shape \(1, 3, 64\), got float16"):
        call([*inputs[:3], Tensor(inputs[3].address, inputs[3].shape, "float16"), *inputs[4:]])
    with pytest.raises(ArgumentError, match=r"key_mask_audio must be bool of shape \(1, 3\), got bool of \(1, 2\)"):
        call([*inputs[:6], Tensor(inputs[6].address, (1, 2), "bool"), *inputs[7:]])
    with pytest.raises(ArgumentError, match="q_audio must be float32, float16 or bfloat16 of whole heads"):
        call(inputs, num_heads=5)
    with pytest.raises(DeviceError, match="got cudaErrorNoKernelImageForDevice"):
        call(inputs, launch=lambda *packed: "cudaErrorNoKernelImageForDevice")


def test_strides_and_addresses_are_those_of_contiguous_arrays() -> None:
    case = make_case(2, 2, 3, 5, 2, 16, masks=True, band=4, residuals=True)
    inputs, given = arguments(case, Host())
    seen: list[Any] = []

    def note(*packed: Any) -> str:
        seen.append(packed)
        return ""

    attend(inputs, inputs[0], FusionNode(2, 4, given), stream=11, launch=note)
    sizes, audio, video, weights, output, stream = seen[0]
    named = dict(zip(NODE_INPUTS, inputs, strict=True))
    assert sizes == (0, 2, 3, 5, 2, 16, 4)
    assert audio == (
        named["q_audio"].address,
        96,
        32,
        named["kv_audio"].address,
        320,
        64,
        named["key_mask_audio"].address,
        5,
        named["age_bias_audio"].address,
        named["residual_audio"].address,
        96,
        32,
    )
    assert video[0] == named["q_video"].address
    assert weights == (0.0, 0.0, named["alpha"].address, named["beta"].address)
    assert (output, stream) == ((named["q_audio"].address, 96, 32), 11)


def test_types_that_the_plugin_takes() -> None:
    given = 0b111111111111
    kinds = [expected_type(position, 12, given, "float16") for position in range(13)]
    assert kinds == ["float16"] * 4 + ["float32"] * 2 + ["bool"] * 2 + ["float32"] * 2 + ["float16"] * 3
    closed_up = 0b110011111111
    assert [expected_type(position, 10, closed_up, "float32") for position in (8, 9, 10)] == ["float32"] * 3
    assert expected_type(6, 10, closed_up, "float32") == "bool"


def test_the_launcher_is_that_of_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tensorrt_plugin, "native", lambda: SimpleNamespace(cross_modal_attention_cuda=lambda *packed: f"{len(packed)}")
    )
    assert launch_cuda(1, 2, 3, 4, 5, 6) == "6"
    monkeypatch.setattr(tensorrt_plugin, "native", SimpleNamespace)
    with pytest.raises(BackendUnavailableError, match="EDGEAFF_CUDA=ON"):
        launch_cuda()

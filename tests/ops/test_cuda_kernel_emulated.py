"""The CUDA kernels' index arithmetic, run on the host thread by thread (tests/cpp/emulation/cuda_emulation.h), against the NumPy twin."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaff.export.pack_step import round_to_bfloat16
from tests.ops.attention_cases import float64_result, make_case

pytestmark = pytest.mark.needs_nvcc  # for its headers

TYPES = {"float32": 0, "float16": 1, "bfloat16": 2}


@pytest.fixture(scope="module")
def emulate(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Any:
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    # nvcc may be a wrapper; it knows where its headers are.
    output = subprocess.run([nvcc, "--dryrun", "-c", "-x", "cu", "/dev/null"], capture_output=True, text=True).stderr
    top = next(line.split("=", 1)[1] for line in output.splitlines() if line.startswith("#$ TOP="))
    library = tmp_path_factory.mktemp("emulated") / "attention.so"
    subprocess.run(
        [
            "g++",
            "-std=c++17",
            "-O1",
            "-fPIC",
            "-shared",
            "-Wall",
            "-Werror",
            "-Wno-unknown-pragmas",
            f"-I{top}/include",
            f"-I{root}/csrc/include",
            f"-I{root}/csrc/kernels",
            f"-I{root}/tests/cpp/emulation",
            str(root / "tests/cpp/emulation/emulated_attention.cc"),
            "-o",
            str(library),
        ],
        check=True,
    )
    return ctypes.CDLL(str(library)).emulate


def narrow(values: np.ndarray, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values as they lie in memory, and as the float32 that they stand for."""
    if dtype == "bfloat16":
        bits = round_to_bfloat16(values)
        return bits, (bits.astype(np.uint32) << 16).view(np.float32)
    stored = values.astype(dtype)
    return stored, stored.astype(np.float32)


def run(
    emulate: Any,
    case: dict,
    dtype: str,
    *,
    padding: int = 0,
    row_warps: int = 1,
    aligned: bool = True,
    online: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the emulated kernel's result and the NumPy twin's of the same rounded inputs."""
    stored, rounded = {}, dict(case)
    for name, value in case.items():
        if name.startswith(("q_", "kv_", "residual_")):
            stored[name], rounded[name] = narrow(value, dtype)
            if name.startswith("kv_"):
                room = np.zeros((*value.shape[:2], value.shape[2] + padding), stored[name].dtype)
                room[..., : value.shape[2]] = stored[name]
                stored[name] = room
        elif isinstance(value, np.ndarray):
            stored[name] = np.ascontiguousarray(value)
    batch, query_count, channels = case["q_audio"].shape
    heads = case["num_heads"]
    sizes = [TYPES[dtype], batch, query_count, case["kv_audio"].shape[1], heads, channels // heads, case.get("band", 0)]
    out = np.zeros_like(stored["q_audio"])

    def addresses(which: str) -> Any:
        names = [f"{part}_{which}" for part in ("q", "kv", "key_mask", "age_bias", "residual")]
        return (ctypes.c_void_p * 5)(*[stored[name].ctypes.data if name in stored else None for name in names])

    weights = (ctypes.c_float * 2)(case["alpha"], case["beta"])
    failed = emulate(
        (ctypes.c_int64 * 7)(*sizes),
        addresses("audio"),
        addresses("video"),
        weights,
        ctypes.c_void_p(out.ctypes.data),
        ctypes.c_int64(padding),
        row_warps,
        int(aligned),
        int(online),
    )
    assert not failed
    wide = (out.astype(np.uint32) << 16).view(np.float32) if dtype == "bfloat16" else out.astype(np.float32)
    return wide, float64_result(rounded)


def assert_close(result: np.ndarray, truth: np.ndarray, dtype: str) -> None:
    """Probabilities and result are rounded once each: bounds are a few roundings of the largest value
    (measured: float32 3e-7 where sums of 128 products are long)."""
    bound = {"float32": 2**-20, "float16": 2**-9, "bfloat16": 2**-6}[dtype]
    np.testing.assert_allclose(result, truth, rtol=0, atol=bound * max(1.0, np.abs(truth).max(initial=0)))


@pytest.mark.parametrize("option", range(4), ids=["plain", "masks", "band", "all"])
@pytest.mark.parametrize(
    ("dtype", "head_size", "online"),
    [
        ("float32", 32, False),
        ("float16", 32, False),
        ("float16", 32, True),
        ("bfloat16", 32, False),
        ("bfloat16", 32, True),
    ],
)
@pytest.mark.parametrize("lengths", [(1, 7), (17, 100), (20, 37)], ids=str)
def test_kernel_equals_the_numpy_twin(
    emulate: Any, lengths: tuple, dtype: str, head_size: int, online: bool, option: int
) -> None:
    band = max(1, lengths[1] // 2) if option & 2 else None
    case = make_case(option, 2, *lengths, 2, head_size, masks=bool(option & 1), band=band, residuals=bool(option & 2))
    assert_close(*run(emulate, case, dtype, online=online), dtype)


@pytest.mark.parametrize("row_warps", [1, 2, 4])
@pytest.mark.parametrize(("dtype", "online"), [("float32", False), ("float16", False), ("float16", True)])
def test_any_number_of_warps_gives_the_same(emulate: Any, dtype: str, online: bool, row_warps: int) -> None:
    case = make_case(7, 1, 70, 100, 1, 32, masks=True, band=40, residuals=True)
    result, truth = run(emulate, case, dtype, row_warps=row_warps, online=online)
    assert_close(result, truth, dtype)
    np.testing.assert_array_equal(result, run(emulate, case, dtype, row_warps=1, online=online)[0])


@pytest.mark.parametrize("head_size", [16, 128])
@pytest.mark.parametrize(("dtype", "online"), [("float32", False), ("float16", False), ("float16", True)])
def test_other_head_sizes(emulate: Any, dtype: str, online: bool, head_size: int) -> None:
    assert_close(*run(emulate, make_case(8, 1, 16, 100, 2, head_size), dtype, online=online), dtype)


def test_rows_that_are_not_aligned_are_copied_one_by_one(emulate: Any) -> None:
    case = make_case(9, 1, 5, 33, 1, 32)
    for online in (False, True):
        assert_close(*run(emulate, case, "float16", padding=3, aligned=False, online=online), "float16")


@pytest.mark.parametrize(("query_count", "key_count", "band"), [(40, 10, 4), (3, 300, 5), (90, 90, 1), (5, 0, None)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bands_outside_the_keys_and_long_sequences(
    emulate: Any, dtype: str, query_count: int, key_count: int, band: int | None
) -> None:
    case = make_case(10, 1, query_count, key_count, 1, 32, band=band, residuals=True)
    assert_close(*run(emulate, case, dtype, online=True), dtype)


@pytest.mark.parametrize(("dtype", "online"), [("float32", False), ("float16", False), ("bfloat16", True)])
def test_masked_keys_may_hold_anything(emulate: Any, dtype: str, online: bool) -> None:
    case = make_case(11, 2, 9, 60, 1, 32, masks=True)
    case["kv_audio"][~case["key_mask_audio"]] = np.inf
    case["kv_video"][~case["key_mask_video"]] = np.nan
    result, truth = run(emulate, case, dtype, online=online)
    assert_close(result, truth, dtype)

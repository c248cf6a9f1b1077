"""Arguments of the compiled ops that no caller should pass: an ArgumentError or the right numbers, never a signal."""

from __future__ import annotations

import ctypes
import mmap
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.ops.crop_resize import crop_resize_planes
from edgeaff.ops.cross_modal_attention import cross_modal_attention
from tests.ops.attention_cases import make_case
from tests.ops.exporters import Forged, Raising

pytestmark = pytest.mark.needs_native
BATCH, QUERIES, KEYS, HEADS, HEAD_SIZE = 1, 3, 5, 2, 16
ARRAYS = ("q_audio", "kv_audio", "q_video", "kv_video")


def case(**changes: Any) -> dict[str, Any]:
    return {**make_case(0, BATCH, QUERIES, KEYS, HEADS, HEAD_SIZE), **changes}


# --- NumPy arrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["V0", "S0", "U0", "V4", "O", "M8[s]", "f8", "c8", "i4", [("x", "f4")], [("x", "f4", (0,))]]
)
@pytest.mark.parametrize("name", [*ARRAYS, "out", "residual_audio", "age_bias_audio", "key_mask_audio"])
def test_array_of_another_type_is_refused(dtype: Any, name: str) -> None:
    shapes = {
        "age_bias_audio": (HEADS, 4),
        "key_mask_audio": (BATCH, KEYS),
        "kv_audio": (BATCH, KEYS, 64),
        "kv_video": (BATCH, KEYS, 64),
    }
    array = np.zeros(shapes.get(name, (BATCH, QUERIES, 32)), dtype)
    with pytest.raises(ArgumentError, match=f"{name} must"):
        cross_modal_attention(**case(**{name: array}), band=4)


@pytest.mark.parametrize("name", [*ARRAYS, "residual_audio", "age_bias_audio"])
def test_big_endian_input_gives_the_same_numbers(name: str) -> None:
    rng = np.random.default_rng(1)
    extra = {
        "residual_audio": rng.standard_normal((BATCH, QUERIES, 32)).astype("f4"),
        "age_bias_audio": rng.standard_normal((HEADS, 4)).astype("f4"),
    }
    plain = case(**extra)
    expected = cross_modal_attention(**plain, band=4)
    swapped = {**plain, name: plain[name].astype(">f4")}
    found = cross_modal_attention(**swapped, band=4)
    assert found.dtype == np.float32 and found.dtype.isnative
    np.testing.assert_array_equal(found, expected)


def test_all_big_endian_inputs_give_the_same_numbers() -> None:
    plain = case()
    swapped = {**plain, **{name: plain[name].astype(">f4") for name in ARRAYS}}
    np.testing.assert_array_equal(cross_modal_attention(**swapped), cross_modal_attention(**plain))


def test_input_at_an_odd_address_gives_the_same_numbers() -> None:
    plain = case()
    odd = {}
    for name in ARRAYS:
        memory = np.zeros(plain[name].nbytes + 1, np.uint8)
        odd[name] = memory[1:].view(np.float32).reshape(plain[name].shape)
        odd[name][:] = plain[name]
        assert not odd[name].flags.aligned
    np.testing.assert_array_equal(cross_modal_attention(**{**plain, **odd}), cross_modal_attention(**plain))


def test_masked_array_is_refused() -> None:
    plain = case()
    with pytest.raises(ArgumentError, match="masked"):
        cross_modal_attention(**{**plain, "q_audio": np.ma.masked_array(plain["q_audio"], mask=True)})


# --- what is written to ---------------------------------------------------------------------------------------------------


def read_only_outputs(tmp_path: Path, shape: tuple[int, ...], dtype: Any) -> list[np.ndarray]:
    frozen = np.zeros(shape, dtype)
    frozen.flags.writeable = False
    (tmp_path / "file").write_bytes(bytes(frozen.nbytes))
    mapped = np.memmap(tmp_path / "file", dtype, mode="r", shape=shape)
    page = mmap.mmap(-1, max(frozen.nbytes, 1), prot=mmap.PROT_READ)
    return [
        frozen,
        mapped,
        np.frombuffer(bytes(frozen.nbytes), dtype).reshape(shape),
        np.frombuffer(page, dtype)[: frozen.size].reshape(shape),
    ]


def test_read_only_out_is_refused_by_attention(tmp_path: Path) -> None:
    for out in read_only_outputs(tmp_path, (BATCH, QUERIES, 32), np.float32):
        with pytest.raises(ArgumentError, match="out must be writable"):
            cross_modal_attention(**case(), out=out)
        assert not out.any()


def test_read_only_out_is_refused_by_crop_resize(tmp_path: Path) -> None:
    image = np.full((8, 8, 3), 200, np.uint8)
    for out in read_only_outputs(tmp_path, (3, 4, 4), np.uint8):
        with pytest.raises(ArgumentError, match="out must be contiguous and writable"):
            crop_resize_planes(image, (0, 0, 8, 8), out, width=4, height=4)
        assert not out.any()


@pytest.mark.parametrize("dtype", [">f4", "f8", "V0"])
def test_out_of_another_type_or_order_is_refused(dtype: str) -> None:
    with pytest.raises(ArgumentError, match="out must be"):
        cross_modal_attention(**case(), out=np.zeros((BATCH, QUERIES, 32), dtype))


class ReadOnlyExporter:
    """Exports a read-only NumPy array by DLPack 1, as libraries with immutable arrays do."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)


def test_read_only_exporter_is_refused_as_out() -> None:
    array = np.zeros((BATCH, QUERIES, 32), np.float32)
    array.flags.writeable = False
    with pytest.raises(ArgumentError, match="out must be"):
        cross_modal_attention(**case(), out=ReadOnlyExporter(array))
    assert not array.any()


# --- DLPack ---------------------------------------------------------------------------------------------------------------


FORGED = {
    "null data": {"data": None},
    "two lanes of 16 bits": {"bits": 16, "lanes": 2},
    "no lanes": {"lanes": 0},
    "absent shape": {"sizes_at": ctypes.POINTER(ctypes.c_int64)()},
    "negative number of axes": {"ndim": -1},
    "many axes": {"ndim": 1 << 30},
    "negative size": {"shape_of": (-1, QUERIES, 32)},
    "size that overflows": {"shape_of": (1 << 62, 1 << 62, 32)},
    "other device in the capsule": {"device_type": 2},
    "unknown device": {"device": (7, 0)},
    "device that is no pair": {"device": ()},
    "used capsule": {"name": b"used_dltensor"},
    "other capsule": {"name": b"other"},
    "complex": {"code": 5, "bits": 64},
}


@pytest.mark.parametrize("what", sorted(FORGED))
def test_forged_dlpack_is_refused(what: str) -> None:
    options = dict(FORGED[what])
    shape = options.pop("shape_of", (BATCH, QUERIES, 32))
    exporter = Forged(shape, **options)
    for name in ("q_audio", "out"):
        with pytest.raises(ArgumentError, match=f"{name} must"):
            cross_modal_attention(**case(**{name: exporter}))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("v"),
        KeyError("k"),
        TypeError("t"),
        RuntimeError("r"),
        BufferError("b"),
        ZeroDivisionError(),
        MemoryError(),
    ],
    ids=repr,
)
def test_exporter_that_raises_is_an_argument_error(error: BaseException) -> None:
    with pytest.raises(ArgumentError, match="q_audio must"):
        cross_modal_attention(**case(q_audio=Raising(error)))


@pytest.mark.parametrize(
    "interface",
    [
        {},
        {"shape": 3},
        {"shape": (1, 3, 32), "typestr": "|V0", "data": (0, False)},
        {"shape": (1, 3, 32), "typestr": "<f4", "data": None},
        {"shape": (1, 3, 32), "typestr": "<f4", "data": (0, False)},
        {"shape": (1, 3, 32), "typestr": "no", "data": (64, False)},
        7,
    ],
)
def test_malformed_cuda_interface_is_refused(interface: Any) -> None:
    array = type("Array", (), {"__cuda_array_interface__": interface})()
    with pytest.raises(ArgumentError, match="q_audio must"):
        cross_modal_attention(**case(q_audio=array))


@pytest.mark.needs_torch
def test_tensor_without_memory_is_refused() -> None:
    import torch

    empty = torch.zeros(BATCH, QUERIES, 32)
    empty.untyped_storage().resize_(0)
    sparse = torch.zeros(BATCH, QUERIES, 32).to_sparse()
    plain = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in case().items()
    }
    for tensor in (empty, sparse, torch.zeros(BATCH, QUERIES, 32, device="meta")):
        for name in ("q_audio", "q_video"):
            with pytest.raises(ArgumentError):
                cross_modal_attention(**{**plain, name: tensor})


# --- numbers --------------------------------------------------------------------------------------------------------------

HUGE = [2**31, 2**40, 2**63, 2**64, -(2**63), 0, -1, True, 1.0, "2", None, [2]]


@pytest.mark.parametrize("value", HUGE, ids=repr)
def test_number_of_heads_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="num_heads must"):
        cross_modal_attention(**case(num_heads=value))


@pytest.mark.parametrize("value", HUGE, ids=repr)
def test_number_of_threads_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="threads must"):
        cross_modal_attention(**case(threads=value))


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "2", [2]], ids=repr)
def test_band_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match="band must"):
        cross_modal_attention(**case(band=value))


@pytest.mark.parametrize("band", [KEYS, 2**31, 2**40, 2**63, 2**200, np.int64(7)])
def test_band_of_all_keys_is_as_good_as_none(band: Any) -> None:
    plain = case(
        q_audio=np.ones((1, 1, 32), np.float32), q_video=np.ones((1, 1, 32), np.float32)
    )  # the newest query sees every key
    np.testing.assert_array_equal(cross_modal_attention(**plain, band=band), cross_modal_attention(**plain))


@pytest.mark.parametrize("weight", [None, "half", 1j, [1.0], np.zeros(2), 10**400, object()], ids=repr)
def test_weight_that_is_no_number_is_refused(weight: Any) -> None:
    with pytest.raises(ArgumentError, match="alpha must"):
        cross_modal_attention(**case(alpha=weight))


def test_result_beyond_memory_is_an_argument_error() -> None:
    view = np.broadcast_to(np.ones((1, 1, 32), np.float32), (1 << 24, 1 << 14, 32))
    pair = np.broadcast_to(np.ones((1, 1, 64), np.float32), (1 << 24, 5, 64))
    for threads in (1, 2):
        with pytest.raises(ArgumentError, match="memory"):
            cross_modal_attention(view, pair, view, pair, 1.0, 1.0, num_heads=2, threads=threads)


def test_work_beyond_memory_is_an_argument_error_on_every_thread() -> None:
    code = """
import resource, numpy as np
from edgeaff.errors import ArgumentError
from edgeaff.ops.cross_modal_attention import cross_modal_attention
query = np.ones((4, 100, 64), np.float32)
pair = np.broadcast_to(np.ones((1, 1, 128), np.float32), (4, 1 << 25, 128))
cross_modal_attention(query, pair[:, :50], query, pair[:, :50], 1.0, 1.0, num_heads=4, threads=2)
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for threads in (1, 2):
    for band in (None, 1 << 40):
        try:
            cross_modal_attention(query, pair, query, pair, 1.0, 1.0, num_heads=4, threads=threads, band=band)
        except ArgumentError as error:
            assert "memory" in str(error)
        else:
            raise SystemExit("taken")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

"""Arrays of any library as addresses, shapes and strides: NumPy, DLPack (torch, CuPy), `__cuda_array_interface__`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.ops import native

_DLPACK_TYPES = {(2, 32): "float32", (2, 16): "float16", (4, 16): "bfloat16", (6, 8): "bool", (1, 8): "uint8"}
_DLPACK_DEVICES = {1: "cpu", 3: "cpu", 2: "cuda", 13: "cuda"}  # 3 pinned host memory, 13 managed memory
_NUMPY_NUMBERS = {
    np.dtype(np.float32).num: "float32",
    np.dtype(np.float16).num: "float16",
    np.dtype(np.bool_).num: "bool",
    np.dtype(np.uint8).num: "uint8",
}
_NUMPY_TYPES = {
    np.dtype(np.float32): "float32",
    np.dtype(np.float16): "float16",
    np.dtype(np.bool_): "bool",
    np.dtype(np.uint8): "uint8",
}


@dataclass(slots=True)
class Operand:
    """Where an array lies.

    Attributes:
        name: of the argument, for messages.
        address: of the first element.
        shape: sizes.
        strides: in elements.
        dtype: float32, float16, bfloat16, bool, uint8, or the name that the array gives itself.
        device: "cpu" or "cuda".
        device_index: which card.
        stream: CUDA stream that the array names, or None.
        owner: keeps the memory alive.
    """

    name: str
    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    device: str
    device_index: int
    stream: int | None
    owner: Any


def describe(array: Any, name: str) -> Operand:
    """Returns where the array lies; copies nothing.

    Args:
        array: a NumPy array, or anything with `__dlpack__` or `__cuda_array_interface__`.
        name: of the argument, for messages.

    Returns:
        The description, which keeps the array alive.

    Raises:
        ArgumentError: it is no such array, or one that cannot be read in place.
    """
    if isinstance(array, np.ndarray):
        return _describe_numpy(array, name)
    if type(array).__module__ == "torch" and not array.requires_grad:
        return _describe_torch(array, name)
    if hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
        return _describe_dlpack(array, name)
    if hasattr(array, "__cuda_array_interface__"):
        return _describe_cuda(array, name)
    raise ArgumentError(
        f"{name} must be a NumPy array or have __dlpack__ or __cuda_array_interface__, got {type(array).__name__}; "
        "convert it with numpy.asarray."
    )


def empty_like(array: Any, shape: tuple[int, ...]) -> Any:
    """Returns a new array of the same library, dtype and device, contiguous.

    Args:
        array: what the caller handed in.
        shape: of the new array.

    Returns:
        An uninitialised array.

    Raises:
        ArgumentError: the library offers no way that we know.
    """
    if isinstance(array, np.ndarray):
        return np.empty(shape, array.dtype)
    if hasattr(array, "new_empty"):  # torch
        return array.new_empty(shape)
    namespace = getattr(array, "__array_namespace__", None)
    if namespace is not None:  # array API: CuPy, JAX and others
        return namespace().empty(shape, dtype=array.dtype, device=array.device)
    if type(array).__module__.startswith("pycuda"):
        return importlib.import_module("pycuda.gpuarray").empty(shape, array.dtype)
    raise ArgumentError(
        f"out must be given for arrays of type {type(array).__name__}, got None; pass out= an array of shape {shape}."
    )


def _describe_numpy(array: np.ndarray, name: str) -> Operand:
    """Returns a NumPy array's description.

    Raises:
        ArgumentError: it cannot be read in place.
    """
    address, shape, strides, number = native().describe_numpy(array)
    if strides is None:
        raise ArgumentError(
            f"{name} must have strides that are multiples of its {array.itemsize} bytes, got {array.strides}; copy it first."
        )
    dtype = _NUMPY_NUMBERS.get(number) or str(array.dtype)
    return Operand(name, address, shape, strides, dtype, "cpu", 0, None, array)


def _describe_torch(array: Any, name: str) -> Operand:
    """Returns a torch tensor's description by its own attributes: a quarter of the time of DLPack, and no import."""
    device, index = "cpu", 0
    if not array.is_cpu:
        device, index = array.device.type, array.device.index or 0
    dtype = _name_torch_type(array.dtype)
    return Operand(name, array.data_ptr(), tuple(array.shape), array.stride(), dtype, device, index, None, array)


@cache
def _name_torch_type(dtype: Any) -> str:
    """Returns a torch type's name without the module."""
    return str(dtype).removeprefix("torch.")


def _describe_dlpack(array: Any, name: str) -> Operand:
    """Returns a DLPack exporter's description; its capsule is kept and never consumed.

    Raises:
        ArgumentError: it cannot be read in place.
    """
    device_type = int(array.__dlpack_device__()[0])
    if device_type not in _DLPACK_DEVICES:
        raise ArgumentError(
            f"{name} must lie in host or CUDA memory, got DLPack device type {device_type}; copy it to the CPU."
        )
    device = _DLPACK_DEVICES[device_type]
    try:
        # -1: the exporter makes no stream wait; the caller names the stream that orders the work.
        capsule = array.__dlpack__(stream=-1) if device == "cuda" else array.__dlpack__()
    except (BufferError, RuntimeError, TypeError) as error:
        raise ArgumentError(
            f"{name} must be an array that DLPack can export, got {type(array).__name__}: {error}; "
            "detach it, or use edgeaff.ops.torch_adapter for tensors with gradients."
        ) from error
    address, _, index, code, bits, shape, strides = native().describe_dlpack(capsule)
    dtype = _DLPACK_TYPES.get((code, bits), f"DLPack type code {code} of {bits} bits")
    return Operand(name, address, shape, strides, dtype, device, index, None, (array, capsule))


def _describe_cuda(array: Any, name: str) -> Operand:
    """Returns the description of a device array by `__cuda_array_interface__` (version 3).

    Raises:
        ArgumentError: it cannot be read in place.
    """
    interface = array.__cuda_array_interface__
    dtype = np.dtype(interface["typestr"])
    shape = tuple(interface["shape"])
    strides = interface.get("strides")
    if strides is None:
        strides = tuple(int(np.prod(shape[axis + 1 :], dtype=np.int64)) * dtype.itemsize for axis in range(len(shape)))
    if any(stride % dtype.itemsize for stride in strides):
        raise ArgumentError(
            f"{name} must have strides that are multiples of its {dtype.itemsize} bytes, got {strides}; copy it first."
        )
    return Operand(
        name,
        int(interface["data"][0]),
        shape,
        tuple(stride // dtype.itemsize for stride in strides),
        _NUMPY_TYPES.get(dtype) or str(dtype),
        "cuda",
        0,
        interface.get("stream"),
        array,
    )

"""Arrays of any library as addresses, shapes and strides: NumPy, DLPack (torch, CuPy), `__cuda_array_interface__`."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from functools import cache
from numbers import Integral
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.ops import native
from edgeaff.parsing.boundary import boundary, reason_of, shown

MOST_ELEMENTS = 1 << 40
_ADVICE = "pass a NumPy array, or an exporter of DLPack 1."
_DLPACK_TYPES = {  # type code, bits, lanes
    (2, 32, 1): "float32",
    (2, 16, 1): "float16",
    (4, 16, 1): "bfloat16",
    (6, 8, 1): "bool",
    (1, 8, 1): "uint8",
}
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
    """Location of an array.

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


def describe(array: Any, name: str, *, writable: bool = False) -> Operand:
    """Returns where the array lies; copies nothing, except for a NumPy array of the other byte order or at an odd address.

    Args:
        array: a NumPy array, or anything with `__dlpack__` or `__cuda_array_interface__`.
        name: of the argument, for messages.
        writable: whether it is written to: then it must not be read-only, nor need a copy.

    Returns:
        The description, which keeps the array alive.

    Raises:
        ArgumentError: it is no such array, or one that cannot be read (or written) in place.
    """
    if type(array) is np.ndarray or isinstance(array, np.ndarray):
        return _describe_numpy(array, name, writable)
    with boundary(ArgumentError, f"{name} must be an array that can be read in place", _ADVICE):
        if type(array).__module__ == "torch" and hasattr(array, "requires_grad") and not array.requires_grad:
            operand = _describe_torch(array, name)
        elif hasattr(array, "__dlpack__") and hasattr(array, "__dlpack_device__"):
            operand = _describe_dlpack(array, name, writable)
        elif hasattr(array, "__cuda_array_interface__"):
            operand = _describe_cuda(array, name, writable)
        else:
            raise ArgumentError(
                f"{name} must be a NumPy array or have __dlpack__ or __cuda_array_interface__, got {type(array).__name__}; "
                "convert it with numpy.asarray."
            )
        _check_place(operand)
    return operand


def check_whole(name: str, value: Any, low: int, high: int, advice: str) -> int:
    """Returns a whole number as int.

    Args:
        name: of the argument, for messages.
        value: an int, or an integer of NumPy.
        low: lowest value.
        high: highest value.
        advice: what to do.

    Raises:
        ArgumentError: it is another kind of object, or out of range.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
        raise ArgumentError(f"{name} must be an int in [{low}, {high}], got {shown(value)}; {advice}")
    return int(value)


def _check_place(operand: Operand) -> None:
    """Checks the description that an exporter gives before any of it is read.

    Raises:
        ArgumentError: there is no memory where it states, or of a size that no memory has.
    """
    count = math.prod(operand.shape)
    if operand.device not in ("cpu", "cuda"):
        raise ArgumentError(
            f"{operand.name} must lie in host or CUDA memory, got {operand.device}; copy it to the CPU."
        )
    if not 0 <= count <= MOST_ELEMENTS or len(operand.strides) != len(operand.shape):
        raise ArgumentError(
            f"{operand.name} must have at most {MOST_ELEMENTS} elements and a stride per axis, got shape {operand.shape} with strides "
            f"{operand.strides}; correct the exporter."
        )
    if count and operand.address <= 0:
        raise ArgumentError(
            f"{operand.name} must have memory, got a null pointer for shape {operand.shape}; allocate it."
        )


def empty_like(array: Any, shape: tuple[int, ...]) -> Any:
    """Returns a new array of the same library, dtype and device, contiguous.

    Args:
        array: what the caller handed in.
        shape: of the new array.

    Returns:
        An uninitialized array, in native byte order.

    Raises:
        ArgumentError: the library offers no way that we know, or has no memory.
    """
    with boundary(ArgumentError, f"out must have memory for shape {shape}", "pass smaller arrays, or out=."):
        if isinstance(array, np.ndarray):
            return np.empty(shape, array.dtype.newbyteorder("="))
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


def _describe_numpy(array: np.ndarray, name: str, writable: bool) -> Operand:
    """Returns a NumPy array's description.

    Raises:
        ArgumentError: it cannot be read or written in place.
    """
    if type(array) is not np.ndarray and isinstance(array, np.ma.MaskedArray):
        raise ArgumentError(
            f"{name} must be a plain array, got a masked one; pass its data, and a key mask where it has one."
        )
    if writable:
        if not (array.flags.writeable and array.flags.aligned and array.dtype.isnative):
            raise ArgumentError(
                f"{name} must be writable, aligned and in native byte order, got {array.dtype.str} with "
                f"writeable={array.flags.writeable}, aligned={array.flags.aligned}; pass numpy.empty({array.shape}, numpy.float32)."
            )
    elif not (array.dtype.isnative and array.flags.aligned):
        array = array.astype(array.dtype.newbyteorder("="), copy=True)
    address, shape, strides, number = native().describe_numpy(array)
    if strides is None and not array.itemsize:
        raise ArgumentError(f"{name} must be float32, got {array.dtype.str}, a type of no width; cast it.")
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


def _describe_dlpack(array: Any, name: str, writable: bool) -> Operand:
    """Returns a DLPack exporter's description; its capsule is kept and never consumed.

    Raises:
        ArgumentError: it cannot be read or written in place.
    """
    device_type = int(array.__dlpack_device__()[0])
    if device_type not in _DLPACK_DEVICES:
        raise ArgumentError(
            f"{name} must lie in host or CUDA memory, got DLPack device type {device_type}; copy it to the CPU."
        )
    device = _DLPACK_DEVICES[device_type]
    try:
        capsule = _export(array, device, versioned=writable)
    except (BufferError, RuntimeError, TypeError) as error:
        raise ArgumentError(
            f"{name} must be an array that DLPack can export, got {type(array).__name__}: {reason_of(error)}; "
            "detach it, or use edgeaff.torch_ops.adapter for tensors with gradients."
        ) from error
    address, found_type, index, code, bits, lanes, shape, strides, read_only = native().describe_dlpack(capsule)
    if _DLPACK_DEVICES.get(found_type) != device:
        raise ArgumentError(
            f"{name} must lie where it states, got DLPack device types {device_type} and {found_type}; copy it."
        )
    if writable and read_only:
        raise ArgumentError(f"{name} must be writable, got a read-only array; copy it.")
    dtype = _DLPACK_TYPES.get((code, bits, lanes), f"DLPack type code {code} of {bits} bits x {lanes}")
    return Operand(name, address, shape, strides, dtype, device, index, None, (array, capsule))


def _export(array: Any, device: str, *, versioned: bool) -> Any:
    """Returns the capsule of an exporter; a versioned one, which knows of read-only memory, if it is requested and offered."""
    # -1: the exporter makes no stream wait; the caller names the stream that orders the work.
    options: dict[str, Any] = {"stream": -1} if device == "cuda" else {}
    if versioned:
        try:
            return array.__dlpack__(**options, max_version=(1, 0))
        except TypeError:
            pass
    return array.__dlpack__(**options)


def _describe_cuda(array: Any, name: str, writable: bool) -> Operand:
    """Returns the description of a device array by `__cuda_array_interface__` (version 3).

    Raises:
        ArgumentError: it cannot be read or written in place.
    """
    interface = array.__cuda_array_interface__
    dtype = np.dtype(interface["typestr"])
    shape = tuple(int(size) for size in interface["shape"])
    address, read_only = interface["data"]
    if writable and read_only:
        raise ArgumentError(f"{name} must be writable, got a read-only array; copy it.")
    strides = interface.get("strides")
    if strides is None:
        strides = tuple(math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape)))
    if not dtype.itemsize or any(stride % dtype.itemsize for stride in strides):
        raise ArgumentError(
            f"{name} must have strides that are multiples of its {dtype.itemsize} bytes, got {strides}; copy it first."
        )
    return Operand(
        name,
        int(address),
        shape,
        tuple(stride // dtype.itemsize for stride in strides),
        _NUMPY_TYPES.get(dtype) or dtype.str,
        "cuda",
        0,
        interface.get("stream"),
        array,
    )

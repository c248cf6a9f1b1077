"""Exporters of DLPack that state what they should not."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


class Tensor(ctypes.Structure):
    """DLTensor of the public ABI."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Forged:
    """An exporter whose capsule holds the values that a test sets, over 256 KiB of memory."""

    def __init__(
        self, shape: tuple[int, ...], *, device: tuple[int, ...] = (1, 0), name: bytes = b"dltensor", **fields: Any
    ) -> None:
        self.memory = np.zeros(1 << 16, np.float32)
        self.sizes = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        place = fields.pop("sizes_at", ctypes.cast(self.sizes, ctypes.POINTER(ctypes.c_int64)))
        stated = {
            "data": self.memory.ctypes.data,
            "device_type": 1,
            "ndim": len(shape),
            "code": 2,
            "bits": 32,
            "lanes": 1,
        }
        self.tensor = Tensor(**{**stated, "shape": place, **fields})
        self.device, self.name = device, name

    def __dlpack_device__(self) -> tuple[int, ...]:
        return self.device

    def __dlpack__(self, **_: Any) -> Any:
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return make(ctypes.addressof(self.tensor), self.name, None)


class Raising:
    """An exporter that fails in its own way."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __dlpack_device__(self) -> tuple[int, int]:
        raise self.error

    def __dlpack__(self, **_: Any) -> Any:
        raise self.error

"""Memory and streams of a CUDA device through our own extension, and arrays in it that other libraries can read and give.

`DeviceArray` has `__cuda_array_interface__`, so that torch, CuPy, pycuda's GPUArray and Numba take it without a copy; what they give with
that interface is taken the same way. All of it lives in the primary context (pycuda: `import pycuda.autoprimaryctx`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from edgeaff.errors import ArgumentError, BackendUnavailableError, DeviceError
from edgeaff.ops import native

_ALIGN_BYTES = 512  # buffers of nearly the same size share a place in the pool


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A CUDA device. compute_capability: "sm_86"; driver_version: the newest CUDA that the driver serves, "13.0"."""

    name: str
    compute_capability: str
    driver_version: str


class Memory(Protocol):
    """Protocol of device memory for a graph: addresses are integers, streams are handles."""

    def allocate(self, size_bytes: int) -> int:
        """Returns the address of new memory."""
        ...

    def free(self, address: int) -> None:
        """Gives memory back."""
        ...

    def copy(self, target: int, source: int, size_bytes: int, stream: int) -> None:
        """Queues a copy between any two places, host or device; host memory must stay until the stream is synchronized."""
        ...

    def create_stream(self) -> int:
        """Returns a new stream."""
        ...

    def destroy_stream(self, stream: int) -> None:
        """Ends a stream."""
        ...

    def synchronize(self, stream: int) -> None:
        """Waits for what was queued."""
        ...


def find_device() -> DeviceInfo:
    """Returns the first CUDA device of this machine.

    Raises:
        BackendUnavailableError: this build of edgeaff has no CUDA.
        DeviceError: there is no device, or no driver for it.
    """
    return DeviceInfo(*_checked(_native("cuda_device_info")(), "must be there to run an engine"))


def _native(name: str) -> Any:
    """Returns a CUDA function of the extension.

    Raises:
        BackendUnavailableError: this build has none.
    """
    function = getattr(native(), name, None)
    if function is None:
        raise BackendUnavailableError(
            "edgeaff must be built with CUDA to run engines on a GPU, got a build without it; install the CUDA toolkit (nvcc) "
            "and reinstall from source with EDGEAFF_CUDA=ON."
        )
    return function


def _checked(answer: tuple[str, Any], what: str) -> Any:
    """Returns the value of an (error, value) pair.

    Raises:
        DeviceError: the error is not empty.
    """
    error, value = answer
    if error:
        raise DeviceError(
            f"a CUDA device {what}, got {error}; check `nvidia-smi`, or build engines for another machine with "
            "`edgeaff export --to tensorrt`, which needs no GPU."
        )
    return value


class CudaMemory:
    """Memory of the current CUDA device."""

    def allocate(self, size_bytes: int) -> int:
        """Returns the address of new device memory."""
        return int(_checked(_native("cuda_allocate")(size_bytes), f"must have {size_bytes} bytes free"))

    def free(self, address: int) -> None:
        """Gives device memory back."""
        _native("cuda_free")(address)

    def copy(self, target: int, source: int, size_bytes: int, stream: int) -> None:
        """Queues a copy between any two places, host or device."""
        _checked((_native("cuda_copy")(target, source, size_bytes, stream), None), "must copy")

    def create_stream(self) -> int:
        """Returns a new stream that does not wait for the default stream."""
        return int(_checked(_native("cuda_create_stream")(), "must give a stream"))

    def destroy_stream(self, stream: int) -> None:
        """Ends a stream."""
        _native("cuda_destroy_stream")(stream)

    def synchronize(self, stream: int) -> None:
        """Waits for what was queued on the stream."""
        _checked((_native("cuda_synchronize")(stream), None), "must finish what was queued")


class Pool:
    """Memory that is used again: allocating on a device waits for everything that runs there."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._free: dict[int, list[int]] = defaultdict(list)
        self._open = True

    def take(self, size_bytes: int) -> Buffer:
        """Returns a buffer of at least this size; its memory comes back when the buffer is dropped."""
        size = -(-max(size_bytes, 1) // _ALIGN_BYTES) * _ALIGN_BYTES
        waiting = self._free[size]
        return Buffer(self, waiting.pop() if waiting else self.memory.allocate(size), size)

    def give_back(self, address: int, size: int) -> None:
        """Takes memory back, to be used again."""
        if self._open:
            self._free[size].append(address)
        else:
            self.memory.free(address)

    def close(self) -> None:
        """Frees what is not in use now, and the rest when it is dropped."""
        self._open = False
        for addresses in self._free.values():
            for address in addresses:
                self.memory.free(address)
        self._free.clear()


class Buffer:
    """Memory from a pool."""

    def __init__(self, pool: Pool, address: int, size_bytes: int) -> None:
        self.pool, self.address, self.size_bytes = pool, address, size_bytes

    def __del__(self) -> None:
        self.pool.give_back(self.address, self.size_bytes)


class BorrowedArray:
    """Device memory of somebody else as an array that graphs take: a CUdeviceptr of cuda-bindings, a pycuda allocation, a plain address.

    Args:
        address: of the first element; anything that int() takes.
        shape: sizes; the memory is contiguous.
        dtype: NumPy type.
        stream: CUDA stream on which it is being written, None where it is complete.
        owner: kept alive together with the array.
    """

    def __init__(
        self, address: Any, shape: tuple[int, ...], dtype: Any = np.float32, *, stream: Any = None, owner: Any = None
    ) -> None:
        self.shape, self.dtype, self.owner = tuple(shape), np.dtype(dtype), owner
        self.__cuda_array_interface__ = {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (int(address), False),
            "version": 3,
            "strides": None,
            "stream": None if stream is None else int(stream),
        }

    def __repr__(self) -> str:
        return f"BorrowedArray(shape={self.shape}, dtype={self.dtype})"


class DeviceArray:
    """A contiguous array in device memory, complete when it is handed out.

    Attributes:
        shape: sizes.
        dtype: NumPy type.
        address: of the first element.
    """

    def __init__(self, buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._buffer = buffer
        self.shape, self.dtype, self.address = shape, np.dtype(dtype), buffer.address

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3 of the interface; no stream to wait for."""
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "version": 3,
            "strides": None,
            "stream": None,
        }

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Returns a copy in host memory.

        Raises:
            ArgumentError: copy is False.
        """
        if copy is False:
            raise ArgumentError("copy must not be False for an array on a device, got False; pass None or True.")
        host = np.empty(self.shape, self.dtype)
        memory = self._buffer.pool.memory
        memory.copy(host.ctypes.data, self.address, host.nbytes, 0)
        memory.synchronize(0)
        return host if dtype is None else host.astype(dtype)

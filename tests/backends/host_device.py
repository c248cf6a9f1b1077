"""Host memory and an ONNX Runtime session in the places of a GPU's memory and an engine, for tests of what stands around them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.backends.device import DeviceArray, Pool
from edgeaff.backends.tensorrt import TensorSpec


class HostMemory:
    """Memory (edgeaff.backends.device.Memory) that is the host's own; copies wait until the stream is synchronized, as on a GPU."""

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self.queued: list[Any] = []
        self.streams: set[int] = set()
        self.waited: list[int] = []
        self.allocations = 0

    def allocate(self, size_bytes: int) -> int:
        memory = (ctypes.c_ubyte * size_bytes)()
        address = ctypes.addressof(memory)
        self.held[address] = memory
        self.allocations += 1
        return address

    def free(self, address: int) -> None:
        del self.held[address]

    def copy(self, target: int, source: int, size_bytes: int, stream: int) -> None:
        self.queued.append(lambda: ctypes.memmove(target, source, size_bytes))

    def create_stream(self) -> int:
        self.streams.add(77)
        return 77

    def destroy_stream(self, stream: int) -> None:
        self.streams.remove(stream)

    def synchronize(self, stream: int) -> None:
        self.waited.append(stream)
        for work in self.queued:
            work()
        self.queued.clear()


def view(address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Returns the array that lies at an address."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = (ctypes.c_ubyte * max(count, 1)).from_address(address)
    return np.frombuffer(raw, np.dtype(dtype), count=int(np.prod(shape))).reshape(shape)


class HostRunner:
    """An engine (edgeaff.backends.tensorrt.Runner) that is a graph in ONNX Runtime, run when the stream comes to it."""

    def __init__(self, model: bytes, memory: HostMemory) -> None:
        self._graph, self._memory = load_graph(model), memory
        kinds = {"tensor(float)": np.float32, "tensor(bool)": np.bool_, "tensor(uint8)": np.uint8}
        session = self._graph._session  # the one place that knows the types
        described = [
            *((value, True) for value in session.get_inputs()),
            *((value, False) for value in session.get_outputs()),
        ]
        self.tensors = tuple(
            TensorSpec(
                value.name,
                tuple(size if isinstance(size, int) else None for size in value.shape),
                np.dtype(kinds[value.type]),
                is_input,
            )
            for value, is_input in described
        )
        self._types = {spec.name: spec.dtype for spec in self.tensors}
        self._inputs: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._outputs: dict[str, int] = {}
        self.refuse = False

    def set_input(self, name: str, shape: tuple[int, ...], address: int) -> None:
        self._inputs[name] = (address, shape)

    def output_shape(self, name: str) -> tuple[int, ...]:
        shape = next(spec.shape for spec in self.tensors if spec.name == name)
        batch = next(iter(self._inputs.values()))[1][0]
        return tuple(batch if size is None else size for size in shape)

    def set_output(self, name: str, address: int) -> None:
        self._outputs[name] = address

    def enqueue(self, stream: int) -> bool:
        inputs, outputs = dict(self._inputs), dict(self._outputs)

        def run() -> None:
            feeds = {name: view(address, shape, self._types[name]).copy() for name, (address, shape) in inputs.items()}
            for name, array in self._graph.run(feeds).items():
                view(outputs[name], array.shape, array.dtype)[...] = array

        self._memory.queued.append(run)
        return not self.refuse


class Foreign:
    """An array of another library: all we know of it is `__cuda_array_interface__`."""

    def __init__(self, array: np.ndarray, stream: int | None = None) -> None:
        self._array = array
        self.shape = array.shape
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (array.ctypes.data, False),
            "version": 3,
            "strides": None if array.flags.c_contiguous else array.strides,
            "stream": stream,
        }


def on_device(array: np.ndarray, memory: HostMemory) -> DeviceArray:
    """Returns a DeviceArray with these values."""
    buffer = Pool(memory).take(array.nbytes)
    view(buffer.address, array.shape, array.dtype)[...] = array
    return DeviceArray(buffer, array.shape, array.dtype)

"""Torch7: VGG_FACE.t7 (binary serialization of Lua Torch). Lua functions in the file are skipped, never run.

The caller must name the channel order: the usual port feeds BGR while it subtracts the means in RGB order.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.parsing.boundary import read_bounded
from edgeaff.training.importers.common import MOST_FILE_BYTES, Layers
from edgeaff.training.models.vggface import VggFaceConfig

NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN = 0, 1, 2, 3, 4, 5
FUNCTIONS = (6, 7, 8)
DTYPES = {
    "Float": "<f4",
    "Double": "<f8",
    "Long": "<i8",
    "Int": "<i4",
    "Short": "<i2",
    "Char": "i1",
    "Byte": "u1",
    "Cuda": "<f4",
    "CudaDouble": "<f8",
    "CudaLong": "<i8",
}
MAX_DEPTH = 200
MAX_MODULES = 10_000


class Torch7Reader:
    """Reads one object from the bytes of a .t7 file: numbers, strings, tables and objects (dict), tensors."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._seen: dict[int, Any] = {}
        self._depth = 0

    def _take(self, form: str) -> Any:
        size = struct.calcsize(form)
        if self._position + size > len(self._data):
            raise ArgumentError(f"file must be a whole .t7, got its end at byte {self._position}; fetch it again.")
        value = struct.unpack_from(form, self._data, self._position)[0]
        self._position += size
        return value

    def _bytes(self) -> bytes:
        size = self._take("<i")
        if size < 0 or self._position + size > len(self._data):
            raise ArgumentError(f"file must be a binary .t7, got a string of {size} bytes; check which layout it has.")
        self._position += size
        return self._data[self._position - size : self._position]

    def read(self) -> Any:
        """Returns the next object.

        Raises:
            ArgumentError: the bytes are not Torch7 serialization, or nested beyond reason.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ArgumentError(f"file must nest at most {MAX_DEPTH} objects, got more; pass a plain network.")
        try:
            return self._read_kind(self._take("<i"))
        finally:
            self._depth -= 1

    def _read_kind(self, kind: int) -> Any:
        if kind == NIL:
            return None
        if kind == NUMBER:
            return self._take("<d")
        if kind == BOOLEAN:
            return self._take("<i") == 1
        if kind == STRING:
            return self._bytes().decode("utf-8", "replace")
        if kind not in (TABLE, TORCH, *FUNCTIONS):
            raise ArgumentError(f"file must be a binary .t7, got object type {kind}; check which layout it has.")
        index = self._take("<i")
        if index in self._seen:
            return self._seen[index]
        if kind == TABLE:
            return self._table(index)
        if kind == TORCH:
            return self._object(index)
        self._bytes()  # the function's code
        self._seen[index] = None
        self.read()  # its upvalues
        return None

    def _table(self, index: int) -> dict[Any, Any]:
        table: dict[Any, Any] = {}
        self._seen[index] = table
        for _ in range(self._take("<i")):
            key = self.read()
            value = self.read()
            if isinstance(key, (str, float, bool)):
                table[int(key) if isinstance(key, float) and key.is_integer() else key] = value
        return table

    def _object(self, index: int) -> Any:
        name = self._bytes().decode("ascii", "replace")
        if name.startswith("V "):  # a version stands before the class name; files of version 0 lack it
            name = self._bytes().decode("ascii", "replace")
        kind = name.removeprefix("torch.")
        if kind.endswith("Storage") and kind[:-7] in DTYPES:
            self._seen[index] = storage = self._storage(DTYPES[kind[:-7]])
            return storage
        if kind.endswith("Tensor") and kind[:-6] in DTYPES:
            self._seen[index] = tensor = self._tensor(DTYPES[kind[:-6]])
            return tensor
        holder: dict[Any, Any] = {"__class__": name}
        self._seen[index] = holder
        content = self.read()
        if isinstance(content, dict):
            holder.update(content)
        return holder

    def _storage(self, dtype: str) -> np.ndarray:
        count = self._take("<q")
        size = count * np.dtype(dtype).itemsize
        if count < 0 or self._position + size > len(self._data):
            raise ArgumentError(f"file must be a whole .t7, got a storage of {count} values; fetch it again.")
        self._position += size
        return np.frombuffer(self._data, dtype, count, self._position - size)

    def _tensor(self, dtype: str) -> np.ndarray:
        dimensions = self._take("<i")
        shape = [self._take("<q") for _ in range(dimensions)]
        strides = [self._take("<q") for _ in range(dimensions)]
        offset = self._take("<q") - 1
        storage = self.read()
        if not isinstance(storage, np.ndarray) or dimensions <= 0:
            return np.zeros(0, dtype)
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        overlap = math.prod(shape) > len(storage)  # a stride of 0 would make memory out of nothing
        if offset < 0 or min(shape) < 1 or min(strides) < 0 or last >= len(storage) or overlap:
            raise ArgumentError(
                f"tensor of shape {tuple(shape)} must lie in its storage of {len(storage)}; fetch the file again."
            )
        steps = [s * storage.itemsize for s in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)


def modules_of(network: Any) -> list[dict[Any, Any]]:
    """Returns the modules with weights of a network, in order, containers opened.

    Raises:
        ArgumentError: there are more than a network has, as where a container holds itself.
    """
    found: list[dict[Any, Any]] = []
    waiting, opened = [network], 0
    while waiting:
        node = waiting.pop()
        opened += 1
        if opened > MAX_MODULES:
            raise ArgumentError(f"file must hold at most {MAX_MODULES} modules, got more; pass a plain network.")
        if not isinstance(node, dict):
            continue
        children = node.get("modules")
        if isinstance(children, dict):
            waiting += [children[key] for key in sorted((k for k in children if type(k) is int), reverse=True)]
        elif isinstance(node.get("weight"), np.ndarray) and node["weight"].size:
            found.append(node)
    return found


def load(path: Path, config: VggFaceConfig) -> Layers:
    """Returns the layers of a .t7 network: its convolutions in order, then its first linear one.

    Args:
        path: the file.
        config: the sizes expected.
    """
    modules = modules_of(Torch7Reader(read_bounded(path, most_bytes=MOST_FILE_BYTES)).read())
    convolutions = [m for m in modules if "Convolution" in str(m.get("__class__"))]
    linear = [m for m in modules if "Linear" in str(m.get("__class__"))]
    tensors: dict[str, np.ndarray] = {}
    for (name, inputs, _), module in zip(config.convolutions, convolutions, strict=False):
        weight = module["weight"]
        if "bias" not in module:
            continue  # `check_shapes` names what is missing
        if weight.ndim == 2 and weight.shape[1] == inputs * 9:  # SpatialConvolutionMM keeps (O, I * 9)
            weight = weight.reshape(-1, inputs, 3, 3)
        tensors |= {f"{name}.weight": weight, f"{name}.bias": module["bias"]}
    if linear and "bias" in linear[0]:
        tensors |= {"fc6.weight": linear[0]["weight"], "fc6.bias": linear[0]["bias"]}
    return Layers(tensors)

"""A reader of MATLAB 5 .mat files (as `save -v6` and `-v7` write them): arrays, strings, cells, structs."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from edgeaff.errors import ArgumentError

DTYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
}
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT, OBJECT, CHAR, SPARSE = 1, 2, 3, 4, 5
COMPLEX_BIT = 0x0800
HEADER_BYTES = 128
MAX_DEPTH = 50
MOST_UNPACKED_BYTES, MOST_RATIO = (
    1 << 26,
    20,
)  # weights hardly shrink: this many bytes, and this many for each byte of the file


def elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yields (type, bytes) of each data element; matrices are padded to 8 bytes, small elements sit in their tag.

    Yields:
        One pair per element, in file order.

    Raises:
        ArgumentError: an element is longer than the file.
    """
    position = 0
    while position + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, position)
        if kind >> 16 > 4:
            raise ArgumentError(
                f"file must be a MATLAB 5 .mat, got a small element of {kind >> 16} bytes; fetch it again."
            )
        if kind >> 16:
            yield kind & 0xFFFF, data[position + 4 : position + 4 + (kind >> 16)]
            position += 8
            continue
        if position + 8 + size > len(data):
            raise ArgumentError(
                f"file must be a whole .mat, got {len(data)} bytes of {position + 8 + size}; fetch it again."
            )
        yield kind, data[position + 8 : position + 8 + size]
        position += 8 + size
        if kind != COMPRESSED:
            position += -position % 8


class MatReader:
    """Turns matrix elements into Python: arrays, str, list (cell), dict (struct of size 1) or list of dict."""

    def __init__(self, order: Literal["<", ">"]) -> None:
        self._order = order

    def numbers(self, kind: int, data: memoryview) -> np.ndarray:
        """Returns the numbers of a plain element.

        Raises:
            ArgumentError: the element holds no numbers.
        """
        if kind not in DTYPES:
            raise ArgumentError(f"file must be a MATLAB 5 .mat, got data type {kind}; save it again with -v7.")
        return np.frombuffer(data, np.dtype(DTYPES[kind]).newbyteorder(self._order))

    def matrix(self, data: memoryview, depth: int = 0) -> tuple[str, Any]:
        """Returns name and content of a matrix element.

        Raises:
            ArgumentError: it is nested beyond reason, damaged, or of a class that a network file does not have.
        """
        if depth > MAX_DEPTH:
            raise ArgumentError(f"file must nest at most {MAX_DEPTH} cells, got more; pass a plain network.")
        parts = list(elements(data, self._order))
        if len(parts) < 3:
            return "", np.zeros(0)
        flags = int(self.numbers(*parts[0])[0])
        shape = tuple(int(n) for n in self.numbers(*parts[1]))
        name = bytes(parts[2][1]).decode("latin-1")
        kind, rest = flags & 0xFF, parts[3:]
        if kind == CELL:
            return name, [self.matrix(part, depth + 1)[1] for _, part in rest]
        if kind in (STRUCT, OBJECT):
            return name, self._struct(rest[1:] if kind == OBJECT else rest, depth)
        if kind == SPARSE or flags & COMPLEX_BIT:
            raise ArgumentError(f"{name or 'array'} must be dense and real, got class {kind}; pass a plain network.")
        values = self.numbers(*rest[0]) if rest else np.zeros(0)
        if values.size != math.prod(shape):
            raise ArgumentError(f"{name or 'array'} must hold {shape} values, got {values.size}; fetch the file again.")
        if kind == CHAR:
            return name, "".join(chr(code) for code in values)
        return name, values.reshape(shape, order="F")

    def _struct(self, parts: list[tuple[int, memoryview]], depth: int) -> Any:
        """Returns a dict, or a list of dicts where the struct array has another size than 1."""
        width = int(self.numbers(*parts[0])[0])
        raw = bytes(parts[1][1])
        names = [raw[i : i + width].split(b"\0")[0].decode("latin-1") for i in range(0, len(raw), max(width, 1))]
        values = [self.matrix(part, depth + 1)[1] for _, part in parts[2:]]
        if not names:
            return {}
        rows = [dict(zip(names, values[i : i + len(names)], strict=True)) for i in range(0, len(values), len(names))]
        return rows[0] if len(rows) == 1 else rows


def _inflate(packed: memoryview, most_bytes: int) -> bytes:
    """Returns a compressed element unpacked.

    Raises:
        ArgumentError: it is damaged, cut off, or larger.
    """
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(packed, most_bytes + 1)
    except zlib.error as error:
        raise ArgumentError(f"file must be a whole .mat, got {error}; fetch it again.") from error
    if len(content) > most_bytes or not inflater.eof:
        raise ArgumentError(
            f"file must unpack to at most {most_bytes} more bytes, got more or a cut; save it again with -v6."
        )
    return content


def read_mat(data: bytes) -> dict[str, Any]:
    """Returns the variables of a MATLAB 5 file by name.

    Args:
        data: the whole file.

    Raises:
        ArgumentError: the file is another format (MATLAB 7.3 is HDF5) or damaged.
    """
    mark = data[126:128]
    if len(data) < HEADER_BYTES or mark not in (b"IM", b"MI"):
        raise ArgumentError(
            f"file must be a MATLAB 5 .mat, got one that starts with {data[:8]!r}; save it again with -v7."
        )
    order: Literal["<", ">"] = "<" if mark == b"IM" else ">"
    reader, variables = MatReader(order), {}
    budget = MOST_UNPACKED_BYTES + MOST_RATIO * len(data)
    for kind, content in elements(memoryview(data)[HEADER_BYTES:], order):
        if kind == COMPRESSED:
            inner = memoryview(_inflate(content, budget))
            budget -= len(inner)
            pairs = list(elements(inner, order))
        else:
            pairs = [(kind, content)]
        for inner_kind, matrix in pairs:
            if inner_kind == MATRIX:
                name, value = reader.matrix(matrix)
                variables[name] = value
    return variables

"""A reader of the protobuf wire format, for files whose messages are known: Caffe models and TensorFlow checkpoints.

Nothing is generated and nothing is executed; a message is the list of its fields.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgeaff.errors import ArgumentError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Returns a base-128 number and the position behind it.

    Raises:
        ArgumentError: the data end within the number, or it is longer than ten bytes.
    """
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ArgumentError(f"file must be whole, got a broken number at byte {position}; fetch the file again.")


def fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Yields (field number, wire type, value) of a message; value is an int (varint) or the bytes as a view.

    Yields:
        One triple per field, in file order; repeated fields come repeatedly.

    Raises:
        ArgumentError: the data are not a message.
    """
    position = 0
    while position < len(data):
        key, position = read_varint(data, position)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, position = read_varint(data, position)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, position = read_varint(data, position)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ArgumentError(f"file must hold protobuf messages, got wire type {kind}; check which layout it has.")
        if position + size > len(data):
            raise ArgumentError(
                f"file must be whole, got {len(data)} bytes where {position + size} are needed; fetch it again."
            )
        yield number, kind, data[position : position + size]
        position += size


def integers(kind: int, value: int | memoryview) -> list[int]:
    """Returns the numbers of a repeated varint field, packed or not."""
    if isinstance(value, int):
        return [value]
    result, position = [], 0
    while position < len(value):
        number, position = read_varint(value, position)
        result.append(number)
    return result


def text(value: int | memoryview) -> str:
    """Returns a string field."""
    return bytes(value).decode("utf-8", "replace") if not isinstance(value, int) else str(value)


def floats(value: int | memoryview, dtype: str = "<f4") -> np.ndarray:
    """Returns a float field, one value or packed, as float32."""
    return (
        np.frombuffer(value, dtype=dtype).astype(np.float32)
        if not isinstance(value, int)
        else np.array([value], np.float32)
    )

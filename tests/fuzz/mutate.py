"""Changes of bytes, of JSON values and of protobuf messages: small ones near what is valid, which get furthest in."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

NUMBERS = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53,
    2**63 - 1,
    -(2**63),
    10**30,
    0.0,
    -0.0,
    0.5,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\x1b[31m",
    "\u202e",
    "\ud800",
    "x" * 5000,
    "../../x",
    [],
    {},
    [0],
    [[0]],
    {"a": 1},
    [None] * 70,
    list(range(70)),
    "é",
)
MOST_BYTES = 1 << 20


def mutate(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Returns a seed with one to eight changes of its bytes."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(CHANGES)(rng, data, seeds)
    return bytes(data[:MOST_BYTES])


def _flip(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    form = rng.choice(("<H", "<I", "<Q", ">H", ">I", ">Q", "B"))
    size = struct.calcsize(form)
    if len(data) >= size:
        at = rng.randrange(len(data) - size + 1)
        value = (
            rng.choice(NUMBERS)
            if rng.random() < 0.7
            else struct.unpack_from(form, data, at)[0] + rng.choice((-1, 1, 16))
        )
        struct.pack_into(form, data, at, value % (1 << (8 * size)))


def _cut(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        del data[rng.randrange(len(data)) :]


def _drop(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        at = rng.randrange(len(data))
        del data[at : at + rng.choice((1, 2, 4, 16, 256))]


def _repeat(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        at, size = rng.randrange(len(data)), rng.choice((1, 4, 16, 256))
        data[at:at] = data[at : at + size] * rng.choice((1, 1, 2, 50))


def _insert(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    data[at:at] = rng.randbytes(rng.choice((1, 4, 16)))


def _splice(rng: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    if data and other:
        at = rng.randrange(len(other))
        data[rng.randrange(len(data)) :] = other[at:]


CHANGES: tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip,
    _flip,
    _set,
    _set,
    _number,
    _number,
    _number,
    _cut,
    _drop,
    _repeat,
    _insert,
    _splice,
)


def mutate_value(rng: Random, value: Any) -> Any:
    """Returns a JSON value with one place changed: replaced, removed, doubled or nested; the input stays unchanged."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        changed = dict(value)
        if rng.random() < 0.1:
            del changed[key]
        elif rng.random() < 0.05:
            changed[rng.choice(("", "x\x1b", key + "2"))] = changed.pop(key)
        else:
            changed[key] = mutate_value(rng, value[key])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        at, changed_list = rng.randrange(len(value)), list(value)
        if rng.random() < 0.15:
            del changed_list[at]
        elif rng.random() < 0.15:
            changed_list[at:at] = [changed_list[at]] * rng.choice((1, 3, 100))
        else:
            changed_list[at] = mutate_value(rng, value[at])
        return changed_list
    if isinstance(value, (int, float)) and not isinstance(value, bool) and rng.random() < 0.5:
        return rng.choice((-value, value + 1, value * 2, value / 3, value * 1e6, float(value), str(value)))
    return [value] if rng.random() < 0.05 else rng.choice(VALUES)


def json_bytes(rng: Random, value: Any) -> bytes:
    """Returns a value as JSON, now and then with what only a lenient reader takes."""
    text = json.dumps(value).encode("utf-8", "surrogatepass")
    if rng.random() < 0.05 and text.startswith(b"{"):
        text = b"{" + text[1:-1].split(b",", 1)[0] + b"," + text[1:]  # its first key twice
    if rng.random() < 0.02:
        text = text.replace(b":", b":" + b"[" * rng.choice((20, 3000)), 1)
    return text


def mutate_message(rng: Random, message: bytes, *, depth: int = 0) -> bytes:
    """Returns a protobuf message with one field removed, doubled or changed, inside of what may be a message in it."""
    fields = _fields(message)
    if not fields:
        return mutate(rng, [message or b"\x08\x01"])
    at = rng.randrange(len(fields))
    key, content = fields[at]
    choice = rng.random()
    if choice < 0.1:
        del fields[at]
    elif choice < 0.2:
        fields[at:at] = [fields[at]] * rng.choice((1, 2, 30))
    elif choice < 0.3:
        fields[at] = (key & 7 | rng.randrange(1, 40) << 3, content)
    elif isinstance(content, int):
        fields[at] = (key, rng.choice((*NUMBERS, content + 1, content ^ 1)))
    elif depth < 6 and rng.random() < 0.8:
        fields[at] = (key, mutate_message(rng, content, depth=depth + 1))
    else:
        fields[at] = (key, mutate(rng, [content or b"x"]))
    return b"".join(
        _varint(key) + (_varint(part) if isinstance(part, int) else _sized(key, part)) for key, part in fields
    )


def _fields(message: bytes) -> list[tuple[int, int | bytes]]:
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            found.append((key, value))
            continue
        size, at = _read_varint(message, at) if kind == 2 else (8 if kind == 1 else 4, at)
        if kind not in (1, 2, 5) or at + size > len(message):
            return []
        found.append((key, message[at : at + size]))
        at += size
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return value, at


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _sized(key: int, part: bytes) -> bytes:
    return (_varint(len(part)) if key & 7 == 2 else b"") + part

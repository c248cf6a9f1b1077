"""A reader of TensorFlow 1 checkpoints, without TensorFlow: bundles (`.index` and `.data-*`) and the older single file.

Both are sorted tables of key and value: blocks of entries with shared key prefixes, an index block that states where
blocks are, and a footer that states where the index is. The bundle's values tell where the tensor lies in a data file;
the older form holds the numbers themselves.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.parsing.boundary import read_bounded
from edgeaff.parsing.protobuf import fields, floats, read_varint, text
from edgeaff.training.importers.common import MOST_FILE_BYTES

FOOTER_BYTES = 48
MAGIC = 0xDB4775248B80FB57
MOST_KEY_BYTES = 4096
TRAILER_BYTES = 5  # compression type and checksum behind each block
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}


def block_entries(table: memoryview, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    """Yields key and value of a block's entries.

    Yields:
        Pairs in key order.

    Raises:
        ArgumentError: the block is compressed or lies outside the file.
    """
    if offset + size + TRAILER_BYTES > len(table) or size < 4:
        raise ArgumentError(f"checkpoint must be whole, got a block at {offset} behind its end; fetch it again.")
    if table[offset + size] != 0:
        raise ArgumentError(f"checkpoint must be uncompressed, got compression {table[offset + size]}; save it again.")
    block = table[offset : offset + size]
    restarts = struct.unpack_from("<I", block, size - 4)[0]
    end, position, key = size - 4 - 4 * restarts, 0, b""
    while position < end:
        shared, position = read_varint(block, position)
        added, position = read_varint(block, position)
        length, position = read_varint(block, position)
        if shared > len(key) or shared + added > MOST_KEY_BYTES or position + added + length > end:
            raise ArgumentError(f"checkpoint must be whole, got an entry beyond its block at {offset}; fetch it again.")
        key = key[:shared] + bytes(block[position : position + added])
        yield key, block[position + added : position + added + length]
        position += added + length


def table_entries(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yields key and value of a whole table.

    Yields:
        Pairs in key order.

    Raises:
        ArgumentError: the file is no such table.
    """
    table = memoryview(data)
    if len(table) < FOOTER_BYTES or struct.unpack_from("<Q", table, len(table) - 8)[0] != MAGIC:
        raise ArgumentError(
            "file must be a TensorFlow checkpoint (.index or single file), got another; check its name."
        )
    footer, position = table[-FOOTER_BYTES:], 0
    handles = []
    for _ in range(4):  # offset and size of the meta index, which is not needed, and of the index
        number, position = read_varint(footer, position)
        handles.append(number)
    offset, size = handles[2:]
    for _, handle in block_entries(table, offset, size):
        start, after = read_varint(handle, 0)
        length, _ = read_varint(handle, after)
        yield from block_entries(table, start, length)


@dataclass
class Entry:
    """Location of a tensor in a bundle."""

    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    shard: int = 0
    offset: int = 0
    size: int = 0


def shape_of(message: memoryview) -> list[int]:
    """Returns the sizes of a TensorShapeProto."""
    sizes = []
    for number, _, value in fields(message):
        if number == 2 and not isinstance(value, int):
            sizes.append(next((size for one, _, size in fields(value) if one == 1 and isinstance(size, int)), 0))
    return sizes


def entry_of(message: memoryview) -> Entry:
    """Returns a BundleEntryProto."""
    entry = Entry()
    names = {1: "dtype", 3: "shard", 4: "offset", 5: "size"}
    for number, _, value in fields(message):
        if number in names and isinstance(value, int):
            setattr(entry, names[number], value)
        elif number == 2 and not isinstance(value, int):
            entry.shape = shape_of(value)
    return entry


def read_bundle(index: Path) -> dict[str, np.ndarray]:
    """Returns the numeric tensors of a bundle by name.

    Args:
        index: the `.index` file; the data files are beside it.

    Raises:
        ArgumentError: a data file is missing or shorter than the index states.
    """
    prefix = index.with_suffix("")
    entries, shards = {}, 1
    for key, value in table_entries(read_bounded(index, most_bytes=MOST_FILE_BYTES)):
        if key:
            entries[key.decode("utf-8", "replace")] = entry_of(value)
        else:
            shards = next((v for n, _, v in fields(value) if n == 1 and isinstance(v, int)), 1)
    data: dict[int, bytes] = {}
    tensors: dict[str, np.ndarray] = {}
    for name, entry in entries.items():
        if entry.dtype not in DTYPES:
            continue
        path = prefix.parent / f"{prefix.name}.data-{entry.shard:05d}-of-{shards:05d}"
        if entry.shard not in data:
            if not path.exists():
                raise ArgumentError(f"{path.name} must lie beside {index.name}, got no such file; fetch all parts.")
            data[entry.shard] = read_bounded(path, most_bytes=MOST_FILE_BYTES)
        count = math.prod(entry.shape)
        if (
            entry.offset + entry.size > len(data[entry.shard])
            or count * np.dtype(DTYPES[entry.dtype]).itemsize != entry.size
        ):
            raise ArgumentError(f"{name} must lie within {path.name}, got {entry}; fetch the checkpoint again.")
        values = np.frombuffer(data[entry.shard], DTYPES[entry.dtype], count, entry.offset)
        tensors[name] = values.reshape(entry.shape)
    return tensors


def slice_of(message: memoryview) -> tuple[str, np.ndarray]:
    """Returns name and numbers (flat) of a SavedSlice."""
    name, values = "", np.zeros(0, np.float32)
    for number, _, value in fields(message):
        if number == 1:
            name = text(value)
        elif number == 3 and not isinstance(value, int):
            parts = [floats(v) for n, _, v in fields(value) if n in (4, 5)]
            values = np.concatenate(parts) if parts else values
    return name, values


def read_single_file(path: Path) -> dict[str, np.ndarray]:
    """Returns the float tensors of a checkpoint of the older form, tensors stored in one slice.

    Raises:
        ArgumentError: a tensor is missing or split.
    """
    shapes: dict[str, list[int]] = {}
    values: dict[str, np.ndarray] = {}
    for _, message in table_entries(read_bounded(path, most_bytes=MOST_FILE_BYTES)):
        for number, _, part in fields(message):
            if isinstance(part, int):
                continue
            if number == 2:
                name, numbers = slice_of(part)
                values[name] = numbers
            elif number == 1:
                for one, _, meta in fields(part):
                    if one != 1 or isinstance(meta, int):
                        continue
                    found = {n: v for n, _, v in fields(meta)}
                    if found.get(3, 1) == 1 and not isinstance(found.get(2, 0), int):
                        shapes[text(found[1])] = shape_of(memoryview(bytes(found[2])))
    tensors = {}
    for name, shape in shapes.items():
        numbers = values.get(name, np.zeros(0, np.float32))
        if numbers.size != math.prod(shape):
            raise ArgumentError(
                f"{name} must hold {tuple(shape)} values, got {numbers.size}; save the checkpoint unsplit."
            )
        tensors[name] = numbers.reshape(shape)
    return tensors


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a checkpoint given by its prefix, its `.index` or its single file.

    Raises:
        ArgumentError: nothing of that name is there.
    """
    index = path if path.suffix == ".index" else path.with_name(path.name + ".index")
    if index.exists():
        return read_bundle(index)
    if path.exists():
        return read_single_file(path)
    raise ArgumentError(
        f"path must be a checkpoint prefix, its .index or a single file, got {path.name}; check the folder."
    )

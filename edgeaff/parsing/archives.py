"""Strict readers of zip and .npz bytes: sizes are checked before allocation, names are unique.

Neither zip64 nor comments, encryption, data before the first member or members over each other: what two readers could
understand differently is refused.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeaff.parsing.boundary import Refused, shown

STORED, DEFLATED = 0, 8
MOST_MEMBERS = 1024
_END = struct.Struct("<4sHHHHIIH")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_UTF8, _PLAIN_FLAGS = 0x800, 0x800 | 0x006  # bits 1 and 2 name the effort of deflate
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_NPY_HEAD = re.compile(
    rb"\{'descr': '([<>|=])([a-zA-Z])(\d{1,5})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,12}, ?)*(?:\d{1,12})?)\), ?\} *\n?"
)
_NPY_TYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
_NPY_MAGIC = b"\x93NUMPY"
_MOST_AXES, _MOST_TEXT = 8, 4096


def read_zip(
    data: bytes, *, most_members: int = MOST_MEMBERS, most_unpacked: int | None = None
) -> dict[str, memoryview | bytes]:
    """Returns name -> content of the members of a zip archive.

    Args:
        data: the archive.
        most_members: most members.
        most_unpacked: most bytes of all unpacked members together; None takes stored members only.

    Returns:
        Views into `data`, and bytes where a member was compressed.

    Raises:
        Refused: a limit is broken, or the archive is not as plain as the module's docstring states.
    """
    members: dict[str, memoryview | bytes] = {}
    taken: list[tuple[int, int]] = []
    budget = most_unpacked
    for name, method, offset, size, unpacked in _entries(data, most_members):
        if name in members:
            raise Refused(f"member {shown(name)} twice")
        start = _content_start(data, name, offset)
        if start + size > len(data):
            raise Refused(f"member {shown(name)} beyond the end of the archive")
        taken.append((offset, start + size))
        packed = memoryview(data)[start : start + size]
        if method == STORED and size == unpacked:
            members[name] = packed
            continue
        if method != DEFLATED or budget is None:
            raise Refused(f"member {shown(name)} that is not stored plainly")
        if unpacked > budget:
            raise Refused(f"members of more than {most_unpacked} bytes unpacked")
        members[name] = _inflate(name, packed, unpacked)
        budget -= unpacked
    taken.sort()
    if any(after < end for (_, end), (after, _) in zip(taken, taken[1:], strict=False)):
        raise Refused("members that lie over each other")
    return members


def is_member_name(name: str) -> bool:
    """Returns whether a member may have a name: letters, digits and . _ : - alone, so no path and nothing that changes a terminal."""
    return _NAME.fullmatch(name) is not None


def _entries(data: bytes, most_members: int) -> list[tuple[str, int, int, int, int]]:
    """Returns (name, method, offset of its local header, size, unpacked size) of every member, as the central directory states them.

    Raises:
        Refused: there is no such directory at the end of the data, or an entry has what is not taken.
    """
    if len(data) < _END.size or data[-_END.size : -_END.size + 4] != b"PK\x05\x06":
        raise Refused("no zip archive, or one with a comment or cut off")
    _, disk, first_disk, here, count, length, position, comment = _END.unpack_from(data, len(data) - _END.size)
    end = len(data) - _END.size
    if disk or first_disk or here != count or comment or position + length != end:
        raise Refused("a zip archive whose directory is not at its end")
    if count > most_members:
        raise Refused(f"{count} members, more than {most_members}")
    found = []
    for _ in range(count):
        if position + _ENTRY.size > end:
            raise Refused("a directory that is cut off")
        fields = _ENTRY.unpack_from(data, position)
        magic, _, _, flags, method, _, _, _, size, unpacked, name_size, extra, note, disk, _, _, offset = fields
        raw = data[position + _ENTRY.size : position + _ENTRY.size + name_size]
        position += _ENTRY.size + name_size + extra + note
        name = raw.decode("utf-8", "replace")
        if magic != b"PK\x01\x02" or position > end or disk:
            raise Refused("a damaged directory")
        if not is_member_name(name):
            raise Refused(f"member name {shown(name)}")
        if flags & ~_PLAIN_FLAGS:
            raise Refused(f"member {shown(name)} with flags {flags:#06x}, such as encryption")
        found.append((name, method, offset, size, unpacked))
    if position != end:
        raise Refused("bytes behind the directory")
    return found


def _content_start(data: bytes, name: str, offset: int) -> int:
    """Returns where the content of a member begins, after comparing its local header with the directory.

    Raises:
        Refused: the header is missing or of another member.
    """
    if offset + _LOCAL.size > len(data):
        raise Refused(f"member {shown(name)} beyond the end of the archive")
    magic, _, flags, _, _, _, _, _, _, name_size, extra = _LOCAL.unpack_from(data, offset)
    start = offset + _LOCAL.size
    if magic != b"PK\x03\x04" or flags & ~_PLAIN_FLAGS or data[start : start + name_size] != name.encode():
        raise Refused(f"member {shown(name)} with another local header")
    return start + name_size + extra


def _inflate(name: str, packed: memoryview, size: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise Refused(f"member {shown(name)} that cannot be unpacked ({error})") from None
    if len(content) != size or not inflater.eof:
        raise Refused(f"member {shown(name)} of another unpacked size than stated")
    return content


def read_npz(
    data: bytes, *, most_unpacked: int | None = None, most_arrays: int = MOST_MEMBERS, text: bool = False
) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz archive, in native byte order, each with its own memory.

    Args:
        data: the archive.
        most_unpacked: as for `read_zip`.
        most_arrays: most arrays.
        text: also take arrays of text.

    Raises:
        Refused: the archive, or an array in it, is refused: objects and structures are never read.
    """
    members = read_zip(data, most_members=most_arrays, most_unpacked=most_unpacked)
    return {name.removesuffix(".npy"): read_npy(content, text=text) for name, content in members.items()}


def read_npy(data: bytes | memoryview, *, text: bool = False) -> np.ndarray:
    """Returns the array of .npy bytes, in native byte order, in its own memory.

    Args:
        data: the file.
        text: also take text.

    Raises:
        Refused: it is no .npy file, or its header states a type, shape or size that is not taken.
    """
    view = memoryview(data)
    if bytes(view[:6]) != _NPY_MAGIC or len(view) < 12 or view[6] not in (1, 2, 3):
        raise Refused("a member that is no .npy array")
    wide = view[6] != 1
    length = struct.unpack_from("<I" if wide else "<H", view, 8)[0]
    start = (12 if wide else 10) + length
    match = _NPY_HEAD.fullmatch(bytes(view[start - length : start])) if length <= 1024 else None
    if match is None:
        raise Refused("an array with a header that is not understood")
    order, kind, width, fortran, sizes = (part.decode() for part in match.groups())
    if kind + width not in _NPY_TYPES and not (text and kind == "U" and int(width) <= _MOST_TEXT):
        raise Refused(f"an array of type {shown(kind + width)}")
    shape = tuple(int(size) for size in sizes.split(",") if size.strip())
    dtype = np.dtype(f"{order}{kind}{width}")
    count = math.prod(shape)
    if len(shape) > _MOST_AXES or start + count * dtype.itemsize != len(view):
        raise Refused(f"an array of shape {shape} in {len(view) - start} bytes")
    flat = np.frombuffer(view, dtype, count, start) if count and dtype.itemsize else np.zeros(count, dtype)
    array = flat.reshape(shape[::-1]).T if fortran == "True" else flat.reshape(shape)
    return array.astype(dtype.newbyteorder("="), order="K", copy=True)


def check_arrays(arrays: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int | None, ...]]) -> dict[str, Any]:
    """Returns float32 arrays after checking names, shapes and values.

    Args:
        arrays: from an archive.
        wanted: name -> shape, None where a size is free.

    Raises:
        Refused: one is missing, of another shape or type, or holds a number that is not finite.
    """
    found: dict[str, Any] = {}
    for name, shape in wanted.items():
        array = arrays.get(name)
        if array is None or array.dtype != np.float32 or array.ndim != len(shape):
            described = "none" if array is None else f"{array.dtype} of shape {array.shape}"
            raise Refused(f"{name}: {described} where float32 of shape {shape} is needed")
        if any(size is not None and size != has for size, has in zip(shape, array.shape, strict=True)):
            raise Refused(f"{name}: shape {array.shape} where {shape} is needed")
        if not np.isfinite(array).all():
            raise Refused(f"{name}: values that are not finite")
        found[name] = array
    return found

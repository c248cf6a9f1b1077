"""The structure of HEIF images (HEIC of phones, AVIF): which coded items make up the primary image, and how they lie.

A phone codes its photograph as a grid of tiles, each its own item. FFmpeg gives each item as a track whose id is the
item's; what belongs together stands in the `meta` box alone:

    pitm  the primary item        iinf  the type of each item      iref  dimg: a grid -> its tiles, in order
    iprp  properties of an item: ispe size, irot turn, imir mirror, clap crop      iloc  where the grid's rows and columns stand
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

BRANDS = frozenset(
    (
        b"mif1",
        b"mif2",
        b"msf1",
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"hevx",
        b"avif",
        b"avis",
        b"avci",
        b"jpeg",
        b"miaf",
    )
)
SEQUENCE_BRANDS = frozenset(
    (b"avis", b"msf1", b"hevc", b"hevx")
)  # in the first place: an animation, with a still beside it
ANIMATION = "animation"
_MOST_BYTES = 1 << 24  # of a meta box
_MOST_ITEMS = 1 << 14
_MOST_DEPTH = 4  # derived images of derived images
_CODED = frozenset((b"hvc1", b"hev1", b"av01", b"avc1", b"jpeg", b"vvc1", b"j2k1", b"unci"))


@dataclass(frozen=True, slots=True)
class HeifImage:
    """The primary image of a HEIF file.

    Attributes:
        tiles: item ids in order of rows; one where the image is coded whole.
        rows, columns: of the grid; 1 and 1 where it is coded whole.
        size: (width, height) in pixels that the tiles are cut to, or None.
        operations: what is done to it then, in order: ("turn", quarter turns counter-clockwise), ("mirror", 0 = upper and lower
            half change places, 1 = left and right), ("crop", (x0, y0, x1, y1)).
        kind: `ANIMATION` where the file is one; type of the primary item where it cannot be read ("iovl", ...); else "".
    """

    tiles: tuple[int, ...]
    rows: int = 1
    columns: int = 1
    size: tuple[int, int] | None = None
    operations: tuple[tuple[str, object], ...] = ()
    kind: str = ""


@dataclass(slots=True)
class _Meta:
    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    parts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    owned: dict[int, list[int]] = field(default_factory=dict)
    places: dict[int, tuple[int, list[tuple[int, int]]]] = field(default_factory=dict)
    inline: bytes = b""

    def properties_of(self, item: int) -> Iterator[tuple[bytes, bytes]]:
        for index in self.owned.get(item, ()):
            if 1 <= index <= len(self.properties):
                yield self.properties[index - 1]


def brand_of(head: bytes) -> bytes | None:
    """Returns the brand by which a file is a HEIF image, or None. head: its first bytes."""
    if head[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(head[:4], "big"), len(head))
    for at in (8, *range(16, end - 3, 4)):
        if head[at : at + 4] in BRANDS:
            return head[at : at + 4]
    return None


def read_heif(path: Path) -> HeifImage | None:
    """Returns the primary image of a HEIF file; None where the file is none, or is damaged.

    Args:
        path: any file.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(256)
            if brand_of(head) is None:
                return None
            if head[8:12] in SEQUENCE_BRANDS and any(kind == b"moov" for kind, _, _ in boxes_of(stream)):
                return HeifImage((), kind=ANIMATION)
            body = _meta_body(stream)
            if body is None:
                return None
            meta = _parse(body)
            return _image(meta, stream, meta.primary, _MOST_DEPTH)
    except (OSError, struct.error, LookupError, ValueError, OverflowError):
        return None


def boxes_of(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yields (type, start of the body, end) of the boxes at the top of an ISO media file; an end beyond the file is given unchanged."""
    stream.seek(0, 2)
    size, at = stream.tell(), 0
    while at + 8 <= size:
        stream.seek(at)
        length, kind, start = int.from_bytes(stream.read(4), "big"), stream.read(4), at + 8
        if length == 1:
            length, start = int.from_bytes(stream.read(8), "big"), at + 16
        if length == 0:
            length = size - at
        if length < start - at:
            return
        yield kind, start, at + length
        at += length


def _meta_body(stream: BinaryIO) -> bytes | None:
    for kind, start, end in boxes_of(stream):
        if kind == b"meta":
            stream.seek(start)
            return stream.read(min(end - start, _MOST_BYTES))
    return None


def _inside(data: bytes, at: int = 0) -> Iterator[tuple[bytes, bytes]]:
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", data, at + 8), 16
        if length == 0:
            length = len(data) - at
        if length < head:
            return
        yield kind, data[at + head : at + length]
        at += length


def _parse(body: bytes) -> _Meta:
    meta = _Meta()
    for kind, data in _inside(body, 4):
        wide = data[:1] != b"\0"
        if kind == b"pitm":
            (meta.primary,) = struct.unpack_from(">I" if wide else ">H", data, 4)
        elif kind == b"iinf":
            for entry, infe in _inside(data, 8 if wide else 6):
                if entry == b"infe" and infe[0] >= 2:
                    item, _, name = struct.unpack_from(">HH4s" if infe[0] == 2 else ">IH4s", infe, 4)
                    meta.kinds[item] = name
        elif kind == b"iref":
            for reference, refs in _inside(data, 4):
                if reference == b"dimg":
                    one = "I" if wide else "H"
                    item, count = struct.unpack_from(f">{one}H", refs)
                    meta.parts[item] = struct.unpack_from(f">{count}{one}", refs, struct.calcsize(f">{one}H"))
        elif kind == b"iprp":
            for part, properties in _inside(data):
                if part == b"ipco":
                    meta.properties = list(_inside(properties))
                elif part == b"ipma":
                    _parse_associations(meta, properties)
        elif kind == b"iloc":
            _parse_places(meta, data)
        elif kind == b"idat":
            meta.inline = data
    return meta


def _parse_associations(meta: _Meta, data: bytes) -> None:
    (count,) = struct.unpack_from(">I", data, 4)
    wide_item, wide_index, at = data[0] >= 1, bool(data[3] & 1), 8
    for _ in range(min(count, _MOST_ITEMS)):
        item, owned = struct.unpack_from(">IB" if wide_item else ">HB", data, at)
        at += 5 if wide_item else 3
        indices = struct.unpack_from(f">{owned}{'H' if wide_index else 'B'}", data, at)
        at += owned * (2 if wide_index else 1)
        meta.owned.setdefault(item, []).extend(index & (0x7FFF if wide_index else 0x7F) for index in indices)


def _parse_places(meta: _Meta, data: bytes) -> None:
    version = data[0]
    sizes = (data[4] >> 4, data[4] & 15, data[5] >> 4, data[5] & 15 if version else 0)  # offset, length, base, index
    wide, at = version >= 2, 6
    (count,) = struct.unpack_from(">I" if wide else ">H", data, at)
    at += 4 if wide else 2

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > len(data):
            raise IndexError
        return int.from_bytes(data[at - size : at], "big")

    for _ in range(min(count, _MOST_ITEMS)):
        item = number(4 if wide else 2)
        method = number(2) & 15 if version else 0
        number(2)  # data reference
        base = number(sizes[2])
        extents = []
        for _ in range(number(2)):
            number(sizes[3])
            extents.append((base + number(sizes[0]), number(sizes[1])))
        meta.places[item] = (method, extents)


def _payload(meta: _Meta, stream: BinaryIO, item: int) -> bytes:
    method, extents = meta.places[item]
    parts = []
    for offset, length in extents:
        if method == 1:
            parts.append(meta.inline[offset : offset + length])
        else:
            stream.seek(offset)
            parts.append(stream.read(min(length, 64)))
    return b"".join(parts)


def _image(meta: _Meta, stream: BinaryIO, item: int, depth: int) -> HeifImage | None:
    kind, parts, operations = meta.kinds.get(item, b""), meta.parts.get(item, ()), _operations(meta, item)
    if kind in _CODED:
        return HeifImage((item,), operations=operations)
    if kind == b"grid":
        data = _payload(meta, stream, item)
        rows, columns = data[2] + 1, data[3] + 1
        width, height = struct.unpack_from(">II" if data[1] & 1 else ">HH", data, 4)
        if len(parts) != rows * columns or not all(meta.kinds.get(part) in _CODED for part in parts):
            return HeifImage((), kind="grid")
        return HeifImage(parts, rows, columns, (width, height), operations)
    if kind in (b"iden", b"tmap") and parts and depth:  # the same image turned; a base image and how to brighten it
        base = _image(meta, stream, parts[0], depth - 1)
        if base is not None and not base.kind:
            return HeifImage(base.tiles, base.rows, base.columns, base.size, base.operations + operations)
        return base
    return HeifImage((), kind=kind.decode("latin-1"))


def _operations(meta: _Meta, item: int) -> tuple[tuple[str, object], ...]:
    found: list[tuple[str, object]] = []
    size: tuple[int, int] | None = None
    for kind, data in meta.properties_of(item):
        if kind == b"ispe":
            size = struct.unpack_from(">II", data, 4)
        elif kind == b"irot":
            found.append(("turn", data[0] & 3))
        elif kind == b"imir":
            found.append(("mirror", data[0] & 1))
        elif kind == b"clap" and size is not None:
            found.append(("crop", _crop(struct.unpack_from(">IIIIiIiI", data), size)))
    return tuple(found)


def _crop(clap: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns (x0, y0, x1, y1) of a clean aperture: width, height and the offset of its center, each a fraction."""
    corners = []
    for (n, d), (offset_n, offset_d), whole in zip((clap[0:2], clap[2:4]), (clap[4:6], clap[6:8]), size, strict=True):
        length = min(whole, round(n / max(1, d)))
        first = round((whole - length) / 2 + offset_n / max(1, offset_d))
        first = min(max(0, first), whole - length)
        corners.append((first, first + length))
    (x0, x1), (y0, y1) = corners
    return x0, y0, x1, y1

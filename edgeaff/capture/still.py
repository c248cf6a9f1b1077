"""Reads the header of a still image: its orientation (EXIF) and its size in pixels. JPEG, PNG, WebP, TIFF, BMP, GIF.

FFmpeg versions differ in which of these they hand on, so the header is read here. A header that is cut or damaged declares
nothing; it never raises.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

ORIENTATION_TAG, WIDTH_TAG, HEIGHT_TAG = 0x0112, 0x0100, 0x0101
# EXIF orientation -> (quarter turns counter-clockwise, first a mirror left to right?)
EXIF_ORIENTATIONS: dict[int, tuple[int, bool]] = {
    1: (0, False),
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (1, True),
    6: (3, False),
    7: (3, True),
    8: (1, False),
}
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_MOST_ENTRIES = 512


def exif_orientation(data: bytes) -> tuple[int, bool] | None:
    """Returns quarter turns counter-clockwise, and whether a mirror (left to right) comes first; None where none is declared.

    Args:
        data: a whole JPEG, PNG, WebP or TIFF file, or its head.
    """
    for block in _exif_blocks(data):
        value = _tags(block).get(ORIENTATION_TAG)
        if value in EXIF_ORIENTATIONS:
            return EXIF_ORIENTATIONS[value]
    return None


def image_size(data: bytes) -> tuple[int, int] | None:
    """Returns the declared width and height in pixels, or None.

    Args:
        data: a whole image file, or its head.
    """
    try:
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return struct.unpack_from(">II", data, 16)
        if data[:2] == b"\xff\xd8":
            frames = (body for marker, body in _jpeg_segments(data) if marker in _START_OF_FRAME)
            height, width = struct.unpack_from(">HH", next(frames), 1)
            return width, height
        if data[:3] == b"GIF":
            return struct.unpack_from("<HH", data, 6)
        if data[:2] == b"BM":
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)
        if data[:4] in (b"II*\0", b"MM\0*"):
            tags = _tags(data)
            return tags[WIDTH_TAG], tags[HEIGHT_TAG]
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
    except (struct.error, StopIteration, KeyError):
        pass
    return None


def lacks_end(data: bytes) -> bool:
    """Returns whether a JPEG or GIF has lost its end marker. data: the whole file."""
    if data[:2] == b"\xff\xd8":
        return b"\xff\xd9" not in data[-65_536:]
    return data[:3] == b"GIF" and data.rstrip(b"\0")[-1:] != b";"


def _exif_blocks(data: bytes) -> Iterator[bytes]:
    """Yields the TIFF structures that hold EXIF tags."""
    if data[:2] == b"\xff\xd8":
        for marker, body in _jpeg_segments(data):
            if marker == 0xE1 and body[:6] == b"Exif\0\0":
                yield body[6:]
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        yield from (body for kind, body in _chunks(data, 8, ">I4s", length_first=True) if kind == b"eXIf")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        for kind, body in _chunks(data, 12, "<4sI", length_first=False):
            if kind == b"EXIF":
                yield body[6:] if body[:6] == b"Exif\0\0" else body
    elif data[:4] in (b"II*\0", b"MM\0*"):
        yield data


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yields (marker, body) of the segments before the first scan."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return
        marker = data[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:  # padding, or a marker that stands alone
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xD9, 0xDA):
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2:
            return
        yield marker, data[at + 4 : at + 2 + length]
        at += 2 + length


def _chunks(data: bytes, at: int, head: str, *, length_first: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yields (kind, body) of the chunks of PNG (a checksum follows each) or RIFF (padded to even lengths)."""
    while at + 8 <= len(data):
        first, second = struct.unpack_from(head, data, at)
        length, kind = (first, second) if length_first else (second, first)
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + (4 if length_first else length % 2)


def _webp_size(data: bytes) -> tuple[int, int] | None:
    for kind, body in _chunks(data, 12, "<4sI", length_first=False):
        if kind == b"VP8X" and len(body) >= 10:
            return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
        if kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", body, 6)
            return width & 0x3FFF, height & 0x3FFF
        if kind == b"VP8L" and body[:1] == b"\x2f":
            bits = int.from_bytes(body[1:5], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _tags(block: bytes) -> dict[int, int]:
    """Returns the first directory of a TIFF structure: whole numbers (SHORT, LONG) by tag."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    tags: dict[int, int] = {}
    try:
        if order is None or struct.unpack_from(f"{order}H", block, 2)[0] != 42:
            return tags
        (at,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, at)
        for entry in range(min(count, _MOST_ENTRIES)):
            tag, kind, values = struct.unpack_from(f"{order}HHI", block, at + 2 + 12 * entry)
            if values == 1 and kind in (3, 4):
                (tags[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", block, at + 10 + 12 * entry)
    except struct.error:
        pass
    return tags

"""Writes HEIF images for tests: tiles coded as JPEG in a grid, as phones store their photographs with HEVC."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def jpeg(image: np.ndarray) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=98, subsampling=0)
    return stream.getvalue()


def write_heif(
    path: Path,
    image: np.ndarray,
    *,
    tile: int = 64,
    turn: int | None = None,
    mirror: int | None = None,
    kind: bytes = b"grid",
    lose: int | None = None,
) -> Path:
    """Writes an image as a grid of tiles.

    Args:
        path: what to write.
        image: (H, W, 3) uint8 RGB.
        tile: side of a tile; the last ones reach beyond the image, as a phone's do.
        turn: quarter turns counter-clockwise that a reader must do (irot).
        mirror: 0 = upper and lower half change places, 1 = left and right (imir); after the turn.
        kind: type of the primary item.
        lose: index of a tile whose data are overwritten.
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    padded = np.pad(image, ((0, rows * tile - height), (0, columns * tile - width), (0, 0)), mode="edge")
    parts = [
        jpeg(padded[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile])
        for row in range(rows)
        for column in range(columns)
    ]
    if lose is not None:
        parts[lose] = bytes(len(parts[lose]))
    count, primary = len(parts), len(parts) + 1
    properties = [
        full_box(b"ispe", 0, 0, struct.pack(">II", tile, tile)),
        full_box(b"ispe", 0, 0, struct.pack(">II", width, height)),
    ]
    owned = [2]
    for name, value in ((b"irot", turn), (b"imir", mirror)):
        if value is not None:
            properties.append(box(name, bytes([value])))
            owned.append(0x80 | len(properties))
    associations = [struct.pack(">HBB", item, 1, 1) for item in range(1, primary)]
    associations.append(struct.pack(">HB", primary, len(owned)) + bytes(owned))
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height)
    entries = [full_box(b"infe", 2, 1, struct.pack(">HH4s", item, 0, b"jpeg"), b"\0") for item in range(1, primary)]
    entries.append(full_box(b"infe", 2, 0, struct.pack(">HH4s", primary, 0, kind), b"\0"))

    def meta(offsets: list[int]) -> bytes:
        places = [
            struct.pack(">HHHHII", item, 0, 0, 1, offset, len(part))
            for item, (offset, part) in enumerate(zip(offsets, parts, strict=True), start=1)
        ]
        places.append(struct.pack(">HHHHII", primary, 1, 0, 1, 0, len(grid)))
        return full_box(
            b"meta",
            0,
            0,
            full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, b"pict"), b"\0"),
            full_box(b"pitm", 0, 0, struct.pack(">H", primary)),
            full_box(b"iloc", 1, 0, b"\x44\x00", struct.pack(">H", primary), *places),
            full_box(b"iinf", 0, 0, struct.pack(">H", primary), *entries),
            full_box(b"iref", 0, 0, box(b"dimg", struct.pack(f">HH{count}H", primary, count, *range(1, primary)))),
            box(b"iprp", box(b"ipco", *properties), full_box(b"ipma", 0, 0, struct.pack(">I", primary), *associations)),
            box(b"idat", grid),
        )

    head = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    start = len(head) + len(meta([0] * count)) + 8
    offsets = [start + sum(map(len, parts[:index])) for index in range(count)]
    path.write_bytes(head + meta(offsets) + box(b"mdat", *parts))
    return path

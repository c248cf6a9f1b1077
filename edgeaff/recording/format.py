"""The session file `.eaffrec`: every call of a session in order, with what became of its pictures and sound.

```
"EAFFREC1"  then records:  kind (1 byte) | head length, body length (u32 LE) | head (JSON) | body | crc32 (u32 LE)
H header    once, first: schema, versions, options of the session, raw or not
C call      name and arguments; body: picture, samples or rows where they are kept
F faces     of one frame, as they were found inside the last call; body: the crops
R rows      LLDs that became final inside the last call; body: (n, 65) float32
E event     as it was delivered, with latency_ms and dropped_since_last
```
A file that ends in the middle of a record (power loss) is read up to there. Bodies are compressed where that pays.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.errors import MediaError
from edgeaff.naming import public_name
from edgeaff.types import FaceBox, TrackedFace

MAGIC = b"EAFFREC1"
SCHEMA = 1
_HEAD = struct.Struct("<cII")
_CRC = struct.Struct("<I")
_MAX_BYTES = 1 << 28  # no body is larger than a 4K picture; a larger length is damage


@dataclass(frozen=True, slots=True)
class Record:
    """One record. kind: one letter; head: JSON object; body: bytes, uncompressed."""

    kind: str
    head: dict[str, Any]
    body: bytes = b""


@dataclass(slots=True)
class Call:
    """One call of the session and what was noted inside it, in order.

    Attributes:
        name: method of Session.
        head: its arguments.
        body: picture, samples or rows, where they were kept.
        faces: records of kind F.
        rows: records of kind R.
        events: records of kind E: the events that were delivered after the call and before the next.
    """

    name: str
    head: dict[str, Any]
    body: bytes = b""
    faces: list[Record] = field(default_factory=list)
    rows: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)


def encode_record(record: Record) -> bytes:
    """Returns the bytes of a record."""
    head, body = dict(record.head), record.body
    if len(body) > 256:
        packed = zlib.compress(body, 1)
        if len(packed) < len(body):
            head["z"], body = len(body), packed
    text = json.dumps(head, separators=(",", ":")).encode()
    data = _HEAD.pack(record.kind.encode(), len(text), len(body)) + text + body
    return data + _CRC.pack(zlib.crc32(data))


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Yields the records of a session file, up to its end or to the first damage.

    Args:
        path: the file.

    Yields:
        Records in the order of writing.

    Raises:
        MediaError: the file cannot be read, or is no session file.
    """
    try:
        with open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise MediaError(f"{path} must be a session file of edgeaff, got another kind; pass a .eaffrec file.")
            while (record := _read_record(file)) is not None:
                yield record
    except OSError as error:
        name = public_name(path)  # a mistyped URI ends here too
        raise MediaError(f"{name} must be a readable session file, got: {error.strerror}; check the path.") from None


def _read_record(file: Any) -> Record | None:
    prefix = file.read(_HEAD.size)
    if len(prefix) < _HEAD.size:
        return None
    kind, head_size, body_size = _HEAD.unpack(prefix)
    if head_size + body_size > _MAX_BYTES:
        return None
    data = file.read(head_size + body_size + _CRC.size)
    if len(data) < head_size + body_size + _CRC.size:
        return None
    content = data[: -_CRC.size]
    if zlib.crc32(prefix + content) != _CRC.unpack(data[-_CRC.size :])[0]:
        return None
    head, body = json.loads(content[:head_size]), content[head_size:]
    if head.pop("z", None) is not None:
        body = zlib.decompress(body)
    return Record(kind.decode("ascii", "replace"), head, body)


class Recording:
    """A session file.

    Attributes:
        path: the file.
        header: head of its first record.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads the header.

        Args:
            path: the file.

        Raises:
            MediaError: it cannot be read, is no session file, or of another schema.
        """
        self.path = Path(path)
        first = next(read_records(self.path), None)
        if first is None or first.kind != "H":
            raise MediaError(f"{path} must begin with a header, got a damaged or empty file; record again.")
        self.header = first.head
        if self.header.get("schema") != SCHEMA:
            raise MediaError(
                f"{path} must be of schema {SCHEMA}, got {self.header.get('schema')}; replay it with the edgeaff that "
                "recorded it."
            )

    @property
    def is_raw(self) -> bool:
        """True where pictures and sound themselves were kept."""
        return bool(self.header.get("raw"))

    def calls(self) -> Iterator[Call]:
        """Yields the calls in order, each with what was noted inside it."""
        call: Call | None = None
        for record in read_records(self.path):
            if record.kind == "C":
                if call is not None:
                    yield call
                call = Call(record.head["call"], record.head, record.body)
            elif call is not None and record.kind in "FRE":
                {"F": call.faces, "R": call.rows, "E": call.events}[record.kind].append(record)
        if call is not None:
            yield call


def array_record(kind: str, head: dict[str, Any], array: np.ndarray) -> Record:
    """Returns a record whose body is an array; its shape and dtype go into the head."""
    array = np.ascontiguousarray(array)
    return Record(kind, {**head, "shape": list(array.shape), "dtype": array.dtype.str}, array.tobytes())


def array_of(record: Record | Call) -> np.ndarray:
    """Returns the array of a record made by `array_record`."""
    return np.frombuffer(record.body, dtype=np.dtype(record.head["dtype"])).reshape(record.head["shape"])


def faces_record(pts_ns: int, faces: list[tuple[TrackedFace, np.ndarray, int]]) -> Record:
    """Returns the record of the faces of one frame. faces: (face, (96, 96, 3) uint8 crop, pts_ns of its detection)."""
    rows = [[face.track_id, *map(float, face.box), float(face.score), detected] for face, _, detected in faces]
    crops = np.stack([crop for _, crop, _ in faces]) if faces else np.zeros((0, 0, 0, 3), np.uint8)
    return array_record("F", {"pts_ns": pts_ns, "faces": rows}, crops)


def faces_of(record: Record) -> list[tuple[TrackedFace, np.ndarray, int]]:
    """Returns what `faces_record` was given."""
    found = []
    for row, crop in zip(record.head["faces"], array_of(record), strict=True):
        track_id, x0, y0, x1, y1, score, detected = row
        found.append((TrackedFace(track_id, FaceBox(x0, y0, x1, y1), score), crop, detected))
    return found

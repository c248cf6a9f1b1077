"""The session file `.eaffrec`: every call of a session in order, with what became of its frames and audio.

```
"EAFFREC1"  then records:  kind (1 byte) | head length, body length (u32 LE) | head (JSON) | body | crc32 (u32 LE)
H header    once, first: schema, versions, options of the session, raw or not
C call      name and arguments; body: frame, samples or rows where they are kept
F faces     of one frame, as they were found inside the last call; body: the crops
R rows      LLDs that became final inside the last call; body: (n, 65) float32
E event     as it was delivered, with latency_ms and dropped_since_last
X undone    the last call raised: it is as if it had not been made
Z end       once, last: how many records stand before it
```
A file without its end was cut (power loss) or is damaged. It is read up to there: the last call without a record behind it is left
out, since what was noted inside it may be missing, and `Recording.cut` names the place. Bodies are compressed where that pays, and
unpacked only where they are needed. Every length, count and number is checked before it is used.
"""

from __future__ import annotations

import json
import math
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgeaff.errors import MediaError
from edgeaff.naming import public_name
from edgeaff.parsing.boundary import Refused, boundary, shown
from edgeaff.parsing.json_text import parse_json
from edgeaff.types import FaceBox, TrackedFace

MAGIC = b"EAFFREC1"
SCHEMA = 1
MOST_BODY_BYTES = 1 << 28  # packed and unpacked; an image of 89 megapixels, 12 minutes of audio at 96 kHz
MOST_HEAD_BYTES = 1 << 20
MOST_FACES = 256
_MOST_RATIO = 1100  # unpacked bytes for a packed one; deflate reaches 1032
_KINDS = b"HCFREXZ"
_DTYPES = ("|u1", "<i2", "<f4", "<f8")
_MOST_AXES = 4
_HEAD = struct.Struct("<cII")
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        kind: one letter.
        head: JSON object.
        stored: bytes as stored in the file.
        unpacked: their size unpacked; None where they are not packed.
    """

    kind: str
    head: dict[str, Any]
    stored: bytes = b""
    unpacked: int | None = None

    @property
    def body(self) -> bytes:
        """The bytes, unpacked.

        Raises:
            MediaError: they cannot be unpacked, or to another size than stated.
        """
        if self.unpacked is None:
            return self.stored
        with boundary(MediaError, "the recording must hold bodies that unpack", "record again."):
            return _inflate(self.stored, self.unpacked)


@dataclass(slots=True)
class Call:
    """One call of the session and what was noted inside it, in order.

    Attributes:
        record: its name and arguments; frame, samples or rows, where they were kept.
        faces: records of kind F.
        rows: records of kind R.
        events: records of kind E: the events that were delivered after the call and before the next.
    """

    record: Record
    faces: list[Record] = field(default_factory=list)
    rows: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The method of Session."""
        return str(self.record.head.get("call"))

    @property
    def head(self) -> dict[str, Any]:
        """Its arguments."""
        return self.record.head


def encode_record(record: Record) -> bytes:
    """Returns the bytes of a record.

    Raises:
        Refused: it is larger than what is read.
        ValueError: its head is no plain JSON.
    """
    head, body = dict(record.head), record.body
    if len(body) > MOST_BODY_BYTES:
        raise Refused(f"{len(body)} bytes in one call, more than {MOST_BODY_BYTES}")
    if len(body) > 256:
        packed = zlib.compress(body, 1)
        if len(packed) < len(body):
            head["z"], body = len(body), packed
    text = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > MOST_HEAD_BYTES:
        raise Refused(f"a head of {len(text)} bytes, more than {MOST_HEAD_BYTES}")
    data = _HEAD.pack(record.kind.encode(), len(text), len(body)) + text + body
    return data + _CRC.pack(zlib.crc32(data))


class RecordReader:
    """Reads the records of a session file, up to its end or to the first damage.

    Attributes:
        cut: why the file ended there, empty where it has its end.
        raw_bytes: how much of the file was read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self.cut = ""
        self.raw_bytes = 0

    def __iter__(self) -> Iterator[Record]:
        """Yields records in the order of writing.

        Raises:
            MediaError: the file cannot be read, or is no session file.
        """
        self.cut, self.raw_bytes = "", len(MAGIC)
        name = public_name(self._path)  # a mistyped URI ends here too
        with boundary(MediaError, f"{name} must be a readable session file", "check the path."):
            status = os.stat(self._path)
            if not stat.S_ISREG(status.st_mode):
                raise MediaError(f"{name} must be a session file, got no regular file; check the path.")
            with open(self._path, "rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    raise MediaError(
                        f"{name} must be a session file of edgeaff, got another kind; pass a .eaffrec file."
                    )
                yield from self._records(file, status.st_size)

    def _records(self, file: BinaryIO, file_bytes: int) -> Iterator[Record]:
        count = 0
        while True:
            try:
                record, size = _read_record(file, file_bytes - self.raw_bytes)
            except Refused as damage:
                self.cut = f"it is cut or damaged at byte {self.raw_bytes} ({damage})"
                return
            self.raw_bytes += size
            yield record
            if record.kind == "Z":
                break
            count += 1
        if record.head.get("records") != count:
            self.cut = (
                f"it is damaged: {count} records stand before an end that counts {shown(record.head.get('records'))}"
            )
        elif file.read(1):
            self.cut = f"it is damaged: bytes follow its end at byte {self.raw_bytes}"


def read_records(path: str | os.PathLike[str]) -> Iterator[Record]:
    """Yields the records of a session file, up to its end or to the first damage; see `RecordReader`.

    Args:
        path: the file.

    Yields:
        Records in the order of writing.
    """
    yield from RecordReader(path)


def _read_record(file: BinaryIO, bytes_left: int) -> tuple[Record, int]:
    """Returns the next record and its size.

    Args:
        file: at the beginning of the record.
        bytes_left: of the file.

    Raises:
        Refused: the file ends before it does, or it is damaged.
    """
    prefix = file.read(_HEAD.size)
    if len(prefix) < _HEAD.size:
        raise Refused("the file ends here")
    kind, head_size, body_size = _HEAD.unpack(prefix)
    if head_size > MOST_HEAD_BYTES or body_size > MOST_BODY_BYTES or kind not in _KINDS:
        raise Refused("no record begins here")
    size = head_size + body_size + _CRC.size
    data = b"" if size > bytes_left - _HEAD.size else file.read(size)
    if len(data) < size:
        raise Refused("the file ends within a record")
    content = memoryview(data)[: -_CRC.size]
    if zlib.crc32(content, zlib.crc32(prefix)) != _CRC.unpack(data[-_CRC.size :])[0]:
        raise Refused("a checksum is wrong")
    head, body = parse_json(bytes(content[:head_size]), most_bytes=MOST_HEAD_BYTES), bytes(content[head_size:])
    unpacked = head.pop("z", None)
    if unpacked is not None and not (
        type(unpacked) is int and 0 <= unpacked <= min(MOST_BODY_BYTES, _MOST_RATIO * (len(body) + 64))
    ):
        raise Refused(f"a body that states {shown(unpacked)} bytes unpacked")
    return Record(kind.decode(), head, body, unpacked), len(prefix) + len(data)


def _inflate(packed: bytes, size: int) -> bytes:
    """Returns exactly this many bytes.

    Raises:
        Refused: there are more or fewer.
    """
    inflater = zlib.decompressobj()
    content = inflater.decompress(packed, size + 1)
    if len(content) != size or not inflater.eof:
        raise Refused("a body of another unpacked size than stated")
    return content


class Recording:
    """A session file.

    Attributes:
        path: the file.
        header: head of its first record.
        cut: after a pass over `calls`: where and why the recording ends early, one sentence; empty for a whole one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Reads the header.

        Args:
            path: the file.

        Raises:
            MediaError: it cannot be read, is no session file, or of another schema.
        """
        self.path, self.cut = Path(path), ""
        first = next(read_records(self.path), None)
        if first is None or first.kind != "H":
            raise MediaError(f"{path} must begin with a header, got a damaged or empty file; record again.")
        self.header = first.head
        if type(self.header.get("schema")) is not int or self.header["schema"] != SCHEMA:
            raise MediaError(
                f"{path} must be of schema {SCHEMA}, got {shown(self.header.get('schema'))}; replay it with the edgeaff that "
                "recorded it."
            )

    @property
    def is_raw(self) -> bool:
        """True where frames and audio themselves were kept."""
        return self.header.get("raw") is True

    @property
    def session_options(self) -> dict[str, Any]:
        """Keyword arguments of the session that was recorded.

        Raises:
            MediaError: they are no options.
        """
        options = self.header.get("session", {})
        if not isinstance(options, dict):
            raise MediaError(f"{self.path} must hold options of a session, got {shown(options)}; record again.")
        return dict(options)

    @property
    def notice(self) -> dict[str, Any] | None:
        """The notice that people were shown: time, sha256 and characters; None where none was."""
        stated = self.header.get("notice")
        return dict(stated) if isinstance(stated, dict) else None

    def calls(self) -> Iterator[Call]:
        """Yields the calls in order, each with what was noted inside it; after the last one `cut` is set."""
        reader = RecordReader(self.path)
        call: Call | None = None
        for record in reader:
            if record.kind in "CZ":
                if call is not None:
                    yield call
                call = Call(record) if record.kind == "C" else None
            elif record.kind == "X":
                call = None
            elif call is not None and record.kind in "FRE":
                {"F": call.faces, "R": call.rows, "E": call.events}[record.kind].append(record)
        self.cut = reader.cut


def array_record(kind: str, head: dict[str, Any], array: np.ndarray) -> Record:
    """Returns a record whose body is an array, little-endian; its shape and dtype go into the head."""
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return Record(kind, {**head, "shape": list(array.shape), "dtype": array.dtype.str}, array.tobytes())


def array_of(record: Record) -> np.ndarray:
    """Returns the array of a record made by `array_record`.

    Raises:
        MediaError: the record holds no such array.
    """
    shape, dtype, body = record.head.get("shape"), record.head.get("dtype"), record.body
    sizes = shape if isinstance(shape, list) and len(shape) <= _MOST_AXES else [-1]
    whole = all(type(size) is int and 0 <= size <= MOST_BODY_BYTES for size in sizes)
    if not whole or dtype not in _DTYPES or math.prod(sizes) * np.dtype(dtype).itemsize != len(body):
        raise MediaError(
            f"the recording must hold arrays of {', '.join(_DTYPES)} as large as their bodies, got {shown(dtype)} of shape "
            f"{shown(str(shape))} in {len(body)} bytes; record again."
        )
    stored = np.dtype(dtype)
    array = np.frombuffer(body, dtype=stored).reshape(sizes)
    return array if stored.isnative else array.astype(stored.newbyteorder("="))


def faces_record(pts_ns: int, faces: list[tuple[TrackedFace, np.ndarray, int]]) -> Record:
    """Returns the record of the faces of one frame. faces: (face, (96, 96, 3) uint8 crop, pts_ns of its detection)."""
    rows = [[face.track_id, *map(float, face.box), float(face.score), detected] for face, _, detected in faces]
    crops = np.stack([crop for _, crop, _ in faces]) if faces else np.zeros((0, 0, 0, 3), np.uint8)
    return array_record("F", {"pts_ns": pts_ns, "faces": rows}, crops)


def faces_of(record: Record) -> list[tuple[TrackedFace, np.ndarray, int]]:
    """Returns the arguments of `faces_record`.

    Raises:
        MediaError: the record holds no such faces.
    """
    rows, crops = record.head.get("faces"), array_of(record)
    if not isinstance(rows, list) or len(rows) > MOST_FACES or len(rows) != len(crops) or crops.dtype != np.uint8:
        raise MediaError(
            f"the recording must hold at most {MOST_FACES} faces with a crop each, got {shown(rows)}; record again."
        )
    found = []
    for row, crop in zip(rows, crops, strict=True):
        if not _is_face_row(row):
            raise MediaError("the recording must hold faces as id, box, score and time, got another row; record again.")
        track_id, x0, y0, x1, y1, score, detected = row
        found.append((TrackedFace(track_id, FaceBox(x0, y0, x1, y1), score), crop, detected))
    return found


def _is_face_row(row: Any) -> bool:
    if not isinstance(row, list) or len(row) != 7 or type(row[0]) is not int or type(row[6]) is not int:
        return False
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in row)

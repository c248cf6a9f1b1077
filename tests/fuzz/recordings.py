"""The door of recordings: records with right checksums and changed content, and any bytes; replayed, compared and read as a source."""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np

from edgeaff.errors import EdgeaffError
from edgeaff.recording.format import MAGIC, Recording
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import ReplaySource, first_difference
from tests.fuzz.door import Door, Feed
from tests.fuzz.mutate import json_bytes, mutate, mutate_value
from tests.recording.test_recorder import SumSession

_HEAD = struct.Struct("<cII")
Parts = list[tuple[bytes, bytes, bytes]]  # kind, head, body


def split(data: bytes) -> Parts:
    """Returns the records of a whole recording, unparsed."""
    parts, at = [], len(MAGIC)
    while at < len(data):
        kind, head, body = _HEAD.unpack_from(data, at)
        start = at + _HEAD.size
        parts.append((kind, data[start : start + head], data[start + head : start + head + body]))
        at = start + head + body + 4
    return parts


def join(parts: Parts) -> bytes:
    """Returns a recording with right checksums."""
    found = bytearray(MAGIC)
    for kind, head, body in parts:
        data = _HEAD.pack(kind, len(head), len(body)) + head + body
        found += data + struct.pack("<I", zlib.crc32(data))
    return bytes(found)


def _changed_head(rng: Random, head: bytes) -> bytes:
    """Returns a record's head with a value changed, or with bytes changed where an earlier change broke its JSON."""
    try:
        value = json.loads(head)
    except (ValueError, RecursionError):
        return mutate(rng, [head or b"{}"])
    return json_bytes(rng, mutate_value(rng, value))


def make(rng: Random, seeds: Sequence[bytes]) -> bytes:
    """Returns a recording in which a record or two are changed, removed, doubled or moved."""
    if rng.random() < 0.2:
        return mutate(rng, seeds)
    parts = split(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(parts))
        kind, head, body = parts[at]
        choice = rng.random()
        if choice < 0.5:
            parts[at] = (kind, _changed_head(rng, head), body)
        elif choice < 0.65:
            parts[at] = (kind, head, mutate(rng, [body or b"x"]))
        elif choice < 0.75:
            del parts[at]
        elif choice < 0.85:
            parts[at:at] = [parts[at]] * rng.choice((1, 3))
        elif choice < 0.95:
            parts.append(parts.pop(at))
        else:
            parts[at] = (rng.choice((b"H", b"C", b"F", b"R", b"E", b"X", b"Z", b"?")), head, body)
        if not parts:
            break
    return join(parts)


def record(path: Path, *, raw: bool) -> bytes:
    """Returns a short recording with every kind of call."""
    with Recorder(path, options={"video": True}, raw=raw, keep_previous=False) as recorder:
        session = recorder.wrap(SumSession(recorder))
        for index in range(4):
            now = index * 33_000_000
            events = session.push_frame(np.full((8, 8, 3), 90, np.uint8), pts_ns=now)
            events += session.push_audio(np.full(530, 20, np.int16), pts_ns=now, sample_rate_hz=16_000)
            for event in events + session.advance(now):
                recorder.write(event)
        session.finish()
    return path.read_bytes()


def open_recording(folder: Path) -> tuple[Sequence[bytes], Feed]:
    """A recording's bytes -> the session again, the comparison, the source."""
    path = folder / "a.eaffrec"

    def feed(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(EdgeaffError):
            for _ in ReplaySource(path):
                pass
        first_difference(Recording(path), lambda tap, options: SumSession(tap))

    return [record(folder / "s.eaffrec", raw=raw) for raw in (False, True)], feed


DOORS = [Door("recording", open_recording, make, share=1.5)]

"""The messages between server and page: one dataclass each, JSON text, images alone as bytes. docs/live_page.md describes them.

The columns of a tick follow `AffectEvent`: a field added to it reaches the page without a change here.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgeaff.types import AffectEvent, FaceBox, Status, TrackedFace

PROTOCOL = 1
TICK_HZ = 30
STATUSES: tuple[Status, ...] = tuple(Status)
WRONG_TOKEN, TOO_MANY = 4401, 4429  # codes of the goodbye
EXACT = ("seq", "pts_ns")  # whole numbers beyond the range of a float32
_FACE = ("face_track_id", *(f"face_{name}" for name in (*FaceBox._fields, "score")))
_CODES = {status: float(index) for index, status in enumerate(STATUSES)}
_HEADER = struct.Struct("<I")

REASONS: dict[str, str] = {
    "STALE": "Nothing has come from any source for a moment, so there is no value.",
    "NO_FACE": "No face can be used. What is left comes from the voice alone.",
    "NO_AUDIO": "No audio arrives. The values come from the face alone.",
    "NO_SPEECH": "Nobody speaks, and there is no camera to go by.",
    "WARMUP": "The first half second of evidence; values are still settling.",
    "ABSTAIN": "There is evidence, but the expected error is too large for a value.",
    "OK": "Every source delivers; both values are estimates, with their uncertainty drawn around them.",
}


def _names_of_numbers() -> tuple[str, ...]:
    """Returns the fields of an event that are numbers, a status or a face."""
    left_out = {"schema", "backend", *EXACT}
    fields = [
        field
        for field in dataclasses.fields(AffectEvent)
        if field.name not in left_out and "str" not in str(field.type)
    ]
    return tuple(name for field in fields for name in (_FACE if field.name == "face" else (field.name,)))


VALUES: tuple[str, ...] = _names_of_numbers()
COLUMNS: tuple[str, ...] = (*EXACT, *VALUES)
_PLAIN = tuple(name for name in VALUES if name not in _FACE)


def values_of(event: AffectEvent) -> list[float | None]:
    """Returns the values of an event in the order of VALUES; the status as its place in STATUSES."""
    found: dict[str, float | None] = {name: _number(getattr(event, name)) for name in _PLAIN}
    face: TrackedFace | None = event.face
    numbers = (None,) * len(_FACE) if face is None else (face.track_id, *face.box, face.score)
    found.update(zip(_FACE, map(_number, numbers), strict=True))
    return [found[name] for name in VALUES]


def _number(value: Any) -> float | None:
    if isinstance(value, Status):
        return _CODES[value]
    if not isinstance(value, (bool, int, float, np.number)):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: what is shown, and how to read the rest.

    Attributes:
        protocol: version of these messages; a page of another version reloads itself.
        version: of edgeaff.
        schema: of events.
        mode: "live", or "view" for a stored session.
        input: name of what is read.
        bundle: model id.
        backend: its name.
        tick_hz: ticks per second.
        columns: names of the numbers of a tick, in order.
        statuses: name and words of each status; a tick gives its place in this list.
        capacity: rows that the server keeps, and a page needs to keep.
        limits: from the bundle: `abstain_above_std`, where it has one.
        smoothing: time constants of the bundle, seconds.
        images: "" (none leave the server), "crop" or "frame".
        crop_margin: side of a crop, in longer sides of the face's box.
        labels: name, valence and arousal of the words of the circumplex.
    """

    type: ClassVar[str] = "hello"
    protocol: int
    version: str
    schema: int
    mode: str
    input: str
    bundle: str
    backend: str
    tick_hz: int
    columns: Sequence[str]
    statuses: Sequence[Mapping[str, str]]
    capacity: int
    limits: Mapping[str, float]
    smoothing: Mapping[str, float]
    images: str
    crop_margin: float
    labels: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class History:
    """A piece of the past; pieces come newest first.

    Attributes:
        first: number of its first row, counted from the first tick of the session.
        rows: how many.
        exact: base64 of (rows, 2) float64 LE: `seq`, `pts_ns`.
        values: base64 of (rows, columns - 2) float32 LE: the other columns; NaN for no value.
        complete: whether nothing older follows.
    """

    type: ClassVar[str] = "history"
    first: int
    rows: int
    exact: str
    values: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Ticks:
    """New ticks since the last message of this kind, ten times a second.

    Attributes:
        first: number of the first row.
        rows: numbers of each tick in the order of `Hello.columns`; null for no value.
        age_ms: age of the newest tick, from capture to this message; null where it has no clock.
        frame: width and height of the newest frame, pixels; null before one came.
    """

    type: ClassVar[str] = "ticks"
    first: int
    rows: Sequence[Sequence[float | None]]
    age_ms: float | None
    frame: Sequence[int] | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A viewer that is too slow missed ticks; the newest follow.

    Attributes:
        rows: missed since the last message of this kind.
        total: missed so far.
    """

    type: ClassVar[str] = "skipped"
    rows: int
    total: int


@dataclass(frozen=True, slots=True)
class StatusNote:
    """Something that happened to the machinery (`StatusEvent`).

    Attributes:
        pts_ns: of the newest tick when it happened; null before the first.
        event: its fields.
    """

    type: ClassVar[str] = "status"
    pts_ns: int | None
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HealthNote:
    """Once a second: the answer of /status, and how many watch.

    Attributes:
        status: nested names and numbers, as `GET /status` gives them.
        viewers: how many pages are connected.
        images_sent: how many images have left the server so far.
    """

    type: ClassVar[str] = "health"
    status: Mapping[str, Any]
    viewers: int
    images_sent: int


@dataclass(frozen=True, slots=True)
class Image:
    """An image, only where it was allowed: the length of a JSON head (u32 LE), the head, then the JPEG.

    Attributes:
        kind: "crop" or "frame".
        pts_ns: time of the frame.
        track_id: of the face in a crop; null for a frame.
        width: of the image, pixels.
        height: of the image, pixels.
    """

    type: ClassVar[str] = "image"
    kind: str
    pts_ns: int
    track_id: int | None
    width: int
    height: int


MESSAGES = (Hello, History, Ticks, Skipped, StatusNote, HealthNote, Image)


def encode(message: Any) -> bytes:
    """Returns a message of MESSAGES as UTF-8 JSON."""
    fields = {field.name: getattr(message, field.name) for field in dataclasses.fields(message)}
    text = json.dumps({"type": message.type, **fields}, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "backslashreplace")


def encode_image(head: Image, jpeg: bytes) -> bytes:
    """Returns an image as bytes of a binary message."""
    text = encode(head)
    return _HEADER.pack(len(text)) + text + jpeg


def token_of(message: bytes) -> bytes:
    """Returns the token in a client's first message, `{"token": "..."}`; nothing where it is another."""
    try:
        parsed = json.loads(message)
    except (ValueError, RecursionError):
        return b""
    token = parsed.get("token") if isinstance(parsed, dict) else None
    return token.encode("utf-8", "replace") if isinstance(token, str) else b""


def statuses() -> list[dict[str, str]]:
    """Returns name and words of every status, in the order of its code."""
    return [{"name": status.value, "words": REASONS.get(status.value, "")} for status in STATUSES]

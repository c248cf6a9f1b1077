"""The messages of the live page: what they hold, that they follow the event, and that a token is read as it must be."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from edgeaff.live.protocol import (
    COLUMNS,
    EXACT,
    MESSAGES,
    REASONS,
    STATUSES,
    VALUES,
    Image,
    Ticks,
    encode,
    encode_image,
    statuses,
    token_of,
    values_of,
)
from edgeaff.types import AffectEvent, Status
from tests.delivery.events import EMPTY, FULL


def test_columns_hold_every_number_of_an_event():
    fields = {field.name for field in dataclasses.fields(AffectEvent)} - {"schema", "backend", "face"}
    faces = {name for name in COLUMNS if name.startswith("face_")}
    assert set(COLUMNS) - faces == fields
    assert faces == {"face_track_id", "face_x0", "face_y0", "face_x1", "face_y1", "face_score"}
    assert COLUMNS[: len(EXACT)] == EXACT and COLUMNS[len(EXACT) :] == VALUES


def test_values_are_those_of_the_event_in_order():
    values = dict(zip(VALUES, values_of(FULL), strict=True))
    assert values["valence"] == FULL.valence and values["arousal_std"] == FULL.arousal_std
    assert [values[f"face_{name}"] for name in ("track_id", "x0", "y0", "x1", "y1", "score")] == [
        7,
        *FULL.face.box,
        0.875,
    ]
    assert STATUSES[int(values["status"])] is FULL.status


def test_values_without_evidence_are_none():
    values = dict(zip(VALUES, values_of(EMPTY), strict=True))
    absent = {name for name, value in values.items() if value is None}
    assert {"valence", "arousal", "video_age_ms", "face_x0", "face_track_id"} <= absent
    assert STATUSES[int(values["status"])] is Status.STALE


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
def test_value_that_is_no_finite_number_is_none(value):
    event = dataclasses.replace(
        FULL, valence=value, latency_ms=value, face=FULL.face.__class__(7, (value, 1.0, 2.0, 3.0), value)
    )
    values = dict(zip(VALUES, values_of(event), strict=True))
    assert {name for name, found in values.items() if found is None} >= {
        "valence",
        "latency_ms",
        "face_x0",
        "face_score",
    }
    assert json.loads(encode(Ticks(0, [values_of(event)], None, None)))


def test_every_status_has_words():
    assert [row["name"] for row in statuses()] == [status.value for status in Status]
    assert all(row["words"] for row in statuses()) and set(REASONS) >= {status.value for status in Status}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_message_is_documented(root, message):
    text = (root / "docs" / "live_page.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{message.type}` \|(.*)$", text, re.MULTILINE)
    assert row is not None
    for field in dataclasses.fields(message):
        assert f"`{field.name}`" in row[1], field.name


def test_encoded_message_is_json_with_its_type():
    message = json.loads(encode(Ticks(first=3, rows=[[1, None]], age_ms=2.5, frame=None)))
    assert message == {"type": "ticks", "first": 3, "rows": [[1, None]], "age_ms": 2.5, "frame": None}


def test_number_that_json_lacks_is_never_sent():
    with pytest.raises(ValueError, match="JSON"):
        encode(Ticks(first=0, rows=[[float("nan")]], age_ms=None, frame=None))


def test_image_is_a_head_and_a_jpeg():
    data = encode_image(Image("crop", 5, 7, 96, 96), b"\xff\xd8jpeg")
    length = int(np.frombuffer(data[:4], "<u4")[0])
    assert json.loads(data[4 : 4 + length]) == {
        "type": "image",
        "kind": "crop",
        "pts_ns": 5,
        "track_id": 7,
        "width": 96,
        "height": 96,
    }
    assert data[4 + length :] == b"\xff\xd8jpeg"


@pytest.mark.parametrize(
    ("message", "token"),
    [
        (b'{"token": "abc"}', b"abc"),
        (b'{"token": "abc", "more": 1}', b"abc"),
        (b"abc", b""),
        (b'"abc"', b""),
        (b'{"token": 5}', b""),
        (b'{"token": null}', b""),
        (b"[" * 5000, b""),
        (b"\xff\xfe", b""),
        (b'{"token": "\\ud800"}', b"?"),
        (b"", b""),
    ],
)
def test_token_is_read_from_a_first_message(message, token):
    assert token_of(message) == token

"""Value objects and the lean import."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

import edgeaff
from edgeaff.errors import ArgumentError
from edgeaff.types import (
    CIRCUMPLEX_LABELS,
    AffectEvent,
    ChangeEvent,
    FaceBox,
    Status,
    TrackedFace,
    check_image,
    circumplex,
    most_pixels,
)

EVENT = AffectEvent(
    1,
    0,
    33_333_333,
    0.5,
    -0.25,
    0.5,
    -0.25,
    0.1,
    0.2,
    Status.OK,
    3.0,
    None,
    1.0,
    0.0,
    TrackedFace(3, FaceBox(1, 2, 3, 4), 0.9),
    None,
    "onnxruntime",
    None,
)

DESIGN_ORDER = [
    "schema",
    "seq",
    "pts_ns",
    "valence",
    "arousal",
    "valence_raw",
    "arousal_raw",
    "valence_std",
    "arousal_std",
    "status",
    "video_age_ms",
    "audio_age_ms",
    "video_coverage",
    "audio_coverage",
    "face",
    "latency_ms",
    "backend",
    "dropped_since_last",
    "speaking",
    "valence_relative",
    "arousal_relative",
]


def test_event_has_the_fields_of_the_design_in_order() -> None:
    assert [field.name for field in fields(AffectEvent)] == DESIGN_ORDER


def test_circumplex_of_no_values_is_refused_not_named() -> None:
    assert str(Status.NO_FACE) == "NO_FACE" and f"{Status.OK:<4}|" == "OK  |"
    for pair in ((None, None), (float("nan"), 0.0), (0.0, 1.5), ("0", 0.0)):
        with pytest.raises(edgeaff.EdgeaffError, match=r"must be a number in \[-1, 1\]"):
            circumplex(*pair)


def test_event_as_json_keeps_every_field() -> None:
    row = json.loads(json.dumps(EVENT.to_dict(), allow_nan=False))
    assert list(row) == DESIGN_ORDER[:-3]
    assert row["status"] == "OK" and row["audio_age_ms"] is None
    assert row["face"] == {"track_id": 3, "box": [1.0, 2.0, 3.0, 4.0], "score": 0.9}


def test_event_of_schema_2_as_json_has_what_it_knows_of_people() -> None:
    row = replace(EVENT, schema=2, speaking=0.75).to_dict()
    assert list(row) == DESIGN_ORDER
    assert (row["speaking"], row["valence_relative"], row["arousal_relative"]) == (0.75, None, None)


def test_change_as_json_has_a_type_that_no_event_has() -> None:
    row = ChangeEvent(3, 5_000_000_000, "valence", -0.25, 0.5, 0.99, 800.0).to_dict()
    assert row["type"] == "change" and "type" not in EVENT.to_dict()
    assert ChangeEvent(**{name: value for name, value in row.items() if name != "type"}).after == 0.5


def test_event_is_frozen() -> None:
    with pytest.raises(AttributeError):
        EVENT.valence = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("label, valence, arousal", CIRCUMPLEX_LABELS)
def test_circumplex_names_its_own_anchors(label: str, valence: float, arousal: float) -> None:
    assert circumplex(valence, arousal) == label


def test_every_public_name_is_there() -> None:
    for name in edgeaff.__all__:
        assert getattr(edgeaff, name) is not None
    assert set(edgeaff.__all__) <= set(dir(edgeaff))


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Session"):
        edgeaff.Sesion  # noqa: B018


def test_import_is_lean() -> None:
    code = (
        "import sys, edgeaff; heavy = {'torch', 'cv2', 'onnxruntime', 'tensorrt', 'tensorrt_rtx', 'av', 'matplotlib', 'numpy', 'openvino'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_most_pixels_is_8k_and_more_and_follows_the_memory() -> None:
    assert 7_680 * 4_320 // 8 <= most_pixels() <= 1 << 27


@pytest.mark.parametrize("shape", [(65_536, 65_536, 3), (1, 1 << 28, 3)])
def test_an_image_too_large_for_the_machine_is_refused_before_it_is_touched(shape: tuple[int, ...]) -> None:
    view = np.broadcast_to(np.zeros(3, np.uint8), shape)
    with pytest.raises(ArgumentError, match=f"at most .* pixels on this machine, got {shape[1]} x {shape[0]}"):
        check_image(view)


def test_an_image_of_zero_strides_is_an_image() -> None:
    view = np.broadcast_to(np.zeros(3, np.uint8), (480, 640, 3))
    assert check_image(view) is view

"""The comparison of events between engines: what counts as a difference, and the committed result."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import face_engines
from edgeaff.types import AffectEvent, FaceBox, Status, TrackedFace


def event(pts_ns=0, valence=0.25, status=Status.OK, box=(10.0, 20.0, 110.0, 120.0)):
    face = TrackedFace(0, FaceBox(*box), 0.9)
    none = dict.fromkeys(field.name for field in dataclasses.fields(AffectEvent))
    return AffectEvent(**none | {"pts_ns": pts_ns, "valence": valence, "arousal": 0.5, "status": status, "face": face})


def test_equal_runs_differ_in_nothing():
    row = face_engines.compare_events([event(0), event(1)], [event(0), event(1)])
    assert row["events"] == 2
    assert face_engines.within_limits(row)
    assert all(value == 0 for name, value in row.items() if name != "events")


def test_values_and_boxes_differ_by_their_largest_gap():
    ours = [event(valence=0.25), event(box=(10.0, 20.0, 110.0, 120.0))]
    theirs = [event(valence=0.2515), event(box=(10.0, 20.5, 110.0, 120.0))]
    row = face_engines.compare_events(ours, theirs)
    assert row["valence_max"] == pytest.approx(0.0015)
    assert row["box_px_max"] == pytest.approx(0.5)
    assert face_engines.within_limits(row)


@pytest.mark.parametrize(
    "theirs", [[], [event(status=Status.STALE)], [event(pts_ns=1)]], ids=["missing", "status", "time"]
)
def test_another_status_is_outside_the_limits(theirs):
    assert not face_engines.within_limits(face_engines.compare_events([event()], theirs))


def test_the_committed_result_is_within_its_limits(root: Path):
    result = json.loads((root / "benchmarks" / "results" / "face_engines.json").read_text(encoding="utf-8"))
    assert result["within_limits"]
    assert result["onnxruntime"]["all"]["events"] > 7000
    assert face_engines.within_limits(result["onnxruntime"]["all"])

"""Events followed subject by subject, from a Session to a recording and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.errors import ArgumentError
from edgeaff.people.baseline import Baseline
from edgeaff.people.follow import MOST_SUBJECTS, Follower
from edgeaff.recording.format import Recording
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import replay
from edgeaff.types import AffectEvent, FaceBox, Status, TrackedFace
from tests.people.scenes import face_crop
from tests.people.streams import SECOND, pts_of

pytestmark = pytest.mark.needs_native


def _event(index: int, valence: float | None, arousal: float | None, **more: Any) -> AffectEvent:
    plain = {field.name: None for field in dataclasses.fields(AffectEvent)}
    face = TrackedFace(more.pop("track_id", 1), FaceBox(0, 0, 9, 9), 0.9)
    values = {"schema": 1, "seq": index, "pts_ns": pts_of(index), "status": Status.OK, "backend": "native"}
    return AffectEvent(**{**plain, **values, "valence": valence, "arousal": arousal, "face": face, **more})


def _follower(**options: Any) -> Follower:
    return Follower("model", **{"several": False, "relative": True, "changes": True, **options})


def test_relative_values_are_of_one_person_whose_track_is_lost_and_found() -> None:
    follower = _follower()
    events = follower.follow([_event(index, 0.3, -0.2, track_id=1 + index // 200) for index in range(400)])
    assert all(event.valence_relative is None for event in events[:300])
    assert all(0 < event.valence_relative < 0.3 and -0.2 < event.arousal_relative < 0 for event in events[310:])
    assert {event.schema for event in events} == {2}


def test_several_people_have_each_their_own() -> None:
    follower = _follower(several=True)
    events = []
    for index in range(900):
        events += follower.follow([_event(index, 0.5, 0.0, track_id=1), _event(index, -0.5, 0.0, track_id=2)])
    first, second = events[-2:]
    assert first.valence_relative == pytest.approx(-second.valence_relative, abs=0.04)  # a part of the histogram
    assert first.valence_relative < 0.35
    assert follower.baseline(1).centers[0] > 0.2 and follower.baseline(2).centers[0] < -0.2
    with pytest.raises(ArgumentError, match="got 3"):
        follower.baseline(3)


def test_the_past_of_many_subjects_is_bounded() -> None:
    follower = _follower(several=True)
    for track_id in range(MOST_SUBJECTS + 9):
        follower.follow([_event(track_id, 0.1, 0.1, track_id=track_id)])
    assert len(follower._usual) == len(follower._detectors) == MOST_SUBJECTS


def test_what_settles_or_is_missing_counts_for_nothing() -> None:
    follower = _follower()
    events = follower.follow([_event(index, 0.9, 0.9, status=Status.WARMUP) for index in range(400)])
    events += follower.follow([_event(index, None, None, status=Status.ABSTAIN) for index in range(400, 800)])
    assert follower.baseline().seconds == 0
    assert all(event.valence_relative is None for event in events) and follower.take_changes() == []


def test_changes_name_their_face_and_dimension_and_are_taken_once() -> None:
    follower = _follower(relative=False)
    given = [_event(index, 0.0, 0.0 if index < 600 else 0.6, track_id=7) for index in range(900)]
    assert follower.follow(given) == given  # no value changes
    (change,) = follower.take_changes()
    assert (change.subject, change.what) == (7, "arousal") and change.after - change.before == pytest.approx(
        0.6, abs=0.03
    )
    assert change.pts_ns - change.delay_ms * 1e6 == pytest.approx(20 * SECOND, abs=0.3 * SECOND)
    assert follower.take_changes() == []


def test_a_baseline_goes_on_where_it_was() -> None:
    whole, first = _follower(), _follower()
    given = [_event(index, float(np.sin(index / 40)) / 2, 0.1) for index in range(1200)]
    expected = whole.follow(given)
    first.follow(given[:700])
    second = _follower(baseline=Baseline.from_dict(first.baseline().to_dict()))
    assert second.follow(given[700:]) == expected[700:]
    second.reset()
    assert second.baseline() == first.baseline()


def _drive(session: Any) -> list[AffectEvent]:
    events: list[AffectEvent] = []
    face = TrackedFace(1, FaceBox(10, 10, 60, 60), 0.95)
    for tick in range(420):
        crop = face_crop(0.1 * (tick % 7)) if tick < 250 else 255 - face_crop(0.1 * (tick % 7))
        events += session.push_face([(face, crop)], pts_ns=pts_of(tick))
    return events + session.finish()


def test_a_session_states_nothing_unless_it_is_asked() -> None:
    session = edgeaff.Session(audio=False)
    assert all(event.schema == 1 and event.valence_relative is None for event in _drive(session))
    assert session.take_changes() == []
    with pytest.raises(ArgumentError, match="baseline=True"):
        session.baseline()


def test_a_session_with_all_of_it_is_recorded_and_replayed_byte_equal(tmp_path) -> None:
    path, options = tmp_path / "people.eaffrec", {"audio": False, "baseline": True, "changes": True}
    with Recorder(path, options=options) as recorder:
        session = recorder.wrap(edgeaff.Session(**options, tap=recorder))
        for event in _drive(session):
            recorder.write(event)
        changes, kept = session.take_changes(), session.baseline()
    again: list[edgeaff.Session] = []

    def make(tap: Any, given: Any) -> Any:
        again.append(edgeaff.Session(**given, tap=tap))
        return again[-1]

    replayed = [event for event, _ in replay(Recording(path), make)]
    assert [event.to_dict() for event in replayed] == _events_of(path)
    assert again[-1].take_changes() == changes and again[-1].baseline() == kept
    assert any(event.valence_relative is not None for event in replayed)


def _events_of(path: Any) -> list[dict[str, Any]]:
    return [record.head for call in Recording(path).calls() for record in call.events]


def test_a_recording_keeps_the_baseline_it_began_with(tmp_path) -> None:
    session = edgeaff.Session(audio=False, baseline=True)
    _drive(session)
    kept = session.baseline()
    later = edgeaff.Session(audio=False, baseline=kept)
    assert later.baseline() == kept
    with pytest.raises(ArgumentError, match="max_faces 2"):
        edgeaff.Session(audio=False, baseline=kept, max_faces=2)
    with pytest.raises(ArgumentError, match="changes must be"):
        edgeaff.Session(changes="yes")

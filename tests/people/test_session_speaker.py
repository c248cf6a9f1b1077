"""Session with active_speaker: off it changes nothing, on it is recorded and replayed, and the voice stays with its face."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.errors import ArgumentError
from edgeaff.recording.format import Recording
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import first_difference
from edgeaff.types import AffectEvent, FaceBox, TrackedFace
from tests.conftest import ROOT
from tests.people.scenes import face_crop, syllables

SECOND, RATE = 1_000_000_000, 16_000
FACES = {1: TrackedFace(1, FaceBox(10, 10, 60, 60), 0.95), 2: TrackedFace(2, FaceBox(100, 10, 150, 60), 0.9)}
SECONDS = 3


@cache
def voice() -> np.ndarray:
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import demo_clip
    finally:
        sys.path.pop(0)
    samples = demo_clip.voice()[: SECONDS * demo_clip.RATE_HZ]
    positions = np.arange(SECONDS * RATE) * demo_clip.RATE_HZ / RATE
    return np.interp(positions, np.arange(len(samples)), samples).astype(np.int16)


def drive(session: Any, samples: np.ndarray, tracks: tuple[int, ...] = (1, 2)) -> list[AffectEvent]:
    mouth = syllables(30 * SECONDS, 5)
    events: list[AffectEvent] = []
    for tick in range(30 * SECONDS):
        pts_ns = round(tick * SECOND / 30)
        start, end = tick * RATE // 30, (tick + 1) * RATE // 30
        events += session.push_audio(samples[start:end], pts_ns=start * SECOND // RATE, sample_rate_hz=RATE)
        crops = {1: face_crop(float(mouth[tick])), 2: face_crop(0.0)}
        events += session.push_face([(FACES[track], crops[track]) for track in tracks], pts_ns=pts_ns)
        if tick == 60:
            session.degrade(1)
    return events + session.finish()


def arousal_of(events: list[AffectEvent], track_id: int) -> np.ndarray:
    return np.array([event.arousal_raw for event in events if event.face and event.face.track_id == track_id], float)


def test_off_by_default_and_then_nothing_is_in_the_events() -> None:
    events = drive(edgeaff.Session(max_faces=2), voice())
    assert all(event.schema == 1 and "speaking" not in event.to_dict() for event in events)


def test_the_voice_does_not_reach_the_face_that_is_silent() -> None:
    silence = np.zeros_like(voice())
    with_voice, without = (
        arousal_of(drive(edgeaff.Session(max_faces=2, active_speaker=True), samples), 2)
        for samples in (voice(), silence)
    )
    assert len(with_voice) == len(without) > 60
    assert np.nanmax(np.abs(with_voice - without)) <= 0.03
    bled = [arousal_of(drive(edgeaff.Session(max_faces=2), samples), 2) for samples in (voice(), silence)]
    assert np.nanmax(np.abs(bled[0] - bled[1])) > 0.03, "without the option it does: the test can fail"


def test_events_carry_a_probability_after_a_second_and_a_half() -> None:
    events = drive(edgeaff.Session(max_faces=2, active_speaker=True), voice())
    assert {event.schema for event in events} == {2}
    assert all(event.speaking is None for event in events if event.pts_ns < SECOND)
    late = [event.speaking for event in events if event.pts_ns > 2 * SECOND and event.face]
    assert late and all(value is not None and 0 <= value <= 1 for value in late)


@pytest.mark.parametrize(("max_faces", "tracks", "identity"), [(1, (1,), False), (2, (1, 2), True)])
def test_a_recording_replays_to_the_same_bytes(
    tmp_path, max_faces: int, tracks: tuple[int, ...], identity: bool
) -> None:
    options = {"max_faces": max_faces, "active_speaker": True, "identity": identity}
    with Recorder(tmp_path / "s.eaffrec", options=options) as recorder:
        session = recorder.wrap(edgeaff.Session(tap=recorder, **options))
        wrapped = _Written(session, recorder)
        drive(wrapped, voice(), tracks)
    recording = Recording(tmp_path / "s.eaffrec")
    assert first_difference(recording, lambda tap, stated: edgeaff.Session(tap=tap, **stated)) == ""


class _Written:
    """A session that writes its events to the recording as a Runtime does."""

    def __init__(self, session: Any, recorder: Recorder) -> None:
        self._session, self._recorder = session, recorder

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> list[AffectEvent]:
            events = list(getattr(self._session, name)(*given, **named) or [])
            for event in events:
                self._recorder.write(event)
            return events

        return call


def test_without_audio_nobody_is_stated_to_speak() -> None:
    session = edgeaff.Session(audio=False, active_speaker=True)
    events = session.push_face([(FACES[1], face_crop(0.2))], pts_ns=0) + session.finish()
    assert json.loads(json.dumps(events[0].to_dict()))["speaking"] is None


def test_with_identity_a_face_that_comes_back_has_its_track_id_again() -> None:
    session = edgeaff.Session(audio=False, identity=True)
    events: list[AffectEvent] = []
    for tick in range(300):
        track = 1 if tick < 120 else 2
        faces = [] if 120 <= tick < 270 else [(FACES[track], face_crop(0.2))]
        events += session.push_face(faces, pts_ns=round(tick * SECOND / 30))
    events += session.finish()
    assert [event.face.track_id for event in (events[100], events[275], events[-1]) if event.face] == [1, 2, 1]
    assert {event.schema for event in events} == {1}


def test_a_switch_that_is_none_is_refused() -> None:
    with pytest.raises(ArgumentError, match="active_speaker must be True or False"):
        edgeaff.Session(active_speaker="yes")

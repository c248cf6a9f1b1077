"""Session with the bundle that ships: events of made clips; the same events for any chunking; statuses; finite numbers."""

from __future__ import annotations

import json
import math
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.errors import ArgumentError
from edgeaff.types import AffectEvent, Status

from .conftest import ROOT

SECOND = 1_000_000_000
RATE = 16_000
Push = tuple[str, int, np.ndarray]


@cache
def clip() -> tuple[Push, ...]:
    """Three seconds of the demo's portrait at 25 fps with its voice at 16 kHz, in the order of time."""
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        import demo_clip
    finally:
        sys.path.pop(0)
    image = demo_clip.portrait()
    fields = demo_clip.displacement(demo_clip.SMILE), demo_clip.displacement(demo_clip.FROWN)
    pushes: list[Push] = []
    for index in range(75):
        pushes.append(("video", index * SECOND // 25, demo_clip.animate(image, fields, np.sin(index / 20), index / 25)))
    voice = demo_clip.voice()[: 3 * demo_clip.RATE_HZ]
    positions = np.arange(3 * RATE) * demo_clip.RATE_HZ / RATE
    samples = np.interp(positions, np.arange(len(voice)), voice).astype(np.int16)
    for start in range(0, len(samples), 320):
        pushes.append(("audio", start * SECOND // RATE, samples[start : start + 320]))
    return tuple(sorted(pushes, key=lambda push: (push[1], push[0] == "audio")))


def run(pushes: Any, **options: Any) -> list[AffectEvent]:
    session = edgeaff.Session(**options)
    events: list[AffectEvent] = []
    for kind, pts, data in pushes:
        if kind == "video":
            events += session.push_frame(data, pts_ns=pts)
        else:
            events += session.push_audio(data, pts_ns=pts, sample_rate_hz=RATE)
    return events + session.finish()


@cache
def expected() -> tuple[AffectEvent, ...]:
    return tuple(run(clip()))


def lines(events: Any) -> list[str]:
    return [json.dumps(event.to_dict(), allow_nan=False) for event in events]


def test_one_event_per_tick_with_finite_numbers_in_range() -> None:
    events = expected()
    assert [event.seq for event in events] == list(range(90))
    assert [event.pts_ns for event in events] == [round(tick * SECOND / 30) for tick in range(90)]
    for event in events:
        for name in ("valence", "arousal", "valence_raw", "arousal_raw"):
            value = getattr(event, name)
            assert value is None or (math.isfinite(value) and -1 <= value <= 1)
    assert lines(events)  # allow_nan=False


def test_a_face_and_a_voice_give_numbers_within_a_second() -> None:
    first = next(event for event in expected() if event.valence is not None)
    assert first.pts_ns <= SECOND
    late = [event for event in expected() if event.pts_ns > SECOND]
    assert {event.status for event in late} == {Status.OK}
    assert all(event.face is not None and event.valence_std is not None for event in late)
    assert late[-1].audio_age_ms == pytest.approx(133, abs=10)


def test_events_do_not_depend_on_chunks_or_interleaving() -> None:
    rng = np.random.default_rng(3)
    samples = np.concatenate([data for kind, _, data in clip() if kind == "audio"])
    for _ in range(3):
        pieces, start = [], 0
        while start < len(samples):
            size = int(rng.integers(1, 4000))
            pieces.append(("audio", start * SECOND // RATE, samples[start : start + size]))
            start += size
        pushed, delayed = 0, []  # the audio_clip comes up to 60 ms late against the frames, in its own order
        for piece in pieces:
            pushed = max(pushed, piece[1] + int(rng.integers(0, 60_000_000)))
            delayed.append((pushed, piece))
        frames = [(push[1], push) for push in clip() if push[0] == "video"]
        order = [push for _, push in sorted([*frames, *delayed], key=lambda entry: entry[0])]
        assert lines(run(order)) == lines(expected())


def test_two_runs_are_byte_equal() -> None:
    assert lines(run(clip())) == lines(expected())


def test_frames_in_bursts_give_the_same() -> None:
    frames = [push for push in clip() if push[0] == "video"]
    audio_clip = [push for push in clip() if push[0] == "audio"]
    bursts: list[Push] = []
    for start in range(0, 75, 5):  # 0.2 s of frames, then 0.2 s of audio_clip
        bursts += frames[start : start + 5] + [
            push for push in audio_clip if start * SECOND // 25 <= push[1] < (start + 5) * SECOND // 25
        ]
    assert lines(run(bursts)) == lines(expected())


def test_reset_makes_the_session_new() -> None:
    session = edgeaff.Session()
    for _ in range(2):
        events = []
        for kind, pts, data in clip()[:100]:
            events += (
                session.push_frame(data, pts_ns=pts)
                if kind == "video"
                else session.push_audio(data, pts_ns=pts, sample_rate_hz=RATE)
            )
        events += session.finish()
        session.reset()
        assert events[0].seq == 0
    first = run(clip()[:100])
    assert lines(events) == lines(first)


def test_video_only_is_never_waited_for_and_has_no_audio_fields() -> None:
    session = edgeaff.Session(audio=False)
    for kind, pts, data in clip():
        if kind == "video":
            events = session.push_frame(data, pts_ns=pts)
            assert events and all(event.audio_coverage is None and event.audio_age_ms is None for event in events)
    assert events[-1].status is Status.OK and events[-1].valence is not None


def test_audio_alone_gives_arousal_and_no_face() -> None:
    events = run([push for push in clip() if push[0] == "audio"])
    assert {event.status for event in events} == {Status.NO_FACE}
    late = [event for event in events if event.pts_ns > 2 * SECOND]  # the gate has heard enough of the voice by then
    assert all(event.arousal is not None and event.face is None for event in late)


def noise(seconds: float) -> list[Push]:
    """Returns steady noise in which nobody speaks."""
    samples = np.random.default_rng(0).integers(-2000, 2000, int(seconds * RATE)).astype(np.int16)
    return [("audio", start * SECOND // RATE, samples[start : start + 320]) for start in range(0, len(samples), 320)]


def test_audio_alone_without_speech_has_no_numbers() -> None:
    events = run(noise(3.0), video=False)
    assert {event.status for event in events if event.pts_ns > SECOND} == {Status.NO_SPEECH}
    assert all(event.valence is None and event.arousal is None for event in events)
    assert events[-1].audio_coverage == 0.0 and events[-1].audio_age_ms is not None


def test_face_in_a_room_where_nobody_speaks_is_ok() -> None:
    pushes = sorted(
        noise(3.0) + [push for push in clip() if push[0] == "video"], key=lambda push: (push[1], push[0] == "audio")
    )
    late = [event for event in run(pushes) if event.pts_ns > SECOND]
    assert {event.status for event in late} == {Status.OK}
    assert all(
        event.valence is not None and event.arousal is not None and event.audio_coverage == 0.0 for event in late
    )


def test_face_without_audio_is_no_audio_with_both_numbers() -> None:
    events = run([push for push in clip() if push[0] == "video"])
    late = [event for event in events if event.pts_ns > SECOND]
    assert {event.status for event in late} == {Status.NO_AUDIO}
    assert all(event.valence is not None and event.arousal is not None for event in late)


def test_frame_without_face_and_silence_say_so() -> None:
    image = np.full((240, 320, 3), 120, np.uint8)
    pushes = [("video", index * SECOND // 30, image) for index in range(45)]
    events = run(pushes)
    assert {event.status for event in events} == {Status.NO_FACE}
    assert all(event.valence is None and event.arousal is None and event.valence_std is None for event in events)


def test_nothing_delivered_turns_stale() -> None:
    session = edgeaff.Session()
    events = session.push_frame(np.zeros((64, 64, 3), np.uint8), pts_ns=0)
    for step in range(1, 50):
        events += session.advance(step * SECOND // 30)
    statuses = [event.status for event in events]
    assert statuses[0] is Status.NO_FACE and statuses[-1] is Status.STALE
    assert events[-1].valence is None and events[-1].arousal is None


def test_smoothing_can_be_switched_off_and_changed() -> None:
    plain = run(clip()[:150], smoothing=(0, 0))
    assert all(event.valence == event.valence_raw and event.arousal == event.arousal_raw for event in plain)
    with pytest.raises(ArgumentError, match="smoothing"):
        edgeaff.Session(smoothing=(-1, 0))


def test_several_faces_have_events_of_their_own() -> None:
    wide = [
        (kind, pts, np.concatenate([data, data[:, ::-1]], axis=1) if kind == "video" else data)
        for kind, pts, data in clip()[:160]
    ]
    events = run(wide, max_faces=2)
    last = [event for event in events if event.pts_ns == events[-1].pts_ns]
    assert len(last) == 2
    assert len({event.face.track_id for event in last if event.face is not None}) == 2
    assert [event.seq for event in events] == list(range(len(events)))


@pytest.mark.parametrize("option", [{"detector_stride": 0}, {"staleness_seconds": "1"}, {"max_faces": 0}])
def test_options_out_of_range_are_refused_by_name(option: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(option))):
        edgeaff.Session(**option)


def test_pushed_faces_must_be_pairs() -> None:
    crop = np.zeros((96, 96, 3), np.uint8)
    for wrong in (crop, (None, crop)):
        with pytest.raises(ArgumentError, match="TrackedFace"):
            edgeaff.Session(audio=False).push_face([wrong], pts_ns=0)  # type: ignore[list-item]


def test_other_detector_is_refused_naming_both() -> None:
    class Other:
        id = "other-detector"

        def detect(self, image: np.ndarray) -> list[Any]:
            return []

    with pytest.raises(edgeaff.EdgeaffError, match="edgeaff-ssd.*other-detector"):
        edgeaff.Session(detector=Other())

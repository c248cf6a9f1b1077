from dataclasses import replace

import pytest

from edgeaff.delivery.subtitles import WebVttSink, cue_text, timestamp
from edgeaff.errors import ArgumentError
from edgeaff.types import Status
from tests.delivery.events import EMPTY, FULL, events

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("pts", "expected"), [(0, "00:00:00.000"), (3_723_456_789_000, "01:02:03.456"), (360_000 * SECOND, "100:00:00.000")]
)
def test_timestamp_is_that_of_webvtt(pts, expected):
    assert timestamp(pts) == expected


def test_cue_states_values_with_sign_or_the_status():
    assert cue_text(FULL.to_dict()) == "valence +0.10  arousal -0.25"
    assert cue_text(replace(FULL, valence=None, status=Status.NO_FACE).to_dict()) == "arousal -0.25"
    assert cue_text(EMPTY.to_dict()) == "stale"


def test_one_cue_per_half_second_without_overlap(tmp_path):
    with WebVttSink(tmp_path / "e.vtt") as sink:
        for event in events(45):
            sink.write(event)
        sink.close()
    lines = (tmp_path / "e.vtt").read_text().splitlines()
    assert lines[0] == "WEBVTT"
    assert [line for line in lines if "-->" in line] == [
        "00:00:00.000 --> 00:00:00.500",
        "00:00:00.500 --> 00:00:01.000",
        "00:00:01.000 --> 00:00:01.499",
    ]


def test_every_face_has_its_cue(tmp_path):
    with WebVttSink(tmp_path / "e.vtt") as sink:
        for event in events(10):
            sink.write(event)
            sink.write(replace(event, face=replace(FULL.face, track_id=8), valence=-0.9))
    text = (tmp_path / "e.vtt").read_text()
    assert text.count("-->") == 2 and "valence +0.10" in text and "valence -0.90" in text


def test_live_subtitles_begin_with_the_first_event(tmp_path):
    with WebVttSink(tmp_path / "e.vtt", origin_ns=None) as sink:
        sink.write(replace(FULL, pts_ns=10**15))
    assert "00:00:00.000 --> 00:00:00.033" in (tmp_path / "e.vtt").read_text()


def test_cue_length_must_be_positive(tmp_path):
    with pytest.raises(ArgumentError, match="cue_seconds"):
        WebVttSink(tmp_path / "e.vtt", cue_seconds=0)


def test_live_subtitles_begin_at_the_first_event(tmp_path):
    from edgeaff.delivery.open import open_sink

    for live, start in ((True, "00:00:00.000"), (False, "01:00:00.000")):
        sink = open_sink(tmp_path / "e.vtt", live=live)
        for event in events(3):
            sink.write(replace(event, pts_ns=event.pts_ns - events(1)[0].pts_ns + 3600 * SECOND))
        sink.close()
        assert [line for line in (tmp_path / "e.vtt").read_text().splitlines() if "-->" in line][0].startswith(start)


def test_cues_rise_where_the_clock_is_set_back(tmp_path):
    with WebVttSink(tmp_path / "e.vtt", origin_ns=None) as sink:
        for start in (10**15, 10**15 - 3600 * SECOND):
            for event in events(31):
                sink.write(replace(event, pts_ns=start + event.pts_ns))
    spans = [line for line in (tmp_path / "e.vtt").read_text().splitlines() if "-->" in line]
    assert spans == [
        "00:00:00.000 --> 00:00:00.500",
        "00:00:00.500 --> 00:00:01.000",
        "00:00:01.000 --> 00:00:01.033",
        "00:00:01.033 --> 00:00:01.533",
        "00:00:01.533 --> 00:00:02.033",
        "00:00:02.033 --> 00:00:02.066",
    ]

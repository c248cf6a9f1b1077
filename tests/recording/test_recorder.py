"""Recording and replay over the real preprocessor, with a session whose model is a sum."""

from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest

from edgeaff.capture.open import open_source
from edgeaff.errors import ArgumentError, MediaError
from edgeaff.preprocess import Preprocessor, PreprocessParts
from edgeaff.recording.format import (
    MAGIC,
    Recording,
    array_record,
    encode_record,
    faces_of,
    faces_record,
    read_records,
)
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import ReplaySource, first_difference, replay
from edgeaff.spec import PreprocessSpec
from edgeaff.types import EVENT_SCHEMA, AffectEvent, FaceBox, Status, TrackedFace, VideoFrame
from tests.preprocess.fakes import MS, SECOND, Brightness, Identity, OneFace, tone


class SumSession:
    """The preprocessor behind the methods of Session; valence is the face's brightness, arousal the sum of the LLDs."""

    def __init__(self, tap=None, **options):
        parts = PreprocessParts(PreprocessSpec(), OneFace(), Brightness(), Identity(), tap)
        self._preprocessor, self._seq = Preprocessor(parts, **options), 0

    def _events(self, ticks):
        events = []
        for tick in ticks:
            face = tick.faces[0] if tick.faces else None
            numbers = [None if face is None else float(face.descriptor[0]) / 255]
            numbers.append(None if tick.audio is None else float(np.tanh(tick.audio.sum() / 1e4)))
            events.append(
                AffectEvent(
                    EVENT_SCHEMA,
                    self._seq,
                    tick.pts_ns,
                    *numbers,
                    *numbers,
                    None,
                    None,
                    Status.STALE if tick.stale else Status.OK,
                    None,
                    None,
                    None,
                    None,
                    None if face is None else face.face,
                    None,
                    "sum",
                    None,
                )
            )
            self._seq += 1
        return events

    def push_frame(self, image, *, pts_ns):
        return self._events(self._preprocessor.push_frame(image, pts_ns=pts_ns))

    def push_audio(self, samples, *, pts_ns, sample_rate_hz):
        return self._events(self._preprocessor.push_audio(samples, pts_ns=pts_ns, sample_rate_hz=sample_rate_hz))

    def push_face(self, faces, *, pts_ns):
        return self._events(self._preprocessor.push_face(faces, pts_ns=pts_ns))

    def push_lld(self, rows, *, pts_ns):
        return self._events(self._preprocessor.push_lld(rows, pts_ns=pts_ns))

    def advance(self, pts_ns):
        return self._events(self._preprocessor.advance(pts_ns))

    def finish(self):
        return self._events(self._preprocessor.finish())

    def reset(self):
        self._preprocessor.reset()
        self._seq = 0


def make_session(tap, options):
    return SumSession(tap, **options)


def run_live(path, *, seed=0, raw=False, seconds=3.0):
    """A session under overload: frames late, dropped, black or missing, holes in the clip, time advancing by itself."""
    random = np.random.default_rng(seed)
    options = {"max_faces": 1, "detector_stride": int(random.integers(1, 4))}
    delivered = []
    with Recorder(path, options=options, raw=raw) as recorder:
        session = recorder.wrap(SumSession(recorder, **options))

        def deliver(events):
            for event in events:
                event = dataclasses.replace(
                    event, latency_ms=float(random.uniform(1, 80)), dropped_since_last=int(random.integers(0, 3))
                )
                recorder.write(event)
                delivered.append(event)

        clip, rate, position = tone(seconds, 16_000, seed=seed), 16_000, 0
        for now in range(0, int(seconds * 1000), 10):
            if now % 33 < 10 and random.random() > 0.2:
                level = int(random.integers(0, 3)) * 60
                late = int(random.integers(0, 120)) * (random.random() < 0.3)
                image = np.full((24, 32, 3), level, np.uint8)
                deliver(session.push_frame(image, pts_ns=max(0, now - late) * MS + 500))
            size = int(random.integers(1, 400))
            if random.random() > 0.02:
                chunk = clip[position : position + size]
                deliver(session.push_audio(chunk, pts_ns=position * SECOND // rate, sample_rate_hz=rate))
            position += size
            if position / rate < now / 1000:
                position = int(now / 1000 * rate)
            if random.random() < 0.1:
                deliver(session.advance(now * MS))
        deliver(session.finish())
    assert recorder.warnings == []
    return delivered


@pytest.mark.parametrize("seed", range(20))
def test_replay_gives_back_a_live_session_bit_for_bit(tmp_path, seed):
    delivered = run_live(tmp_path / "s.eaffrec", seed=seed, seconds=1.5)
    recording = Recording(tmp_path / "s.eaffrec")
    replayed = [event for event, _ in replay(recording, make_session)]
    assert len(delivered) > 35 and any(event.valence is not None for event in delivered)
    assert [json.dumps(event.to_dict()) for event in replayed] == [json.dumps(event.to_dict()) for event in delivered]
    assert first_difference(recording, make_session) == ""


def test_raw_recording_can_be_computed_again_and_read_as_a_source(tmp_path):
    delivered = run_live(tmp_path / "s.eaffrec", raw=True)
    recording = Recording(tmp_path / "s.eaffrec")
    assert [event for event, _ in replay(recording, make_session, recompute=True)] == delivered
    with open_source(f"replay:{tmp_path / 's.eaffrec'}") as source:
        units = list(source)
    assert isinstance(source, ReplaySource)
    assert any(isinstance(unit, VideoFrame) and unit.image.shape == (24, 32, 3) for unit in units)


def test_default_recording_holds_no_frame_and_no_audio(tmp_path):
    run_live(tmp_path / "s.eaffrec", seconds=1.0)
    for record in read_records(tmp_path / "s.eaffrec"):
        if record.kind == "C":
            assert record.body == b""
    with pytest.raises(MediaError, match="edgeaff replay"):
        open_source(f"replay:{tmp_path / 's.eaffrec'}")
    with pytest.raises(MediaError, match="record raw"):
        list(replay(Recording(tmp_path / "s.eaffrec"), make_session, recompute=True))


def test_other_options_are_noticed(tmp_path):
    run_live(tmp_path / "s.eaffrec")
    recording = Recording(tmp_path / "s.eaffrec")

    def other_session(tap, options):
        return SumSession(tap, **{**options, "max_skew_seconds": 0.0})

    try:
        difference = first_difference(recording, other_session)
    except MediaError as error:
        difference = str(error)
    assert "recorded" in difference or "recording must hold" in difference


def test_changed_event_is_named(tmp_path):
    run_live(tmp_path / "s.eaffrec", seconds=1.0)
    records = list(read_records(tmp_path / "s.eaffrec"))
    index = next(i for i, record in enumerate(records) if record.kind == "E" and record.head["seq"] == 5)
    records[index].head["arousal"] = 0.123
    (tmp_path / "t.eaffrec").write_bytes(MAGIC + b"".join(map(encode_record, records)))
    assert first_difference(Recording(tmp_path / "t.eaffrec"), make_session).startswith("event 5: arousal is ")


def test_known_faces_and_rows_are_recorded_too(tmp_path):
    random = np.random.default_rng(0)
    delivered = []
    with Recorder(tmp_path / "s.eaffrec") as recorder:
        session = recorder.wrap(SumSession(recorder))
        for index in range(30):
            crop = np.full((96, 96, 3), index, np.uint8)
            face = TrackedFace(3, FaceBox(0.1, 0.2, 10.3, 20.4), 0.75)
            for events in (
                session.push_face([(face, crop)], pts_ns=round(index * SECOND / 30)),
                session.push_lld(random.normal(size=(4, 65)).astype(np.float32), pts_ns=index * 40 * MS),
            ):
                delivered += events
                for event in events:
                    recorder.write(event)
        for event in session.finish():
            recorder.write(event)
            delivered.append(event)
    assert [event for event, _ in replay(Recording(tmp_path / "s.eaffrec"), make_session)] == delivered
    assert delivered[5].face is not None and delivered[5].face.track_id == 3


def test_file_cut_anywhere_is_read_up_to_there(tmp_path):
    run_live(tmp_path / "s.eaffrec", seconds=1.0)
    data = (tmp_path / "s.eaffrec").read_bytes()
    whole = [record.kind for record in read_records(tmp_path / "s.eaffrec")]
    for cut in np.random.default_rng(0).integers(200, len(data), 30):
        (tmp_path / "t.eaffrec").write_bytes(data[:cut])
        part = [record.kind for record in read_records(tmp_path / "t.eaffrec")]
        assert part == whole[: len(part)]
        list(Recording(tmp_path / "t.eaffrec").calls())


def test_flipped_byte_ends_the_recording_there_and_raises_nothing(tmp_path):
    run_live(tmp_path / "s.eaffrec", seconds=1.0)
    data = (tmp_path / "s.eaffrec").read_bytes()
    whole = list(read_records(tmp_path / "s.eaffrec"))
    for place in np.random.default_rng(0).integers(len(MAGIC), len(data), 30):
        damaged = bytearray(data)
        damaged[place] ^= 0x55
        (tmp_path / "t.eaffrec").write_bytes(damaged)
        part = list(read_records(tmp_path / "t.eaffrec"))
        assert part == whole[: len(part)] and len(part) < len(whole)


def test_what_is_no_recording_is_refused(tmp_path):
    for content, expected in ((b"hello", "another kind"), (MAGIC, "begin with a header")):
        (tmp_path / "x.eaffrec").write_bytes(content)
        with pytest.raises(MediaError, match=expected):
            Recording(tmp_path / "x.eaffrec")
    with pytest.raises(MediaError, match="check the path"):
        Recording(tmp_path / "absent.eaffrec")
    with pytest.raises(ArgumentError, match="make its folder"):
        Recorder(tmp_path / "no" / "folder.eaffrec")


def test_full_disk_ends_the_recording_and_not_the_session():
    recorder = Recorder("/dev/full")
    session = recorder.wrap(SumSession(recorder))
    events = []
    for index in range(200):
        image = np.random.default_rng(index).integers(1, 255, (24, 32, 3), dtype=np.uint8)
        events += session.push_frame(image, pts_ns=round(index * SECOND / 30))
        events += session.advance(round(index * SECOND / 30) + 300 * MS)
    started = time.monotonic()
    recorder.close()
    assert len(events) > 150 and time.monotonic() - started < 1.0
    assert len(recorder.warnings) == 1 and "No space left" in recorder.warnings[0]


def test_faces_come_back_exactly():
    crop = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    faces = [(TrackedFace(1, FaceBox(0.1, 1 / 3, 2.0, 7e-8), 0.1 + 0.2), crop, 5)]
    (face, got, detected) = faces_of(faces_record(9, faces))[0]
    assert face == faces[0][0] and (got == crop).all() and detected == 5
    assert faces_of(faces_record(9, [])) == []


def test_compression_is_lossless(tmp_path):
    array = np.zeros((100, 65), np.float32)
    path = tmp_path / "x.eaffrec"
    path.write_bytes(MAGIC + encode_record(array_record("R", {}, array)))
    assert path.stat().st_size < 1000
    record = next(read_records(path))
    assert record.body == array.tobytes() and record.head == {"shape": [100, 65], "dtype": "<f4"}

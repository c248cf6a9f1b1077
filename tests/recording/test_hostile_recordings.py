"""Recordings that are cut are read up to there and named as cut; crafted ones are refused soon, with one kind of error."""

from __future__ import annotations

import contextlib
import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.cli.main import UNUSABLE, main
from edgeaff.errors import ArgumentError, EdgeaffError, MediaError
from edgeaff.recording.format import MAGIC, Record, Recording, array_record, encode_record, read_records
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import ReplaySource, first_difference, replay
from tests.recording.test_recorder import SumSession, make_session, run_live

HEADER = Record("H", {"schema": 1, "raw": True, "session": {}})


def raw_record(kind: bytes, head: bytes, body: bytes = b"") -> bytes:
    data = struct.pack("<cII", kind, len(head), len(body)) + head + body
    return data + struct.pack("<I", zlib.crc32(data))


def write(path: Path, *records: Record | bytes, header: Record | bytes = HEADER, end: bool = True) -> Path:
    """Writes a recording with right checksums, whichever records it has."""
    parts = [record if isinstance(record, bytes) else encode_record(record) for record in (header, *records)]
    if end:
        parts.append(encode_record(Record("Z", {"records": len(parts)})))
    path.write_bytes(MAGIC + b"".join(parts))
    return path


def call(name: str, body: bytes = b"", **arguments: Any) -> Record:
    return Record("C", {"call": name, **arguments}, body)


# --- cut and damaged ------------------------------------------------------------------------------------------------------


def test_whole_recording_is_not_cut(tmp_path: Path) -> None:
    run_live(tmp_path / "s.eaffrec", seconds=0.5)
    recording = Recording(tmp_path / "s.eaffrec")
    list(recording.calls())
    assert recording.cut == ""


def test_every_cut_is_replayed_up_to_there_and_named(tmp_path: Path) -> None:
    delivered = run_live(tmp_path / "s.eaffrec", seconds=0.5)
    data = (tmp_path / "s.eaffrec").read_bytes()
    header = len(MAGIC) + len(encode_record(next(read_records(tmp_path / "s.eaffrec"))))
    ends = np.cumsum([len(encode_record(record)) for record in read_records(tmp_path / "s.eaffrec")]) + len(MAGIC)
    places = {*ends[:-1].tolist(), *np.random.default_rng(0).integers(header, len(data), 40).tolist()}
    for place in sorted(places):
        (tmp_path / "t.eaffrec").write_bytes(data[:place])
        recording = Recording(tmp_path / "t.eaffrec")
        events = [event for event, _ in replay(recording, make_session)]
        assert events == delivered[: len(events)], place
        assert "cut" in recording.cut and "cut" in first_difference(recording, make_session), place


def test_record_that_is_missing_in_the_middle_is_named(tmp_path: Path) -> None:
    run_live(tmp_path / "s.eaffrec", seconds=0.5)
    records = list(read_records(tmp_path / "s.eaffrec"))
    event = next(index for index, record in enumerate(records) if record.kind == "E")
    kept = [encode_record(record) for index, record in enumerate(records) if index != event]
    (tmp_path / "t.eaffrec").write_bytes(MAGIC + b"".join(kept))
    recording = Recording(tmp_path / "t.eaffrec")
    list(recording.calls())
    assert "damaged" in recording.cut


def test_command_line_replays_a_cut_recording_and_verifies_only_a_whole_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.eaffrec"
    with Recorder(path, options={"video": False}) as recorder:
        session = recorder.wrap(edgeaff.Session(video=False, tap=recorder))
        for index in range(10):
            samples = np.random.default_rng(index).integers(-3000, 3000, 1600).astype(np.int16)
            for event in session.push_audio(samples, pts_ns=index * 10**8, sample_rate_hz=16_000):
                recorder.write(event)
    assert main(["replay", str(path), "--verify", "--quiet"]) == 0
    data = path.read_bytes()
    for place in (len(data) // 2, len(data) - 1):
        path.write_bytes(data[:place])
        assert main(["replay", str(path), "--quiet"]) == 0
        assert "cut" in capsys.readouterr().err
        assert main(["replay", str(path), "--verify", "--quiet"]) == UNUSABLE
        assert "cut" in capsys.readouterr().err


# --- hostile --------------------------------------------------------------------------------------------------------------

HUGE = zlib.compress(bytes(1 << 24), 9)
CRAFTED = {
    "unpacks beyond what it states": raw_record(
        b"C", json.dumps({"call": "push_lld", "pts_ns": 0, "shape": [1, 65], "dtype": "<f4", "z": 10}).encode(), HUGE
    ),
    "states a huge body": raw_record(b"C", json.dumps({"call": "push_lld", "pts_ns": 0, "z": 1 << 40}).encode(), HUGE),
    "states no number": raw_record(b"C", json.dumps({"call": "push_lld", "pts_ns": 0, "z": "x"}).encode(), HUGE),
    "body that is not packed": raw_record(
        b"C",
        json.dumps({"call": "push_lld", "pts_ns": 0, "shape": [1, 65], "dtype": "<f4", "z": 260}).encode(),
        b"x" * 90,
    ),
    "nested head": raw_record(b"C", b'{"a":' * 3000 + b"1" + b"}" * 3000),
    "head that is no object": raw_record(b"C", b"[1]"),
    "head that is no JSON": raw_record(b"C", b"\xff"),
    "key twice": raw_record(b"C", b'{"call":"finish","call":"reset"}'),
    "many samples": call("push_audio", count=4 * 10**8, pts_ns=0, sample_rate_hz=16_000),
    "more samples than memory": call("push_audio", count=10**12, pts_ns=0, sample_rate_hz=16_000),
    "negative samples": call("push_audio", count=-1, pts_ns=0, sample_rate_hz=16_000),
    "samples without a rate": call("push_audio", count=10, pts_ns=0),
    "rate of another kind": call("push_audio", count=10, pts_ns=0, sample_rate_hz="16000"),
    "rate out of range": call("push_audio", count=10, pts_ns=0, sample_rate_hz=1),
    "time of another kind": call("push_frame", pts_ns="0"),
    "time missing": call("advance"),
    "time beyond 64 bits": raw_record(b"C", b'{"call":"advance","pts_ns":99999999999999999999999}'),
    "unknown call": call("__init__"),
    "call that is no name": call([1]),  # type: ignore[arg-type]
    "degrade by a text": call("degrade", step="1"),
    "swap to nowhere": call("swap_backend", backend="\x1b[31mnowhere"),
    "face without its crop": call(
        "push_face", pts_ns=0, faces=[[1, 0, 0, 1, 1, 0.5, 0]], shape=[0, 0, 0, 3], dtype="|u1"
    ),
    "face of another kind": call("push_face", b"\0" * 27648, pts_ns=0, faces=[[1]], shape=[1, 96, 96, 3], dtype="|u1"),
    "face that is no number": call(
        "push_face", b"\0" * 27648, pts_ns=0, faces=[["x"] * 7], shape=[1, 96, 96, 3], dtype="|u1"
    ),
    "rows of objects": call("push_lld", b"\0" * 8, pts_ns=0, shape=[1], dtype="|O"),
    "rows of no width": call("push_lld", b"", pts_ns=0, shape=[1 << 40], dtype="|V0"),
    "rows of another shape": call("push_lld", b"\0" * 8, pts_ns=0, shape=[1, 65], dtype="<f4"),
    "rows of a negative shape": call("push_lld", b"\0" * 260, pts_ns=0, shape=[-1, 65], dtype="<f4"),
    "rows without a shape": call("push_lld", b"\0" * 260, pts_ns=0, dtype="<f4"),
    "rows of two columns": call("push_lld", b"\0" * 8, pts_ns=0, shape=[1, 2], dtype="<f4"),
    "calls after the end": call("finish"),
}


@pytest.mark.parametrize("what", sorted(CRAFTED))
def test_crafted_call_is_an_error_of_the_tree_and_soon(tmp_path: Path, what: str) -> None:
    path = write(tmp_path / "a.eaffrec", CRAFTED[what], call("finish"))
    started = time.monotonic()
    for make in (make_session, lambda tap, options: edgeaff.Session(video=True, tap=tap)):
        try:
            list(replay(Recording(path), make))
        except EdgeaffError as error:
            assert "\x1b" not in str(error)
    with contextlib.suppress(EdgeaffError):
        list(ReplaySource(path))
    assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"schema": True},
        {"schema": 2},
        {"schema": "1"},
        {"schema": 1, "session": 5},
        {"schema": 1, "session": {"tap": 1}},
        {"schema": 1, "session": {"detector": "x"}},
        {"schema": 1, "session": {"max_faces": []}},
        {"schema": 1, "session": {"threads": 1 << 40}},
        {"schema": 1, "session": {"backend": {"a": 1}}},
        {"schema": 1, "session": {"smoothing": "x"}},
        {"schema": 1, "session": {"nothing": 1}},
    ],
)
def test_crafted_header_is_refused(tmp_path: Path, head: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.eaffrec", call("finish"), header=Record("H", head))
    assert main(["replay", str(path), "--quiet"]) in (2, 3)
    assert "Traceback" not in capsys.readouterr().err


def test_header_chooses_no_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = edgeaff.ModelBundle.load
    monkeypatch.setattr(
        edgeaff.ModelBundle, "load", lambda path=None, **rest: opened.append(path) or original(path, **rest)
    )
    path = write(
        tmp_path / "a.eaffrec",
        call("finish"),
        header=Record("H", {"schema": 1, "session": {"bundle": "/etc/evil.eaff"}}),
    )
    assert main(["replay", str(path), "--quiet"]) == UNUSABLE
    assert "--bundle" in capsys.readouterr().err and opened == []


def test_recording_that_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path):
        with pytest.raises(MediaError):
            Recording(path)


def test_bodies_that_nobody_needs_are_not_unpacked(tmp_path: Path) -> None:
    head = json.dumps({"call": "push_frame", "pts_ns": 0, "z": 1 << 24}).encode()
    path = write(tmp_path / "a.eaffrec", *[raw_record(b"C", head, HUGE)] * 200, end=True)
    started = time.monotonic()
    assert sum(1 for _ in Recording(path).calls()) == 200
    assert time.monotonic() - started < 1.0


# --- the recorder ---------------------------------------------------------------------------------------------------------


class Unspeakable:
    """Something that JSON does not have."""


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "options",
    [{"a": Unspeakable()}, {"a": float("nan")}, {"a": ENDLESS}, {"a": b"x"}, {"a": 1 << 70}],
    ids=["object", "nan", "endless", "bytes", "huge"],
)
def test_options_that_are_no_json_raise_at_once_and_leave_no_file(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="options must be plain JSON"):
        Recorder(tmp_path / "a.eaffrec", options=options)
    assert not (tmp_path / "a.eaffrec").exists()
    with Recorder(tmp_path / "a.eaffrec") as recorder, pytest.raises(ArgumentError, match="options must be plain JSON"):
        recorder.describe(options)


@pytest.mark.parametrize("raw", [False, True])
def test_wrong_argument_raises_as_without_a_recorder_and_is_not_replayed(tmp_path: Path, raw: bool) -> None:
    path = tmp_path / "a.eaffrec"
    with Recorder(path, options={"video": True}, raw=raw) as recorder:
        session = recorder.wrap(edgeaff.Session(tap=recorder))
        events = session.push_frame(np.zeros((32, 32, 3), np.uint8), pts_ns=0)
        for wrong in (
            lambda: session.push_frame(None, pts_ns=33_000_000),
            lambda: session.push_frame(np.zeros((4, 4), np.float32), pts_ns=33_000_000),
            lambda: session.push_frame(np.zeros((32, 32, 3), np.uint8), pts_ns=None),
            lambda: session.push_audio(None, pts_ns=0, sample_rate_hz=16_000),
            lambda: session.push_audio(np.zeros(10, np.int16), pts_ns=0, sample_rate_hz=None),
            lambda: session.push_audio(np.zeros((2, 2), np.int16), pts_ns=0, sample_rate_hz=16_000),
            lambda: session.push_face(None, pts_ns=0),
            lambda: session.push_lld(None, pts_ns=0),
            lambda: session.push_lld("x", pts_ns=0),
            lambda: session.advance(None),
        ):
            with pytest.raises(ArgumentError):
                wrong()
        events += session.push_audio(np.zeros(4800, np.int16), pts_ns=0, sample_rate_hz=16_000) + session.finish()
        assert recorder.warnings == []
    replayed = [event for event, _ in replay(Recording(path), lambda tap, options: edgeaff.Session(tap=tap, **options))]
    assert [event.to_dict() for event in replayed] == [event.to_dict() for event in events]


def test_value_that_json_does_not_have_ends_the_recording_and_is_named(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.eaffrec", options={}) as recorder:
        recorder.note(Record("C", {"call": "advance", "pts_ns": float("nan")}))
        recorder.note(call("finish"))
    assert len(recorder.warnings) == 1 and "cannot be written" in recorder.warnings[0]


def test_what_waits_for_the_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeaff.recording.recorder._MAX_WAITING_BYTES", 1000)
    recorder = Recorder(tmp_path / "a.eaffrec", options={}, raw=True)
    session = recorder.wrap(SumSession(recorder))
    session.push_frame(np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8), pts_ns=0)
    recorder.close()
    assert "too slow" in recorder.warnings[0]


def test_big_endian_samples_are_recorded_as_numbers() -> None:
    record = array_record("C", {}, np.array([1, 2, 3], ">i2"))
    assert record.head["dtype"] == "<i2" and record.body == b"\1\0\2\0\3\0"

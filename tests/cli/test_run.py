"""`edgeaff run`: exit codes, outputs, every broken file of the collection, the real clips."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.capture.media_file import MediaFile
from edgeaff.cli.main import main
from edgeaff.cli.plot import series_of
from edgeaff.cli.run import losses
from edgeaff.delivery.files import CSV_COLUMNS
from edgeaff.types import FaceBox, TrackedFace, VideoFrame
from tests.media_maker import write_clip

pytestmark = pytest.mark.needs_media
TICK_NS = 1_000_000_000 / 30


def write_wav(path: Path, seconds: float, rate: int = 16_000) -> Path:
    time_axis = np.arange(int(seconds * rate)) / rate
    samples = (9000 * np.sin(2 * np.pi * 210 * time_axis) * (1 + np.sin(20 * time_axis)) / 2).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def run(path: Path, tmp_path: Path, *extra: str) -> tuple[int, list[dict[str, Any]]]:
    output = tmp_path / "events.jsonl"
    code = main(["run", str(path), "--output", str(output), "--quiet", *extra])
    rows = [json.loads(line) for line in output.read_text().splitlines()] if output.exists() else []
    return code, rows


def check_events(rows: list[dict[str, Any]]) -> None:
    """One event per tick, rising, finite, complete."""
    ticks = [round(row["pts_ns"] / TICK_NS) for row in rows]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    assert all(row["pts_ns"] == round(tick * 10**9 / 30) for row, tick in zip(rows, ticks, strict=True))
    for row in rows:
        assert len(row) == 18 and row["latency_ms"] is None and row["dropped_since_last"] is None
        for name in ("valence", "arousal"):
            assert row[name] is None or -1 <= row[name] <= 1
            assert (row[name] is None) == (row[f"{name}_std"] is None)
        if row["status"] == "NO_FACE":
            assert row["face"] is None
        if row["status"] == "OK":
            assert row["valence"] is not None and row["arousal"] is not None


def test_both_outputs_hold_the_same_events(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", 2.0)
    code, rows = run(path, tmp_path, "--output", str(tmp_path / "events.csv"))
    assert code == 0 and len(rows) == 60
    check_events(rows)
    with open(tmp_path / "events.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert tuple(table[0]) == CSV_COLUMNS
    assert [int(row["pts_ns"]) for row in table] == [row["pts_ns"] for row in rows]
    assert [row["arousal"] for row in table] == ["" if row["arousal"] is None else repr(row["arousal"]) for row in rows]


def test_two_runs_are_byte_equal(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", 1.0)
    outputs = []
    for _ in range(2):
        run(path, tmp_path)
        outputs.append((tmp_path / "events.jsonl").read_bytes())
    assert outputs[0] == outputs[1]


def test_plot_is_written(tmp_path: Path) -> None:
    frame = tmp_path / "affect.png"
    assert run(write_wav(tmp_path / "a.wav", 1.0), tmp_path, "--plot", str(frame))[0] == 0
    assert frame.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_plot_draws_every_face_as_a_line_of_its_own() -> None:
    crop = np.zeros((96, 96, 3), np.uint8)
    faces = [(TrackedFace(track, FaceBox(0, 0, 9, 9), 0.9), crop + np.uint8(90 * track)) for track in (0, 1)]
    session = edgeaff.Session(audio=False, max_faces=2)
    events = session.push_face(faces, pts_ns=0) + session.push_face(faces[1:], pts_ns=33_333_333) + session.finish()
    first, second = series_of(events)
    assert [event is None for event in first] == [False, True]
    assert [event.face.track_id for event in second if event and event.face] == [1, 1]
    assert series_of(events[1:]) == [events[1:]]


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["run"], 2, "INPUT"),
        (["run", "a.wav", "--output", "events.txt"], 2, ".jsonl, .csv"),
        (["run", "a.wav", "--max-faces", "0"], 2, "max_faces"),
        (["run", "a.wav", "--backend", "magic"], 2, "native"),
        (["run", "a.wav", "--plot", "a.foo"], 2, ".png"),
        (["run", "a.wav", "--plot", "nowhere/a.png"], 2, "nowhere"),
        (["run", "a.wav", "--overlay", "a.foo"], 2, ".mp4"),
        (["run", "a.wav", "--overlay", "nowhere/a.mp4"], 2, "nowhere"),
        (["run", "none.mp4"], 3, "none.mp4"),
        (["run", "a.wav", "--bundle", "none.eaff"], 3, "none.eaff"),
        (["run", "a.wav", "--bundle", "."], 3, "a folder"),
        (["run", "a.wav", "--config", "a.wav"], 2, "TOML"),
        (["run", "a.wav", "--output", "e.csv", "--output", "./e.csv"], 2, "each file once"),
        (["record", "a.wav", "--output", "events.txt"], 2, ".eaffrec"),
        (["record", "a.wav", "--output", "nowhere/a.eaffrec"], 2, "nowhere"),
        (["record", "a.wav", "--output", "a.eaffrec", "--seconds", "-1"], 2, "above 0"),
        (["models", "list", "."], 2, "hold bundles"),
        (["bench", "--turns", "0"], 2, "--turns"),
        (["bench", "--rounds", "0"], 2, "--rounds"),
        (["bench", "--camera-seconds", "-1"], 2, "--camera-seconds"),
        (["bench", "--hours", "nan"], 2, "--hours"),
        (["bench", "--paper-bundle", "none.eaff"], 2, "none.eaff"),
        (["bench", "--json", "."], 2, "--json"),
        (["bench", "--figure", "a.jpg"], 2, ".png"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_bad_usage_and_input_have_their_exit_codes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "a.wav", 0.2)
    try:
        got = main(arguments)
    except SystemExit as stop:
        got = int(stop.code or 0)
    message = capsys.readouterr().err
    assert got == code and words in message and "Traceback" not in message


def test_overlay_never_writes_over_the_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = write_wav(tmp_path / "a.wav", 0.2).rename(tmp_path / "a.mp4")
    before = clip.read_bytes()
    assert main(["run", str(clip), "--overlay", str(clip)]) == 2
    assert "another file" in capsys.readouterr().err and clip.read_bytes() == before


@pytest.mark.needs_cv2
def test_an_overlay_may_be_named_like_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = [np.full((64, 96, 3), 90, np.uint8)] * 5
    write_clip(tmp_path / "a.mov", frames=images, times=[number / 25 for number in range(5)])
    assert main(["run", "a.mov", "--overlay", "take:1.mp4", "--quiet"]) == 0
    assert sum(isinstance(unit, VideoFrame) for unit in MediaFile(tmp_path / "take:1.mp4")) == 5


def test_events_that_no_sink_got_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert losses({"a": {"written": 3, "dropped": 0}, "b": {"written": 1, "dropped": 2}}) == [
        "b: 2 of 3 events were not delivered."
    ]
    nobody = "mqtt://127.0.0.1:9/affect"
    assert main(["run", str(write_wav(tmp_path / "a.wav", 0.2)), "--output", nobody, "--quiet"]) == 0
    assert "6 of 6 events were not delivered" in capsys.readouterr().err


def test_reader_that_goes_away_is_no_fault(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 0.2)
    for command in (["models", "info"], ["run", "a.wav"]):
        done = subprocess.run(
            ["bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "-", sys.executable, "-m", "edgeaff", *command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
            env={**os.environ, "PYTHONPATH": str(Path(edgeaff.__file__).parents[1])},
        )
        assert (done.returncode, done.stderr) == (0, ""), command


def test_full_disk_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    clip = write_wav(tmp_path / "a.wav", 0.2)
    assert main(["run", str(clip), "--output", str(tmp_path / "events.jsonl"), "--quiet"]) == 3
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "space" in message


def test_interrupted_run_keeps_what_was_computed(tmp_path: Path) -> None:
    path, output = write_wav(tmp_path / "long.wav", 600.0), tmp_path / "events.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeaff", "run", str(path), "--output", str(output), "--quiet"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell hands down an ignored one
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (output.exists() and output.stat().st_size > 2000):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted" in errors and "Traceback" not in errors
    assert all(json.loads(line)["schema"] == 1 for line in output.read_text().splitlines())


UNUSABLE = ("zero_byte.mp4", "text_renamed.mp4", "random_bytes.mp4", "truncated_no_moov.mp4")
BAD_FILES = [
    "audio_48000.mp4",
    "audio_5p1.mp4",
    "audio_8000.mp4",
    "audio_clipped_pcm.mkv",
    "audio_digital_silence.mp4",
    "audio_f32_96k.wav",
    "audio_float_nan_inf.wav",
    "audio_only.m4a",
    "audio_only_16k_mono.wav",
    "audio_s24_44k1.wav",
    "audio_stereo_antiphase.mp4",
    "audio_stream_first.mp4",
    "av_offset_audio_late_500ms.mp4",
    "av_offset_video_late_500ms.mp4",
    "content_offset_audio_500ms.mp4",
    "corrupt_middle.mp4",
    "face.gif",
    "fps60.mp4",
    "fragmented.mp4",
    "good_base.mp4",
    "gray_ir_like.mp4",
    "hevc_10bit.mp4",
    "low_fps5.mp4",
    "mjpeg_pcm.avi",
    "no_face_noise.mp4",
    "odd_size_444.mp4",
    "one_frame.mp4",
    "rotated_meta.mp4",
    "start_at_10s.ts",
    "timestamps_jump_back.ts",
    "tiny_64px.mp4",
    "truncated_faststart.mp4",
    "ts_33bit_wrap.ts",
    "two_audio_tracks.mp4",
    "uhd_4k_12frames.mp4",
    "vfr_gaps.mp4",
    "video_ends_early_2s_of_6s.mp4",
    "video_only.mp4",
    "vp9_opus.webm",
]
# file -> (events, status that must be there, status that must not)
EXPECTED: dict[str, tuple[int, str, str]] = {
    "good_base.mp4": (180, "OK", "NO_FACE"),
    "one_frame.mp4": (1, "NO_AUDIO", "OK"),
    "video_only.mp4": (179, "NO_AUDIO", "OK"),
    "audio_only.m4a": (180, "NO_FACE", "OK"),
    "no_face_noise.mp4": (121, "NO_FACE", "OK"),
    "low_fps5.mp4": (180, "OK", "STALE"),
    "vfr_gaps.mp4": (180, "OK", "STALE"),
    "av_offset_audio_late_500ms.mp4": (195, "NO_AUDIO", "STALE"),
    "av_offset_video_late_500ms.mp4": (194, "NO_FACE", "STALE"),
    "video_ends_early_2s_of_6s.mp4": (180, "NO_FACE", "STALE"),
}


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", BAD_FILES)
def test_odd_files_give_events_without_a_traceback(
    shared: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows = run(shared / "data" / "bad" / name, tmp_path)
    assert code == 0 and "Traceback" not in capsys.readouterr().err
    check_events(rows)
    if name in EXPECTED:
        count, present, absent = EXPECTED[name]
        statuses = {row["status"] for row in rows}
        assert abs(len(rows) - count) <= 2 and present in statuses and absent not in statuses


@pytest.mark.needs_shared
@pytest.mark.slow
def test_drifting_clip_of_a_minute_gives_every_tick(shared: Path, tmp_path: Path) -> None:
    code, rows = run(shared / "data" / "bad" / "drift_0p1pct_60s.mp4", tmp_path)
    assert code == 0 and abs(len(rows) - 1799) <= 2
    check_events(rows)


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_files_exit_3_with_one_line(
    shared: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows = run(shared / "data" / "bad" / name, tmp_path)
    message = capsys.readouterr().err
    assert code == 3 and rows == [] and name in message and message.count("\n") == 1


@pytest.mark.needs_shared
@pytest.mark.parametrize("name", ["truncated_faststart.mp4", "corrupt_middle.mp4"])
def test_damaged_files_warn_and_keep_the_readable_part(
    shared: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows = run(shared / "data" / "bad" / name, tmp_path)
    assert code == 0 and len(rows) > 60 and "warning" in capsys.readouterr().err


@pytest.mark.needs_shared
@pytest.mark.slow
def test_real_clips_end_to_end(shared: Path, tmp_path: Path) -> None:
    clips = sorted((shared / "data" / "media" / "av").iterdir()) + sorted(
        (shared / "data" / "media" / "face").glob("*.m*")
    )
    assert len(clips) >= 15
    for clip in clips:
        code, rows = run(clip, tmp_path)
        assert code == 0, clip.name
        check_events(rows)
        first = (tmp_path / "events.jsonl").read_bytes()
        if clip.parent.name == "av":
            run(clip, tmp_path)
            assert (tmp_path / "events.jsonl").read_bytes() == first
            assert sum(row["status"] == "OK" for row in rows) >= 0.6 * len(rows), clip.name


@pytest.mark.needs_shared
def test_a_real_talking_clip_is_ok_most_of_the_time(shared: Path, tmp_path: Path) -> None:
    code, rows = run(shared / "data" / "media" / "av" / "grid_bbaf2n.mpg", tmp_path)
    check_events(rows)
    assert code == 0 and 89 <= len(rows) <= 91
    assert sum(row["status"] == "OK" for row in rows) >= 70

"""`edgeaff record` and `edgeaff replay`: the same bytes again; a changed file is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgeaff
from edgeaff.cli.main import main
from edgeaff.recording.recorder import Recorder

from ..media_maker import frame_times, write_clip
from ..test_session import clip
from .test_run import write_wav

pytestmark = pytest.mark.needs_media


def write_portrait(path: Path) -> Path:
    frames = [data for kind, _, data in clip() if kind == "video"][:50]
    samples = np.concatenate([data for kind, _, data in clip() if kind == "audio"])[: 2 * 16_000] / np.float32(32768)
    return write_clip(
        path, frames=frames, times=frame_times(25, 2.0), samples=samples.astype(np.float32), sample_rate_hz=16_000
    )


@pytest.mark.parametrize("raw", [False, True])
def test_replay_gives_the_recorded_events_byte_for_byte(tmp_path: Path, raw: bool) -> None:
    path, session = write_portrait(tmp_path / "a.mov"), tmp_path / "a.eaffrec"
    assert main(["run", str(path), "--output", str(tmp_path / "live.jsonl"), "--quiet"]) == 0
    assert main(["record", str(path), "--output", str(session), "--quiet", *(["--raw"] if raw else [])]) == 0
    again = ["replay", str(session), "--verify", "--output", str(tmp_path / "again.jsonl"), "--quiet"]
    assert main([*again, *(["--recompute"] if raw else [])]) == 0
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "live.jsonl").read_bytes()


def test_recording_without_raw_holds_no_frame_and_no_audio(tmp_path: Path) -> None:
    path, session = write_portrait(tmp_path / "a.mov"), tmp_path / "a.eaffrec"
    main(["record", str(path), "--output", str(session), "--quiet"])
    crops = 60 * 96 * 96 * 3
    assert session.stat().st_size < crops + 300_000
    assert main(["replay", str(session), "--recompute", "--quiet"]) == 3


def test_recording_never_destroys_its_input_nor_an_older_recording(tmp_path: Path) -> None:
    clip, session = write_wav(tmp_path / "a.wav", 0.2), tmp_path / "a.eaffrec"
    before = clip.read_bytes()
    assert main(["record", str(clip), "--output", str(clip), "--quiet"]) == 2
    assert clip.read_bytes() == before
    assert main(["record", str(clip), "--output", str(session), "--quiet", "--raw"]) == 0
    recorded = session.read_bytes()
    assert main(["record", f"replay:{session}", "--output", str(session), "--quiet"]) == 2
    assert main(["record", str(tmp_path / "none.mp4"), "--output", str(session), "--quiet"]) == 3
    assert main(["record", str(clip), "--bundle", "none.eaff", "--output", str(session), "--quiet"]) == 3
    assert session.read_bytes() == recorded
    assert main(["record", str(clip), "--output", str(session), "--quiet"]) == 0
    assert session.read_bytes() != recorded and main(["replay", str(session), "--verify", "--quiet"]) == 0


def test_what_is_no_recording_exits_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(write_wav(tmp_path / "a.wav", 0.2)), "--quiet"]) == 3
    assert "a.wav" in capsys.readouterr().err


def test_runtime_with_a_recorder_among_its_sinks_records(tmp_path: Path) -> None:
    session = tmp_path / "b.eaffrec"
    with edgeaff.Runtime(audio=str(write_wav(tmp_path / "a.wav", 1.0)), sinks=[Recorder(session)]) as runtime:
        assert len(list(runtime)) == 30
    assert main(["replay", str(session), "--verify", "--quiet"]) == 0

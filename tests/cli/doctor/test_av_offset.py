"""The clap-and-flash test: known offsets in made clips are found, live ones too; without claps it reports it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaff.capture.paced import PacedFile
from edgeaff.cli.doctor.av_offset import AvOffset, check_av_offset, judge, measure, parse_sources
from edgeaff.cli.main import main
from edgeaff.errors import ArgumentError
from edgeaff.types import AudioChunk, VideoFrame

from ...media_maker import clap_and_flash, frame_times, variable_frame_times, write_clip


def units(fps: float, rate: int, offset_ms: float, *, seconds: float = 6.0, noise: float = 0.0) -> list[Any]:
    """Frames and 20 ms chunks of a clap and flash whose audio is late by offset_ms."""
    times = frame_times(fps, seconds)
    frames, samples, _ = clap_and_flash(times, sample_rate_hz=rate)
    samples = samples + noise * np.random.default_rng(2).standard_normal(samples.size).astype(np.float32)
    images: list[Any] = [VideoFrame(int(time * 10**9), frame) for time, frame in zip(times, frames, strict=True)]
    step = rate // 50
    audio = [
        AudioChunk(round(first / rate * 1e9 + offset_ms * 1e6), samples[first : first + step], rate)
        for first in range(0, samples.size, step)
    ]
    return images + [0] + audio


@pytest.mark.parametrize("offset_ms", [-200, -40, 0, 15, 120, 300])
@pytest.mark.parametrize(("fps", "rate"), [(30, 48_000), (25, 16_000), (60, 44_100)])
def test_known_offset_is_found_to_two_milliseconds(fps: float, rate: int, offset_ms: float) -> None:
    found = measure(units(fps, rate, offset_ms))
    assert found.offset_ms == pytest.approx(offset_ms, abs=2.0)
    assert found.pairs == found.flashes == found.claps >= 5
    assert found.half_frame_ms == pytest.approx(500 / fps, abs=0.1)


def test_noise_in_the_room_does_not_hide_a_clap() -> None:
    assert measure(units(30, 48_000, 80, noise=0.02)).offset_ms == pytest.approx(80, abs=2.0)


@pytest.mark.parametrize(
    ("offset", "spread", "level"),
    [(5, 4, "OK"), (-45, 5, "OK"), (90, 5, "WARN"), (-90, 5, "WARN"), (400, 5, "FAIL"), (5, 60, "WARN")],
)
def test_offset_is_judged_by_the_step_of_the_model(offset: float, spread: float, level: str) -> None:
    finding = judge(AvOffset(offset, spread, 16.7, 9, 9, 9))
    assert finding.level == level and ("late" if offset > 0 else "early") in finding.text
    assert (finding.advice == "") == (level == "OK")


def test_advice_for_a_late_microphone_is_a_uri_that_opens_it_right() -> None:
    assert "mic:NAME?latency=0.090" in judge(AvOffset(90, 2, 16.7, 9, 9, 9)).advice


def test_without_claps_it_states_what_to_do() -> None:
    silent = [unit for unit in units(30, 16_000, 0) if not isinstance(unit, AudioChunk)]
    (finding,) = [judge(measure(silent))]
    assert finding.level == "FAIL" and "6 flashes, 0 claps" in finding.text and "clap near" in finding.advice
    assert judge(measure([])).level == "FAIL"


@pytest.mark.needs_media
def test_command_measures_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = variable_frame_times(6.0)
    frames, samples, _ = clap_and_flash(times, sample_rate_hz=44_100)
    path = write_clip(tmp_path / "a.mov", frames=frames, times=times, samples=samples, sample_rate_hz=44_100)
    assert main(["doctor", "--json", "--av-offset", str(path)]) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["level"] == "OK" and abs(finding["data"]["offset_ms"]) < 3
    late = write_clip(
        tmp_path / "b.mov", frames=frames, times=times, samples=samples, sample_rate_hz=44_100, audio_start_seconds=0.3
    )
    assert main(["doctor", "--av-offset", f"video={late}"]) == 1
    assert "the audio is 300 ms late" in capsys.readouterr().out


@pytest.mark.needs_media
def test_live_sources_are_measured_too(tmp_path: Path) -> None:
    times = frame_times(Fraction(30), 5.0)
    frames, samples, _ = clap_and_flash(times, sample_rate_hz=16_000)
    path = write_clip(tmp_path / "a.mov", frames=frames, times=times, samples=samples, sample_rate_hz=16_000)
    (finding,) = check_av_offset(PacedFile(path, max_frames=30), None, seconds=4.0)
    assert finding.level == "OK" and abs(finding.data["offset_ms"]) < 5 and finding.data["pairs"] >= 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["camera:0?fps=30"], ("camera:0?fps=30", None)),
        (["audio=mic:default?rate=16000", "video=camera:0"], ("camera:0", "mic:default?rate=16000")),
        (["clip.mp4", "audio=b.wav"], ("clip.mp4", "b.wav")),
    ],
)
def test_sources_are_parsed(arguments: list[str], expected: tuple[str, str | None]) -> None:
    assert parse_sources(arguments) == expected


@pytest.mark.parametrize("arguments", [["audio=mic:default"], ["a.mp4", "b.mp4"], ["video="]])
def test_sources_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    with pytest.raises(ArgumentError, match="--av-offset"):
        parse_sources(arguments)


@pytest.mark.needs_cv2
def test_camera_without_a_microphone_states_what_to_add() -> None:
    with pytest.raises(ArgumentError, match="add audio=URI"):
        check_av_offset("camera:0", None)
    with pytest.raises(ArgumentError, match="--seconds"):
        check_av_offset("camera:0", None, seconds=0.5)

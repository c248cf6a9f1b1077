"""Frames that no tick takes come without an image, or are not decoded, and no event changes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edgeaff.capture.media_file import MediaFile
from edgeaff.capture.untaken import NO_IMAGE
from edgeaff.reference.sync import FrameTimeline
from edgeaff.runtime import Runtime
from edgeaff.spec import PreprocessSpec
from edgeaff.types import VideoFrame
from tests.media_maker import frame_times, variable_frame_times, write_clip

SPEC = PreprocessSpec()
CODECS = {
    "h264": {"video_codec": "libx264", "pix_fmt": "yuv420p"},
    "hevc": {"video_codec": "libx265", "pix_fmt": "yuv420p", "options": {"x265-params": "log-level=none"}},
    "mjpeg": {},
}


def images(count: int) -> list[np.ndarray]:
    """Images that move, so that encoders use all kinds of frames."""
    rng = np.random.default_rng(3)
    base = rng.integers(0, 255, (6, 8, 3)).astype(np.uint8).repeat(12, 0).repeat(12, 1)
    return [np.roll(base, 2 * index, axis=1) for index in range(count)]


def clip(folder: Path, times: list[Fraction], codec: str, suffix: str = "mkv") -> Path:
    return write_clip(folder / f"clip.{suffix}", frames=images(len(times)), times=times, **CODECS[codec])


def frames_of(path: Path, *, for_ticks: bool) -> tuple[list[VideoFrame], dict[str, int]]:
    with MediaFile(path) as source:
        if for_ticks:
            source.read_for_ticks(SPEC.frame_tick)
        frames = [unit for unit in source if isinstance(unit, VideoFrame)]
        return frames, source.counts


def taken_by_ticks(frames: list[VideoFrame]) -> list[tuple[int, bytes]]:
    """What is processed of the frames: time and pixels."""
    processed: list[tuple[int, bytes]] = []
    timeline = FrameTimeline(SPEC, lambda pts_ns, image: processed.append((pts_ns, image.tobytes())))
    tick = SPEC.frame_tick(frames[0].pts_ns)
    for frame in frames:
        timeline.push(frame.pts_ns, frame.image)
        while timeline.ready(tick + 1):
            timeline.take(tick)
            tick += 1
    for later in range(tick, tick + 10):  # audio may go on
        timeline.take(later)
    return processed


TIMES = {
    "15": frame_times(15, 2), "25": frame_times(25, 2), "30": frame_times(30, 2), "29.97": frame_times(29.97, 2),
    "50": frame_times(50, 2), "60": frame_times(60, 2), "120": frame_times(120, 1),
    "variable": variable_frame_times(2), "fast and variable": [time / 3 for time in variable_frame_times(4, seed=1)],
    "gaps": [time for time in frame_times(60, 3) if not 1 < time < Fraction(3, 2) and int(time * 60) % 7],
}  # fmt: skip


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("times", TIMES)
def test_ticks_take_the_same_frames(codec: str, times: str, tmp_path: Path) -> None:
    path = clip(tmp_path, TIMES[times], codec)
    every, counts = frames_of(path, for_ticks=False)
    some, counts_for_ticks = frames_of(path, for_ticks=True)
    assert [frame.pts_ns for frame in every] == [frame.pts_ns for frame in some]
    assert counts == counts_for_ticks
    assert taken_by_ticks(every) == taken_by_ticks(some)


@pytest.mark.parametrize("codec", CODECS)
def test_half_of_sixty_frames_come_without_an_image(codec: str, tmp_path: Path) -> None:
    some, _ = frames_of(clip(tmp_path, TIMES["60"], codec), for_ticks=True)
    assert sum(frame.image is NO_IMAGE for frame in some) == 59  # of 120: the last one may be needed


def test_packets_that_nothing_needs_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeaff.capture.untaken import TakenFrameReader

    left_out: list[bool] = []
    decide = TakenFrameReader._is_unneeded
    monkeypatch.setattr(
        TakenFrameReader, "_is_unneeded", lambda self, packet: left_out.append(decide(self, packet)) or left_out[-1]
    )
    frames_of(clip(tmp_path, TIMES["60"], "h264"), for_ticks=True)
    assert sum(left_out) > 20


@pytest.mark.parametrize("damage", range(6))
def test_damage_ends_the_leaving_out(damage: int, tmp_path: Path) -> None:
    path = clip(tmp_path, TIMES["60"], "h264", "mp4")
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(damage)
    for position in rng.integers(len(data) // 4, 3 * len(data) // 4, 5):
        data[position] ^= 0xFF
    path.write_bytes(data)
    every, _ = frames_of(path, for_ticks=False)
    some, _ = frames_of(path, for_ticks=True)
    assert all(frame.pts_ns in {one.pts_ns for one in some} for frame in every)


def test_events_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = TIMES["60"]
    samples = (3000 * np.sin(np.arange(96_000) / 20)).astype(np.int16)
    audio = {"samples": samples, "audio_codec": "aac"}
    path = write_clip(tmp_path / "clip.mp4", frames=images(len(times)), times=times, **audio, **CODECS["h264"])
    with Runtime(video=path) as runtime:
        left_out = list(runtime)
        frames = runtime.stats().frames
    monkeypatch.setattr(MediaFile, "read_for_ticks", lambda self, tick_of: None)
    with Runtime(video=path) as runtime:
        assert left_out == list(runtime)
        assert frames == runtime.stats().frames == 120
    source = MediaFile(path)
    with Runtime(video=source) as runtime:
        assert left_out == list(runtime)
    assert all(unit.image is not NO_IMAGE for unit in source if isinstance(unit, VideoFrame))

"""Clocks of pushed input in a real Runtime: steps are survived, what cannot be right is reported; long chunks do not hold a stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.runtime.worker import _pieces
from edgeaff.types import AudioChunk, VideoFrame

IMAGE = np.full((48, 64, 3), 128, np.uint8)
CHUNK = np.full(534, 1000, np.int16)


def pushed(
    seconds: float, video: Callable[[int], int], audio: Callable[[int], int] | None
) -> tuple[Any, list[str], int]:
    """Pushes in real time; returns health, kinds of status events and events. video, audio: the time to stamp at push n."""
    sources = {"video": edgeaff.PushVideo()}
    if audio is not None:
        sources["audio"] = edgeaff.PushAudio(sample_rate_hz=16_000)
    with edgeaff.Runtime(**sources) as runtime:
        for index in range(round(seconds * 30)):
            runtime.push_frame(IMAGE, pts_ns=video(index))
            if audio is not None:
                runtime.push_audio(CHUNK, pts_ns=audio(index))
            time.sleep(1 / 30)
        return runtime.health(), [event.kind for event in runtime.status.recent()], runtime.stats().events


def test_two_clocks_are_reported_and_unhealthy() -> None:
    health, kinds, events = pushed(2.0, lambda _: time.time_ns(), lambda _: time.monotonic_ns())
    assert not health.healthy and "clock_mismatch" in kinds and events > 20
    assert any("clock_mismatch" in problem for problem in health.problems)


def test_times_that_do_not_advance_are_reported_and_unhealthy() -> None:
    health, kinds, _ = pushed(2.0, lambda _: 10**18, None)
    assert not health.healthy and {"unusable", "no_events"} & set(kinds)


def test_a_clock_that_is_set_back_goes_on_with_events() -> None:
    start = time.time_ns()
    health, kinds, events = pushed(2.0, lambda index: start + index * 33_333_333 - (index >= 20) * 3600 * 10**9, None)
    assert "clock_jump" in kinds and events > 40
    assert not any("unusable" in problem or "no_events" in problem for problem in health.problems)


def test_events_of_a_clock_that_is_not_the_source_s_have_no_latency() -> None:
    with edgeaff.Runtime(video=edgeaff.PushVideo()) as runtime:
        runtime._worker._source.now_ns = lambda: 10**18  # the source's clock; frames are stamped with another
        for index in range(4):
            runtime.push_frame(IMAGE, pts_ns=index * 33_333_333)
            event = runtime.poll(5.0)
            assert event is not None and event.latency_ms is None


@pytest.mark.parametrize("seconds", [0, 0.5, 1, 2.3])
def test_long_chunks_are_pushed_in_pieces_of_a_second(seconds: float) -> None:
    samples = np.arange(round(seconds * 16_000), dtype=np.int16)
    pieces = list(_pieces(AudioChunk(7, samples, 16_000)))
    assert np.array_equal(np.concatenate([piece.samples for piece in pieces]), samples)
    assert [piece.pts_ns for piece in pieces] == [7 + index * 10**9 for index in range(max(1, int(np.ceil(seconds))))]
    frame = VideoFrame(0, IMAGE)
    assert list(_pieces(frame)) == [frame] and list(_pieces(5)) == [5]


def test_a_long_chunk_that_comes_late_is_no_step_back() -> None:
    sources = {"video": edgeaff.PushVideo(max_frames=1000), "audio": edgeaff.PushAudio(sample_rate_hz=16_000)}
    with edgeaff.Runtime(**sources) as runtime:
        for index in range(15 * 15):
            runtime.push_frame(IMAGE, pts_ns=index * 10**9 // 15)
        while runtime.stats().frames < 15 * 15:
            time.sleep(0.01)
        runtime.push_audio(np.zeros(15 * 16_000, np.int16), pts_ns=0)
        runtime.finish()
        runtime.join()
        assert runtime.stats().inputs["jumps"] == 0 and runtime.stats().inputs["chunks_used"] == 1


def test_a_long_chunk_does_not_hold_up_a_stop() -> None:
    runtime = edgeaff.Runtime(audio=edgeaff.PushAudio(sample_rate_hz=16_000)).start()
    runtime.push_audio(np.zeros(16_000 * 1200, np.int16), pts_ns=0)
    assert runtime.poll(5.0) is not None
    started = time.monotonic()
    runtime.stop()
    assert time.monotonic() - started < 1.0 and not runtime._worker.alive

"""Runtime with live input at the public seam: pushed frames and audio, latency, quick stop, ticks that go on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.errors import ArgumentError
from edgeaff.types import AffectEvent, Status

from ..cli.test_run import write_wav

IMAGE = np.full((120, 160, 3), 128, np.uint8)


def pushed(seconds: float, **sources: Any) -> list[AffectEvent]:
    """Pushes in real time, both modalities on the monotonic clock, and returns the events."""
    events: list[AffectEvent] = []
    with edgeaff.Runtime(**sources) as runtime:
        started = time.monotonic()
        for tick in range(int(seconds * 30)):
            if sources.get("audio") is not None:
                runtime.push_audio(np.zeros(1600, np.int16))
            if sources.get("video") is not None:
                runtime.push_frame(IMAGE)
            while (event := runtime.poll()) is not None:
                events.append(event)
            time.sleep(max(0.0, started + (tick + 1) / 30 - time.monotonic()))
        runtime.finish()
        while not runtime.finished:
            if (event := runtime.poll(1.0)) is not None:
                events.append(event)
    return events


def test_pushed_frames_and_audio_give_events_with_latency() -> None:
    events = pushed(1.5, video=edgeaff.PushVideo(), audio=edgeaff.PushAudio(sample_rate_hz=48_000))
    assert 30 <= len(events) <= 60
    assert all(
        event.latency_ms is not None and event.latency_ms >= 0 and event.dropped_since_last is not None
        for event in events
    )
    ticks = [round(event.pts_ns * 30 / 1e9) for event in events]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    assert events[-1].status is Status.NO_FACE and events[-1].audio_coverage is not None


@pytest.mark.parametrize("early_ms", [12, 0, -12])
def test_latency_runs_from_the_frame_where_it_came_before_its_tick(early_ms: int) -> None:
    video, latencies = edgeaff.PushVideo(), []
    with edgeaff.Runtime(video=video) as runtime:
        for tick in range(300, 312):
            video.push(IMAGE, pts_ns=tick * 10**9 // 30 - early_ms * 10**6)  # this moment, on the caller's clock
            event = runtime.poll(2.0)
            while event is not None:
                latencies.append(event.latency_ms)
                event = runtime.poll()
    assert len(latencies) >= 12 and min(latencies) > max(0, -early_ms)


def test_modality_without_a_source_is_not_declared() -> None:
    events = pushed(0.7, video=edgeaff.PushVideo())
    assert events and all(event.audio_coverage is None for event in events)


def test_stop_is_quick_while_nothing_comes() -> None:
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo()).start()
    time.sleep(0.1)
    started = time.monotonic()
    runtime.stop()
    assert time.monotonic() - started < 1.0


def test_pushing_to_what_takes_none_states_what_to_pass() -> None:
    with (
        edgeaff.Runtime(video=edgeaff.PushVideo()) as runtime,
        pytest.raises(ArgumentError, match=r"audio must be an edgeaff.PushAudio"),
    ):
        runtime.push_audio(np.zeros(10, np.int16))


def test_ticks_go_on_and_turn_stale_when_the_camera_stops() -> None:
    video = edgeaff.PushVideo()
    with edgeaff.Runtime(video=video) as runtime:
        runtime.push_frame(IMAGE)
        events, deadline = [], time.monotonic() + 5
        while time.monotonic() < deadline and not (events and events[-1].status is Status.STALE):
            if (event := runtime.poll(0.2)) is not None:
                events.append(event)
    assert events[0].status is Status.NO_FACE and events[-1].status is Status.STALE


def test_a_subclass_of_a_push_source_can_be_pushed_to() -> None:
    class Rotated(edgeaff.PushVideo):
        """A camera of the program's own."""

    with edgeaff.Runtime(video=Rotated()) as runtime:
        assert runtime.push_frame(np.zeros((48, 64, 3), np.uint8), pts_ns=0) == 0


def test_a_failing_sink_is_reported_as_a_sink_under_any_name(tmp_path: Path) -> None:
    class Full:
        """A sink that fails at once."""

        def write(self, event: AffectEvent) -> None:
            raise OSError("full")

        def close(self) -> None:
            """Holds nothing."""

    runtime = edgeaff.Runtime(audio=write_wav(tmp_path / "a.wav", 0.5))
    runtime.add_sink(Full(), name="callback")
    with runtime, pytest.raises(OSError, match="full"):
        runtime.join()
    assert [(event.source, event.name) for event in runtime.status.recent() if event.kind == "failed"] == [
        ("sink", "callback")
    ]

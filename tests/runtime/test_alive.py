"""A live Runtime states how it is: status events, first face, health, stats; user code that fails or is slow; forks; quick stops."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.bench.latency_media import make_media
from edgeaff.capture.camera import Camera
from edgeaff.errors import DeviceError, SessionStateError
from edgeaff.recording.format import Recording
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import first_difference
from edgeaff.types import AffectEvent, StatusEvent
from tests.waiting import wait_until

from ..capture.test_live import ScriptedSource, endless, frame

GRAY = np.full((120, 160, 3), 128, np.uint8)


class Pusher:
    """Pushes frames on its own thread."""

    def __init__(self, runtime: edgeaff.Runtime, *, fps: float = 30.0, images: list[np.ndarray] | None = None) -> None:
        self.runtime, self.fps, self.images = runtime, fps, images or [GRAY]
        self.running = True
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        index = 0
        while self.running:
            self.runtime.push_frame(self.images[index % len(self.images)])
            index += 1
            time.sleep(1 / self.fps)

    def __enter__(self) -> Pusher:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.running = False
        self.thread.join(2.0)


# --- what it reports about itself -----------------------------------------------------------------------------------------------------


def test_first_face_is_reported_once_before_its_event_is_read() -> None:
    media = make_media(1.0)
    if media.kind != "portrait":
        pytest.fail("scikit-image must be installed for the portrait; it is part of the development environment.")
    notices: list[StatusEvent] = []
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo())
    runtime.on_first_face(notices.append)
    with runtime, Pusher(runtime, images=media.images):
        first = next(event for event in runtime if event.face is not None)
        wait_until(lambda: notices)
        time.sleep(0.3)
    assert [notice.kind for notice in notices] == ["first_face"] and notices[0].counts["pts_ns"] == first.pts_ns


def test_health_and_stats_tell_sources_worker_sinks_and_ladder(tmp_path: Path) -> None:
    from edgeaff.delivery.files import JsonlSink

    runtime = edgeaff.Runtime(
        video=edgeaff.PushVideo(), audio=edgeaff.PushAudio(), sinks=[JsonlSink(tmp_path / "a.jsonl")]
    )
    assert runtime.health().state == "new"
    with runtime, Pusher(runtime):
        for _ in range(20):
            runtime.push_audio(np.zeros(1600, np.int16))
            time.sleep(1 / 30)
        health, stats = runtime.health(), runtime.stats()
    assert health.state == "running" and health.healthy and health.problems == []
    assert set(health.sources) == {"pushed video", "pushed audio"}
    assert health.sources["pushed video"]["kind"] == "camera" and health.sources["pushed video"]["age_ms"] < 1000
    assert isinstance(health.sources["pushed audio"]["skew_ppm"], float)
    assert health.worker["alive"] and health.worker["event_age_ms"] < 1000
    assert health.ladder == {"step": 0, "name": "full", "degradations": 0}
    assert health.sinks["JsonlSink"]["state"] == "ok"
    assert (
        stats.stages_ms["frame"]["p50"] > 0 and stats.stages_ms["latency"]["p99"] >= stats.stages_ms["latency"]["p50"]
    )
    assert set(stats.queues) == {"events", "frames", "audio_ms", "sinks"} and stats.events > 0
    assert runtime.health().state in ("stopped", "ended") and not runtime.health().healthy
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert len(lines) == runtime.stats().events == runtime.stats().sinks["JsonlSink"]["written"]


def test_health_goes_into_prometheus_text() -> None:
    from edgeaff.listen.status_server import metrics_text

    text = metrics_text(edgeaff.Runtime(video=edgeaff.PushVideo()).health().to_dict())
    assert "edgeaff_ladder_step 0" in text and 'edgeaff_state{value="new"} 1' in text


def test_source_that_is_lost_and_comes_back_is_reported() -> None:
    def dies(source: ScriptedSource) -> Iterator[Any]:
        for _ in range(5):
            time.sleep(0.02)
            yield frame()
        raise DeviceError("camera:test was unplugged.")

    gone = DeviceError("camera:test is not there.")
    reported: list[StatusEvent] = []
    runtime = edgeaff.Runtime(video=ScriptedSource(dies, gone, gone, endless))
    runtime.on_status(reported.append)
    with runtime:
        wait_until(lambda: any(event.kind == "recovered" for event in reported))
        assert runtime.health().sources["camera:test"]["state"] == "ok"
    kinds = [(event.source, event.name, event.kind) for event in reported]
    assert kinds[:2] == [("camera", "camera:test", "lost"), ("camera", "camera:test", "recovered")]


# --- the ladder in a runtime ----------------------------------------------------------------------------------------------------


def large_image() -> np.ndarray:
    """Noise at 4K: more than any processor finishes at the rate it is pushed at."""
    return np.random.default_rng(0).integers(0, 255, (2160, 3840, 3), np.uint8)


def test_overload_is_answered_reported_recorded_and_replayed(tmp_path: Path) -> None:
    reported: list[StatusEvent] = []
    with Recorder(tmp_path / "a.eaffrec", options={"audio": False}) as recorder:
        runtime = edgeaff.Runtime(video=edgeaff.PushVideo(), sinks=[recorder])
        runtime.on_status(reported.append)
        with runtime, Pusher(runtime, fps=2000.0, images=[large_image()]):
            wait_until(lambda: any(event.kind == "degraded" for event in reported), 15.0)
            assert runtime.health().ladder["step"] >= 1 and runtime.health().state == "degraded"
    degraded = next(event for event in reported if event.kind == "degraded")
    assert degraded.source == "runtime" and degraded.counts["step"] == 1 and "detector less often" in degraded.message
    recording = Recording(tmp_path / "a.eaffrec")
    assert [call.head["step"] for call in recording.calls() if call.name == "degrade"][0] == 1
    assert first_difference(recording, lambda tap, options: edgeaff.Session(tap=tap, **options)) == ""


def test_ladder_can_be_switched_off() -> None:
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo(), ladder=False)
    with runtime, Pusher(runtime, fps=2000.0, images=[large_image()]):
        wait_until(lambda: runtime.stats().source["frames_replaced"] > 0, 15.0)
        time.sleep(2.5)
    assert runtime.stats().degradations == 0


# --- user code ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["on_event", "on_status", "on_first_face"])
def test_exception_of_user_code_surfaces_where_events_are_read(where: str) -> None:
    def fail(event: Any) -> None:
        raise ZeroDivisionError("mine")

    runtime = edgeaff.Runtime(video=edgeaff.PushVideo())
    getattr(runtime, where)(fail)
    if where == "on_status":
        runtime.status.emit("backend", "swapped")
    with runtime, Pusher(runtime, images=make_media(1.0).images), pytest.raises(ZeroDivisionError, match="mine"):
        for _ in runtime:
            pass
    failed = [event for event in runtime.status.recent() if event.kind == "failed"]
    assert len(failed) == 1 and failed[0].source == "reader"
    assert runtime.health().state == "failed"


def test_exception_of_a_sink_is_reported_and_ends_neither_sink_nor_runtime() -> None:
    class Mine:
        calls = 0

        def write(self, event: AffectEvent) -> None:
            self.calls += 1
            raise ZeroDivisionError("mine")

        def close(self) -> None:
            """Nothing open."""

    sink = Mine()
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo(), sinks=[sink])
    with runtime, Pusher(runtime, images=make_media(1.0).images):
        wait_until(lambda: any(event.kind == "lost" for event in runtime.status.recent()))
        assert runtime.health().sinks["Mine"]["state"] == "failing" and not runtime.health().healthy
        calls = sink.calls
        wait_until(lambda: sink.calls > calls)
    assert runtime.stats().sinks["Mine"]["dropped"] == sink.calls


def test_slow_callback_misses_events_and_holds_up_nobody() -> None:
    seen: list[AffectEvent] = []
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo())
    runtime.on_event(lambda event: (seen.append(event), time.sleep(0.3)), policy=edgeaff.Policy(capacity=2))
    count = 0
    with runtime, Pusher(runtime):
        started = time.monotonic()
        while time.monotonic() < started + 2.0:
            count += runtime.poll(0.1) is not None
    assert count > 45 and len(seen) < 10
    assert runtime.stats().events_dropped >= count - len(seen) - 5
    assert any(event.kind == "dropped" and event.source == "reader" for event in runtime.status.recent())


def test_user_code_runs_on_no_thread_that_captures_or_computes() -> None:
    threads: set[str] = set()

    class Mine:
        def write(self, event: AffectEvent) -> None:
            threads.add(threading.current_thread().name)

        def close(self) -> None:
            threads.add(threading.current_thread().name)

    runtime = edgeaff.Runtime(video=ScriptedSource(endless), sinks=[Mine()])
    runtime.on_event(lambda event: threads.add(threading.current_thread().name))
    runtime.on_status(lambda event: threads.add(threading.current_thread().name))
    with runtime:
        runtime.status.emit("backend", "swapped")
        wait_until(lambda: len(threads) == 3)
    assert threads == {"edgeaff-Mine", "edgeaff-callback", "edgeaff-status"}


# --- stopping, opening again, forking -------------------------------------------------------------------------------------------


def hang_on_open() -> Any:
    time.sleep(8.0)


def make_states() -> dict[str, Callable[[], edgeaff.Runtime]]:
    def hangs(source: ScriptedSource) -> Iterator[Any]:
        yield frame()
        time.sleep(8.0)

    def dies(source: ScriptedSource) -> Iterator[Any]:
        yield frame()
        raise DeviceError("camera:test was unplugged.")

    def slow_callback(runtime: edgeaff.Runtime) -> edgeaff.Runtime:
        runtime.on_event(lambda event: time.sleep(8.0))
        runtime.on_status(lambda event: time.sleep(8.0))
        return runtime

    class StuckSink:
        def write(self, event: AffectEvent) -> None:
            time.sleep(8.0)

        def close(self) -> None:
            """Nothing open."""

    gone = DeviceError("camera:test is not there.")
    return {
        "never started": lambda: edgeaff.Runtime(video=ScriptedSource(endless)),
        "opening hangs": lambda: edgeaff.Runtime(video=Camera(0, opener=hang_on_open)),
        "running": lambda: edgeaff.Runtime(video=ScriptedSource(endless)),
        "driver hangs": lambda: edgeaff.Runtime(video=ScriptedSource(hangs)),
        "reconnecting": lambda: edgeaff.Runtime(video=ScriptedSource(dies, gone)),
        "callbacks hang": lambda: slow_callback(edgeaff.Runtime(video=ScriptedSource(endless))),
        "sink hangs": lambda: edgeaff.Runtime(video=ScriptedSource(endless), sinks=[StuckSink(), StuckSink()]),
        "nothing pushed": lambda: edgeaff.Runtime(video=edgeaff.PushVideo(), audio=edgeaff.PushAudio()),
        "ended": lambda: edgeaff.Runtime(video=ScriptedSource(lambda source: iter([frame()]), reconnect=False)),
        "open failed": lambda: edgeaff.Runtime(video=ScriptedSource(gone)),
    }


@pytest.mark.parametrize("state", sorted(make_states()))
def test_stop_takes_less_than_a_second_from_any_state(state: str) -> None:
    runtime = make_states()[state]()
    if state != "never started":
        runtime.start()
        time.sleep(0.4)
    started = time.monotonic()
    runtime.stop()
    assert time.monotonic() - started < 1.0
    runtime.stop()  # once more does no harm


def test_no_thread_is_left_when_the_source_has_ended() -> None:
    def names() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("edgeaff-")]

    wait_until(lambda: not names(), 35.0)  # what the tests above left hanging
    runtime = edgeaff.Runtime(video=ScriptedSource(lambda source: iter([frame()]), reconnect=False)).start()
    assert len(list(runtime)) >= 1
    wait_until(lambda: not names())
    assert any(event.kind == "ended" for event in runtime.status.recent())


def test_device_can_be_opened_again_by_the_next_runtime() -> None:
    class Single:
        """A device that only one may have open."""

        open = 0

        def isOpened(self) -> bool:
            return True

        def __init__(self) -> None:
            assert Single.open == 0, "it is open"
            Single.open += 1

        def read(self) -> tuple[bool, np.ndarray]:
            time.sleep(0.01)
            return True, np.random.default_rng(time.monotonic_ns() % 1000).integers(0, 255, (48, 64, 3), np.uint8)

        def get(self, name: int) -> float:
            return 0.0

        def release(self) -> None:
            Single.open -= 1

    for _ in range(3):
        with edgeaff.Runtime(video=Camera(0, opener=Single)) as runtime:
            assert next(iter(runtime)).pts_ns > 0
        assert Single.open == 0


def child_of_a_fork(runtime: edgeaff.Runtime, answers: Any) -> None:
    try:
        runtime.poll()
        answers.put("no error")
    except SessionStateError as error:
        answers.put(str(error))
    runtime.stop()
    with edgeaff.Runtime(video=edgeaff.PushVideo()) as mine:
        mine.push_frame(GRAY)
        answers.put(type(mine.poll(10.0)).__name__)
    os._exit(0)


def test_forked_child_is_reported_and_can_make_its_own() -> None:
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo())
    with runtime, Pusher(runtime):
        assert runtime.poll(5.0) is not None
        child = context.Process(target=child_of_a_fork, args=(runtime, answers))
        child.start()
        assert "forked child" in answers.get(timeout=20)
        assert answers.get(timeout=20) == "AffectEvent"
        child.join(5)
        assert runtime.poll(5.0) is not None  # the parent goes on

"""Runtime in file mode: iterator, poll, async, callbacks, errors where the user is, clean stop, configuration."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.errors import ArgumentError, MediaError, SessionStateError
from edgeaff.runtime.config import OPTIONS, read_config
from edgeaff.runtime.queue import EventQueue
from edgeaff.types import AffectEvent

from ..cli.test_run import write_wav
from ..test_types import EVENT

pytestmark = pytest.mark.needs_media


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "a.wav", 1.0)


def test_iterator_gives_every_event_in_order(samples: Path) -> None:
    with edgeaff.Runtime(audio=str(samples)) as runtime:
        events = list(runtime)
    assert [event.seq for event in events] == list(range(30))
    assert runtime.stats().events == 30 and runtime.stats().events_by_status == {"NO_FACE": 30}
    assert runtime.finished and runtime.duration_seconds == pytest.approx(1.0, abs=0.01)


def test_poll_gives_the_same_and_none_when_there_is_nothing(samples: Path) -> None:
    with edgeaff.Runtime(audio=str(samples)) as runtime:
        events = []
        while not runtime.finished:
            event = runtime.poll(5.0)
            if event is not None:
                events.append(event)
        assert runtime.poll() is None
    assert len(events) == 30


def test_async_iteration_gives_the_same(samples: Path) -> None:
    async def collect() -> list[AffectEvent]:
        with edgeaff.Runtime(audio=str(samples)) as runtime:
            return [event async for event in runtime]

    assert len(asyncio.run(collect())) == 30


def test_callback_runs_on_its_own_thread(samples: Path) -> None:
    seen: list[tuple[int, str]] = []
    runtime = edgeaff.Runtime(audio=str(samples))
    runtime.on_event(lambda event: seen.append((event.seq, threading.current_thread().name)))
    with runtime:
        runtime.join()
    assert [seq for seq, _ in seen] == list(range(30))
    assert {name for _, name in seen} == {"edgeaff-callback"}


def test_exception_of_a_callback_surfaces_where_the_user_is(samples: Path) -> None:
    def fail(event: AffectEvent) -> None:
        raise ValueError("mine")

    runtime = edgeaff.Runtime(audio=str(samples))
    runtime.on_event(fail)
    with runtime, pytest.raises(ValueError, match="mine"):
        runtime.join()


def test_exception_of_a_sink_surfaces_where_the_user_is(samples: Path) -> None:
    class Full:
        def write(self, event: AffectEvent) -> None:
            raise OSError("no space left")

        def close(self) -> None:
            """Nothing open."""

    with edgeaff.Runtime(audio=str(samples), sinks=[Full()]) as runtime, pytest.raises(OSError, match="no space"):
        list(runtime)


def test_stop_in_the_middle_is_quick(tmp_path: Path) -> None:
    runtime = edgeaff.Runtime(audio=str(write_wav(tmp_path / "long.wav", 300.0)))
    with runtime:
        next(iter(runtime))
        started = time.monotonic()
    assert time.monotonic() - started < 5.0


def test_slow_reader_loses_nothing_in_file_mode(tmp_path: Path) -> None:
    with edgeaff.Runtime(audio=str(write_wav(tmp_path / "a.wav", 10.0))) as runtime:
        time.sleep(0.5)
        assert [event.seq for event in runtime] == list(range(300))


def test_frame_of_one_file_with_the_audio_of_another(tmp_path: Path, samples: Path) -> None:
    from ..media_maker import frame_times, write_clip

    frames = [np.full((64, 64, 3), 90, np.uint8)] * 30
    video = write_clip(tmp_path / "v.mov", frames=frames, times=frame_times(30, 1.0))
    with edgeaff.Runtime(video=str(video), audio=str(samples)) as runtime:
        events = list(runtime)
    assert len(events) == 30 and events[-1].audio_age_ms is not None and events[-1].video_age_ms is not None


def test_no_source_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="video or audio"):
        edgeaff.Runtime()


def test_missing_file_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="none.mp4"):
        edgeaff.Runtime(video=str(tmp_path / "none.mp4"))


def test_start_twice_is_an_error(samples: Path) -> None:
    with edgeaff.Runtime(audio=str(samples)) as runtime, pytest.raises(SessionStateError, match="start"):
        runtime.start()


def test_configuration_file_sets_options_and_arguments_win(tmp_path: Path, samples: Path) -> None:
    config = tmp_path / "edgeaff.toml"
    config.write_text(f'[runtime]\naudio = "{samples}"\nmax_faces = 2\n')
    with edgeaff.Runtime(config=config) as runtime:
        assert len(list(runtime)) == 30
    config.write_text("max_face = 2\n")
    with pytest.raises(ArgumentError, match="did you mean 'max_faces'"):
        read_config(config)
    config.write_text("max_faces = = 2\n")
    with pytest.raises(ArgumentError, match="TOML"):
        read_config(config)


def test_options_of_the_config_are_the_arguments_of_runtime() -> None:
    import inspect

    names = set(inspect.signature(edgeaff.Runtime).parameters) - {"config"}
    assert names == set(OPTIONS)


def test_analyze_gives_columns_named_as_the_fields(tmp_path: Path, samples: Path) -> None:
    table = edgeaff.analyze(samples)
    assert len(table) == 30 and table.columns[3:5] == ("valence", "arousal")
    assert table["pts_ns"].dtype == np.int64 and table["arousal"].dtype == np.float64
    assert set(table["status"]) == {"NO_FACE"}
    with pytest.raises(ArgumentError, match="arousal"):
        table["arousel"]
    table.to_csv(tmp_path / "a.csv")
    table.to_jsonl(tmp_path / "a.jsonl")
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 31
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 30


# --- EventQueue -----------------------------------------------------------------------------------------------------------------


def test_queue_latest_keeps_the_newest_and_counts() -> None:
    queue = EventQueue("latest")
    for _ in range(3):
        queue.put(EVENT)
    assert queue.dropped == 2 and queue.get(0) is EVENT and queue.get(0) is None


def test_queue_live_drops_the_oldest_when_full() -> None:
    queue = EventQueue("every", capacity=2, lossless=False)
    for _ in range(5):
        queue.put(EVENT)
    assert queue.dropped == 3


def test_lossless_queue_makes_the_producer_wait_until_closed() -> None:
    queue = EventQueue("every", capacity=1)
    queue.put(EVENT)
    results: list[bool] = []
    producer = threading.Thread(target=lambda: results.append(queue.put(EVENT)))
    producer.start()
    producer.join(0.1)
    assert producer.is_alive()
    queue.close(discard=True)
    producer.join(5)
    assert results == [False] and queue.finished


@pytest.mark.parametrize("policy", ["", "newest", "EVERY"])
def test_unknown_policy_is_an_error(policy: Any) -> None:
    with pytest.raises(ArgumentError, match="every, latest"):
        EventQueue(policy)

"""The status channel, the monitor and the policy, alone."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from edgeaff.capture.health import Health, SourceHealth
from edgeaff.delivery.files import JsonlSink
from edgeaff.delivery.queued import QueuedSink
from edgeaff.errors import ArgumentError
from edgeaff.runtime.monitor import Monitor
from edgeaff.runtime.origin import Origin
from edgeaff.runtime.outlets import Outlets
from edgeaff.runtime.policy import Policy, as_policy
from edgeaff.runtime.queue import EventQueue
from edgeaff.runtime.status import StatusChannel
from edgeaff.types import STATUS_KINDS, StatusEvent

from ..test_types import EVENT
from ..waiting import wait_until


def nobody(origin: Origin, error: BaseException) -> None:
    raise AssertionError(f"{origin.name} raised {error!r}")


# --- channel --------------------------------------------------------------------------------------------------------------------


def test_status_events_reach_every_callback_on_a_thread_of_its_own() -> None:
    channel, seen, threads = StatusChannel(nobody), [], set()

    def note(event: StatusEvent) -> None:
        seen.append(event)
        threads.add(threading.current_thread().name)

    channel.subscribe(note)
    channel.start()
    channel.subscribe(note)
    channel.emit("camera", "lost", "camera:0 was unplugged.", name="camera:0", counts={"reconnects": 1})
    channel.close()
    assert len(seen) == 2 and threads == {"edgeaff-status"}
    assert seen[0].to_dict() | {"time_ns": 0} == {
        "time_ns": 0,
        "source": "camera",
        "name": "camera:0",
        "kind": "lost",
        "message": "camera:0 was unplugged.",
        "counts": {"reconnects": 1},
    }
    assert channel.recent() == [seen[0]]


def test_exception_of_a_status_callback_is_handed_on_and_others_go_on() -> None:
    errors: list[tuple[str, BaseException]] = []
    channel, seen = StatusChannel(lambda origin, error: errors.append((origin.name, error))), []

    def fail(event: StatusEvent) -> None:
        raise ValueError("mine")

    channel.subscribe(fail)
    channel.subscribe(seen.append)
    channel.start()
    for _ in range(3):
        channel.emit("backend", "swapped")
    channel.close()
    assert [(name, str(error)) for name, error in errors] == [("status", "mine")] and len(seen) == 3


@pytest.mark.parametrize(("source", "kind"), [("camera", "broken"), ("webcam", "lost"), ("", "")])
def test_unknown_source_or_kind_is_an_error(source: str, kind: str) -> None:
    with pytest.raises(ArgumentError, match="source and kind must be among"):
        StatusChannel(nobody).emit(source, kind)


def test_log_keeps_the_last_256() -> None:
    channel = StatusChannel(nobody)
    for index in range(300):
        channel.emit("sink", "dropped", counts={"index": index})
    assert [event.counts["index"] for event in channel.recent()] == list(range(44, 300))


# --- monitor --------------------------------------------------------------------------------------------------------------------


class FakeSource:
    """What the monitor reads of a source."""

    name, kind = "camera:0", "camera"

    def __init__(self) -> None:
        self.state, self.counts = Health.OK, {"failed_reads": 0, "bad_packets": 0}
        self.rejected_settings: list[str] = []

    def health(self) -> SourceHealth:
        return SourceHealth(self.state, 0.0, f"{self.name} is {self.state.value}.", 0)


class Watch:
    """A monitor over a fake source and a clock that the test turns."""

    def __init__(self, sinks: tuple[Any, ...] = ()) -> None:
        self.now, self.inputs = 100.0, {}
        self.channel = StatusChannel(nobody)
        self.outlets = Outlets(sinks, Policy(), live=True, on_error=nobody)
        self.source = FakeSource()
        self.monitor = Monitor(self.channel, self.outlets, clock=lambda: self.now)

    def look(self, seconds: float = 0.1) -> list[tuple[str, str]]:
        """Returns (source, kind) of what was reported by one more look."""
        before = len(self.channel.recent())
        self.now += seconds
        self.monitor.look([self.source], self.inputs)
        return [(event.source, event.kind) for event in self.channel.recent()[before:]]


@pytest.mark.parametrize(
    ("state", "kind"), [(Health.LOST, "lost"), (Health.STALLED, "stalled"), (Health.FROZEN, "frozen")]
)
def test_state_is_reported_when_it_begins_and_when_it_is_over(state: Health, kind: str) -> None:
    watch = Watch()
    assert watch.look() == []
    watch.source.state = state
    assert watch.look() == [("camera", kind)] and watch.monitor.problems() == [f"camera:0: {kind}"]
    assert watch.look() == []
    watch.source.state = Health.OK
    assert watch.look() == [("camera", "recovered")] and watch.monitor.problems() == []
    event = watch.channel.recent()[-1]
    assert event.counts["seconds"] == pytest.approx(0.2) and event.name == "camera:0"


def test_reconnecting_belongs_to_the_loss() -> None:
    watch, kinds = Watch(), []
    for state in (Health.LOST, Health.RECONNECTING, Health.LOST, Health.OK):
        watch.source.state = state
        kinds += watch.look()
    assert kinds == [("camera", "lost"), ("camera", "recovered")]


def test_counter_is_reported_once_until_it_rests_for_a_second() -> None:
    watch, kinds = Watch(), []
    for _ in range(20):
        watch.source.counts["failed_reads"] += 1
        kinds += watch.look()
    assert kinds == [("camera", "corrupt_input")]
    for _ in range(11):
        kinds += watch.look()
    assert kinds == [("camera", "corrupt_input"), ("camera", "recovered")]


def test_numbers_that_are_none_and_refused_rates_are_reported() -> None:
    watch = Watch()
    watch.inputs = {"samples_not_finite": 7}
    assert watch.look() == [("mic", "corrupt_input")]
    watch.source.rejected_settings.append("mic:USB does not run at 16000 Hz; it runs at 48000 Hz and is resampled.")
    assert watch.look() == [("camera", "setting_rejected")] and watch.look() == []


def test_end_is_reported_once() -> None:
    watch = Watch()
    watch.source.state = Health.ENDED
    assert watch.look() == [("camera", "ended")] and watch.look() == []


def test_stop_of_the_process_is_reported() -> None:
    watch = Watch()
    watch.look()
    assert watch.look(5.0) == [("runtime", "suspended")]
    assert [kind for _ in range(12) for kind in watch.look()] == [("runtime", "recovered")]


class BadSink:
    """Fails as reported."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def write(self, event: Any) -> None:
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Nothing open."""


def test_failing_sink_is_lost_after_a_second_and_recovers() -> None:
    sink = BadSink(OSError("no space left"))
    with QueuedSink(sink, name="events.jsonl") as queued:
        watch, kinds = Watch((queued,)), []
        queued.write(EVENT)
        while not queued.failing:
            threading.Event().wait(0.01)
        for _ in range(12):
            kinds += watch.look()
        assert kinds == [("sink", "lost")] and "no space left" in watch.channel.recent()[-1].message
        sink.error = None
        while queued.failing:
            threading.Event().wait(0.01)
        assert watch.look() == [("sink", "recovered")] and queued.counts["dropped"] == 0


def test_mistake_in_the_code_of_a_sink_is_reported_until_it_works_again() -> None:
    sink = BadSink(KeyError("mine"))
    with QueuedSink(sink, name="mine") as queued:
        watch = Watch((queued,))
        queued.write(EVENT)
        wait_until(lambda: queued.counts["dropped"] == 1)
        reported = [kind for _ in range(12) for kind in watch.look()]
        assert reported == [("sink", "dropped"), ("sink", "lost"), ("sink", "recovered")]
        assert "KeyError: 'mine'" in watch.channel.recent()[1].message and isinstance(queued.error, KeyError)
        sink.error = None
        queued.write(EVENT)
        wait_until(lambda: queued.counts["written"] == 1)
        assert watch.look() == [("sink", "recovered")] and watch.monitor.problems() == []


def test_values_that_are_not_finite_are_reported(tmp_path: Path) -> None:
    with QueuedSink(JsonlSink(tmp_path / "e.jsonl"), name="e") as queued:
        watch = Watch((queued,))
        queued.write(dataclasses.replace(EVENT, valence=float("nan")))
        wait_until(lambda: queued.counts["written"] == 1)
        assert watch.look() == [("sink", "corrupt_input")] and watch.channel.recent()[-1].counts == {"not_finite": 1}


# --- policy ---------------------------------------------------------------------------------------------------------------------


def test_policy_comes_from_a_name_a_table_or_itself() -> None:
    assert as_policy(None) == as_policy("every") == as_policy({"keep": "every"}) == Policy()
    assert as_policy({"keep": "latest", "max_age_seconds": 0.2}) == Policy("latest", max_age_seconds=0.2)
    assert as_policy(Policy(capacity=3)).capacity == 3


@pytest.mark.parametrize(
    "policy", ["newest", {"kept": "every"}, {"capacity": 0}, {"capacity": 2.5}, {"max_age_seconds": -1}, 7]
)
def test_wrong_policy_is_an_error(policy: Any) -> None:
    with pytest.raises(ArgumentError, match="must"):
        as_policy(policy)


def test_what_waited_too_long_is_dropped_and_counted() -> None:
    now = [0.0]
    queue: EventQueue[int] = EventQueue(Policy(max_age_seconds=0.2), lossless=False, clock=lambda: now[0])
    for item in range(10):
        queue.put(item)
        now[0] += 0.05
    assert queue.get(0) == 6 and queue.dropped == queue.stale == 6


def test_measures_keep_the_newest_and_give_quantiles() -> None:
    from edgeaff.runtime.stats import KEPT, Measures

    measures = Measures()
    assert measures.quantiles() == {}
    for value in range(100):
        measures.add("frame", float(value))
    assert measures.quantiles() == {"frame": {"p50": 50.0, "p95": 95.0, "p99": 99.0}}
    for _ in range(KEPT):
        measures.add("frame", 7.0)
    assert measures.quantiles()["frame"] == {"p50": 7.0, "p95": 7.0, "p99": 7.0}


def test_page_on_live_input_names_every_kind_of_status(root: Path) -> None:
    page = (root / "docs" / "live.md").read_text(encoding="utf-8")
    for kind, meaning in STATUS_KINDS.items():
        assert f"| `{kind}` |" in page and meaning in page, kind

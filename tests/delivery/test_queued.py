import threading
import time
from dataclasses import replace

import pytest

from edgeaff.delivery.files import JsonlSink
from edgeaff.delivery.open import open_sink
from edgeaff.delivery.queued import QueuedSink
from edgeaff.errors import ArgumentError
from edgeaff.types import StatusEvent
from tests.delivery.events import FULL, events
from tests.waiting import wait_until


class Recorder:
    """A sink that can be blocked or broken."""

    def __init__(self):
        self.got, self.closed = [], 0
        self.open = threading.Event()
        self.open.set()
        self.error = None

    def write(self, event):
        self.open.wait(10.0)
        if self.error is not None:
            raise self.error
        self.got.append(event.seq)

    def close(self):
        self.closed += 1


def test_events_arrive_in_order_and_close_delivers_the_rest():
    inner = Recorder()
    with QueuedSink(inner) as sink:
        for event in events(100):
            sink.write(event)
    assert inner.got == list(range(100)) and inner.closed == 1
    assert sink.counts == {"written": 100, "dropped": 0, "failures": 0, "not_finite": 0}


def test_slow_sink_costs_its_oldest_events_and_never_the_writers_time():
    inner = Recorder()
    inner.open.clear()
    sink = QueuedSink(inner, capacity=10)
    sink.write(events(1)[0])
    wait_until(lambda: sink.waiting == 0)  # one event is in the blocked sink
    started = time.monotonic()
    for event in events(101)[1:]:
        sink.write(event)
    assert time.monotonic() - started < 0.5 and sink.waiting == 10
    inner.open.set()
    sink.close()
    assert inner.got == [0, *range(91, 101)]
    assert sink.counts == {"written": 11, "dropped": 90, "failures": 0, "not_finite": 0}


def test_broken_sink_is_tried_again_until_it_works():
    inner = Recorder()
    inner.error = OSError(28, "No space left on device")
    sink = QueuedSink(inner)
    for event in events(3):
        sink.write(event)
    wait_until(lambda: sink.counts["failures"] >= 1)
    inner.error = None
    wait_until(lambda: inner.got == [0, 1, 2])
    sink.close()
    assert sink.counts["written"] == 3 and sink.warnings == ["Recorder: [Errno 28] No space left on device"]


def test_full_disk_neither_raises_nor_grows_nor_hangs():
    sink = QueuedSink(JsonlSink("/dev/full"), capacity=5)
    for event in events(100):
        sink.write(event)
    assert sink.waiting <= 5
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 1.0
    assert sink.counts["written"] == 0 and sink.counts["dropped"] == 100 and sink.counts["failures"] >= 1


def test_close_of_a_stuck_sink_takes_less_than_a_second():
    inner = Recorder()
    inner.open.clear()
    sink = QueuedSink(inner)
    for event in events(5):
        sink.write(event)
    wait_until(lambda: sink.waiting == 4)
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 1.0 and sink.counts["dropped"] == 4
    sink.write(events(1)[0])
    assert sink.counts["dropped"] == 5
    inner.open.set()


def test_mistake_in_the_code_of_the_sink_costs_its_event_and_no_more():
    inner = Recorder()
    inner.error = ZeroDivisionError("mine")
    sink = QueuedSink(inner)
    sink.write(events(1)[0])
    wait_until(lambda: sink.counts["dropped"] == 1)
    assert sink.failing and isinstance(sink.error, ZeroDivisionError)
    inner.error = None
    sink.write(events(2)[1])
    sink.close()
    assert inner.got == [1] and not sink.failing and sink.warnings == ["Recorder: ZeroDivisionError: mine"]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "vtt"])
def test_value_that_is_not_finite_ends_no_sink(tmp_path, suffix):
    sink = QueuedSink(open_sink(tmp_path / f"e.{suffix}"))
    for value in (float("nan"), float("inf"), 0.5):
        sink.write(replace(FULL, valence=value, face=replace(FULL.face, score=value)))
    sink.close()
    text = (tmp_path / f"e.{suffix}").read_text().lower()
    assert sink.error is None and sink.counts == {"written": 3, "dropped": 0, "failures": 0, "not_finite": 4}
    assert "nan" not in text.replace("nano", "") and "inf" not in text


def test_capacity_must_be_positive():
    with pytest.raises(ArgumentError, match="at least 1"):
        QueuedSink(Recorder(), capacity=0)


LOST = StatusEvent(1, "camera", "camera:0", "lost")


class StatusRecorder(Recorder):
    """A sink that takes StatusEvents and the provenance too."""

    def write_status(self, event):
        self.write(FULL)
        self.got[-1] = event

    def set_provenance(self, metadata):
        self.metadata = metadata


def test_status_events_come_in_the_order_of_the_events_and_are_not_counted():
    inner = StatusRecorder()
    with QueuedSink(inner) as sink:
        sink.write(events(1)[0])
        sink.write_status(LOST)
        sink.write(events(2)[1])
    sink.write_status(LOST)
    assert inner.got == [0, LOST, 1]
    assert sink.counts == {"written": 2, "dropped": 0, "failures": 0, "not_finite": 0}


def test_a_sink_without_write_status_gets_none():
    inner = Recorder()
    with QueuedSink(inner) as sink:
        sink.write_status(LOST)
        sink.set_provenance({"a": "b"})
    assert inner.got == []


def test_the_provenance_reaches_the_sink():
    inner = StatusRecorder()
    with QueuedSink(inner) as sink:
        sink.set_provenance({"a": "b"})
    assert inner.metadata == {"a": "b"}

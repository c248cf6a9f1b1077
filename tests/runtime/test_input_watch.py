"""Never silent: for any times of the input, a live session gives events, or a StatusEvent and bad health, within 2 s."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeaff.preprocess import InputCounts, Preprocessor
from edgeaff.runtime.input_watch import UNHEALTHY_KINDS, InputWatch
from edgeaff.runtime.monitor import Monitor
from edgeaff.runtime.outlets import Outlets
from edgeaff.runtime.policy import Policy
from edgeaff.runtime.status import StatusChannel

from ..preprocess.fakes import MS, SECOND, make
from ..preprocess.test_clock_contract import push
from .test_status import FakeSource, nobody

PERIOD = 0.1
Clocks = tuple[Any, Any]  # of video and audio: (step of each push in ns, offset in ns)


class Live:
    """A live session on a simulated clock: 30 frames and 50 chunks a second, ten looks of the monitor a second."""

    def __init__(self) -> None:
        self.now, self.last_event = 100.0, None
        self.first: float | None = None
        self.pre: Preprocessor = make()
        self.channel = StatusChannel(nobody)
        self.monitor = Monitor(self.channel, Outlets((), Policy(), live=True, on_error=nobody), clock=lambda: self.now)
        self.sources = [FakeSource()]

    def push(self, kind: str, pts_ns: int) -> None:
        self.first = self.now if self.first is None else self.first
        if push(self.pre, kind, pts_ns):
            self.last_event = self.now

    def look(self) -> None:
        since = self.first if self.last_event is None else self.last_event
        silent = None if since is None else self.now - since
        self.monitor.look(self.sources, dataclasses.asdict(self.pre.counts), silent)

    def run(self, seconds: float, video, audio) -> None:
        """Pushes for a while. video, audio: functions from the time of the push to its pts, or None."""
        start = self.now
        for slot in range(round(seconds * 150)):
            self.now = start + slot / 150
            if slot % 5 == 0 and video is not None:
                self.push("video", video(self.now - start))
            if slot % 3 == 0 and audio is not None:
                self.push("audio", audio(self.now - start))
            if slot % 15 == 0:
                self.look()
        self.now = start + seconds
        self.look()

    @property
    def silent(self) -> bool:
        """Whether neither events came in the last 2 s nor anything is reported as wrong."""
        quiet = self.last_event is None or self.now - self.last_event >= 2.0
        return quiet and not self.monitor.unhealthy

    def kinds(self) -> list[str]:
        return [event.kind for event in self.channel.recent()]


def steady(offset_ns: int = 0, rate: float = 1.0):
    """A clock that runs at some rate from an offset."""
    return lambda seconds: max(-(2**63), min(2**63 - 1, offset_ns + round(seconds * rate * SECOND)))


CLOCKS = st.one_of(
    st.none(),
    st.builds(
        steady,
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-20 * SECOND, 20 * SECOND)),
        st.sampled_from([1.0, 1.0, 1.0, 0.0, 1e-6, 1e-3, 0.9, 1.1, 10.0, 1e3, 1e6, -1.0]),
    ),
)


@settings(max_examples=25, deadline=None)
@example([(steady(0), steady(3600 * SECOND))])
@example([(steady(0, 0.0), None)])
@example([(steady(0), steady(0)), (steady(-3600 * SECOND), steady(-3600 * SECOND))])
@example([(steady(0, -1.0), steady(0, -1.0))])
@given(st.lists(st.tuples(CLOCKS, CLOCKS), min_size=1, max_size=3))
def test_a_live_session_is_never_silent(phases: list[Clocks]) -> None:
    live = Live()
    for video, audio in phases:
        live.run(2.5, video, audio)
        if video is not None or audio is not None:
            assert not live.silent, live.kinds()


def test_a_clock_that_runs_is_healthy_and_unreported() -> None:
    live = Live()
    live.run(4.0, steady(10**18), steady(10**18))
    assert live.kinds() == [] and not live.monitor.unhealthy


@pytest.mark.parametrize(
    "video, audio, kind",
    [
        (steady(0), steady(3600 * SECOND), "clock_mismatch"),
        (steady(0), steady(5 * SECOND), "clock_mismatch"),
        (steady(0), steady(0, 1e-6), "clock_mismatch"),
        (steady(0, 0.0), None, "unusable"),
        (steady(0, 0.0), steady(0, 0.0), "unusable"),
        (steady(0, -1.0), None, "unusable"),
        (steady(0, 1e3), None, "unusable"),  # each frame 33 s after the one before: nothing confirms any
        (steady(0, 1e-6), None, "no_events"),
        (steady(0, 1e-6), steady(0, 1e-6), "no_events"),
    ],
)
def test_clocks_that_cannot_be_right_are_named_within_two_seconds(video, audio, kind: str) -> None:
    live = Live()
    live.run(2.0, video, audio)
    assert kind in live.kinds() and live.monitor.unhealthy


@pytest.mark.parametrize("back, kind", [(-3600, "clock_jump"), (3600, "clock_jump"), (-5, "clock_step")])
def test_steps_of_the_clock_are_reported_and_over(back: int, kind: str) -> None:
    live = Live()
    live.run(2.0, steady(10**18), steady(10**18))
    start = 10**18 + (2 + back) * SECOND
    live.run(9.0, steady(start), steady(start))
    assert kind in live.kinds() and live.kinds()[-1] == "recovered" and not live.monitor.unhealthy
    assert ("no_events" in live.kinds()) == (back == -5)  # nothing counts until the clock has caught up


def test_two_clocks_that_take_turns_are_one_report() -> None:
    live, index = Live(), 0
    for index in range(60):
        live.now = 100 + index / 20
        for offset in (0, 3600 * SECOND):
            for half in (0, 1):
                live.push("video", offset + (2 * index + half) * 25 * MS)
        live.look()
    assert live.kinds().count("clock_mismatch") == 1 and live.monitor.unhealthy


def test_every_input_counter_reaches_status_events() -> None:
    used = {"frames_used", "frames_unused", "chunks_used", "chunks_unused"}  # what InputWatch looks at
    for counter in {field.name for field in dataclasses.fields(InputCounts)} - used:
        live = Live()
        counts = dataclasses.asdict(InputCounts())
        for _ in range(10):
            counts[counter] += 1
            live.monitor.look(live.sources, counts)
            live.now += PERIOD
        assert any(counter in event.counts for event in live.channel.recent()), counter


def test_a_lone_input_that_is_left_out_is_no_finding() -> None:
    watch = InputWatch()
    for look in range(40):
        counts = {"frames_used": look // 10, "frames_unused": int(look > 5)}  # one frame a second
        assert watch.look(counts, None, look * PERIOD) == []


def test_a_silence_counts_once_it_lasts_beyond_a_suspension() -> None:
    watch = InputWatch()
    assert watch.look({}, 60.0, 0.0) == [] and watch.look({}, 0.01, 0.1) == []
    assert watch.look({}, 1.1, 1.0) == [] and [found.kind for found in watch.look({}, 1.4, 1.3)] == ["no_events"]


def test_what_makes_a_runtime_unhealthy_are_kinds_of_status_events() -> None:
    from edgeaff.types import STATUS_KINDS

    assert set(STATUS_KINDS) >= UNHEALTHY_KINDS

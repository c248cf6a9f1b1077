"""The contract of time over two modalities with any int64 times (docs/live.md, "Clocks"): bounded calls, recovery, rising ticks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgeaff.preprocess import Preprocessor, TickInput
from edgeaff.reference.gate import EARLIEST_NS, LATEST_NS
from edgeaff.spec import PreprocessSpec, paper_spec

from .fakes import MS, SECOND, frame, make, tone

RATE = 16_000
CHUNK_NS = 20 * MS
IMAGE, CHUNK = frame(9), np.zeros(RATE * CHUNK_NS // SECOND, np.int16)
INT64 = st.integers(-(2**63), 2**63 - 1)
STEP = st.one_of(
    st.integers(-50 * MS, 50 * MS),
    st.integers(-12 * SECOND, 12 * SECOND),
    st.sampled_from([-3600 * SECOND, -30 * SECOND, -10 * SECOND, 0, 10 * SECOND, 30 * SECOND, 10**18]),
)
KIND = st.sampled_from(["video", "audio", "clock"])
Push = tuple[str, int]


@st.composite
def schedules(draw: st.DrawFn) -> list[Push]:
    """Two clocks that run, step, repeat, swap and break."""
    clocks = [draw(INT64), draw(st.one_of(INT64, st.just(0)))]
    pushes: list[Push] = []
    for _ in range(draw(st.integers(1, 40))):
        kind, which = draw(KIND), draw(st.sampled_from([0, 0, 0, 1]))
        if draw(st.integers(0, 9)) == 0:
            pushes.append((kind, draw(INT64)))
            continue
        clocks[which] = max(-(2**63), min(2**63 - 1, clocks[which] + draw(STEP)))
        pushes.append((kind, clocks[which]))
    return pushes


def push(pre: Preprocessor, kind: str, pts_ns: int) -> list[TickInput]:
    if kind == "video":
        return pre.push_frame(IMAGE, pts_ns=pts_ns)
    if kind == "audio":
        return pre.push_audio(CHUNK, pts_ns=pts_ns, sample_rate_hz=RATE)
    return pre.advance(pts_ns)


def check_call(ticks: list[TickInput], spanned_ns: int) -> None:
    assert len(ticks) <= 30 * spanned_ns / SECOND + 30


@settings(max_examples=120, deadline=None)
@example([("video", 3600 * SECOND), ("audio", 0)])
@example([("video", 3600 * SECOND), ("clock", 0), ("clock", 0)])
@example([("video", 0), ("video", -1_215 * MS), ("audio", -1_215 * MS)])
@example([("video", 0), ("video", 10_500 * MS), ("video", 9_900 * MS)])
@example([("video", 0), ("video", 10**17), ("video", 10**17 + MS), ("video", 33 * MS)])
@given(schedules())
def test_no_call_computes_more_ticks_than_it_spans(pushes: list[Push]) -> None:
    pre = make()
    newest: tuple[int, int] | None = None  # start and end of the newest input so far
    held = (0, 0)
    for kind, pts_ns in pushes:
        this = (pts_ns, pts_ns + CHUNK_NS * (kind == "audio"))
        step = 0 if newest is None else max(0, pts_ns - newest[1], newest[0] - this[1])
        jumps = pre.counts.jumps
        ticks = push(pre, kind, pts_ns)
        if this[0] < EARLIEST_NS or this[1] > LATEST_NS:
            assert ticks == []
        elif pre.counts.jumps > jumps:
            check_call(ticks, CHUNK_NS + SECOND)
            newest = max(held[0], this[0]), max(held[1], this[1])
        elif step <= 10 * SECOND:
            check_call(ticks, CHUNK_NS + step)
            newest = this if newest is None else (max(newest[0], this[0]), max(newest[1], this[1]))
        else:
            assert ticks == []
            held = this
    check_call(pre.finish(), CHUNK_NS)


@settings(max_examples=60, deadline=None)
@given(schedules(), st.booleans())
def test_ticks_rise_between_restarts_and_every_input_is_accounted_for(pushes: list[Push], live: bool) -> None:
    pre = make(live=live)
    ticks = [tick for kind, pts_ns in pushes for tick in push(pre, kind, pts_ns)] + pre.finish()
    previous: TickInput | None = None
    for tick in ticks:
        assert previous is None or tick.restart or tick.tick == previous.tick + 1
        previous = tick
    counts = pre.counts
    for kind, used, unused in (
        ("video", counts.frames_used, counts.frames_unused),
        ("audio", counts.chunks_used, counts.chunks_unused),
    ):
        assert used + unused == sum(name == kind for name, _ in pushes)


def regular(start_ns: int, seconds: float) -> Iterator[Push]:
    """Frames at 30 Hz and chunks of 20 ms on one clock, in the order of time."""
    frames = [("video", start_ns + index * SECOND // 30) for index in range(int(30 * seconds))]
    chunks = [("audio", start_ns + index * CHUNK_NS) for index in range(int(50 * seconds))]
    yield from sorted(frames + chunks, key=lambda item: (item[1], item[0] == "audio"))


@settings(max_examples=60, deadline=None)
@given(schedules(), st.integers(EARLIEST_NS, LATEST_NS - 20 * SECOND))
def test_events_come_within_two_seconds_of_the_first_input_that_is_not_dropped(
    pushes: list[Push], start_ns: int
) -> None:
    pre = make()
    for kind, pts_ns in pushes:
        push(pre, kind, pts_ns)
    first_ns: int | None = None
    for kind, pts_ns in regular(start_ns, 14.0):
        used = pre.counts.frames_used + pre.counts.chunks_used
        ticks = push(pre, kind, pts_ns)
        if first_ns is None and pre.counts.frames_used + pre.counts.chunks_used > used:
            first_ns = pts_ns
        if any(tick.pts_ns >= start_ns - 20 * MS for tick in ticks):
            break
    assert first_ns is not None and pts_ns - first_ns <= 2 * SECOND


@pytest.mark.parametrize("step", [30, -30, -3600, 10**9, -(10**9)])
@pytest.mark.parametrize("video, audio", [(True, True), (True, False), (False, True)])
def test_a_step_of_the_clock_costs_one_restart_and_no_event(step: int, video: bool, audio: bool) -> None:
    pre = make(video=video, audio=audio)
    declared = {"video": video, "audio": audio}
    for kind, pts_ns in regular(10**18, 1.0):
        if declared[kind]:
            push(pre, kind, pts_ns)
    after = [
        tick
        for kind, pts_ns in regular(10**18 + step * SECOND, 1.0)
        if declared[kind]
        for tick in push(pre, kind, pts_ns)
        if abs(tick.pts_ns - 10**18 - step * SECOND) < 2 * SECOND
    ]
    assert pre.counts.jumps == 1 and sum(tick.restart for tick in after) == 1 and len(after) >= 29
    assert pre.counts.inputs_unconfirmed == 0


@pytest.mark.parametrize("back", [0.6, 5, 9.9])
def test_a_step_back_of_less_than_ten_seconds_waits_until_the_clock_has_caught_up(back: float) -> None:
    pre, back_ns = make(), round(back * SECOND)
    for kind, pts_ns in regular(0, 11.0):
        push(pre, kind, pts_ns)
    ticks = [
        (pts_ns, tick)
        for kind, pts_ns in regular(11 * SECOND - back_ns, back + 1.0)
        for tick in push(pre, kind, pts_ns)
    ]
    assert pre.counts.steps_back == 2 and pre.counts.jumps == 0  # once for each modality
    assert min(pts_ns for pts_ns, _ in ticks) > 10.9 * SECOND and len(ticks) >= 29
    assert pre.counts.frames_unused >= 30 * (back - 0.1)


def test_a_small_step_back_is_no_step() -> None:
    pre = make(audio=False)
    for pts_ns in (0, 100 * MS, 60 * MS, 133 * MS):
        push(pre, "video", pts_ns)
    assert pre.counts.steps_back == 0 and pre.counts.frames_not_newer == 1


@pytest.mark.parametrize("audio_ahead", [3600, -3600, 10**9])
def test_of_two_clocks_the_first_goes_on_and_the_other_is_counted(audio_ahead: int) -> None:
    pre, ticks = make(), []
    for index in range(60):
        ticks += push(pre, "video", index * SECOND // 30)
        ticks += push(pre, "audio", audio_ahead * SECOND + index * SECOND // 30)
    assert len(ticks) >= 50 and pre.counts.jumps == 0
    assert pre.counts.chunks_used == 0 and pre.counts.chunks_unused == 59  # one is held


def test_two_clocks_ten_seconds_apart_are_counted_as_unused() -> None:
    pre, ticks = make(), []
    for index in range(60):
        ticks += push(pre, "audio", 5 * SECOND + index * SECOND // 30)
        ticks += push(pre, "video", index * SECOND // 30)
    assert pre.counts.frames_unused > 50 and pre.counts.jumps == 0


@pytest.mark.parametrize("gap", [12, 1800, 10**8])
def test_in_a_file_every_frame_counts_across_any_gap(gap: int) -> None:
    pre = make(audio=False, live=False)
    ticks = [tick for index in range(4) for tick in push(pre, "video", index * gap * SECOND)] + pre.finish()
    assert [tick.frame_pts_ns for tick in ticks] == [index * gap * SECOND for index in range(4)]
    assert pre.counts.inputs_unconfirmed == 0 and pre.counts.jumps == 3


def test_in_a_file_a_gap_of_ten_seconds_is_filled_with_ticks() -> None:
    pre = make(audio=False, live=False)
    ticks = push(pre, "video", 0) + push(pre, "video", 10 * SECOND)
    assert [tick.tick for tick in ticks] == list(range(301)) and pre.counts.jumps == 0


def test_finish_and_reset_count_what_is_held() -> None:
    pre = make()
    for close in (pre.finish, pre.reset):
        before = pre.counts.inputs_unconfirmed
        push(pre, "video", 0)
        push(pre, "audio", 100 * SECOND)
        close()
        assert pre.counts.inputs_unconfirmed == before + 1
        pre.reset()


@pytest.mark.parametrize("spec", [PreprocessSpec(), paper_spec()])
def test_rows_that_step_back_are_dropped_until_they_have_caught_up(spec: PreprocessSpec) -> None:
    rows = np.arange(200, dtype=np.float32)[:, None].repeat(65, 1)
    straight, stepping = make(spec, video=False), make(spec, video=False)
    expected = straight.push_lld(rows, pts_ns=0)
    ticks: list[TickInput] = []
    for start in range(0, 200, 10):
        ticks += stepping.push_lld(rows[start : start + 10], pts_ns=start * 10 * MS)
        if start >= 100:  # the last second again
            ticks += stepping.push_lld(rows[start - 90 : start + 10], pts_ns=(start - 90) * 10 * MS)
    assert stepping.counts.rows_not_newer == 1000 and stepping.counts.steps_back > 0
    assert [tick.tick for tick in ticks] == [tick.tick for tick in expected]
    for one, other in zip(ticks, expected, strict=True):
        assert (one.lld is None) == (other.lld is None) and (one.lld is None or np.array_equal(one.lld, other.lld))


def test_a_change_of_rate_does_not_let_audio_go_back() -> None:
    pre = make(video=False)
    ticks = pre.push_audio(tone(2.0, RATE), pts_ns=0, sample_rate_hz=RATE)
    ticks += pre.push_audio(tone(1.0, 48_000), pts_ns=500 * MS, sample_rate_hz=48_000)
    assert pre.counts.samples_overlapping == 48_000 and pre.counts.audio_restarts == 0
    ticks += pre.push_audio(tone(1.0, 48_000), pts_ns=1_500 * MS, sample_rate_hz=48_000) + pre.finish()
    centers = [tick.audio_center_ns for tick in ticks if tick.audio_center_ns is not None]
    assert centers == sorted(centers) and [tick.tick for tick in ticks] == list(range(75))


def test_a_chunk_that_began_before_a_jump_is_dropped_and_counted() -> None:
    pre = make()
    push(pre, "video", 0)
    push(pre, "video", 20 * SECOND)
    push(pre, "video", 20 * SECOND + 33 * MS)
    assert pre.push_audio(tone(12.5, RATE), pts_ns=-SECOND, sample_rate_hz=RATE) == []
    assert pre.counts.inputs_before_jump == 1 and pre.counts.chunks_unused == 1


def test_only_what_a_tick_can_use_counts_as_used() -> None:
    pre: Any = make()
    for index in range(90):
        push(pre, "audio", index * SECOND // 50)
    push(pre, "video", SECOND)  # 0.55 s behind the ticks that have gone
    push(pre, "video", 1_300 * MS)
    assert (pre.counts.frames_unused, pre.counts.frames_used) == (1, 1)

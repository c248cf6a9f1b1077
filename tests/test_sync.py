"""The clock: sample count to time, rows to instants, frames to ticks, ticks going out, jumps."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaff.ops import core
from edgeaff.reference import sync
from edgeaff.reference.sync import AudioClock, ColumnGroup, FrameTimeline, Placement, RowTimeline, TickScheduler
from edgeaff.spec import NANOSECONDS, PreprocessSpec

MS = 1_000_000
SPEC = PreprocessSpec()
NATIVE = {
    "Placement": core.Placement,
    "AudioClock": core.AudioClock,
    "RowTimeline": core.RowTimeline,
    "FrameTimeline": core.FrameTimeline,
    "TickScheduler": core.TickScheduler,
}


@pytest.fixture(params=["python", "native"], scope="module", autouse=True)
def twin(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs every test of this file on the Python classes and on those of the native core."""
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in NATIVE.items():
            patch.setattr(sys.modules[__name__], name, kind if request.param == "native" else getattr(sync, name))
        yield


def test_tick_times_are_rounded_thirtieths() -> None:
    assert [SPEC.tick_pts_ns(k) for k in (0, 1, 2, 3, -1)] == [0, 33_333_333, 66_666_667, 100_000_000, -33_333_333]


@pytest.mark.parametrize("fps", [7.5, 24, 25, 29.97, 30, 60])
def test_frame_tick_is_the_formula_of_the_design(fps: float) -> None:
    for index in range(200):
        pts = round(index * NANOSECONDS / fps)
        assert SPEC.frame_tick(pts) == (30 * (pts - 1_000_000) + 500_000_000) // NANOSECONDS


def test_sixty_fps_gives_two_frames_to_each_tick() -> None:
    ticks = [SPEC.frame_tick(round(index * NANOSECONDS / 60)) for index in range(120)]
    assert ticks == [index // 2 for index in range(120)]


# --- AudioClock ---------------------------------------------------------------------------------------------------------------


def feed(clock: AudioClock, pts: int, count: int, rate: int, sizes: list[int]) -> None:
    done = 0
    for size in sizes:
        clock.place(pts + done * NANOSECONDS // rate, size, rate)
        done += size
    assert done == count


def test_audio_clock_counts_samples_when_pts_agree() -> None:
    clock = AudioClock()
    for index in range(100):
        clock.place(5 * NANOSECONDS + index * 10 * MS, 480, 48_000)
    assert clock.end_pts_ns == 6 * NANOSECONDS
    assert clock.pts_ns(250 * MS) == 5_250 * MS


def test_audio_clock_ignores_container_rounding_to_a_millisecond() -> None:
    clock = AudioClock()
    for index in range(200):
        exact = index * 1024 * NANOSECONDS // 44_100
        clock.place(round(exact / MS) * MS, 1024, 44_100)
    assert clock.end_pts_ns == 200 * 1024 * NANOSECONDS // 44_100


def test_audio_clock_slews_at_most_1000_ppm() -> None:
    clock = AudioClock()
    clock.place(0, 16_000, 16_000)
    clock.place(NANOSECONDS + 10 * MS, 16_000, 16_000)
    assert clock.end_pts_ns == 2 * NANOSECONDS + 1 * MS
    for second in range(2, 30):
        clock.place(second * NANOSECONDS + 10 * MS, 16_000, 16_000)
    assert clock.end_pts_ns - 30 * NANOSECONDS == pytest.approx(9 * MS, abs=MS // 100)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4000), min_size=1, max_size=20), st.integers(-19, 19))
def test_audio_clock_does_not_depend_on_chunking(sizes: list[int], difference_ms: int) -> None:
    rate, total = 44_100, sum(sizes)
    whole, parts = AudioClock(), AudioClock()
    for clock in (whole, parts):
        clock.place(0, rate, rate)
    start = NANOSECONDS + difference_ms * MS
    feed(whole, start, total, rate, [total])
    feed(parts, start, total, rate, sizes)
    for nominal in range(0, whole.nominal_end_ns, 77 * MS):
        assert (
            abs(whole.pts_ns(nominal) - parts.pts_ns(nominal)) <= len(sizes) + 1
        )  # nanoseconds, from rounding the pts of the parts


def test_audio_clock_fills_a_short_hole_and_marks_it() -> None:
    clock = AudioClock()
    clock.place(0, 1600, 16_000)
    place = clock.place(200 * MS, 1600, 16_000)
    assert (place.restart, place.skip, place.fill) == (False, 0, 1600)
    assert clock.end_pts_ns == 300 * MS
    assert clock.touches_hole(90 * MS, 110 * MS)
    assert not clock.touches_hole(80 * MS, 100 * MS)
    assert not clock.touches_hole(200 * MS, 220 * MS)


def test_audio_clock_restarts_after_a_long_hole_or_another_rate() -> None:
    clock = AudioClock()
    clock.place(0, 1600, 16_000)
    assert clock.place(400 * MS, 1600, 16_000).restart
    assert clock.pts_ns(0) == 400 * MS
    assert clock.place(500 * MS, 480, 48_000).restart


def test_audio_clock_drops_overlap_where_the_rate_changes() -> None:
    clock = AudioClock()
    clock.place(0, 16_000, 16_000)
    assert clock.place(500 * MS, 4_800, 48_000) == Placement(False, 4_800, 0) and clock.rate_hz == 16_000
    assert clock.place(900 * MS, 9_600, 48_000) == Placement(True, 4_800, 0)
    assert (clock.pts_ns(0), clock.end_pts_ns) == (1_000 * MS, 1_100 * MS)


def test_audio_clock_drops_overlap() -> None:
    clock = AudioClock()
    clock.place(0, 1600, 16_000)
    place = clock.place(50 * MS, 1600, 16_000)
    assert (place.skip, place.fill, place.restart) == (800, 0, False)
    assert clock.end_pts_ns == 150 * MS
    assert clock.place(0, 160, 16_000).skip == 160


# --- RowTimeline ----------------------------------------------------------------------------------------------------------------

GROUPS = (ColumnGroup((1,), 10 * MS, 20 * MS), ColumnGroup((0,), 30 * MS, 60 * MS))


def timeline(count: int, masked: set[int] = frozenset()) -> RowTimeline:
    rows = RowTimeline(GROUPS)
    for index in range(count):
        rows.push(index * 10 * MS, np.array([index, index], np.float32), (index in masked, index in masked))
    return rows


@pytest.mark.parametrize("instant_ms", [31, 42, 100, 333, 505])
def test_rows_are_taken_by_nearest_center_per_group(instant_ms: int) -> None:
    step = timeline(100).select(instant_ms * MS)
    assert step is not None
    slow = min(range(100), key=lambda row: abs(row * 10 + 30 - instant_ms))
    fast = min(range(100), key=lambda row: abs(row * 10 + 10 - instant_ms))
    assert step.lld.tolist() == [slow, fast]


def test_row_tie_goes_to_the_earlier_row() -> None:
    step = timeline(100).select(105 * MS)
    assert step is not None and step.lld.tolist() == [7, 9]


def test_no_row_before_audio_and_held_for_half_a_second_after_it() -> None:
    rows = timeline(10)
    assert rows.select(10 * MS) is None
    assert rows.select(25 * MS + 1) is not None
    last_slow, last_fast = 120, 100
    step = rows.select((last_fast + 500) * MS)
    assert step is not None and step.lld.tolist() == [9, 9]
    assert rows.select((last_slow + 500) * MS) is None


def test_masked_rows_give_way_to_the_newest_before_them() -> None:
    step = timeline(100, masked=set(range(10, 20))).select(150 * MS)
    assert step is not None and step.lld.tolist() == [9, 9]


def test_rows_are_those_of_a_search_through_all_of_them() -> None:
    rng = np.random.default_rng(5)
    rows, pushed = RowTimeline(GROUPS), []
    start, instant = -3_000, -3_000
    for number in range(600):
        start += 10 if rng.random() < 0.98 else int(rng.integers(-200, 700))
        masked = (bool(rng.random() < 0.1), bool(rng.random() < 0.1))
        rows.push(start * MS, np.full(2, number, np.float32), masked)
        pushed = [row for row in pushed if row[0] < start] + [(start, number, masked)]
        for _ in range(int(rng.integers(0, 2))):
            instant += int(rng.integers(0, 25))
            expected: list[int] = []
            for group, center in enumerate((10, 30)):
                near = [row for row in pushed if -500 <= row[0] + center - instant < 5 and not row[2][group]]
                expected += [near[-1][1]] if near else []
            step = rows.select(instant * MS)
            found = [] if step is None else [int(step.lld[1]), int(step.lld[0])]
            assert found == (expected if len(expected) == 2 else [])
            rows.forget_before(instant * MS)


def test_row_timeline_costs_no_more_per_row_when_many_wait() -> None:
    class Counted(int):
        compared = 0

        def __lt__(self, other: int) -> bool:
            Counted.compared += 1
            return int(self) < int(other)

        def __ge__(self, other: int) -> bool:
            Counted.compared += 1
            return int(self) >= int(other)

    rows = RowTimeline(GROUPS)
    lld = np.zeros(2, np.float32)
    for index in range(20_000):
        rows.push(Counted(index * 10 * MS), lld, (False, False))
    for tick in range(6_000):
        rows.select(SPEC.tick_pts_ns(tick))
        rows.forget_before(SPEC.tick_pts_ns(tick))
    assert Counted.compared < 6_000 * 2 * 18 + 2 * 20_000 + 6_000 * 4


# --- FrameTimeline --------------------------------------------------------------------------------------------------------------


def frames_of(pts_ms: list[float], ticks: int) -> tuple[list[int | None], list[int]]:
    processed: list[int] = []

    def process(pts: int, payload: object) -> object:
        processed.append(pts)
        return payload

    lane = FrameTimeline(SPEC, process)
    for pts in pts_ms:
        lane.push(round(pts * MS), None)
    taken = [lane.take(tick) for tick in range(ticks)]
    return [frame.pts_ns if frame else None for frame in taken], processed


@pytest.mark.parametrize("fps", [5, 7.5, 24, 25, 29.97, 30, 60, 120])
def test_ticks_take_first_own_frame_else_newest_older(fps: float) -> None:
    pts = [round(index * NANOSECONDS / fps) for index in range(int(2 * fps))]
    taken, processed = frames_of([value / MS for value in pts], 55)
    for tick, got in enumerate(taken):
        own = [value for value in pts if SPEC.frame_tick(value) == tick]
        older = [value for value in pts if SPEC.frame_tick(value) < tick]
        assert got == (own[0] if own else older[-1])
    assert processed == sorted(set(processed))
    assert set(taken) <= set(processed)


def test_only_frames_that_a_tick_takes_are_processed() -> None:
    _, processed = frames_of([index * 1000 / 60 for index in range(60)], 30)
    assert len(processed) == 30


def test_frame_is_held_for_half_a_second_inclusive() -> None:
    taken, _ = frames_of([0], 20)
    assert taken[15] == 0 and SPEC.tick_pts_ns(15) == 500 * MS
    assert taken[16] is None


def test_late_frame_only_stands_in_for_a_tick_without_own_frame() -> None:
    lane = FrameTimeline(SPEC, lambda pts, payload: pts)
    lane.push(0, None)
    assert [frame.pts_ns for frame in map(lane.take, range(3)) if frame] == [0, 0, 0]
    assert lane.push(60 * MS, None)  # tick 2 has gone
    taken = lane.take(3)
    assert taken is not None and taken.pts_ns == 60 * MS
    assert not lane.push(134 * MS, None)
    taken = lane.take(4)
    assert taken is not None and taken.pts_ns == 134 * MS


def test_a_frame_that_waits_is_not_changed_by_a_caller_who_reuses_the_buffer() -> None:
    lane = FrameTimeline(SPEC, lambda pts, payload: int(payload[0]))
    buffer = np.array([1])
    lane.push(0, buffer)
    buffer[0] = 2
    lane.push(10 * MS, buffer)  # second frame of tick 0: tick 1 takes it
    buffer[0] = 3
    assert [frame.result for frame in map(lane.take, range(2)) if frame] == [1, 2]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 150), min_size=1, max_size=40))
def test_frame_lane_gives_the_same_whether_taken_early_or_at_the_end(gaps_ms: list[int]) -> None:
    pts = np.cumsum(gaps_ms).tolist()
    late, processed_late = frames_of(pts, SPEC.frame_tick(pts[-1] * MS) + 1)
    processed: list[int] = []
    lane = FrameTimeline(SPEC, lambda time, payload: processed.append(time))
    early: list[int | None] = []
    for value in pts:
        lane.push(value * MS, None)
        while lane.ready(len(early)):
            frame = lane.take(len(early))
            early.append(frame.pts_ns if frame else None)
    assert early == late
    assert processed == processed_late


# --- TickScheduler --------------------------------------------------------------------------------------------------------------


def scheduler(video: bool = True, audio: bool = True) -> TickScheduler:
    return TickScheduler(SPEC, 250 * MS, video, audio, audio_need_ns=-24 * MS)


def test_first_tick_is_that_of_the_earliest_pts_of_any_stream() -> None:
    ticks = scheduler()
    ticks.delivered("audio", 300 * MS, first_pts_ns=200 * MS)
    ticks.delivered("video", 100 * MS)
    assert ticks.current_tick() == 3


def test_tick_waits_for_both_then_goes_at_the_skew() -> None:
    ticks = scheduler()
    ticks.delivered("video", 0)
    assert not ticks.may_go(0, video_ready=True)
    ticks.delivered("audio", 40 * MS, first_pts_ns=0)
    assert ticks.may_go(0, video_ready=True)
    assert ticks.may_go(1, video_ready=True)  # the audio reaches as far as tick 1
    assert not ticks.may_go(2, video_ready=True)
    need = SPEC.tick_pts_ns(2) - 24 * MS
    ticks.delivered("video", need + 250 * MS - 1)
    assert not ticks.may_go(2, video_ready=True)
    ticks.delivered("video", need + 250 * MS)
    assert ticks.may_go(2, video_ready=True)


def test_undeclared_modality_is_not_waited_for() -> None:
    ticks = scheduler(audio=False)
    ticks.delivered("video", 0)
    assert ticks.may_go(0, video_ready=True)
    assert not ticks.may_go(1, video_ready=False)


def test_advance_counts_as_delivery_of_nothing() -> None:
    ticks = scheduler()
    ticks.delivered("clock", 0)
    assert ticks.current_tick() == 0 and not ticks.may_go(0, video_ready=False)
    ticks.delivered("clock", ticks.frame_window_end_ns(0) + 250 * MS)
    assert ticks.may_go(0, video_ready=False)


@pytest.mark.parametrize("tick", [-5, 0, 1, 2, 3, 30, 299])
def test_frame_window_end_is_the_first_pts_of_the_next_tick(tick: int) -> None:
    end = scheduler().frame_window_end_ns(tick)
    assert SPEC.frame_tick(end) == tick + 1 and SPEC.frame_tick(end - 1) == tick


def test_last_tick_is_of_the_last_frame_or_before_the_end_of_audio() -> None:
    ticks = scheduler()
    ticks.delivered("audio", 100 * MS, first_pts_ns=0)
    assert ticks.last_tick() == 2
    ticks.delivered("audio", 100 * MS + 1, first_pts_ns=0)
    assert ticks.last_tick() == 3
    ticks.delivered("video", 200 * MS)
    assert ticks.last_tick() == 6

"""The clock classes of the native core and their Python twins, driven with the same random calls: equal bytes after each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaff.ops import core, native
from edgeaff.reference import sync
from edgeaff.reference.gate import EARLIEST_NS, LATEST_NS, Delivery
from edgeaff.reference.gate import ClockGate as GateTwin
from edgeaff.spec import NANOSECONDS, PreprocessSpec

MS = 1_000_000
RATES = (8_000, 11_025, 16_000, 44_100, 48_000, 192_000, 768_000)
times = st.one_of(
    st.integers(-3 * NANOSECONDS, 3 * NANOSECONDS),
    st.sampled_from([EARLIEST_NS, EARLIEST_NS + 1, LATEST_NS - 1, LATEST_NS, 0, 500_000_000, 500_000_001]),
    st.integers(EARLIEST_NS, LATEST_NS),
)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 240), times)
def test_tick_arithmetic_equals_unbounded_integers(rate: int, pts_ns: int) -> None:
    spec = PreprocessSpec(model_rate_hz=rate)
    tick = native().frame_tick(rate, pts_ns)
    assert tick == spec.frame_tick(pts_ns)
    assert native().tick_pts_ns(rate, tick) == spec.tick_pts_ns(tick)
    twins = [kind(spec, 0, True, True, 0) for kind in (sync.TickScheduler, core.TickScheduler)]
    assert twins[0].frame_window_end_ns(tick) == twins[1].frame_window_end_ns(tick)


chunk = st.tuples(
    st.sampled_from(["follow", "jitter", "hole", "back", "far"]),
    st.integers(-19 * MS, 19 * MS),
    st.integers(1, 5_000),
    st.one_of(st.just(None), st.sampled_from(RATES)),
)


def next_pts(end_ns: int, how: str, jitter_ns: int) -> int:
    """Returns the time of a chunk that relates to the end of the audio in one of five ways."""
    moved = {"follow": 0, "jitter": jitter_ns, "hole": 20 * MS + 9 * abs(jitter_ns), "back": -40 * abs(jitter_ns)}
    return end_ns + moved.get(how, 50 * jitter_ns)


@settings(max_examples=60, deadline=None)
@given(times, st.lists(chunk, min_size=1, max_size=60))
def test_audio_clocks_agree(start_ns: int, chunks: list[tuple[str, int, int, int | None]]) -> None:
    start_ns = max(EARLIEST_NS // 2, min(start_ns, LATEST_NS // 2))
    ours, twin, rate = core.AudioClock(), sync.AudioClock(), 16_000
    for number, (how, jitter_ns, count, new_rate) in enumerate(chunks):
        rate = new_rate or rate
        pts_ns = start_ns if number == 0 else next_pts(twin.end_pts_ns, how, jitter_ns)
        placed = twin.place(pts_ns, count, rate)
        assert ours.place(pts_ns, count, rate) == (placed.restart, placed.skip, placed.fill)
        assert (ours.rate_hz, ours.nominal_end_ns, ours.end_pts_ns) == (
            twin.rate_hz,
            twin.nominal_end_ns,
            twin.end_pts_ns,
        )
        for back_ns in (0, 1, jitter_ns * jitter_ns % (3 * NANOSECONDS), 3 * NANOSECONDS):
            nominal = twin.nominal_end_ns - back_ns
            assert ours.pts_ns(nominal) == twin.pts_ns(nominal)
            span = nominal, nominal + 10 * MS
            assert ours.touches_hole(*span) == twin.touches_hole(*span)


GROUPS = (
    sync.ColumnGroup((1, 3), 10 * MS, 20 * MS),
    sync.ColumnGroup((0,), 30 * MS, 60 * MS),
    sync.ColumnGroup((2,), 30 * MS, 60 * MS),
)
row = st.tuples(
    st.sampled_from([10, 10, 10, 10, 11, 200, 700, -30, -400]), st.integers(0, 7), st.integers(-20, 900), st.booleans()
)


@settings(max_examples=60, deadline=None)
@given(st.integers(-(10**15), 10**15), st.lists(row, min_size=1, max_size=120))
def test_row_timelines_agree(start_ns: int, rows: list[tuple[int, int, int, bool]]) -> None:
    ours, twin = core.RowTimeline(GROUPS), sync.RowTimeline(GROUPS)
    start, instant = start_ns, start_ns - 900 * MS
    for number, (step_ms, bits, lag_ms, forget) in enumerate(rows):
        start += step_ms * MS
        masked = tuple(bool(bits >> group & 1) and number % 3 == 0 for group in range(3))
        lld = np.arange(4, dtype=np.float32) + 10 * number
        for rows_of in (ours, twin):
            rows_of.push(start, lld, masked)
        instant = max(instant, start - lag_ms * MS)
        expected, found = twin.select(instant), ours.select(instant)
        assert (expected is None) == (found is None)
        if expected is not None and found is not None:
            assert (found.lld.tobytes(), found.center_ns, found.row) == (
                expected.lld.tobytes(),
                expected.center_ns,
                expected.row,
            )
        if forget:
            ours.forget_before(instant)
            twin.forget_before(instant)


frame = st.tuples(st.integers(1, 120), st.integers(0, 4), st.integers(0, 30))


@settings(max_examples=80, deadline=None)
@given(times, st.sampled_from([1, 24, 30, 240]), st.lists(frame, min_size=1, max_size=80))
def test_frame_timelines_agree(start_ns: int, rate: int, frames: list[tuple[int, int, int]]) -> None:
    start_ns = max(EARLIEST_NS // 2, min(start_ns, LATEST_NS // 2))
    spec = PreprocessSpec(model_rate_hz=rate)
    processed: tuple[list[object], list[object]] = ([], [])

    def noting(which: int) -> object:
        def process(pts_ns: int, payload: object) -> object:
            processed[which].append((pts_ns, payload))
            return payload

        return process

    twin, ours = sync.FrameTimeline(spec, noting(0)), core.FrameTimeline(spec, noting(1))
    pts_ns, tick = start_ns, spec.frame_tick(start_ns)
    for number, (gap_ms, ticks, ahead) in enumerate(frames):
        pts_ns += gap_ms * MS
        assert twin.push(pts_ns, [number]) == ours.push(pts_ns, [number])
        assert (twin.newest_pts_ns, twin.newest_tick) == (ours.newest_pts_ns, ours.newest_tick)
        for _ in range(ticks):
            if not twin.ready(tick) and ahead > 3:
                break
            expected, found = twin.take(tick), ours.take(tick)
            assert (expected and (expected.pts_ns, expected.result)) == (found and (found.pts_ns, found.result))
            assert twin.newest_before(tick) == ours.newest_before(tick)
            tick += 1
        assert processed[0] == processed[1]


delivery = st.tuples(
    st.sampled_from(["video", "audio", "clock"]),
    st.integers(-50 * MS, 120 * MS),
    st.integers(0, 200 * MS),
    st.booleans(),
)


@settings(max_examples=80, deadline=None)
@given(
    times,
    st.sampled_from([1, 25, 30, 240]),
    st.sampled_from([(True, True), (True, False), (False, True)]),
    st.sampled_from([0, 250 * MS, 60 * NANOSECONDS]),
    st.integers(-200 * MS, 200 * MS),
    st.lists(delivery, min_size=1, max_size=80),
)
def test_tick_schedulers_agree(
    start_ns: int,
    rate: int,
    declared: tuple[bool, bool],
    skew_ns: int,
    need_ns: int,
    deliveries: list[tuple[str, int, int, bool]],
) -> None:
    spec = PreprocessSpec(model_rate_hz=rate)
    twin, ours = (kind(spec, skew_ns, *declared, need_ns) for kind in (sync.TickScheduler, core.TickScheduler))
    pts_ns = start_ns
    for who, moved_ns, length_ns, ready in deliveries:
        pts_ns = max(EARLIEST_NS, min(pts_ns + moved_ns, LATEST_NS))
        first = max(EARLIEST_NS, pts_ns - length_ns) if who == "audio" else None
        for one in (twin, ours):
            one.delivered(who, pts_ns, first_pts_ns=first)
        tick = twin.current_tick()
        assert ours.current_tick() == tick
        assert (twin.last_tick(), twin.newest_ns, twin.first_pts_ns) == (
            ours.last_tick(),
            ours.newest_ns,
            ours.first_pts_ns,
        )
        assert twin.late_ns(pts_ns - length_ns // 3) == ours.late_ns(pts_ns - length_ns // 3)
        assert tick is not None
        while twin.may_go(tick, video_ready=ready) and tick < spec.frame_tick(pts_ns) + 20:
            assert ours.may_go(tick, video_ready=ready)
            twin.went(tick)
            ours.went(tick)
            tick += 1
        assert twin.may_go(tick, video_ready=ready) == ours.may_go(tick, video_ready=ready)
        assert twin.next_tick == ours.next_tick


steps = (0, 33 * MS, -33 * MS, 9 * NANOSECONDS, 11 * NANOSECONDS, -11 * NANOSECONDS, 10**18, -(10**18))
offered = st.tuples(
    st.sampled_from(core.KINDS),
    st.sampled_from(steps),
    st.integers(0, 12 * NANOSECONDS),
    st.booleans(),
)


@settings(max_examples=120, deadline=None)
@given(times, st.booleans(), st.lists(offered, min_size=1, max_size=40))
def test_clock_gates_agree(start_ns: int, confirm: bool, inputs: list[tuple[str, int, int, bool]]) -> None:
    twin, ours = GateTwin(confirm=confirm), core.ClockGate(confirm=confirm)
    pts_ns = start_ns
    for number, (kind, step_ns, length_ns, drop) in enumerate(inputs):
        pts_ns = max(-(2**63), min(pts_ns + step_ns, 2**63 - 1))
        end_ns = pts_ns + (length_ns if kind in ("samples", "rows") else 0)
        item = Delivery(kind, pts_ns, end_ns, number)
        expected, found = twin.offer(item), ours.offer(item)
        assert tuple(found) == (expected.deliver, expected.dropped, expected.restart)
        if drop:
            assert twin.drop_held() == ours.drop_held()


def test_a_frame_held_by_the_gate_is_independent_of_the_buffer_that_it_came_in() -> None:
    gate, buffer = core.ClockGate(confirm=True), np.array([1])
    gate.offer(Delivery("image", 0, 0, np.array([0])))
    gate.offer(Delivery("image", 100 * NANOSECONDS, 100 * NANOSECONDS, buffer))
    buffer[0] = 2
    verdict = gate.offer(Delivery("image", 100 * NANOSECONDS + 1, 100 * NANOSECONDS + 1, np.array([3])))
    assert verdict.restart and [int(one.data[0]) for one in verdict.deliver] == [1, 3]


def test_a_frame_timeline_stays_usable_after_processing_fails() -> None:
    def process(pts_ns: int, payload: str) -> str:
        if payload == "bad":
            raise ValueError(payload)
        return payload

    lane = core.FrameTimeline(PreprocessSpec(), process)
    lane.push(0, "good")
    with pytest.raises(ValueError, match="bad"):
        lane.push(100 * MS, "bad")
    assert lane.newest_pts_ns == 0
    lane.push(133 * MS, "again")
    assert [frame and frame.result for frame in map(lane.take, range(5))] == ["good", "good", "good", "good", "again"]

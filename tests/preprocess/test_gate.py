"""The clock gate: steps of at most 10 s go on, jumps need a second input, files do not."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaff.reference.gate import EARLIEST_NS, LATEST_NS, ClockGate, Delivery, Verdict
from edgeaff.spec import JUMP_CONFIRM_NS, JUMP_NS

SECOND = 1_000_000_000


def frame(seconds: float) -> Delivery:
    return at(round(seconds * SECOND))


def at(pts_ns: int) -> Delivery:
    return Delivery("image", pts_ns, pts_ns)


def audio(seconds: float, length: float) -> Delivery:
    return Delivery("samples", round(seconds * SECOND), round((seconds + length) * SECOND))


def clock(seconds: float) -> Delivery:
    return Delivery("clock", round(seconds * SECOND), round(seconds * SECOND))


def started(*items: Delivery, confirm: bool = True) -> ClockGate:
    gate = ClockGate(confirm=confirm)
    for item in items:
        assert gate.offer(item) == Verdict(deliver=(item,))
    return gate


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_of_ten_seconds_goes_on_and_a_nanosecond_more_is_held(sign: int) -> None:
    far, near = at(sign * (JUMP_NS + 1)), at(sign * JUMP_NS)
    assert started(frame(0)).offer(near) == Verdict(deliver=(near,))
    assert started(frame(0)).offer(far) == Verdict()


@pytest.mark.parametrize("seconds", [100, -100])
@pytest.mark.parametrize("make", [frame, lambda s: audio(s, 0.1), clock])
def test_a_second_input_within_a_second_confirms_a_jump(seconds: float, make) -> None:
    gate, first, second = started(frame(0)), make(seconds), frame(seconds + 0.9)
    gate.offer(first)
    assert gate.offer(second) == Verdict(deliver=(first, second), restart=True)
    following = frame(seconds + 2)
    assert gate.offer(following) == Verdict(deliver=(following,))


def test_confirmation_ends_after_exactly_a_second() -> None:
    for extra, restart in ((0, True), (1, False)):
        gate = started(frame(0))
        gate.offer(frame(100))
        assert gate.offer(at(100 * SECOND + JUMP_CONFIRM_NS + extra)).restart is restart


def test_an_input_that_nothing_confirms_is_dropped() -> None:
    gate, far, near = started(frame(0)), frame(100), frame(0.1)
    gate.offer(far)
    assert gate.offer(near) == Verdict(deliver=(near,), dropped=(far,))


def test_a_far_input_that_confirms_nothing_is_held_instead() -> None:
    gate, first, second, third = started(frame(0)), frame(100), frame(-50), frame(-49.5)
    gate.offer(first)
    assert gate.offer(second) == Verdict(dropped=(first,))
    assert gate.offer(third) == Verdict(deliver=(second, third), restart=True)


def test_an_input_between_the_timeline_and_what_is_held_confirms_it() -> None:
    gate, held, between = started(frame(0)), frame(10.5), frame(9.9)
    gate.offer(held)
    assert gate.offer(between) == Verdict(deliver=(held, between), restart=True)


def test_a_clock_that_goes_on_leaves_what_is_held() -> None:
    gate, held, near = started(frame(0)), frame(-3600), clock(0.1)
    gate.offer(held)
    assert gate.offer(near) == Verdict(deliver=(near,))
    assert gate.offer(frame(-3599.9)).restart


def test_two_clocks_alone_confirm_each_other() -> None:
    gate = started(clock(0))
    gate.offer(clock(3600))
    assert gate.offer(clock(3600.03)).restart


def test_chunks_longer_than_a_second_confirm_each_other() -> None:
    gate = started(audio(0, 2))
    assert gate.offer(audio(-3600, 2)) == Verdict()
    assert gate.offer(audio(-3598, 2)).restart


def test_what_lies_inside_a_long_chunk_is_no_step() -> None:
    gate = started(audio(0, 60))
    for item in (frame(0), frame(59), audio(60, 2), frame(55)):
        assert gate.offer(item) == Verdict(deliver=(item,))


def test_steps_are_measured_from_the_newest_input_of_any_modality() -> None:
    gate = started(frame(0), frame(9), frame(18), clock(20))
    assert gate.offer(audio(9.5, 0.1)) == Verdict()
    assert gate.offer(frame(20)).deliver


@pytest.mark.parametrize("pts_ns", [-(2**63), EARLIEST_NS - 1, LATEST_NS + 1, 2**63 - 1])
def test_the_ends_of_int64_are_no_times(pts_ns: int) -> None:
    gate = ClockGate(confirm=True)
    assert gate.offer(at(pts_ns)) == Verdict(dropped=(at(pts_ns),))
    assert gate.offer(frame(5)).deliver  # nothing was there before


def test_the_widest_step_of_int64_is_measured_exactly() -> None:
    gate = started(at(EARLIEST_NS))
    assert gate.offer(at(LATEST_NS)) == Verdict()
    assert gate.offer(at(LATEST_NS - 5)).restart


def test_in_a_file_every_input_counts_at_once() -> None:
    gate = started(frame(0), confirm=False)
    for seconds in (12, 1800, 5, 6):
        verdict = gate.offer(frame(seconds))
        assert verdict == Verdict(deliver=(frame(seconds),), restart=seconds != 6)


def test_what_is_held_is_a_copy() -> None:
    gate, image = started(frame(0)), np.zeros(3, np.uint8)
    gate.offer(Delivery("image", 100 * SECOND, 100 * SECOND, image))
    image[:] = 9
    held, _ = gate.offer(frame(100.1)).deliver
    assert held.data.tolist() == [0, 0, 0]

"""Mouth motion: what the lips do counts, what the light or the whole box does cancels."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaff.people.mouth import MouthMotion
from tests.people.scenes import TICK_NS, face_crop


def motion(first: np.ndarray, second: np.ndarray, ticks: float = 1.0) -> float:
    mouth = MouthMotion()
    mouth.push(first, 0)
    return mouth.push(second, round(ticks * TICK_NS))[0]


def test_a_face_that_stands_still_has_no_motion() -> None:
    assert motion(face_crop(0.5), face_crop(0.5)) == 0.0


def test_lips_move_far_more_than_light_or_box() -> None:
    lips = motion(face_crop(0.1), face_crop(0.7))
    assert lips > 0.1
    assert motion(face_crop(0.5), face_crop(0.5, light=0.97)) < lips / 10
    assert motion(face_crop(0.0), face_crop(0.0, shift_px=4)) < lips / 2


def test_an_open_mouth_is_darker_inside() -> None:
    openness = [MouthMotion().push(face_crop(opening), 0)[1] for opening in (0.0, 0.5, 1.0)]
    assert openness[0] < openness[1] < openness[2]


@pytest.mark.parametrize("pts_ns", [0, -TICK_NS])
def test_a_frame_that_is_not_newer_repeats_the_last_values(pts_ns: int) -> None:
    mouth = MouthMotion()
    mouth.push(face_crop(0.1), -2 * TICK_NS)
    last = mouth.push(face_crop(0.7), 0)
    assert mouth.push(face_crop(0.2), pts_ns) == last


def test_the_same_motion_over_more_time_is_slower() -> None:
    quick, slow = motion(face_crop(0.1), face_crop(0.7)), motion(face_crop(0.1), face_crop(0.7), ticks=4)
    assert slow == pytest.approx(quick / 2, rel=1e-6)


def test_a_crop_of_another_size_has_no_mouth() -> None:
    assert MouthMotion().push(np.zeros((64, 64, 3), np.uint8), 0) == (0.0, 0.0)

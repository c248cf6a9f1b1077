"""Identities: who comes back gets its subject again, who is like nobody or like two becomes a new one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeaff.people.identity import MOST_SUBJECTS, Identities, signature
from edgeaff.preprocess import FaceInput, TickInput
from edgeaff.types import FaceBox, TrackedFace
from tests.people.scenes import TICK_NS

SECOND = 30


def person(seed: int) -> np.ndarray:
    """Returns the (96, 96, 3) image of somebody: blocks of color."""
    blocks = np.random.default_rng(seed).integers(20, 236, (6, 6, 3))
    return blocks.repeat(16, 0).repeat(16, 1).astype(np.uint8)


def look(image: np.ndarray, number: int) -> np.ndarray:
    """Returns the image with noise and another light at every tick."""
    random = np.random.default_rng(number)
    light = 1 + 0.1 * np.sin(number / 9)
    return np.clip(image * light + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


class Scene:
    """Ticks in a row; faces by track id."""

    def __init__(self) -> None:
        self.identities, self.number = Identities(), 0

    def show(self, ticks: int, **people: np.ndarray) -> list[list[int]]:
        """Returns the subjects of each tick. people: images by track, `t3=...`."""
        found = []
        for _ in range(ticks):
            pts_ns = self.number * TICK_NS
            faces = tuple(
                FaceInput(
                    TrackedFace(int(name[1:]), FaceBox(0, 0, 9, 9), 0.9), look(image, self.number), np.zeros(0), pts_ns, pts_ns
                )
                for name, image in people.items()
            )  # fmt: skip
            tick = TickInput(self.number, pts_ns, self.number == 0, faces, pts_ns, None, None, None, False)
            found.append([one.face.track_id for one in self.identities.push(tick).faces])
            self.number += 1
        return found


def test_a_face_that_leaves_for_five_seconds_is_the_same_again() -> None:
    scene = Scene()
    assert scene.show(3 * SECOND, t0=person(0), t1=person(1))[-1] == [0, 1]
    assert scene.show(5 * SECOND, t1=person(1))[-1] == [1]
    back = scene.show(SECOND, t1=person(1), t2=person(0))
    assert back[0] == [1, 2] and back[-1] == [1, 0], "known after its first exemplar, half a second"


def test_two_that_leave_and_come_back_in_the_other_order_are_not_swapped() -> None:
    scene = Scene()
    scene.show(3 * SECOND, t0=person(0), t1=person(1))
    scene.show(5 * SECOND)
    assert scene.show(SECOND, t2=person(1), t3=person(0))[-1] == [1, 0]


def test_a_stranger_is_a_new_subject() -> None:
    scene = Scene()
    scene.show(3 * SECOND, t0=person(0))
    scene.show(5 * SECOND)
    assert scene.show(2 * SECOND, t1=person(5))[-1] == [1]


def test_who_is_like_two_becomes_a_new_subject_instead_of_a_guess() -> None:
    scene = Scene()
    twin = person(0)
    scene.show(3 * SECOND, t0=twin, t1=twin)
    scene.show(5 * SECOND)
    assert scene.show(2 * SECOND, t2=twin)[-1] == [2]


def test_nobody_is_taken_for_a_subject_that_is_in_view() -> None:
    scene = Scene()
    scene.show(3 * SECOND, t0=person(0))
    assert scene.show(2 * SECOND, t0=person(0), t1=person(0))[-1] == [0, 1]


def test_reset_forgets_everybody_and_memory_is_bounded() -> None:
    scene = Scene()
    for track in range(MOST_SUBJECTS + 5):
        scene.show(15, **{f"t{track}": person(track)})
    assert len(scene.identities._subjects) <= MOST_SUBJECTS
    scene.identities.reset()
    assert not scene.identities._subjects and not scene.identities._subject_of


def test_a_tick_without_faces_is_given_back_unchanged() -> None:
    tick = TickInput(0, 0, True, (), 0, None, None, None, False)
    assert Identities().push(tick) is tick


@pytest.mark.parametrize("light", [0.7, 1.2])
def test_the_signature_of_another_light_is_near(light: float) -> None:
    dark = np.clip(person(3) * light, 0, 255).astype(np.uint8)
    near = np.linalg.norm(signature(person(3)) - signature(dark))
    assert near < 0.3 < np.linalg.norm(signature(person(3)) - signature(person(4)))
    assert np.isfinite(signature(np.zeros((96, 96, 3), np.uint8))).all()


def test_a_crop_of_another_size_keeps_its_track() -> None:
    scene = Scene()
    small = replace(scene_face(scene), crop=np.zeros((64, 64, 3), np.uint8))
    tick = TickInput(0, 0, True, (small,), 0, None, None, None, False)
    assert scene.identities.push(tick).faces[0].face.track_id == 4


def scene_face(scene: Scene) -> FaceInput:
    del scene
    return FaceInput(TrackedFace(4, FaceBox(0, 0, 9, 9), 0.9), person(0), np.zeros(0), 0, 0)

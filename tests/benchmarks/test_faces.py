"""The comparison of face detectors: its arithmetic, and the shipped detector on real frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.face_media import CLIPS, FACE_FREE_CLIPS, IMAGES, Item, load_items, made_up_images, read_clip
from benchmarks.faces import match_faces, measure_accuracy, poisson_interval, wilson_interval
from edgeaff.detection import FaceTracker, load_detector
from edgeaff.types import FaceBox, FaceDetection

NONE = np.zeros((0, 4), np.float32)


def test_wilson_interval_of_known_cases() -> None:
    assert wilson_interval(0, 0) is None
    assert wilson_interval(10, 10) == pytest.approx([0.7225, 1.0], abs=1e-3)
    assert wilson_interval(5, 10) == pytest.approx([0.2366, 0.7634], abs=1e-3)


@pytest.mark.parametrize(("events", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.39)])
def test_poisson_interval_of_known_cases(events: int, low: float, high: float) -> None:
    assert poisson_interval(events) == pytest.approx((low, high), abs=2e-3)


def item(faces, ignore=NONE, face_free=False) -> Item:
    image = np.zeros((360, 640, 3), np.uint8)
    return Item("x", "x", image, np.array(faces, np.float32).reshape(-1, 4), np.array(ignore, np.float32), face_free)


def found(*boxes) -> list[FaceDetection]:
    return [FaceDetection(FaceBox(*box), 0.9) for box in boxes]


def test_each_face_takes_one_box_and_open_regions_count_for_nothing() -> None:
    frame = item([[0, 0, 100, 100], [300, 0, 400, 100]], ignore=[[500, 200, 600, 340]])
    hit, wrong = match_faces(
        frame, found((5, 5, 105, 105), (2, 0, 100, 100), (520, 220, 560, 300), (200, 200, 260, 280))
    )
    assert hit.tolist() == [True, False]
    assert wrong == 2, "the second box on the first face, and the one on nothing"


def test_accuracy_sorts_by_face_height_of_640() -> None:
    class Detector:
        id = "x"

        def detect(self, image: np.ndarray) -> list[FaceDetection]:
            return found((0, 0, 50, 70))

    result = measure_accuracy(
        [item([[0, 0, 50, 70]]), item([[200, 200, 230, 240]]), item([], face_free=True)], Detector()
    )
    assert result["recall"]["large"]["recall"] == 1.0 and result["recall"]["middle"]["recall"] == 0.0
    assert result["recall"]["small"]["recall"] is None
    assert result["false_boxes"] == 2 and result["false_on_face_free"] == 1
    assert result["false_per_100"] == pytest.approx(200 / 3, abs=1e-3)


@pytest.mark.needs_shared
def test_the_list_names_files_that_are_there(shared: Path) -> None:
    media = shared / "data" / "media"
    assert all((media / name).is_file() for name in [*CLIPS, *IMAGES])
    assert set(FACE_FREE_CLIPS) <= set(CLIPS)


@pytest.fixture(scope="module")
def ours():
    return load_detector("ssd")


def test_the_shipped_detector_sees_nothing_in_noise_and_texture(ours) -> None:
    assert {name: len(ours.detect(image)) for name, image in made_up_images() if ours.detect(image)} == {}


@pytest.mark.needs_shared
@pytest.mark.needs_media
@pytest.mark.parametrize(
    "clip", ["av/grid_bbaf2n.mpg", "av/retalk4.mp4", "face/expressions_close.mp4", "face/occlusion_emotions.mp4"]
)
def test_the_shipped_detector_follows_one_face_through_a_clip(ours, shared: Path, clip: str) -> None:
    tracker = FaceTracker(max_faces=5)
    seen = []
    for number, (pts_ns, image) in enumerate(read_clip(shared / "data" / "media" / clip)):
        if number == 60:
            break
        seen.append(tracker.update(pts_ns, image, ours.detect(image) if number % 3 == 0 else None))
    primary = {faces[0].track_id for faces in seen if faces}
    assert len(primary) == 1
    assert sum(map(bool, seen)) >= 54


@pytest.mark.needs_shared
@pytest.mark.needs_media
@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_two_people_side_by_side_are_two_tracks(ours, shared: Path, stride: int) -> None:
    media = shared / "data" / "media" / "av"
    pairs = zip(read_clip(media / "grid_bbaf2n.mpg"), read_clip(media / "grid_lrwp9a.mpg"), strict=False)
    tracker = FaceTracker(max_faces=5)
    shown = []
    for number, ((pts_ns, left), (_, right)) in enumerate(pairs):
        image = np.concatenate([left, right], 1)
        shown.append(tracker.update(pts_ns, image, ours.detect(image) if number % stride == 0 else None))
    assert {face.track_id for faces in shown for face in faces} == {0, 1}
    assert all(len(faces) == 2 for faces in shown[2 * stride :])


@pytest.mark.slow
@pytest.mark.needs_shared
@pytest.mark.needs_media
@pytest.mark.needs_cv2
def test_the_shipped_detector_finds_large_faces_on_the_whole_list(ours, shared: Path) -> None:
    items = load_items(shared / "data" / "media", shared / "data" / "weights")
    result = measure_accuracy(items, ours)
    assert result["recall"]["large"]["recall"] >= 0.98
    assert result["recall"]["middle"]["recall"] >= 0.85
    assert result["false_boxes"] <= 2, "1 of 100 images; the two are heads seen from behind"

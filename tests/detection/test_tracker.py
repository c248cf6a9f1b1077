"""FaceTracker on made-up motion: crossings, occlusion, cuts, strides, time in pts."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from edgeaff.detection import assignment, tracker
from edgeaff.detection.assignment import assign
from edgeaff.detection.tracker import CUT_LEVELS, FaceTracker
from edgeaff.errors import ArgumentError
from edgeaff.ops import core
from edgeaff.ops.thumbnail import gray_thumbnail
from edgeaff.types import FaceBox, FaceDetection

FRAME_NS = 33_333_333


@pytest.fixture(params=["python", "native"], scope="module", autouse=True)
def twin(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs every test of this file on the Python tracker and on that of the native core."""
    native = request.param == "native"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[__name__], "FaceTracker", core.FaceTracker if native else tracker.FaceTracker)
        patch.setattr(sys.modules[__name__], "assign", core.assign if native else assignment.assign)
        yield


def detection(x: float, y: float, size: float = 80.0, score: float = 0.9) -> FaceDetection:
    return FaceDetection(FaceBox(x - size / 2, y - size * 0.65, x + size / 2, y + size * 0.65), score)


def frame(seed: int) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return np.repeat(np.repeat(cells, 20, 0), 20, 1)


def run(tracker: FaceTracker, frames, *, stride: int = 1, image=None):
    """frames: lists of detections. Returns the faces of each frame."""
    shown = []
    for number, found in enumerate(frames):
        given = found if number % stride == 0 else None
        shown.append(tracker.update(number * FRAME_NS, image, given))
    return shown


def walkers(*paths, frames: int, hidden=lambda number, walker: False, noise: float = 0.6, seed: int = 0):
    """paths: functions frame -> (x, y, size). Returns detections per frame, in an arbitrary order."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(frames):
        found = []
        for walker, path in enumerate(paths):
            x, y, size = path(number)
            jitter = rng.normal(0, noise, 2)
            if not hidden(number, walker):
                found.append(detection(x + jitter[0], y + jitter[1], size))
        rng.shuffle(found)
        rows.append(found)
    return rows


def id_at(faces, x: float) -> int:
    return min(faces, key=lambda face: abs((face.box.x0 + face.box.x1) / 2 - x)).track_id


@pytest.mark.parametrize("stride", [1, 3, 5])
def test_two_people_keep_their_ids_while_they_cross(stride: int) -> None:
    left, right = (lambda n: (100 + 4 * n, 200, 80)), (lambda n: (500 - 4 * n, 206, 74))
    # the one behind is not detected while the boxes overlap
    hidden = lambda n, walker: walker == 1 and abs((100 + 4 * n) - (500 - 4 * n)) < 60  # noqa: E731
    shown = run(FaceTracker(max_faces=3), walkers(left, right, frames=100, hidden=hidden), stride=stride)
    before, after = shown[20], shown[95]
    assert id_at(before, 180) == id_at(after, 480)
    assert id_at(before, 420) == id_at(after, 120)
    assert len({face.track_id for faces in shown for face in faces}) == 2


@pytest.mark.parametrize("stride", [1, 3, 5])
def test_id_survives_half_a_second_behind_something(stride: int) -> None:
    path = lambda n: (100 + 5 * n, 200, 90)  # noqa: E731
    hidden = lambda n, walker: 30 <= n < 44  # noqa: E731
    shown = run(FaceTracker(max_faces=1), walkers(path, frames=80, hidden=hidden), stride=stride)
    assert {face.track_id for faces in shown for face in faces} == {0}
    assert all(shown[40]), "usable until 0.5 s after the last detection"


def test_face_is_gone_after_half_a_second_and_comes_back_as_another() -> None:
    frames = [[detection(200, 200)]] * 10 + [[]] * 40 + [[detection(200, 200)]] * 5
    shown = run(FaceTracker(max_faces=1), frames)
    assert shown[9 + 15] and not shown[9 + 16]
    assert shown[-1][0].track_id != shown[0][0].track_id


def test_time_counts_not_frames() -> None:
    tracker = FaceTracker(max_faces=1)
    for number in range(4):
        tracker.update(number * 100_000_000, None, [detection(200, 200)])
    assert tracker.update(300_000_000 + 500_000_000, None, [])
    assert not tracker.update(300_000_000 + 500_000_001, None, [])


def test_a_lone_weak_detection_is_never_shown() -> None:
    frames = [[], [detection(300, 100, score=0.6)], [], [], [detection(100, 300, score=0.6)], [], []]
    assert not any(run(FaceTracker(max_faces=3), frames))


def test_detections_below_the_instant_score_are_shown_from_the_third_hit() -> None:
    shown = run(FaceTracker(max_faces=1), [[detection(300, 100, score=score)] for score in (0.6, 0.82, 0.6, 0.6)])
    assert [len(faces) for faces in shown] == [0, 0, 1, 1]


def test_what_is_never_strong_is_never_shown_however_long_it_lasts() -> None:
    assert not any(run(FaceTracker(max_faces=1), [[detection(300, 100, score=0.75)]] * 90))


@pytest.mark.parametrize("rate_hz", [2, 5, 7.5, 15, 30, 60])
@pytest.mark.parametrize("stride", [1, 3])
def test_the_first_face_costs_at_most_a_second(rate_hz: float, stride: int) -> None:
    tracker = FaceTracker(max_faces=1)
    for number in range(200):
        pts_ns = round(number * 1e9 / rate_hz)
        found = [detection(300, 100, score=0.82)] if number % stride == 0 else None
        if tracker.update(pts_ns, None, found):
            break
    assert pts_ns <= max(1.0, stride / rate_hz) * 1e9


def test_a_strong_first_detection_is_shown_at_once_until_a_search_misses_it() -> None:
    tracker = FaceTracker(max_faces=1)
    assert tracker.update(0, None, [detection(200, 200, score=0.97)])
    assert tracker.update(FRAME_NS, None, None)
    assert not tracker.update(2 * FRAME_NS, None, [])


def test_a_shot_cut_ends_all_tracks_even_where_faces_overlap() -> None:
    tracker = FaceTracker(max_faces=1)
    for number in range(10):
        before = tracker.update(number * FRAME_NS, frame(1), [detection(200, 200)])
    after = tracker.update(10 * FRAME_NS, frame(2), [detection(205, 200)])
    assert tracker.cuts == 1
    assert before[0].track_id != after[0].track_id


def test_a_lamp_switched_on_is_no_cut() -> None:
    tracker = FaceTracker(max_faces=1)
    dark = frame(1) // 2
    tracker.update(0, dark, [detection(200, 200)])
    tracker.update(FRAME_NS, dark + 90, [detection(200, 200)])
    assert tracker.cuts == 0


def test_two_independent_images_differ_by_more_than_the_cut_level() -> None:
    a, b = (gray_thumbnail(frame(seed)) for seed in (3, 4))
    assert np.abs((a - a.mean()) - (b - b.mean())).mean() > CUT_LEVELS


def test_primary_changes_only_when_another_is_clearly_larger() -> None:
    tracker = FaceTracker(max_faces=2)
    number = itertools.count()

    def step(right_size: float):
        return tracker.update(
            next(number) * FRAME_NS, None, [detection(100, 200, 100.0), detection(400, 200, right_size)]
        )

    for _ in range(100):
        first = step(90.0)[0].track_id
    for size in (95.0, 100.0, 105.0, 110.0):
        for _ in range(10):
            assert step(size)[0].track_id == first
    for _ in range(10):
        faces = step(125.0)
    assert faces[0].track_id != first
    assert faces[0].box.x0 > 200


def test_a_new_large_face_takes_over_and_max_faces_limits() -> None:
    tracker = FaceTracker(max_faces=1)
    frames = [[detection(100, 200, 60)]] * 30 + [[detection(100, 200, 60), detection(400, 200, 200)]] * 30
    shown = run(tracker, frames)
    assert all(len(faces) == 1 for faces in shown)
    assert shown[-1][0].track_id == 1


def test_smoothing_calms_a_still_head_and_follows_a_moving_one() -> None:
    rng = np.random.default_rng(1)
    still = [[detection(200 + rng.normal(0, 1), 200 + rng.normal(0, 1), 100)] for _ in range(200)]
    shown = run(FaceTracker(max_faces=1), still)
    raw = np.array([found[0].box for found in still])[10:]
    smooth = np.array([faces[0].box for faces in shown])[10:]
    assert np.abs(np.diff(smooth[:, 0])).mean() < 0.5 * np.abs(np.diff(raw[:, 0])).mean()
    moving = [[detection(100 + 12 * n, 200, 100)] for n in range(40)]
    shown = run(FaceTracker(max_faces=1), moving)
    lag = [found[0].box.x0 - faces[0].box.x0 for found, faces in zip(moving, shown, strict=True)][5:]
    assert max(np.abs(lag)) < 6, "less than 6 % of the face"


def test_boxes_of_unconfirmed_tracks_are_not_smoothed() -> None:
    tracker = FaceTracker(max_faces=1)
    tracker.update(0, None, [detection(200, 200, score=0.95)])
    face = tracker.update(FRAME_NS, None, [detection(210, 200, score=0.95)])[0]
    assert face.box == pytest.approx(detection(210, 200).box)


@pytest.mark.parametrize("stride", [3, 5])
def test_prediction_between_detections_moves_the_box(stride: int) -> None:
    shown = run(FaceTracker(max_faces=1), [[detection(100 + 5 * n, 200, 100)] for n in range(60)], stride=stride)
    centers = [(faces[0].box.x0 + faces[0].box.x1) / 2 for faces in shown[30:]]
    np.testing.assert_allclose(centers, [100 + 5 * n for n in range(30, 60)], atol=6)


def test_same_inputs_same_tracks_and_reset_forgets() -> None:
    frames = walkers(lambda n: (100 + n, 200, 80), lambda n: (400 - n, 220, 70), frames=60, seed=5)
    tracker = FaceTracker(max_faces=2)
    first = run(tracker, frames)
    assert first == run(FaceTracker(max_faces=2), frames)
    tracker.reset()
    again = tracker.update(0, None, frames[0])
    assert {face.track_id for face in again}.isdisjoint({face.track_id for face in first[-1]})


def test_detected_pts_ns_is_that_of_the_last_detection() -> None:
    tracker = FaceTracker(max_faces=1)
    run(tracker, [[detection(200, 200)]] * 7, stride=3)
    assert tracker.detected_pts_ns(0) == 6 * FRAME_NS
    with pytest.raises(ArgumentError, match="track_id must be one of"):
        tracker.detected_pts_ns(17)


@pytest.mark.parametrize(
    ("options", "text"), [({"max_faces": 0}, "max_faces"), ({"max_faces": 1, "staleness_seconds": 0}, "staleness")]
)
def test_wrong_options_are_refused(options: dict, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        FaceTracker(**options)


def test_time_must_grow() -> None:
    tracker = FaceTracker(max_faces=1)
    tracker.update(5, None, [])
    with pytest.raises(ArgumentError, match="pts_ns must be above 5"):
        tracker.update(5, None, [])


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 3), (4, 6), (6, 4), (5, 5)])
def test_assignment_is_the_cheapest_of_all(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape[0] * 10 + shape[1])
    for _ in range(20):
        cost = rng.random(shape)
        pairs = assign(cost)
        small, large = sorted(shape)
        table = cost if shape[0] <= shape[1] else cost.T
        best = min(
            sum(table[i, j] for i, j in enumerate(order)) for order in itertools.permutations(range(large), small)
        )
        assert len(pairs) == small
        assert sum(cost[pair] for pair in pairs) == pytest.approx(best)


@pytest.mark.parametrize("apart_ns", [1, 1_000, 100_000, 1_000_000, 8_000_000])
@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_frames_of_nearly_the_same_time_keep_the_box_on_the_face(apart_ns: int, noise: float) -> None:
    tracker, rng, ids = FaceTracker(max_faces=1), np.random.default_rng(0), set()
    for number in range(120):
        pts_ns = (number // 2) * 2 * FRAME_NS + (number % 2) * apart_ns
        x = 100 + 60 * pts_ns / 1e9
        dx, dy = rng.normal(0, noise, 2)
        found = [detection(x + dx, 200 + dy)] if number % 7 else []  # the tracker predicts where the detector misses
        for face in tracker.update(pts_ns, None, found):
            ids.add(face.track_id)
            assert abs((face.box.x0 + face.box.x1) / 2 - x) < 40, "within half a face"
    assert len(ids) == 1

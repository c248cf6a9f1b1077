"""Overlap, suppression and letterbox against slow references."""

from __future__ import annotations

import numpy as np
import pytest

from edgeaff.detection.boxes import box_areas, drop_covered, fit_letterbox, merge_candidates, pair_iou


def random_boxes(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    low = rng.uniform(-20, 200, (count, 2))
    return np.concatenate([low, low + rng.uniform(1, 120, (count, 2))], 1).astype(np.float32)


def slow_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def slow_suppress(boxes: np.ndarray, scores: np.ndarray, limit: float) -> list[int]:
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if all(slow_iou(boxes[index], boxes[other]) <= limit for other in kept):
            kept.append(int(index))
    return kept


@pytest.mark.parametrize(("n", "m"), [(0, 3), (1, 1), (7, 13)])
def test_pair_iou_equals_the_loop(n: int, m: int) -> None:
    a, b = random_boxes(n, 1), random_boxes(m, 2)
    expected = np.array([[slow_iou(p, q) for q in b.astype(float)] for p in a.astype(float)]).reshape(n, m)
    np.testing.assert_allclose(pair_iou(a, b), expected, atol=1e-5)


def test_boxes_turned_inside_out_have_no_area() -> None:
    np.testing.assert_array_equal(box_areas(np.array([[5, 5, 1, 9], [0, 0, 2, 3]], np.float32)), [0, 6])


@pytest.mark.parametrize("count", [0, 1, 2, 31, 100])
@pytest.mark.parametrize("limit", [0.0, 0.3, 0.7])
def test_suppression_keeps_what_the_loop_keeps(count: int, limit: float) -> None:
    boxes, scores = random_boxes(count, count), np.random.default_rng(3).random(count).astype(np.float32)
    points = np.arange(count * 10, dtype=np.float32).reshape(count, 5, 2)
    kept = slow_suppress(boxes.astype(float), scores, limit)
    got = merge_candidates(boxes, scores, points, suppress_iou=limit, vote_iou=2.0)
    np.testing.assert_array_equal(got[0], boxes[kept])
    np.testing.assert_array_equal(got[1], scores[kept])
    np.testing.assert_array_equal(got[2], points[kept])


def test_votes_average_by_squared_score() -> None:
    boxes = np.array([[0, 0, 100, 100], [10, 0, 110, 100], [300, 300, 400, 400]], np.float32)
    scores = np.array([0.8, 0.4, 0.6], np.float32)
    points = boxes[:, None, :2] + np.zeros((3, 5, 2), np.float32)
    got, kept_scores, got_points = merge_candidates(boxes, scores, points, suppress_iou=0.4, vote_iou=0.6)
    share = 0.16 / (0.64 + 0.16)
    np.testing.assert_allclose(got, [[10 * share, 0, 100 + 10 * share, 100], [300, 300, 400, 400]], atol=1e-4)
    np.testing.assert_allclose(kept_scores, [0.8, 0.6])
    np.testing.assert_allclose(got_points[0, 0], [10 * share, 0], atol=1e-5)


def test_boxes_that_votes_move_together_are_suppressed_too() -> None:
    boxes = np.array([[0, 0, 100, 100], [0, 0, 100, 140], [0, 61, 100, 161], [0, 20, 100, 160]], np.float32)
    scores = np.array([0.9, 0.85, 0.8, 0.8], np.float32)
    assert len(merge_candidates(boxes, scores, boxes, suppress_iou=0.4, vote_iou=2.0)[0]) == 2
    assert len(merge_candidates(boxes, scores, boxes, suppress_iou=0.4, vote_iou=0.6)[0]) == 1


@pytest.mark.parametrize("size", [(640, 360), (1080, 1920), (31, 7), (1, 1), (320, 320), (1333, 777)])
@pytest.mark.parametrize("long_side", [160, 320, 640])
def test_letterbox_fills_its_long_side_and_maps_back(size: tuple[int, int], long_side: int) -> None:
    width, height = size
    box = fit_letterbox(width, height, long_side=long_side)
    assert max(box.width, box.height) == long_side
    assert box.canvas_width % 32 == 0 and box.canvas_height % 32 == 0
    assert 0 <= box.canvas_width - box.width < 32 and 0 <= box.canvas_height - box.height < 32
    corners = np.array([[0, 0, box.width, box.height]], np.float32)
    np.testing.assert_allclose(box.to_image(corners), [[0, 0, width, height]], rtol=1e-5)
    points = np.full((2, 5, 2), [box.width, box.height], np.float32)
    np.testing.assert_allclose(box.to_image(points), np.broadcast_to([width, height], (2, 5, 2)), rtol=1e-5)
    assert box.to_image(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_a_box_mostly_covered_by_a_better_one_is_dropped() -> None:
    boxes = np.array([[0, 0, 100, 100], [70, 70, 90, 90], [61, 0, 161, 100], [200, 0, 220, 20], [59, 0, 159, 100]], "f")
    assert drop_covered(boxes, 0.4) == [0, 2, 3], "1 lies inside 0; 4 shares 41 % with 0"
    assert drop_covered(boxes[:0], 0.4) == []


@pytest.mark.parametrize("limit", [0.2, 0.4, 0.9])
def test_dropping_covered_boxes_equals_the_loop(limit: float) -> None:
    boxes = random_boxes(40, 5)
    kept: list[int] = []
    for index, a in enumerate(boxes.astype(float)):
        shares = []
        for b in boxes[kept].astype(float):
            width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            smaller = min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
            shares.append(max(width, 0) * max(height, 0) / smaller)
        if all(share <= limit for share in shares):
            kept.append(index)
    assert drop_covered(boxes, limit) == kept

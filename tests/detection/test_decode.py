"""Post-processing of our detector and of YuNet against slow references; the OpenCV rule."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeaff.detection.boxes import merge_candidates
from edgeaff.detection.decode import (
    STRIDES,
    SUPPRESS_IOU,
    VOTE_IOU,
    best_logit,
    best_logit_reference,
    decode_maps,
    decode_maps_reference,
)
from edgeaff.detection.opencv_ssd import share_inside
from edgeaff.detection.yunet import decode_yunet


def random_maps(width: int, height: int, seed: int, *, level: float = -3.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    maps = [rng.normal(0, 0.7, (15, height // stride, width // stride)).astype(np.float32) for stride in STRIDES]
    for grid in maps:
        grid[0] = grid[0] * 2 + level
    return maps


def slow_decode(maps: list[np.ndarray], threshold: float) -> list[tuple]:
    """Every candidate one by one; candidates a logit of 1 below the threshold only vote."""
    limit = math.log(threshold / (1 - threshold)) - 1
    rows = []
    for stride, grid in zip(STRIDES, maps, strict=True):
        for y in range(grid.shape[1]):
            for x in range(grid.shape[2]):
                logit, dx, dy, w, h, *points = (float(value) for value in grid[:, y, x])
                if logit <= limit:
                    continue
                cx, cy = (x + 0.5 + dx) * stride, (y + 0.5 + dy) * stride
                width, height = math.exp(w) * stride, math.exp(h) * stride
                corners = (
                    [(x + 0.5 + px) * stride for px in points[::2]],
                    [(y + 0.5 + py) * stride for py in points[1::2]],
                )
                box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
                rows.append((box, 1 / (1 + math.exp(-logit)), list(zip(*corners, strict=True))))
    return rows


@pytest.mark.parametrize("size", [(32, 32), (320, 192), (96, 160)])
@pytest.mark.parametrize("threshold", [0.3, 0.66])
def test_decode_equals_the_loop(size: tuple[int, int], threshold: float) -> None:
    maps = random_maps(*size, seed=size[0])
    rows = slow_decode(maps, threshold)
    assert len(rows) < 400
    boxes, scores, points = (np.array([row[k] for row in rows], np.float32) for k in range(3))
    expected = merge_candidates(
        boxes.reshape(-1, 4), scores, points.reshape(-1, 5, 2), suppress_iou=SUPPRESS_IOU, vote_iou=VOTE_IOU
    )
    above = expected[1] > threshold
    got = decode_maps(maps, score_threshold=threshold)
    assert len(got[0]) == above.sum()
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs[above], rtol=2e-4, atol=2e-3)


@pytest.mark.needs_native
@pytest.mark.parametrize(("size", "level"), [((32, 32), 0.0), ((320, 256), -2.0), ((320, 256), 1.0), ((640, 640), 8.0)])
@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_native_decoding_equals_its_twin(size: tuple[int, int], level: float, threshold: float) -> None:
    maps = random_maps(*size, seed=size[1], level=level)
    expected = decode_maps_reference(maps, score_threshold=threshold)
    got = decode_maps(maps, score_threshold=threshold)
    assert len(expected[0]) > 0
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype == np.float32
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-3)  # measured: 2e-4 px at most


@pytest.mark.parametrize("seed", range(6))
def test_second_look_equals_its_twin(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = [rng.normal(0, 1, (15, 96 // stride, 96 // stride)).astype(np.float32) for stride in STRIDES]
    for side in (10.0, 30.0, 60.0, 200.0):
        box = (48 - side / 2, 48 - side / 2, 48 + side / 2, 48 + side / 2)
        assert best_logit(maps, box, least_iou=0.4) == best_logit_reference(maps, box, least_iou=0.4)


def test_nothing_above_the_threshold_gives_empty_arrays_of_the_right_shape() -> None:
    boxes, scores, points = decode_maps(random_maps(320, 192, 1, level=-50), score_threshold=0.5)
    assert (boxes.shape, scores.shape, points.shape) == ((0, 4), (0,), (0, 5, 2))


def test_a_flood_of_candidates_stays_bounded() -> None:
    boxes, _, _ = decode_maps(random_maps(640, 640, 2, level=8.0), score_threshold=0.5)
    assert 0 < len(boxes) <= 400


def test_one_face_is_where_its_cell_states() -> None:
    maps = random_maps(320, 192, 3, level=-50)
    maps[1][:, 5, 7] = [4.0, 0.25, -0.5, math.log(4), math.log(5), *([0.5, 1.0] * 5)]
    boxes, scores, points = decode_maps(maps, score_threshold=0.5)
    center = np.array([7.5 + 0.25, 5.5 - 0.5]) * 16
    np.testing.assert_allclose(boxes, [[*(center - [32, 40]), *(center + [32, 40])]], rtol=1e-5)
    np.testing.assert_allclose(scores, [1 / (1 + math.exp(-4))], rtol=1e-5)
    np.testing.assert_allclose(points[0], np.broadcast_to([8 * 16, 6.5 * 16], (5, 2)), rtol=1e-5)


def test_yunet_cells_count_from_their_corner() -> None:
    outputs = {}
    for stride, cells in zip(STRIDES, (40 * 24, 20 * 12, 10 * 6), strict=True):
        outputs[f"cls_{stride}"] = np.full((1, cells, 1), 0.1, np.float32)
        outputs[f"obj_{stride}"] = np.full((1, cells, 1), 0.1, np.float32)
        outputs[f"bbox_{stride}"] = np.zeros((1, cells, 4), np.float32)
        outputs[f"kps_{stride}"] = np.zeros((1, cells, 10), np.float32)
    cell = 3 * 20 + 5
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.9, 0.8
    outputs["bbox_16"][0, cell] = [0.5, 0.25, math.log(2), math.log(3)]
    outputs["kps_16"][0, cell] = [1, 2] * 5
    boxes, scores, points = decode_yunet(outputs, 320, score_threshold=0.8)
    np.testing.assert_allclose(boxes, [[88 - 16, 52 - 24, 88 + 16, 52 + 24]], rtol=1e-5)
    np.testing.assert_allclose(scores, [math.sqrt(0.72)], rtol=1e-6)
    np.testing.assert_allclose(points[0], np.broadcast_to([96, 80], (5, 2)))
    assert len(decode_yunet(outputs, 320, score_threshold=0.85)[0]) == 0


def test_share_inside_measures_what_the_rule_of_five_per_cent_needs() -> None:
    boxes = np.array(
        [[0.1, 0.1, 0.5, 0.9], [0.5, 0.5, 1.5, 1.0], [-0.01, 0.0, 0.99, 1.0], [1.2, 0, 1.4, 1]], np.float32
    )
    np.testing.assert_allclose(share_inside(boxes), [1, 0.5, 0.99, 0], atol=1e-6)

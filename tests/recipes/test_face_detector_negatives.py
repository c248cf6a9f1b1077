"""Hard negatives of the face detector: heads painted from behind, made-up images, mined boxes, the second round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.recipes.test_face_detector import CONFIG, cache, faces, run_folder  # noqa: F401

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_cv2]


def make_portrait() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns a bright face with dark features under dark hair, its box and points."""
    import cv2

    image = np.full((160, 160, 3), (70, 120, 90), np.uint8)
    cv2.ellipse(image, (80, 78), (40, 56), 0, 0, 360, (60, 40, 30), -1)
    cv2.ellipse(image, (80, 90), (30, 40), 0, 0, 360, (220, 180, 150), -1)
    points = np.array([(68, 82), (92, 82), (80, 95), (70, 110), (90, 110)], np.float32)
    for x, y in points.astype(int):
        cv2.circle(image, (int(x), int(y)), 4, (10, 10, 10), -1)
    return image, np.array([50, 50, 110, 130], np.float32), points


@pytest.mark.parametrize("known", [True, False])
def test_a_painted_head_has_no_features_and_the_rest_is_untouched(known: bool) -> None:
    from recipes.face_detector.back_of_head import paint_behind

    image, box, points = make_portrait()
    before = image.copy()
    for seed in range(20):
        shown = points if known else np.full((5, 2), np.nan, np.float32)
        painted = paint_behind(np.random.default_rng(seed), image, box, shown)
        np.testing.assert_array_equal(image, before)
        assert painted.shape == image.shape and painted.dtype == np.uint8
        outside = np.ones((160, 160), bool)
        outside[:, 20:140] = False
        np.testing.assert_array_equal(painted[outside], image[outside])
        for x, y in points.astype(int):  # no dark dot on bright skin is left
            around = painted[y - 8 : y + 9, x - 8 : x + 9].mean((0, 1))
            assert np.abs(painted[y, x] - around).mean() < 60
        oval = painted[70:110, 65:95].astype(int)
        assert np.abs(oval - image[70:110, 65:95]).mean() > 5


def test_painting_the_same_twice_is_equal_and_a_head_at_the_border_works() -> None:
    from recipes.face_detector.back_of_head import paint_behind

    image, box, points = make_portrait()
    once, again = (paint_behind(np.random.default_rng(3), image, box, points) for _ in "ab")
    np.testing.assert_array_equal(once, again)
    for move in (np.array([-70.0, -60.0]), np.array([60.0, 50.0])):
        shifted = np.float32(box + np.tile(move, 2))
        assert paint_behind(np.random.default_rng(1), image, shifted, np.float32(points + move)).shape == image.shape


def test_gray_heads_stay_gray() -> None:
    from recipes.face_detector.back_of_head import paint_behind

    image, box, points = make_portrait()
    gray = np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    for seed in range(10):
        painted = paint_behind(np.random.default_rng(seed), gray, box, points).astype(int)
        assert np.abs(painted - painted.mean(2, keepdims=True)).max() <= 4


@pytest.mark.parametrize("size", [(320, 192), (64, 160)])
def test_made_up_images_differ_and_repeat(size: tuple[int, int]) -> None:
    from recipes.face_detector.textures import texture

    images = [texture(np.random.default_rng(seed), *size) for seed in range(30)]
    assert all(frame.shape == (size[1], size[0], 3) and frame.dtype == np.uint8 for frame in images)
    np.testing.assert_array_equal(images[4], texture(np.random.default_rng(4), *size))
    assert len({frame.tobytes() for frame in images}) == 30


def make_augmenter(cache, boxes: np.ndarray | None = None, **options: float):  # noqa: F811
    from recipes.face_detector.augment import AugmentConfig, Augmenter
    from recipes.face_detector.stream import training_part

    return Augmenter(cache, *training_part(cache), AugmentConfig(**options), boxes)


def test_a_head_from_behind_is_taught_as_no_face(cache) -> None:  # noqa: F811
    from recipes.face_detector.targets import BEHIND_WEIGHT, make_cells, make_targets

    augmenter = make_augmenter(cache, behind=1.0, negative=0.0, mosaic=0.5)
    rng, seen = np.random.default_rng(0), 0
    cells = make_cells(320, 192)
    for _ in range(30):
        scene = augmenter.draw(rng, 320, 192)
        sure = np.ones(len(cells.x), np.float32)  # a teacher that is fooled everywhere
        nowhere = np.zeros((len(cells.x), 4), np.float32)
        targets = make_targets(scene, cells, sure, nowhere)
        for x0, y0, x1, y1 in scene.behind:
            inside = (cells.x > x0) & (cells.x < x1) & (cells.y > y0) & (cells.y < y1) & (targets[:, 0] == 0)
            seen += int(inside.sum())
            assert (targets[inside, 1] == BEHIND_WEIGHT).all()
    assert seen > 100


def test_mined_boxes_are_shown_in_the_place_of_faces(cache) -> None:  # noqa: F811
    mined = np.array([[2, 40, 40, 80, 80]], np.float32)
    augmenter = make_augmenter(cache, mined, negative=1.0, mined=1.0, made=0.0)
    for seed in range(10):
        scene = augmenter.draw(np.random.default_rng(seed), 160, 96)
        assert scene.negative == 2 and not len(scene.boxes) and scene.image.shape == (96, 160, 3)


def test_mining_finds_what_a_network_fires_on(cache) -> None:  # noqa: F811
    import torch

    from recipes.face_detector.mine import mine
    from recipes.face_detector.stream import training_part

    class Firing(torch.nn.Module):
        """Sees one box in the middle of every frame."""

        def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
            height, width = pixels.shape[2:]
            maps = [torch.full((1, 15, height // stride, width // stride), -9.0) for stride in (8, 16, 32)]
            maps[1][0, 0, maps[1].shape[2] // 2, maps[1].shape[3] // 2] = 2.0
            maps[1][0, 1:] = 0.0 * maps[1][0, 1:]
            return maps

    negatives = training_part(cache)[1]
    rows = mine(Firing(), cache, negatives, seed=1)
    assert set(rows[:, 0].astype(int)) == set(range(len(negatives)))
    np.testing.assert_array_equal(rows, mine(Firing(), cache, negatives, seed=1))
    assert (rows[:, 1:3] < rows[:, 3:5]).all() and rows[:, 1:].min() > -8 and rows[:, 1:].max() < 128


def test_rate_of_the_second_round_rises_again_and_falls_along_a_cosine() -> None:
    from recipes.face_detector.train import learning_rate

    second = {"steps": 40, "warmup_steps": 4, "learning_rate": 0.5}
    config = {"warmup_steps": 10, "decay_steps": 20, "steps": 100, "learning_rate": 1.0, "second": second}
    rates = [learning_rate(step, config) for step in (99, 100, 103, 120, 139, 140)]
    assert rates[0] == pytest.approx(0.05) and rates[1] == pytest.approx(0.125)
    assert rates[2] == pytest.approx(0.5, rel=0.02) and rates[3] == pytest.approx(0.25)
    assert 0 < rates[4] < 0.001 and rates[5] == 0.0


def test_the_second_round_goes_on_from_the_first(faces: Path, cache, run_folder: Path, tmp_path: Path) -> None:  # noqa: F811
    import shutil

    import torch

    from recipes.face_detector import mine, train
    from recipes.loop import CHECKPOINT, read_checkpoint

    shutil.copytree(run_folder, tmp_path / "run")
    first, before = read_checkpoint(tmp_path / "run" / CHECKPOINT)
    threads = torch.get_num_threads()
    common = ["--faces", faces, "--cache", cache._path.parent]
    mine.main([str(argument) for argument in ["--run", tmp_path / "run", *common]])
    assert (tmp_path / "run" / mine.MINED_NAME).is_file()
    (tmp_path / "run" / "config.toml").write_text(CONFIG.format(steps=6))
    arguments = ["--config", tmp_path / "run" / "config.toml", "--output", tmp_path / "run", *common]
    arguments += ["--workers", "0", "--resume", "--round", "2", "--second-steps", "4"]
    train.main([str(argument) for argument in arguments])
    torch.set_num_threads(threads)
    second, after = read_checkpoint(tmp_path / "run" / CHECKPOINT)
    assert before["step"] == 6 and after["step"] == 10
    assert any(not torch.equal(first[name], second[name]) for name in first if name.startswith("network."))

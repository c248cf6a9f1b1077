"""The face detector's training: data, augmentation, targets, loss, a run that resumes, the exported file."""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_cv2]

FACE_IMAGES, EMPTY_IMAGES = 24, 10


def make_row(name: str, size: int, boxes: list, status: str, source: str) -> dict:
    common = {"shard": "train_00.tar", "tier": "A", "grey": False, "blob": "", "origin": f"made/{name}"}
    return {"file": name, "w": size, "h": size, "src": source, "status": status, "boxes": boxes, **common}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the trainer reads it: bright ellipses with five dots on noise, and noise alone."""
    import cv2

    cv2.setNumThreads(0)
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    rows = []
    with tarfile.open(folder / "train_00.tar", "w") as archive:
        for number in range(FACE_IMAGES + EMPTY_IMAGES):
            image = rng.integers(0, 90, (120, 120, 3), dtype=np.uint8)
            boxes = []
            if number < FACE_IMAGES:
                cv2.ellipse(image, (60, 60), (28, 38), 0, 0, 360, (180, 200, 240), -1)
                points = [(50, 50), (70, 50), (60, 60), (52, 75), (68, 75)]
                for point in points:
                    cv2.circle(image, point, 3, (20, 20, 20), -1)
                boxes = [{"box": [32, 22, 88, 98], "face": 1, "score": 1.0, "votes": "", "lm": list(np.ravel(points))}]
            data = cv2.imencode(".jpg", image)[1].tobytes()
            info = tarfile.TarInfo(f"image_{number:03d}.jpg")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            source = "omz" if number % 6 == 5 else "coco_by"
            rows.append(make_row(info.name, 120, boxes, "faces" if boxes else "negative", source))
    text = "\n".join(json.dumps(row, default=float) for row in rows)
    (folder / "train_labels.jsonl").write_text(text)
    return folder


@pytest.fixture(scope="module")
def cache(faces: Path, tmp_path_factory: pytest.TempPathFactory):
    from recipes.face_detector.data import ImageCache

    return ImageCache(faces, tmp_path_factory.mktemp("cache"))


def make_augmenter(cache):
    from recipes.face_detector.augment import AugmentConfig, Augmenter
    from recipes.face_detector.stream import training_part

    return Augmenter(cache, *training_part(cache), AugmentConfig(behind=0.0))


def test_cache_holds_every_image_and_is_read_again(cache, faces: Path) -> None:
    from recipes.face_detector.data import ImageCache

    assert len(cache) == FACE_IMAGES + EMPTY_IMAGES
    assert cache[0].shape == (120, 120, 3)
    assert cache[0][60, 45].astype(int) == pytest.approx([240, 200, 180], abs=12), "RGB, not BGR"
    again = ImageCache(faces, cache._path.parent)
    np.testing.assert_array_equal(again[7], cache[7])


def test_validation_shares_no_group_with_training(cache) -> None:
    from recipes.face_detector.data import is_validation

    held = {frame.group for frame in cache.images if is_validation(frame)}
    used = {frame.group for frame in cache.images if not is_validation(frame)}
    assert held and used and not held & used


@pytest.mark.needs_shared
def test_validation_shares_no_group_with_training_in_the_real_labels(shared: Path) -> None:
    from recipes.face_detector.data import is_validation, read_labels

    images = [frame for _, frame in read_labels(shared / "data" / "faces")]
    held = {frame.group for frame in images if is_validation(frame)}
    assert not held & {frame.group for frame in images if not is_validation(frame)}
    assert 0.08 < sum(map(is_validation, images)) / len(images) < 0.15


@pytest.mark.parametrize("size", [(320, 192), (192, 320), (256, 256)])
def test_scenes_keep_points_inside_their_boxes(cache, size: tuple[int, int]) -> None:
    augmenter = make_augmenter(cache)
    rng = np.random.default_rng(1)
    faces = 0
    for _ in range(60):
        scene = augmenter.draw(rng, *size)
        assert scene.image.shape == (size[1], size[0], 3) and scene.image.dtype == np.uint8
        for box, points in zip(scene.boxes, scene.landmarks, strict=True):
            faces += 1
            assert ((points >= box[:2]) & (points <= box[2:])).all()
            center = np.clip((box[:2] + box[2:]) / 2, 0, np.array(size) - 1).astype(int)
            assert scene.image[center[1], center[0]].shape == (3,)
    assert faces > 30


def test_a_box_is_where_the_warped_face_is(cache) -> None:
    """The ellipse is brighter than everything else, so the bright pixels must fill the box's ellipse."""
    augmenter = make_augmenter(cache)
    rng = np.random.default_rng(4)
    filled = []
    for _ in range(40):
        scene = augmenter._draw_faces(rng, 320, 192, 80.0)
        x0, y0, x1, y1 = scene.boxes[0]
        ys, xs = np.mgrid[:192, :320] + 0.5
        inside = ((xs - (x0 + x1) / 2) / (x1 - x0) * 2) ** 2 + ((ys - (y0 + y1) / 2) / (y1 - y0) * 2) ** 2 < 0.6
        if inside.sum() > 200:
            filled.append((scene.image[inside].astype(int).sum(1) > 300).mean())
    assert np.median(filled) > 0.8


def test_degrade_leaves_the_scene_alone(cache) -> None:
    from recipes.face_detector.degrade import degrade

    augmenter = make_augmenter(cache)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        scene = augmenter.draw(rng, 192, 192)
        before = scene.image.copy()
        worse = degrade(rng, scene, gray=0.5)
        np.testing.assert_array_equal(scene.image, before)
        assert worse.shape == before.shape and worse.dtype == np.uint8


def make_scene(**fields):
    from recipes.face_detector.augment import Scene

    return Scene(np.zeros((192, 320, 3), np.uint8), **fields)


def test_without_a_teacher_the_cells_at_the_center_of_the_fitting_level_are_asked() -> None:
    from recipes.face_detector.targets import make_cells, make_targets

    cells = make_cells(320, 192)
    boxes = np.array([[100, 80, 120, 104], [200, 20, 320, 190]], np.float32)
    points = np.full((2, 5, 2), np.nan, np.float32)
    points[1] = 50
    targets = make_targets(make_scene(boxes=boxes, landmarks=points), cells, None, None)
    asked = np.flatnonzero(targets[:, 0] > 0.3)
    assert set(cells.stride[asked]) == {8, 32}
    for index in asked:
        owner = 0 if cells.stride[index] == 8 else 1
        np.testing.assert_array_equal(targets[index, 2:6], boxes[owner])
        assert targets[index, 16] == owner, "points are known for the second only"


def test_a_teacher_shapes_the_scores_and_what_it_alone_sees_is_left_open() -> None:
    from recipes.face_detector.targets import PEAK, make_cells, make_targets

    cells = make_cells(320, 192)
    box = np.array([[96, 64, 160, 144]], np.float32)
    scores, found = np.zeros(len(cells.x), np.float32), np.zeros((len(cells.x), 4), np.float32)
    scores[[1000, 1001, 50]] = [0.8, 0.4, 0.9]
    found[[1000, 1001]], found[50] = box, [0, 0, 40, 40]
    scene = make_scene(boxes=box, landmarks=np.full((1, 5, 2), np.nan, np.float32))
    targets = make_targets(scene, cells, scores, found)
    np.testing.assert_allclose(targets[[1000, 1001], 0], [PEAK, PEAK / 2], rtol=1e-5)
    assert targets[50, 0] == 0 and targets[50, 1] == 0
    assert targets[51, 1] == 1 and targets[51, 0] == 0


def test_cells_in_ignored_regions_have_no_weight() -> None:
    from recipes.face_detector.targets import make_cells, make_targets

    cells = make_cells(320, 192)
    targets = make_targets(make_scene(ignore=np.array([[0, 0, 64, 64]], np.float32)), cells, None, None)
    inside = (cells.x <= 64) & (cells.y <= 64)
    assert (targets[inside, 1] == 0).all() and (targets[~inside, 1] == 1).all()


def test_loss_is_zero_for_the_right_answer_and_iou_equals_the_loop() -> None:
    import torch

    from edgeaff.detection.boxes import pair_iou
    from recipes.face_detector.loss import decode_boxes, detection_loss, generalized_iou
    from recipes.face_detector.targets import make_cells, make_targets

    cells = make_cells(320, 192)
    box = np.array([[100, 60, 180, 160]], np.float32)
    targets = make_targets(make_scene(boxes=box, landmarks=np.full((1, 5, 2), 90, np.float32)), cells, None, None)
    grid = torch.from_numpy(np.stack([cells.x, cells.y, cells.stride]))
    raw = torch.zeros(1, len(cells.x), 15)
    wanted = torch.from_numpy(targets[:, 0])
    raw[0, :, 0] = torch.logit(wanted.clamp(1e-6, 1 - 1e-6))
    raw[0, :, 1] = (140 - grid[0]) / grid[2]
    raw[0, :, 2] = (110 - grid[1]) / grid[2]
    raw[0, :, 3], raw[0, :, 4] = torch.log(80 / grid[2]), torch.log(100 / grid[2])
    raw[0, :, 5::2] = ((90 - grid[0]) / grid[2])[:, None]
    raw[0, :, 6::2] = ((90 - grid[1]) / grid[2])[:, None]
    loss, _ = detection_loss(raw, torch.from_numpy(targets)[None], grid)
    assert float(loss) == pytest.approx(0, abs=1e-4)
    assert float(detection_loss(raw + 0.3, torch.from_numpy(targets)[None], grid)[0]) > 0.1

    rng = np.random.default_rng(0)
    a, b = (
        torch.from_numpy(decode_boxes(torch.from_numpy(rng.normal(0, 1, (len(cells.x), 15)).astype("f")), grid).numpy())
        for _ in "ab"
    )
    plain = np.array([pair_iou(p[None], q[None])[0, 0] for p, q in zip(a.numpy()[:300], b.numpy()[:300], strict=True)])
    low, high = np.minimum(a, b)[:300, :2], np.maximum(a, b)[:300, 2:]
    hull = np.prod(np.asarray(high - low), 1)
    area = lambda boxes: np.prod(np.asarray(boxes[:300, 2:] - boxes[:300, :2]), 1)  # noqa: E731
    union = (area(a) + area(b)) / (1 + plain)
    np.testing.assert_allclose(generalized_iou(a, b)[:300], plain - (hull - union) / hull, atol=2e-3)


CONFIG = """
seed = 3
batch_size = 4
steps = {steps}
warmup_steps = 2
decay_steps = 2
learning_rate = 0.002
weight_decay = 0.01
average_decay = 0.9
checkpoint_every = 100
validate_every = 100
early_steps = 2
early_canvases = [[96, 96, 1.0]]
canvases = [[128, 96, 1.0]]
[second]
steps = 4
warmup_steps = 1
learning_rate = 0.001
[network]
stem = [4, 8]
stages = [8, 8, 8]
blocks = [1, 1, 1]
neck = 8
[augment]
negative = 0.3
"""


def train(faces: Path, cache_folder: Path, output: Path, *, steps: int, resume: bool = False) -> tuple[dict, dict]:
    """Runs the command; returns tensors and note of the checkpoint."""
    import torch

    from recipes.face_detector.train import main
    from recipes.loop import read_checkpoint

    output.mkdir(exist_ok=True)
    (output / "config.toml").write_text(CONFIG.format(steps=6))
    arguments = ["--config", output / "config.toml", "--faces", faces, "--cache", cache_folder, "--output", output]
    arguments += ["--workers", "0", "--steps", str(steps)] + ["--resume"] * resume
    threads = torch.get_num_threads()
    main([str(argument) for argument in arguments])
    torch.set_num_threads(threads)
    return read_checkpoint(output / "checkpoint.safetensors")


@pytest.fixture(scope="module")
def run_folder(faces: Path, cache, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run")
    train(faces, cache._path.parent, output, steps=6)
    return output


def test_a_resumed_run_ends_where_the_straight_one_does(faces: Path, cache, run_folder: Path, tmp_path: Path) -> None:
    import torch

    from recipes.face_detector import train as module
    from recipes.loop import read_checkpoint

    straight, note = read_checkpoint(run_folder / "checkpoint.safetensors")
    stopped = tmp_path / "run"
    original = module.learning_rate
    try:  # the same rates although the first half is reported to stop early
        module.learning_rate = lambda step, config: original(step, {**config, "steps": 6})
        train(faces, cache._path.parent, stopped, steps=3)
        resumed, at_end = train(faces, cache._path.parent, stopped, steps=6, resume=True)
    finally:
        module.learning_rate = original
    assert at_end["step"] == note["step"] == 6
    for name, value in straight.items():  # network, average, optimizer, weights of the negatives
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0)


def test_rate_rises_stays_and_falls() -> None:
    from recipes.face_detector.train import learning_rate

    second = {"steps": 0, "warmup_steps": 1, "learning_rate": 1.0}
    config = {"warmup_steps": 10, "decay_steps": 20, "steps": 100, "learning_rate": 1.0, "second": second}
    rates = [learning_rate(step, config) for step in (0, 9, 50, 79, 90, 100)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 1.0, 0.5, 0.0])


@pytest.mark.needs_onnx
@pytest.mark.parametrize("half", [False, True])
def test_exported_file_equals_the_network(run_folder: Path, half: bool) -> None:
    import torch

    from edgeaff.backends import load_graph
    from recipes.face_detector.export import load_averaged, make_onnx

    network, facts = load_averaged(run_folder / "checkpoint.safetensors")
    assert facts["step"] == 6
    graph = load_graph(make_onnx(network, half=half))
    for height, width in ((96, 160), (192, 320), (32, 32)):
        image = np.random.default_rng(height).integers(0, 256, (1, 3, height, width), dtype=np.uint8)
        with torch.no_grad():
            expected = network(torch.from_numpy(image).float() / 255)
        got = graph.run({"image": image})
        for stride, part in zip((8, 16, 32), expected, strict=True):
            tolerance = 2e-2 if half else 2e-4  # float16 weights: measured 4e-3 on the real network
            np.testing.assert_allclose(got[f"map_{stride}"], part.numpy(), atol=tolerance)


@pytest.mark.needs_onnx
def test_quantized_file_stays_near_the_float_one(run_folder: Path, faces: Path, cache) -> None:
    from edgeaff.backends import load_graph
    from edgeaff.detection.ssd import SsdDetector
    from recipes.face_detector.export import load_averaged, make_onnx
    from recipes.face_detector.quantize import draw_calibration, quantize

    network, _ = load_averaged(run_folder / "checkpoint.safetensors")
    plain = make_onnx(network, half=False)
    inputs = draw_calibration(faces, cache._path.parent)[:20]
    small = quantize(plain, inputs)
    a, b = load_graph(plain).run({"image": inputs[0]}), load_graph(small).run({"image": inputs[0]})
    for name in a:
        spread = np.abs(a[name]).max()
        assert np.abs(a[name] - b[name]).max() < 0.1 * spread
    assert SsdDetector.from_bytes(small, score_threshold=0.5).detect(np.zeros((60, 90, 3), np.uint8)) is not None


def test_summary_counts_hits_false_boxes_and_fixes_the_threshold() -> None:
    from recipes.face_detector.validate import View, summarize

    image = np.zeros((32, 32, 3), np.uint8)
    box = np.array([[0, 0, 40, 50]], np.float32)
    none = np.zeros((0, 4), np.float32)
    views = [
        View(image, box, none, 32, "color"),
        View(image, none, none, 32, "face-free"),
        View(image, none, box, 32, "gray"),
    ]
    wrong = np.array([[100, 100, 140, 150]], np.float32)
    found = [
        (np.concatenate([box, wrong]), np.array([0.9, 0.5], np.float32)),
        (wrong, np.array([0.62], np.float32)),
        (box, np.array([0.8], np.float32)),
    ]
    result = summarize(views * 10, found * 10)
    assert result["chosen"]["threshold"] == 0.62, "the lowest without the box of 0.62"
    assert result["chosen"]["large"] == 1.0
    assert result["table"][0]["false_per_100"] == pytest.approx(66.667, abs=1e-3)
    assert result["by_kind"]["face-free"]["false_per_100"] == 0


def test_arguments_default_to_the_shared_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgeaff.training.trainer.config import read_toml
    from recipes.face_detector.train import parse_arguments

    monkeypatch.setenv("EDGEAFF_SHARED", str(tmp_path))
    args: argparse.Namespace = parse_arguments(["--cache", "a", "--output", "b"])
    assert args.faces == tmp_path / "data" / "faces"
    assert {"canvases", "early_canvases", "network", "augment", "second"} <= set(read_toml(args.config, "config", ()))

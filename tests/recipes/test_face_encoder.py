"""The face encoder's room: FER+ reader, augmentation, network, training, export, evaluation; on made-up faces."""

import csv
import json

import numpy as np
import pytest
import torch

from edgeaff.errors import ArgumentError
from edgeaff.measures import ccc as ccc_of_measures
from edgeaff.training.corpora.ferplus import ANCHORS, EMOTIONS, votes_to_affect
from recipes.face_encoder import evaluate as evaluation
from recipes.face_encoder.augment import AugmentConfig, augment, plain, warp
from recipes.face_encoder.data import FaceSet, read_split
from recipes.face_encoder.describe import APART, describe, describe_hindered
from recipes.face_encoder.model import FaceEncoder, FaceEncoderConfig
from recipes.face_encoder.teacher import lessons, start_from, with_strangers
from recipes.face_encoder.train import (
    FaceModel,
    TrainConfig,
    Trainer,
    ccc,
    fit_heads,
    learning_rate,
    loss_of,
    odds_of,
    validate,
    weighted_ccc,
)

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_cv2]
TINY = FaceEncoderConfig(stem=4, widths=(6, 8), blocks=(1, 1), dropout=0.1)


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads that wait for each other cost minutes on a busy machine; these networks are tiny."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def smile_or_frown(count: int, *, seed: int = 0) -> FaceSet:
    """Returns faces made of two eyes and a mouth that curves up (happiness) or down (sadness)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48]
    images, votes = [], np.zeros((count, 8), np.float32)
    for index in range(count):
        curve = 1.0 if index % 2 else -1.0
        mouth = 35 + curve * (3 - ((x - 24) / 4.0) ** 2)
        frame = np.full((48, 48), random.uniform(120, 200))
        frame[(np.abs(y - mouth) < 2) & (np.abs(x - 24) < 11)] = 30
        for center in (14, 34):
            frame[(y - 17) ** 2 + (x - center) ** 2 < 12] = 20
        images.append(np.clip(frame + random.normal(0, 4, frame.shape), 0, 255).astype(np.uint8))
        votes[index, EMOTIONS.index("happiness" if curve > 0 else "sadness")] = 0.8
        votes[index, 0] = 0.2
    return FaceSet(np.stack(images), votes, votes_to_affect(votes))


def write_fer(folder, tiles, counts, *, grid=4):
    """Writes one split in the layout of the FER+ folder."""
    import cv2

    rows = -(-len(tiles) // grid)
    padded = np.concatenate([tiles, np.zeros((rows * grid - len(tiles), 48, 48), np.uint8)])
    half = rows // 2 * grid  # two mosaics
    for number, part in enumerate((padded[:half], padded[half:])):
        mosaic = part.reshape(-1, grid, 48, 48).transpose(0, 2, 1, 3).reshape(-1, grid * 48)
        cv2.imwrite(str(folder / f"train_{number:03d}.png"), mosaic)
    meta = {"images": len(tiles), "mosaics": 2, "tile": 48, "grid": grid, "ext": ".png"}
    (folder / "meta.json").write_text(json.dumps({"train": meta}))
    with (folder / "train_votes.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[*EMOTIONS, "unknown", "NF"], *counts])


def test_read_split_gives_tiles_in_order_and_soft_labels(tmp_path):
    tiles = np.random.default_rng(0).integers(0, 256, (14, 48, 48), dtype=np.uint8)
    counts = np.zeros((14, 10), int)
    counts[:, 1], counts[:, 3] = 6, 2
    counts[5] = [0] * 8 + [3, 7]  # nobody named an emotion: left out
    write_fer(tmp_path, tiles, counts.tolist())
    faces = read_split(tmp_path, "train")
    np.testing.assert_array_equal(faces.images, np.delete(tiles, 5, axis=0))
    np.testing.assert_allclose(faces.votes[0], [0, 0.75, 0, 0.25, 0, 0, 0, 0])
    np.testing.assert_allclose(faces.affect[0], 0.75 * ANCHORS[1] + 0.25 * ANCHORS[3], rtol=1e-6)


def test_read_split_states_what_is_wrong(tmp_path):
    tiles = np.zeros((14, 48, 48), np.uint8)
    write_fer(tmp_path, tiles, np.ones((13, 10), int).tolist())
    with pytest.raises(ArgumentError, match=r"train_votes.csv must have 14 rows, got 13"):
        read_split(tmp_path, "train")
    (tmp_path / "train_001.png").write_bytes(b"no frame")
    with pytest.raises(ArgumentError, match="train_001.png must be a mosaic"):
        read_split(tmp_path, "train")
    with pytest.raises(ArgumentError, match="split must be one of"):
        read_split(tmp_path, "all")


def test_warp_without_change_is_the_plain_crop():
    image = smile_or_frown(1).images[0]
    assert np.abs(warp(image).astype(int) - plain(image)).max() <= 1
    mirrored = plain(np.ascontiguousarray(image[:, ::-1]))
    assert np.abs(warp(image, mirror=True).astype(int) - mirrored).max() <= 1


def test_warp_scales_shifts_and_turns_the_way_it_states():
    image = np.zeros((48, 48), np.uint8)
    image[20:28, 30:38] = 255  # center (34, 24): 10 px right of the tile's center
    center = lambda crop: np.array(np.nonzero(crop > 127)).mean(axis=1)[::-1] / 2  # noqa: E731
    np.testing.assert_allclose(center(warp(image)), [33.75, 23.75], atol=0.3)
    np.testing.assert_allclose(center(warp(image, scale=2.0)), [28.75, 23.75], atol=0.3)  # half as far, half as large
    np.testing.assert_allclose(center(warp(image, shift=(0.25, 0.0))), [21.75, 23.75], atol=0.3)
    turned = center(warp(image, degrees=90.0))
    np.testing.assert_allclose(np.abs(turned - 23.75), [0.0, 10.0], atol=0.3)


def test_augment_depends_on_the_generator_alone_and_varies():
    image = smile_or_frown(1).images[0]
    first = [augment(image, np.random.default_rng(seed)) for seed in range(60)]
    again = [augment(image, np.random.default_rng(seed)) for seed in range(60)]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.shape == (96, 96)
        assert one.dtype == np.uint8
    assert len({one.tobytes() for one in first}) > 50
    calm = AugmentConfig(clean=1.0)
    kept = {augment(image, np.random.default_rng(seed), calm).tobytes() for seed in range(10)}
    assert kept == {plain(image).tobytes(), plain(np.ascontiguousarray(image[:, ::-1])).tobytes()}


def test_encoder_ignores_color_exposure_and_contrast():
    torch.manual_seed(0)
    encoder = FaceEncoder(TINY).eval()
    gray = torch.nn.functional.interpolate(torch.rand(2, 1, 8, 8), size=(96, 96), mode="bicubic") - 0.5
    before = encoder(gray.expand(-1, 3, -1, -1))
    tinted = (gray + 1.0) * torch.tensor([1.0, 0.8, 0.6]).view(1, 3, 1, 1) - 1.0
    for changed in (gray.expand(-1, 3, -1, -1) * 0.5 + 0.3, tinted):
        assert (encoder(changed) - before).abs().max() < 0.02 * before.abs().max()


def test_encoder_of_a_flat_image_is_finite_and_the_default_has_its_size():
    encoder = FaceEncoder().eval()
    with torch.no_grad():
        result = encoder(torch.full((1, 3, 96, 96), -0.4))
    assert result.shape == (1, 128)
    assert torch.isfinite(result).all()
    assert sum(parameter.numel() for parameter in encoder.parameters()) <= 1_500_000


def test_ccc_of_the_loss_is_the_measure():
    random = np.random.default_rng(0)
    target = random.normal(size=(200, 2))
    prediction = 0.6 * target + random.normal(size=(200, 2)) + 0.2
    found = ccc(torch.tensor(prediction), torch.tensor(target)).numpy()
    np.testing.assert_allclose(found, [ccc_of_measures(prediction[:, k], target[:, k]) for k in range(2)], rtol=1e-6)


def test_loss_is_zero_for_the_perfect_answer_and_grows_with_error():
    faces = smile_or_frown(16)
    votes, target = torch.tensor(faces.votes), torch.tensor(faces.affect)
    logits = torch.log(votes + 1e-9)
    perfect = float(loss_of(logits, target, votes, target))
    assert abs(perfect) < 1e-4
    assert float(loss_of(logits, -target, votes, target)) > 1.0
    assert float(loss_of(-logits, target, votes, target)) > 1.0


def test_learning_rate_warms_up_and_falls():
    rates = [learning_rate(step, 200, 1.0) for step in range(200)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 0.02


def trainer(folder, *, epochs, lessons=None, seed=0):
    config = TrainConfig(epochs=epochs, batch=16, bf16=False, ema=0.8, seed=seed)
    torch.manual_seed(seed)
    return Trainer(folder, smile_or_frown(128), smile_or_frown(32, seed=9), config, FaceModel(TINY), lessons=lessons)


def test_training_learns_smiles_and_a_resumed_run_equals_an_unbroken_one(tmp_path):
    whole = trainer(tmp_path / "whole", epochs=8)
    assert whole.run() > 0.6
    first = trainer(tmp_path / "broken", epochs=8)
    for _ in range(5):
        first.run_epoch()
    first.save("last.safetensors")
    second = trainer(tmp_path / "broken", epochs=8)
    assert second.resume()
    second.run()
    for name, value in whole.average.state_dict().items():
        torch.testing.assert_close(second.average.state_dict()[name], value, rtol=0, atol=0)
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_weighted_ccc_counts_a_face_as_often_as_its_weight():
    random = np.random.default_rng(0)
    target = random.normal(size=(60, 2))
    prediction = 0.6 * target + random.normal(size=(60, 2))
    weight = random.integers(1, 4, 60)
    repeated = [np.repeat(values, weight, axis=0) for values in (prediction, target)]
    expected = [ccc_of_measures(repeated[0][:, k], repeated[1][:, k]) for k in range(2)]
    np.testing.assert_allclose(weighted_ccc(prediction, target, weight.astype(float)), expected, rtol=1e-9)


def test_rare_faces_are_drawn_more_often_and_strangers_by_their_share():
    faces = smile_or_frown(40)
    votes = faces.votes.copy()
    votes[:32] = np.eye(8, dtype=np.float32)[0]
    votes[32:] = np.eye(8, dtype=np.float32)[1]
    named = FaceSet(faces.images, votes, votes_to_affect(votes))
    odds = odds_of(named, 0.25)
    assert odds.sum() == pytest.approx(1.0)
    assert odds[-1] / odds[0] == pytest.approx(2.0)  # sqrt(32 / 8)
    both = odds_of(with_strangers(named, faces.images[:10]), 0.25)
    assert both.sum() == pytest.approx(1.0)
    assert both[40:].sum() == pytest.approx(0.25)


def test_faces_without_votes_do_not_count_in_the_loss_of_votes():
    faces = smile_or_frown(8)
    whole = with_strangers(faces, faces.images[:4])
    logits, affect = torch.randn(12, 8), torch.randn(12, 2)
    taught = loss_of(logits, affect, torch.tensor(whole.votes), torch.tensor(whole.affect))
    alone = loss_of(logits[:8], affect[:8], torch.tensor(faces.votes), torch.tensor(faces.affect))
    torch.testing.assert_close(taught, alone)


def test_validate_states_how_far_a_view_moves_valence():
    model, faces = FaceModel(TINY), smile_or_frown(16)
    crops = np.stack([plain(image) for image in faces.images])
    found = validate(model, {"plain": crops, "same": crops, "mirrored": crops[:, :, ::-1].copy()}, faces)
    assert found["plain_moved"] == found["same_moved"] == 0.0
    assert found["mirrored_moved"] > 0.0


def _weight(graph: bytes) -> np.ndarray:
    import onnx

    found = {one.name: one for one in onnx.load_from_string(graph).graph.initializer}
    return onnx.numpy_helper.to_array(found["stem.0.weight"])


@pytest.mark.needs_onnx
def test_a_student_starts_as_the_exported_encoder_and_learns_its_mirrored_mean(tmp_path):
    from recipes.face_encoder.export import blend, load_model, to_onnx

    first = trainer(tmp_path / "teacher", epochs=3)
    first.run()
    graph = to_onnx(load_model(tmp_path / "teacher" / "last.safetensors").encoder)
    encode = evaluation.encoder_of(evaluation.session_of(graph))
    faces = smile_or_frown(128)
    crops = np.stack([plain(image) for image in faces.images])
    taught = lessons(faces.images, encode)
    mean = (encode(crops) + encode(np.stack([plain(image[:, ::-1].copy()) for image in faces.images]))) / 2
    np.testing.assert_allclose(taught, mean, rtol=1e-5, atol=1e-5)
    trainer(tmp_path / "other", epochs=1, seed=1).run()
    other = to_onnx(load_model(tmp_path / "other" / "last.safetensors").encoder)
    np.testing.assert_array_equal(_weight(blend(graph, other, 0.0)), _weight(graph))
    np.testing.assert_allclose(
        _weight(blend(graph, other, 0.25)), 0.75 * _weight(graph) + 0.25 * _weight(other), rtol=1e-5
    )
    second = trainer(tmp_path / "student", epochs=4, lessons=taught)
    student = second.loop.network
    start_from(student.encoder, graph, crops)
    with torch.no_grad():
        np.testing.assert_allclose(student.describe(torch.from_numpy(crops)).numpy(), encode(crops), atol=1e-3)
    before = student.encoder.scale.running_var.clone()
    second.run()
    torch.testing.assert_close(student.encoder.scale.running_var, before)  # the scale is the teacher's


def test_heads_fit_descriptors_that_state_the_votes():
    faces = smile_or_frown(64)
    model = FaceModel(TINY)
    descriptors = np.repeat(faces.affect[:, :1], 8, axis=1).astype(np.float32)
    fit_heads(model.heads.eval(), descriptors, faces)
    affect = model.heads(torch.from_numpy(descriptors))[1].detach()
    assert float((affect - torch.from_numpy(faces.affect)).abs().max()) < 0.1


@pytest.mark.needs_onnx
def test_exported_encoder_equals_torch_and_is_scored(tmp_path):
    from recipes.face_encoder.export import heads_of, load_model, to_onnx

    run = trainer(tmp_path, epochs=8)
    run.run()
    model = load_model(tmp_path / "best.safetensors")
    data = to_onnx(model.encoder)  # compares with torch at three batch sizes
    session = evaluation.session_of(data)
    faces = smile_or_frown(24, seed=5)
    encode = evaluation.encoder_of(session, batch=7)
    crops = np.stack([plain(image) for image in faces.images])
    descriptors, heads = encode(crops), heads_of(model)
    assert descriptors.shape == (24, 8)
    with torch.no_grad():
        logits, affect = model(torch.from_numpy(crops))
    np.testing.assert_allclose(evaluation.affect_of(descriptors, heads), affect.numpy(), atol=1e-4)
    np.testing.assert_allclose(evaluation.emotions_of(descriptors, heads), logits.softmax(1).numpy(), atol=1e-4)
    result = evaluation.evaluate(encode, heads, faces)
    assert set(result["disturbed"]) == set(evaluation.DISTURBANCES)
    assert set(evaluation.BAR_NAMES) <= set(evaluation.DISTURBANCES)
    assert result["ccc"]["valence"] > 0.5
    low, high = result["ccc_interval_95"]["valence"]
    assert low <= result["ccc"]["valence"] <= high
    assert result["disturbed"]["warm light"]["loss_valence"] < 0.05
    json.dumps(result)
    views = describe(faces, encode, views=2)
    assert views.shape == (24, 4, 8)
    assert describe(faces, encode, views=2, apart=True).shape == (24, 4 + APART, 8)
    assert {rows.shape for rows in describe_hindered(faces, encode).values()} == {(24, 8)}
    assert views.dtype == np.float16
    np.testing.assert_allclose(views[:, 0], descriptors, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(views, describe(faces, encode, views=2))
    assert not np.array_equal(views[:, 2], views[:, 3])

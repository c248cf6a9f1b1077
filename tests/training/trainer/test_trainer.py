"""What the loop promises beside learning: averaged weights, the best epoch kept, an early stop, a log, a way back."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from edgeaff.errors import ArgumentError
from edgeaff.training.features.cache import Features
from edgeaff.training.models import find_system
from edgeaff.training.trainer.checkpoint import load_run
from edgeaff.training.trainer.checks import check_splits
from edgeaff.training.trainer.config import TrainConfig
from edgeaff.training.trainer.run_log import draw_curves
from edgeaff.training.trainer.trainer import Trainer, TrainingData, predict, update_average

pytestmark = pytest.mark.needs_torch
SIZES = {"video_size": 6, "audio_size": 5, "size": 16, "num_heads": 2, "ffn_size": 16, "layers": 1, "band": 20}


def _track(seed, ticks=220, split="train"):
    rng = np.random.default_rng(seed)
    labels = np.cumsum(rng.standard_normal((ticks, 2)), axis=0)
    labels = 0.6 * np.tanh((labels - labels.mean(axis=0)) / labels.std(axis=0)).astype(np.float32)
    inputs = (
        labels @ np.random.default_rng(99).standard_normal((2, 11)) + 0.3 * rng.standard_normal((ticks, 11))
    ).astype("f4")
    return Features(f"t{seed}", split, inputs[:, :6], inputs[:, 6:], np.ones((ticks, 2), dtype=bool), labels)


def _trainer(folder, **changes):
    values = {"system": "edge", "sizes": SIZES, "loss": "flattened_ccc", "learning_rate": 5e-3, "batch": 4, "epochs": 3}
    config = TrainConfig(**{**values, **changes})
    return Trainer(
        find_system("edge"), config, TrainingData([_track(i) for i in range(3)], [_track(10), _track(11, 150)]), folder
    )


def test_averaged_weights_are_the_exponential_mean_and_buffers_are_the_newest():
    torch.manual_seed(0)
    module, average = (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)) for _ in range(2))
    average.load_state_dict(module.state_dict())
    expected = module[0].weight.detach().clone()
    for step in range(5):
        with torch.no_grad():
            module[0].weight.add_(step + 1.0)
        module(torch.randn(8, 2))
        update_average(average, module, 0.9)
        expected = 0.9 * expected + 0.1 * module[0].weight.detach()
    torch.testing.assert_close(average[0].weight, expected)
    assert torch.equal(average[1].running_mean, module[1].running_mean)
    assert not torch.equal(average[1].running_mean, torch.zeros(3))


def test_the_average_is_what_is_validated_and_kept(tmp_path):
    trainer = _trainer(tmp_path, average=0.99, epochs=1)
    trainer.run()
    _, kept, _ = load_run(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), trainer.average.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(kept.parameters(), trainer.module.parameters(), strict=True))


def test_a_short_run_does_not_keep_the_random_weights_it_began_with(tmp_path):
    best = _trainer(tmp_path, average=0.999, epochs=12, learning_rate=2e-2).run()
    assert best > 0.5


def _scores(trainer, values):
    """Lets validation answer these mean CCCs one after the other; the weights of each epoch are noted."""
    answers, weights = iter(values), []

    def validate():
        weights.append(trainer.chosen.dense.weight.detach().clone())
        value = next(answers)
        return {"ccc_valence": value, "ccc_arousal": value, "ccc_mean": value}

    trainer._validate = validate
    return weights


def test_the_best_epoch_on_validation_is_kept(tmp_path):
    trainer = _trainer(tmp_path, epochs=5)
    weights = _scores(trainer, [0.1, 0.5, 0.3, 0.5, 0.4])
    assert trainer.run() == 0.5
    _, kept, run = load_run(tmp_path)
    assert run["epoch"] == trainer.best_epoch == 1  # the first of equals
    assert torch.equal(kept.dense.weight, weights[1])
    assert run["scores"]["ccc_mean"] == 0.5


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 8)])
def test_it_stops_when_patience_ends(tmp_path, patience, epochs):
    trainer = _trainer(tmp_path, epochs=20, patience=patience, steps_per_epoch=1)
    _scores(trainer, [0.1, 0.2, 0.1, 0.15, 0.3, 0.1, 0.2, 0.29, 0.1, 0.1, 0.1, 0.1])
    trainer.run()
    assert trainer.epoch == epochs
    again = _trainer(tmp_path, epochs=20, patience=patience, steps_per_epoch=1)
    _scores(again, [])
    assert again.run() == trainer.best  # a finished run is finished


def test_mixed_precision_learns_and_validates_in_full(tmp_path):
    trainer = _trainer(tmp_path, amp=True, epochs=14, learning_rate=2e-2)
    seen = []
    trainer.module.dense.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    assert trainer.run() > 0.5
    assert set(seen) == {torch.bfloat16, torch.float32}  # in training, in validation
    assert all(value.dtype == torch.float32 for value in trainer.module.parameters())


def test_mixed_precision_resumes_to_the_same_bits(tmp_path):
    _trainer(tmp_path / "whole", amp=True).run()
    _trainer(tmp_path / "killed", amp=True).run(stop_after_epochs=1)
    _trainer(tmp_path / "killed", amp=True).run()
    for name in ("best.safetensors", "last-3.safetensors", "last.json", "log.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()


def test_a_run_killed_between_epochs_logs_no_epoch_twice(tmp_path):
    trainer = _trainer(tmp_path)
    trainer.run(stop_after_epochs=2)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("2,0.1\n")  # as written by an epoch whose state never reached the disk
    _trainer(tmp_path).run()
    with (tmp_path / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]


def test_the_log_is_csv_tensorboard_and_curves(tmp_path):
    rows = []
    _trainer(tmp_path, epochs=2).run(on_epoch=rows.append)
    assert [row["epoch"] for row in rows] == [0, 1]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([row["loss"] for row in rows], rel=1e-6)
    assert json.loads((tmp_path / "config.json").read_text())["system"] == "edge"


def test_curves_show_every_epoch(tmp_path):
    rows = [
        {"epoch": i, "loss": 1.0 / (i + 1), "ccc_valence": 0.1 * i, "ccc_arousal": 0.05 * i, "ccc_mean": 0.07 * i}
        for i in range(4)
    ]
    draw_curves(tmp_path / "a.png", rows, 3)
    draw_curves(tmp_path / "b.png", rows[:2], 1)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_a_run_is_rebuilt_from_its_checkpoint_alone(tmp_path):
    trainer = _trainer(tmp_path, epochs=1)
    trainer.run()
    system, module, run = load_run(tmp_path / "best.safetensors")
    assert (system.name, run["config"]["sizes"], module.training) == ("edge", SIZES, False)
    track = _track(12)
    np.testing.assert_array_equal(predict(module, system, track), predict(trainer.module.eval(), system, track))


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(ArgumentError, match="run must be a folder with best.safetensors"):
        load_run(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(b"nothing")
    with pytest.raises(ArgumentError, match="must be written by edgeaff train"):
        load_run(tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    trainer = _trainer(tmp_path)
    with torch.no_grad():
        trainer.module.dense.bias.fill_(math.nan)
    with pytest.raises(ArgumentError, match="Training diverged: loss is nan in epoch"):
        trainer.run()
    assert not (tmp_path / "best.safetensors").exists()


def test_sizes_follow_the_features_where_the_configuration_reports_it():
    track = _track(0)
    config = TrainConfig.from_dict({"system": "transformer_av", "follow_features": True, "sizes": {"size": 64}})
    assert config.fitted(track).sizes == {"video_size": 6, "audio_size": 5, "size": 64}
    assert TrainConfig(system="transformer_a", follow_features=True).fitted(track).sizes == {"audio_size": 5}
    assert TrainConfig(system="transformer_av").fitted(track).sizes == {}


@pytest.mark.parametrize(
    ("train", "valid", "words"),
    [
        ([], [_track(1)], "must hold train tracks"),
        ([_track(1)], [], "must hold valid tracks"),
        ([_track(1)], [_track(1)], "share no video, got t1"),
    ],
)
def test_splits_are_looked_at_first(train, valid, words):
    with pytest.raises(ArgumentError, match=words):
        check_splits(train, valid)


def test_labels_that_are_missing_or_constant_are_named():
    track, other = _track(1), _track(2)
    track.labels[:] = -5.0
    with pytest.raises(ArgumentError, match="train tracks must be annotated, got 0 annotated ticks"):
        check_splits([track], [other])
    track.labels[:] = 0.25
    with pytest.raises(ArgumentError, match="labels of the train tracks must vary"):
        check_splits([track], [other])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batch": 0}, "batch must be in 1"),
        ({"batch": 2.5}, "batch must be of type int"),
        ({"amp": 1}, "amp must be of type bool"),
        ({"learning_rate": 0.0}, "learning_rate must be in"),
        ({"average": 1.5}, "average must be in 0..1"),
        ({"system": "edgy"}, "system must be one of"),
    ],
)
def test_values_of_the_configuration_are_checked(values, words):
    with pytest.raises(ArgumentError, match=words):
        TrainConfig.from_dict(values)

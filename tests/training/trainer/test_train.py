"""The loop: learns, resumes to the bit, keeps the best, stops early; the cache goes on where it was killed."""

import numpy as np
import pytest
import torch

from edgeaff import measures
from edgeaff.errors import ArgumentError, SpecMismatchError
from edgeaff.spec import PreprocessSpec
from edgeaff.training.features.cache import FeatureCache, Features
from edgeaff.training.models import find_system
from edgeaff.training.models.edge import Edge, EdgeConfig
from edgeaff.training.models.transformer import AudioVideoTransformer, TransformerConfig
from edgeaff.training.trainer.metrics import summary
from edgeaff.training.trainer.trainer import TrainConfig, Trainer, TrainingData, predict, system_inputs

pytestmark = pytest.mark.needs_torch
SIZES = {"video_size": 6, "audio_size": 5, "size": 16, "num_heads": 2, "ffn_size": 16, "layers": 1}
FAST = {"learning_rate": 5e-3, "loss": "flattened_ccc", "batch": 4, "epochs": 6, "clip": 1.0, "average": 0.9}


def _track(seed, ticks=260, split="train"):
    rng = np.random.default_rng(seed)
    labels = np.cumsum(rng.standard_normal((ticks, 2)), axis=0)
    labels = 0.6 * np.tanh((labels - labels.mean(axis=0)) / labels.std(axis=0)).astype(np.float32)
    mixing = np.random.default_rng(99).standard_normal((2, 11))
    inputs = (labels @ mixing + 0.3 * rng.standard_normal((ticks, 11))).astype(np.float32)
    labels[::17] = -5.0
    return Features(f"t{seed}", split, inputs[:, :6], inputs[:, 6:], np.ones((ticks, 2), dtype=bool), labels)


def _trainer(folder, system="transformer_av", seed=0, **changes):
    torch.manual_seed(seed)
    if system == "edge":
        module = Edge(EdgeConfig(**SIZES, band=30))
    else:
        module = AudioVideoTransformer(TransformerConfig(**SIZES))
    config = TrainConfig(system=system, seed=seed, **{**FAST, **changes})
    return Trainer(
        find_system(system), config, TrainingData([_track(i) for i in range(4)], [_track(10)]), folder, module=module
    )


@pytest.mark.parametrize("system", ["transformer_av", "edge"])
def test_training_learns(tmp_path, system):
    trainer = _trainer(tmp_path, system, epochs=12, learning_rate=1e-2, average=0.0)
    assert trainer.run() > 0.6
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert log[0].startswith("epoch,loss,ccc_valence")
    assert len(log) == 13
    assert (tmp_path / "best.safetensors").exists()


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    _trainer(whole).run()
    first = _trainer(killed)
    first.run(stop_after_epochs=2)
    del first
    _trainer(killed, seed=0).run(stop_after_epochs=1)
    _trainer(killed).run()
    one, two = ((folder / "log.csv").read_text() for folder in (whole, killed))
    assert one == two
    assert sorted(p.name for p in whole.iterdir()) == sorted(p.name for p in killed.iterdir())
    for name in ("best.safetensors", "last-6.safetensors", "last.json"):
        assert (whole / name).read_bytes() == (killed / name).read_bytes()


def test_a_run_is_not_resumed_with_another_config(tmp_path):
    _trainer(tmp_path).run(stop_after_epochs=1)
    with pytest.raises(ArgumentError, match="config must be that of the run"):
        _trainer(tmp_path, batch=5).run()


def test_it_stops_when_validation_does_not_improve(tmp_path):
    trainer = _trainer(tmp_path, epochs=50, patience=2, learning_rate=1e-9, average=0.0)
    trainer.run()
    assert trainer.epoch < 50


def test_config_names_unknown_keys():
    assert TrainConfig.from_dict({"system": "edge", "batch": 8}).batch == 8
    with pytest.raises(ArgumentError, match="learning_rat"):
        TrainConfig.from_dict({"learning_rat": 1})
    with pytest.raises(ArgumentError, match="loss must be one of"):
        TrainConfig.from_dict({"loss": "mse"})


@pytest.mark.parametrize("ticks", [7, 100, 230])
def test_prediction_covers_every_tick_once(ticks):
    class Echo(torch.nn.Module):
        def forward(self, video, audio):
            return video[..., :2]

    track = _track(3, ticks)
    clipped = np.clip(track.video[:, :2], -1, 1)
    np.testing.assert_array_equal(predict(Echo(), find_system("transformer_av"), track), clipped)


def test_lost_ticks_are_zeros_and_absent():
    track, keep = _track(4, 20), np.ones((20, 2), dtype=bool)
    keep[5:, 0] = False
    inputs = system_inputs(find_system("edge"), track, slice(0, 20), keep)
    assert (inputs["video"][5:] == 0).all()
    assert (inputs["video"][:5] == track.video[:5]).all()
    assert inputs["present"][:, 0].sum() == 5
    with pytest.raises(ArgumentError, match="which wants images"):
        system_inputs(find_system("nisl_v"), track, slice(0, 2))


def test_summary_is_over_annotated_frames_of_all_videos():
    tracks = [_track(1), _track(2)]
    predictions = [np.clip(track.labels + 0.1, -1, 1) for track in tracks]
    result = summary(predictions, [track.labels for track in tracks])
    keep = [(np.abs(track.labels) <= 1).all(axis=1) for track in tracks]
    joined = [
        np.concatenate([a[k, 0] for a, k in zip(arrays, keep, strict=True)])
        for arrays in (predictions, [t.labels for t in tracks])
    ]
    assert result["ccc_valence"] == pytest.approx(measures.ccc(*joined))
    assert result["ccc_mean"] == pytest.approx((result["ccc_valence"] + result["ccc_arousal"]) / 2)


def test_killed_extraction_goes_on_without_redoing(tmp_path):
    names, made = ["t0", "t1", "t2"], []

    def extract(name, killed=False):
        if killed and name == "t1":
            (tmp_path / ".t1.123.npz").write_bytes(b"half of a file")
            raise KeyboardInterrupt
        made.append(name)
        return _track(int(name[1:]))

    cache = FeatureCache(tmp_path, PreprocessSpec(), encoder_id="made-up")
    with pytest.raises(KeyboardInterrupt):
        cache.fill(names, lambda name: extract(name, killed=True))
    again = FeatureCache(tmp_path, PreprocessSpec(), encoder_id="made-up")
    assert again.missing(names) == ["t1", "t2"]
    assert again.fill(names, extract) == 2
    assert made == ["t0", "t1", "t2"]
    assert [track.name for track in again.read_all("train")] == names
    np.testing.assert_array_equal(again.read("t1").video, _track(1).video)
    assert again.read_all("valid") == []


def test_a_cache_of_another_preprocessing_is_refused(tmp_path):
    FeatureCache(tmp_path, PreprocessSpec(), encoder_id="a")
    with pytest.raises(SpecMismatchError, match="use another folder"):
        FeatureCache(tmp_path, PreprocessSpec(crop_margin=1.5), encoder_id="a")
    with pytest.raises(SpecMismatchError, match="use another folder"):
        FeatureCache(tmp_path, PreprocessSpec(), encoder_id="b")

"""Fig. 4: exact shares, the collapse without the modality that carries the value, and its repair by modality dropout."""

import json

import numpy as np
import pytest
import torch

from edgeaff.errors import ArgumentError
from edgeaff.training.features.cache import Features
from edgeaff.training.models import find_system
from edgeaff.training.models.transformer import AudioVideoTransformer, SingleTransformer, TransformerConfig
from edgeaff.training.studies import fig4
from edgeaff.training.studies.fig4 import AblationPlan, Windows, ablate, kept_ticks, write_report
from edgeaff.training.trainer import sequences
from edgeaff.training.trainer.trainer import TrainConfig, Trainer, TrainingData, predict, validate

pytestmark = pytest.mark.needs_torch
SIZES = {"video_size": 8, "audio_size": 8, "size": 32, "num_heads": 4, "ffn_size": 64, "layers": 1}


@pytest.mark.parametrize("way", ["frames", "block"])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("ticks", [1, 7, 100])
def test_kept_ticks_are_exact(way, share, ticks):
    keep = kept_ticks(np.random.default_rng(0), ticks, share, way)
    assert keep.sum() == round(share * ticks)
    if way == "block":
        assert np.abs(np.diff(np.r_[1, keep.astype(int), 1])).sum() <= 2


def test_an_unknown_way_is_refused():
    with pytest.raises(ArgumentError, match="way must be"):
        kept_ticks(np.random.default_rng(0), 5, 0.5, "pixels")


def _world(seed, count, split="train", ticks=300):
    """Tracks where video shows valence clearly and arousal fairly, and audio reports arousal."""
    mixing = np.random.default_rng(42)
    to_video, to_audio = mixing.standard_normal((2, 8)), mixing.standard_normal((2, 8))
    rng = np.random.default_rng(seed)
    tracks = []
    for index in range(count):
        walk = np.zeros((ticks, 2))
        for tick in range(1, ticks):
            walk[tick] = 0.97 * walk[tick - 1] + 0.1 * rng.standard_normal(2)
        labels = np.tanh(walk).astype(np.float32)
        video = labels * [1.0, 0.7] @ to_video + 0.8 * rng.standard_normal((ticks, 8))
        audio = labels * [0.15, 1.0] @ to_audio + 1.0 * rng.standard_normal((ticks, 8))
        there = np.ones((ticks, 2), dtype=bool)
        tracks.append(
            Features(f"{split}{index}", split, video.astype(np.float32), audio.astype(np.float32), there, labels)
        )
    return tracks


def _trained(folder, system="transformer_av", *, residual=False, dropout=0.0, epochs=60):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = TransformerConfig(**SIZES, dropout=0.0, residual=residual)
    module = AudioVideoTransformer(config) if system == "transformer_av" else SingleTransformer(8, config)
    recipe = TrainConfig(
        system=system,
        loss="flattened_ccc",
        learning_rate=3e-3,
        batch=8,
        epochs=epochs,
        patience=epochs,
        clip=1.0,
        warmup_share=0.1,
        modality_dropout=dropout,
    )
    trainer = Trainer(
        find_system(system), recipe, TrainingData(_world(1, 24), _world(2, 6, "valid")), folder, module=module
    )
    trainer.run()
    return trainer.module


@pytest.mark.parametrize("name", ["transformer_av", "transformer_a", "edge"])
def test_masked_windows_give_what_predict_gives(name):
    torch.manual_seed(0)
    sizes = {"size": 16, "ffn_size": 16, "layers": 1, "num_heads": 2, "video_size": 8, "audio_size": 8}
    system = find_system(name)
    module = system.build(sizes=sizes).eval()
    tracks = [*_world(5, 2, ticks=230), *_world(6, 1, ticks=40), *_world(7, 1, ticks=100)]
    rng = np.random.default_rng(1)
    windows = Windows(system, tracks, batch=3)
    for _ in range(2):
        keeps = [rng.random((len(track.labels), 2)) > 0.4 for track in tracks]
        for track, keep, got in zip(tracks, keeps, windows.predict(module, keeps), strict=True):
            np.testing.assert_allclose(got, predict(module, system, track, keep), atol=2e-6)


def test_report_is_written(tmp_path):
    torch.manual_seed(0)
    module = AudioVideoTransformer(TransformerConfig(**SIZES))
    points = ablate(
        module, find_system("transformer_av"), _world(3, 1, ticks=120), "audio", AblationPlan((0.0, 0.5), 2)
    )
    assert [(point.share, point.repeats) for point in points] == [(0.0, 1), (0.5, 2)]
    write_report(tmp_path, {"untrained": points})
    assert len(json.loads((tmp_path / "fig4.json").read_text())["points"]) == 2
    assert "untrained | audio (frames) | 0.50" in (tmp_path / "fig4.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_trends_of_the_paper_on_a_made_up_world(tmp_path):
    test = _world(3, 8, "test")
    single = {}
    for name in ("transformer_a", "transformer_v"):
        single[name] = validate(_trained(tmp_path / name, name), find_system(name), test)
    system = find_system("transformer_av")
    strict = _trained(tmp_path / "strict")
    both = validate(strict, system, test)
    assert single["transformer_v"]["ccc_valence"] > single["transformer_a"]["ccc_valence"] + 0.3
    assert both["ccc_arousal"] > max(result["ccc_arousal"] for result in single.values()) + 0.03
    assert both["ccc_valence"] > single["transformer_v"]["ccc_valence"] - 0.01
    curve = {point.share: point for point in ablate(strict, system, test, "video", AblationPlan(repeats=3))}
    assert curve[0.0].ccc_valence < 0.15
    assert curve[0.0].ccc_valence < curve[0.5].ccc_valence < curve[1.0].ccc_valence
    robust = _trained(tmp_path / "robust", residual=True, dropout=0.2, epochs=200)
    kept = {point.share: point for point in ablate(robust, system, test, "video", AblationPlan(repeats=3))}
    assert kept[0.25].ccc_valence > curve[0.25].ccc_valence + 0.2
    assert kept[1.0].ccc_valence > curve[1.0].ccc_valence - 0.02


def _stream(ticks=333):
    rng = np.random.default_rng(3)
    wide = rng.standard_normal((2, ticks, 8)).astype(np.float32)
    labels = rng.uniform(-0.9, 0.9, (ticks, 2)).astype(np.float32)
    return Features("t", "test", wide[0], wide[1], rng.random((ticks, 2)) > 0.2, labels)


def test_a_long_stream_is_predicted_in_pieces_that_fit_into_memory(monkeypatch):
    """A real track has up to 47,434 frames, and the full form takes memory by the square of the ticks."""
    torch.manual_seed(0)
    system, track = find_system("edge"), _stream()
    module = system.build(sizes={"video_size": 8, "audio_size": 8, "size": 16, "ffn_size": 16, "band": 10}).eval()
    assert module.reach_ticks == 3 * 9
    whole = predict(module, system, track)
    keep = np.random.default_rng(1).random((len(track.labels), 2)) > 0.3
    lost = predict(module, system, track, keep)
    longest = []
    monkeypatch.setattr(sequences, "STREAM_TICKS", 50)
    module.register_forward_pre_hook(
        lambda _, arguments, words: longest.append(words["video"].shape[1]), with_kwargs=True
    )
    np.testing.assert_allclose(predict(module, system, track), whole, atol=1e-6)
    assert max(longest) == 50 + 27 and len(longest) == 7
    windows = Windows(system, [track], reach_ticks=module.reach_ticks)
    np.testing.assert_allclose(windows.predict(module, [keep])[0], lost, atol=1e-6)
    assert [window[2] - window[1] for window in sequences.windows_of(system, 333, 26)] == [50] * 6 + [33]
    # one tick of context less is one too few
    monkeypatch.setattr(type(module), "reach_ticks", 26)
    assert np.abs(predict(module, system, track) - whole).max() > 1e-6


def test_inputs_beyond_the_room_are_made_again(monkeypatch):
    torch.manual_seed(0)
    system, tracks = find_system("transformer_av"), _world(5, 3, ticks=250)
    module = AudioVideoTransformer(TransformerConfig(**SIZES)).eval()
    keeps = [np.random.default_rng(i).random((250, 2)) > 0.5 for i in range(3)]
    expected = Windows(system, tracks).predict(module, keeps)
    monkeypatch.setattr(fig4, "KEPT_BYTES", 20_000)
    windows = Windows(system, tracks, batch=2)
    for _ in range(2):
        for got, wanted in zip(windows.predict(module, keeps), expected, strict=True):
            np.testing.assert_allclose(got, wanted, atol=2e-6)
    assert 0 < len(windows._kept) < len(windows._batches)

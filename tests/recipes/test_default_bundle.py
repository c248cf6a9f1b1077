"""The recipe of the tail: trajectories, gaps, targets, sessions, and a table whose intervals hold what they say."""

import numpy as np
import pytest
import torch

from edgeaff.errors import ArgumentError
from edgeaff.inference import Uncertainty
from edgeaff.spec import PreprocessSpec
from edgeaff.training.models.edge import EdgeConfig
from recipes.default_bundle.calibrate import GRID, Errors, fit_table, interval_coverage
from recipes.default_bundle.data import FaceBank, Prepared, PseudoCorpus, gaps, trailing_share
from recipes.default_bundle.fit import FitConfig, evaluate, fit
from recipes.default_bundle.prepare import is_held_out
from recipes.default_bundle.sessions import (
    VoiceSession,
    affect_trajectory,
    load_sessions,
    make_session,
    save_sessions,
)
from recipes.default_bundle.voices import CORPORA, Clip, active_level_db, load_clips

pytestmark = pytest.mark.needs_torch


def _voice(rng, arousal, seconds=0.7):
    """A made-up voice: harmonics of a pitch that rises with arousal."""
    times = np.arange(int(16_000 * seconds)) / 16_000
    pitch = 120.0 + 80.0 * arousal
    tone = sum(np.sin(2 * np.pi * pitch * k * times + rng.uniform(0, 6)) / k for k in range(1, 12))
    samples = (0.05 * tone * np.hanning(len(times))).astype(np.float32)
    return Clip(
        samples, "JL-Corpus", "made_up", "anger" if arousal > 0 else "sadness", np.array([0.0, arousal], np.float32)
    )


def _prepared(rng, ticks=120):
    trajectory = affect_trajectory(rng, ticks)
    audio = rng.standard_normal((ticks, 65)).astype(np.float32)
    audio[:, :3] += 3 * trajectory[:, 1:]
    there = np.ones(ticks, dtype=bool)
    return Prepared(VoiceSession(audio, there, trajectory, there, trajectory, "EmoDB", "x"), audio, 1.0)


def _faces(rng, count=300, size=8):
    affect = np.stack([rng.uniform(-0.7, 0.8, count), rng.uniform(-0.4, 0.8, count)], axis=1).astype(np.float32)
    center = affect @ rng.standard_normal((2, size)) * 2
    return FaceBank((center[:, None] + 0.3 * rng.standard_normal((count, 3, size))).astype(np.float16), affect)


def test_trajectory_stays_on_the_circumplex_and_is_slow():
    values = affect_trajectory(np.random.default_rng(0), 3000)
    assert values.shape == (3000, 2)
    assert (np.abs(values) <= 0.8).all()
    assert values.std(axis=0).min() > 0.1
    assert np.abs(np.diff(values, axis=0)).mean() < 0.1 * values.std()


def test_trailing_share_counts_ticks_before_the_first_as_missing():
    flags = np.array([True, True, False, True, True])
    assert trailing_share(flags, 4).tolist() == [0.25, 0.5, 0.5, 0.75, 0.75]


def test_gaps_cover_all_rates():
    rng = np.random.default_rng(1)
    shares = np.array([gaps(rng, 200).mean() for _ in range(300)])
    assert shares.min() < 0.2
    assert (shares == 1.0).any()


def test_session_labels_lie_on_the_audio_that_the_model_gets():
    rng = np.random.default_rng(2)
    spec = PreprocessSpec()
    clips = [_voice(rng, arousal) for arousal in (-0.3, 0.6)]
    session = make_session(rng, clips, spec, seconds=4.0, clean=True)
    loud = session.lld[:, 8] > 0.3 * session.lld[:, 8].max()
    assert session.present.sum() > 100
    assert loud[session.speaking].mean() > 0.4
    assert not loud[~session.speaking].any()
    voiced = session.speaking & (session.lld[:, 0] > 0)
    low, high = (session.lld[voiced & (session.voice[:, 1] == value), 0] for value in np.float32([-0.3, 0.6]))
    if len(low) and len(high):
        assert np.median(low) < 120 < np.median(high)


def test_sessions_survive_the_cache(tmp_path):
    rng = np.random.default_rng(3)
    sessions = [make_session(rng, [_voice(rng, 0.5)], PreprocessSpec(), seconds=seconds) for seconds in (0.5, 1.5)]
    save_sessions(tmp_path / "s.npz", sessions)
    for before, after in zip(sessions, load_sessions(tmp_path / "s.npz"), strict=True):
        np.testing.assert_array_equal(before.lld, after.lld)
        np.testing.assert_array_equal(before.voice, after.voice)
        assert (before.corpus, before.speaker) == (after.corpus, after.speaker)


def test_target_follows_what_is_there():
    rng = np.random.default_rng(4)
    corpus = PseudoCorpus([_prepared(rng)], _faces(rng), rng, mode_shares=(0.0, 0.5, 0.5, 0.0), augment=False)
    batch = corpus.batch(16, 100)
    heard, seen = batch.group == 1, batch.group == 2
    assert heard.any() and seen.any()
    late = slice(60, 100)
    assert (batch.present[heard][..., 0] == 0).all()
    assert (batch.present[seen][..., 1] == 0).all()
    valid = batch.valid[heard][:, late]
    assert np.abs(batch.target[heard][:, late] - batch.voice[heard][:, late])[valid].max() < 0.05
    assert np.abs(batch.target[seen][:, late] - batch.face[seen][:, late])[batch.valid[seen][:, late]].mean() < 0.2


def test_fit_learns_both_modalities():
    rng = np.random.default_rng(5)
    sessions, faces = [_prepared(rng) for _ in range(20)], _faces(rng)
    held = [PseudoCorpus(sessions, faces, np.random.default_rng(9), augment=False).batch(24, 60)]
    config = EdgeConfig(video_size=8, size=16, ffn_size=16, layers=1, band=30, dropout=0.0)
    torch.set_num_threads(1)
    model = fit(
        PseudoCorpus(sessions, faces, rng),
        FitConfig(minutes=1.5, steps=70, batch=12, ticks=60, learning_rate=8e-3),
        config,
    )
    result = evaluate(model, held)
    assert result["video_valence"] > 0.7
    assert result["audio_arousal"] > 0.6
    assert abs(result["audio_valence"]) < 0.4


def test_table_states_intervals_that_hold():
    rng = np.random.default_rng(6)

    def errors(count):
        video, audio = rng.random(count), rng.random(count)
        std = 0.1 + 0.3 * (1 - video) + 0.05 * (1 - audio)
        error = np.stack([std, 0.5 * std], axis=1) * rng.standard_normal((count, 2))
        return Errors(error, 0.4 * rng.standard_normal((count, 2)), video, audio)

    table = fit_table(errors(20_000))
    assert np.shape(table["valence_std"]) == (len(GRID), len(GRID))
    assert table["valence_std"][0][0] > table["valence_std"][-1][-1]
    assert table["valence_std"][-1][-1] == pytest.approx(0.1, abs=0.03)
    held = interval_coverage(table, errors(20_000))
    for name in ("valence", "arousal"):
        assert 0.935 <= held[f"{name}_95"] <= 0.965
        assert 0.64 <= held[f"{name}_68"] <= 0.72


def test_table_borrows_from_the_nearest_coverage_that_was_seen():
    rng = np.random.default_rng(7)
    error = 0.2 * rng.standard_normal((2000, 2))
    table = fit_table(Errors(error, 0.4 * rng.standard_normal((2000, 2)), np.ones(2000), np.ones(2000)))
    assert np.ptp(table["valence_std"]) == 0
    assert table["abstain_above_std"] > table["audio_only_valence_max_std"]


@pytest.mark.needs_shared
@pytest.mark.needs_media
def test_voices_at_hand_are_read_and_speakers_are_disjoint(shared):
    clips = load_clips(shared)
    counts = {corpus: sum(clip.corpus == corpus for clip in clips) for corpus in CORPORA}
    assert counts == {"EmoDB": 535, "CREMA-D": 176, "JL-Corpus": 469, "EmoGator": 767}
    held = {clip.speaker for clip in clips if is_held_out(clip)}
    kept = {clip.speaker for clip in clips if not is_held_out(clip)}
    assert held and not held & kept
    assert all(np.abs(clip.affect).max() <= 1 for clip in clips)
    assert -60 < active_level_db(clips[0].samples) < 0


def test_intervals_hold_what_they_say_where_errors_have_long_tails():
    rng = np.random.default_rng(3)

    def errors(count):
        video, audio = rng.random(count), rng.random(count)
        scale = (0.3 - 0.2 * video)[:, None] * np.array([1.0, 1.3])
        return Errors(scale * rng.standard_t(2.5, (count, 2)), rng.uniform(-1, 1, (count, 2)), video, audio)

    table, fresh = fit_table(errors(40_000)), errors(40_000)
    shares = interval_coverage(table, fresh)
    for name in ("valence", "arousal"):
        assert shares[f"{name}_68"] == pytest.approx(0.6827, abs=0.015)
        assert shares[f"{name}_95"] == pytest.approx(0.95, abs=0.01)
        assert shares[f"{name}_one_std"] > 0.75  # the reason for its own table
    stated = Uncertainty(table)
    assert stated.half_widths(0.5, 0.5) == pytest.approx([1.959964 * std for std in stated.std(0.5, 0.5)])
    assert all(a < b for a, b in zip(stated.half_widths(0.5, 0.5, percent=68), stated.std(0.5, 0.5), strict=True))
    with pytest.raises(ArgumentError, match="percent must be 68 or 95"):
        stated.half_widths(0.5, 0.5, percent=90)
    del table["valence_half_68"], table["arousal_half_68"]
    with pytest.raises(ArgumentError, match="95 with this bundle"):
        Uncertainty(table).half_widths(0.5, 0.5, percent=68)

"""Fixed and adaptive normalization of LLD rows."""

import json

import numpy as np
import pytest

from edgeaff.errors import ArgumentError
from edgeaff.features.normalize import (
    AdaptiveNormalizer,
    FixedNormalizer,
    lld_statistics,
    make_normalizer,
)
from edgeaff.spec import PreprocessSpec, paper_spec

MEAN = np.linspace(-3, 5, 65)
STD = np.linspace(0.5, 4, 65)


def rows_like(mean, std, count, seed=0, voiced=1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = mean + std * rng.standard_normal((count, 65))
    rows[:, 8] = rng.uniform(0.01, 0.3, count)
    rows[:, 0] = np.abs(rows[:, 0]) + 60
    silent = rng.random(count) >= voiced
    rows[silent, 0] = 0
    rows[silent, 2:5] = 0
    rows[silent, 5] = -100
    return rows.astype(np.float32)


def run(normalizer, rows) -> np.ndarray:
    return np.array([normalizer.update_and_normalize(row) for row in rows])


def test_fixed_is_the_plain_z_score():
    rows = rows_like(MEAN, STD, 20, voiced=0.5)
    np.testing.assert_allclose(run(FixedNormalizer(MEAN, STD), rows), (rows - MEAN) / STD, rtol=1e-5, atol=1e-6)


def test_adaptive_starts_at_the_fixed_statistics():
    row = rows_like(MEAN, STD, 1)[0]
    row[8] = 0.0005  # below the gate: no update
    statistics = AdaptiveNormalizer(MEAN, STD)
    expected = np.clip((row - MEAN) / STD, -8, 8)
    np.testing.assert_allclose(statistics.update_and_normalize(row), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(statistics.statistics.mean, MEAN)
    np.testing.assert_allclose(statistics.statistics.std, STD)


def test_adaptive_follows_the_audio():
    target_mean, target_std = MEAN + 10, 2 * STD
    rows = rows_like(target_mean, target_std, 30 * 600)
    normalizer = AdaptiveNormalizer(MEAN, STD)
    out = run(normalizer, rows)[-30 * 300 :]
    others = [column for column in range(65) if column not in (0, 8)]
    assert (
        np.abs(out[:, others].mean(axis=0)).max() < 1.5
    )  # of 10 at the start; 3 s of 13 stay with the fixed statistics
    assert np.abs(out[-30 * 60 :, others].mean(axis=0)).max() < np.abs(out[: 30 * 60, others].mean(axis=0)).max()


def test_adaptive_learns_the_mean_of_everything_so_far():
    rows = rows_like(MEAN, STD, 40).astype(np.float64)
    normalizer = AdaptiveNormalizer(MEAN, STD, 600.0, 1.5, 10.0, step_seconds=0.25)
    run(normalizer, rows)
    weights, prior = np.full(40, 0.25), 1.5
    total = weights.sum() + prior
    mean = (weights @ rows + prior * MEAN) / total
    variance = (weights @ (rows - mean) ** 2 + prior * (STD**2 + (MEAN - mean) ** 2)) / total
    np.testing.assert_allclose(normalizer.statistics.mean, mean, rtol=1e-10)
    np.testing.assert_allclose(normalizer.statistics.std, np.sqrt(variance), rtol=1e-10)


def test_half_life_is_the_time_after_which_half_is_forgotten_once_learned():
    normalizer = AdaptiveNormalizer(np.zeros(65), np.ones(65), 60.0, 3.0, 1 / 60)  # nothing is learned at once
    run(normalizer, np.tile(np.ones(65), (30 * 60, 1)))
    np.testing.assert_allclose(normalizer.statistics.mean[1], 0.5, rtol=1e-3)


def test_minutes_of_one_mood_hardly_move_the_statistics_once_learned():
    normalizer = AdaptiveNormalizer(MEAN, STD)
    run(normalizer, rows_like(MEAN, STD, 30 * 15))
    before = normalizer.statistics.mean
    run(normalizer, rows_like(MEAN + STD, STD, 30 * 120, seed=1))
    moved = np.delete((normalizer.statistics.mean - before) / STD, [0, 8])
    assert moved.max() < 0.2


def test_silence_does_not_enter_the_statistics():
    normalizer = AdaptiveNormalizer(MEAN, STD, silence_gate_rms=0.01)
    run(normalizer, rows_like(MEAN, STD, 50))
    before = normalizer.statistics
    quiet = rows_like(MEAN + 100, STD, 500, seed=1)
    quiet[:, 8] = 0.01
    run(normalizer, quiet)
    np.testing.assert_array_equal(normalizer.statistics.mean, before.mean)


def test_unvoiced_rows_hold_constants_and_do_not_enter_coded_columns():
    rows = rows_like(MEAN, STD, 300, voiced=0.4)
    mixed = rows_like(MEAN, STD, 300, voiced=0.4)
    voiced = rows[:, 0] > 0
    alone, together = AdaptiveNormalizer(MEAN, STD), AdaptiveNormalizer(MEAN, STD)
    run(alone, rows[voiced])
    out = run(together, mixed)
    coded = [0, 2, 3, 4, 5]
    np.testing.assert_array_equal(together.statistics.mean[coded], alone.statistics.mean[coded])
    np.testing.assert_array_equal(out[~voiced][:, coded], np.tile([-2.0, 0, 0, 0, -2.0], ((~voiced).sum(), 1)))
    assert together.statistics.mean[1] != alone.statistics.mean[1]


def test_row_with_mixed_in_code_counts_as_unvoiced_for_log_hnr():
    normalizer = AdaptiveNormalizer(MEAN, STD)
    row = rows_like(MEAN, STD, 1)[0]
    row[5] = -27.0
    out = normalizer.update_and_normalize(row)
    assert out[5] == -2.0
    assert out[0] != -2.0
    np.testing.assert_allclose(normalizer.statistics.mean[5], MEAN[5])


def test_constant_audio_does_not_blow_up():
    normalizer = AdaptiveNormalizer(MEAN, STD)
    row = rows_like(MEAN, STD, 1)[0]
    held = run(normalizer, np.tile(row, (20_000, 1)))[-1]
    assert (normalizer.statistics.std >= 0.1 * STD - 1e-12).all()
    changed = row + 0.01 * STD.astype(np.float32)
    changed[8] = row[8]
    assert np.abs(normalizer.update_and_normalize(changed) - held).max() < 0.2


def test_outliers_are_clipped():
    out = AdaptiveNormalizer(MEAN, STD, prior_seconds=1000.0).update_and_normalize(np.full(65, 1e6))
    np.testing.assert_array_equal(out[6:], 8)


def test_reset_goes_back_to_the_start():
    rows = rows_like(MEAN, STD, 60, voiced=0.7)
    normalizer = AdaptiveNormalizer(MEAN, STD)
    first = run(normalizer, rows)
    normalizer.reset()
    np.testing.assert_array_equal(run(normalizer, rows), first)


def test_statistics_of_a_set():
    rows = rows_like(MEAN, STD, 4_000, voiced=0.5)
    rows[:500, 8] = 0.0
    plain = lld_statistics(rows, paper_spec())
    np.testing.assert_allclose(plain.mean, rows.astype(np.float64).mean(axis=0), rtol=1e-12)
    adaptive = lld_statistics(rows, PreprocessSpec())
    voiced = (rows[:, 0] > 0) & (rows[:, 8] > 0.001)
    np.testing.assert_allclose(adaptive.mean[0], rows[voiced, 0].astype(np.float64).mean(), rtol=1e-12)
    np.testing.assert_allclose(adaptive.std[1], rows[500:, 1].astype(np.float64).std(), rtol=1e-12)


def test_factory_follows_the_spec():
    rows = rows_like(MEAN, STD, 500, voiced=0.5)
    spec = PreprocessSpec(
        adaptive_half_life_seconds=7.0, adaptive_prior_seconds=2.0, silence_gate_rms=0.05, adaptive_learning_seconds=4.0
    )
    statistics = lld_statistics(rows, spec)
    made = make_normalizer(spec, statistics)
    by_hand = AdaptiveNormalizer(*statistics, 7.0, 2.0, 4.0, 0.05, step_seconds=1 / 30)
    np.testing.assert_array_equal(run(made, rows), run(by_hand, rows))
    assert isinstance(make_normalizer(paper_spec(), statistics), FixedNormalizer)
    from_manifest = make_normalizer(spec, json.loads(json.dumps(statistics.to_dict())))
    by_hand.reset()
    np.testing.assert_array_equal(run(from_manifest, rows), run(by_hand, rows))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: FixedNormalizer(MEAN[:64], STD), "mean must be"),
        (lambda: FixedNormalizer(MEAN, STD * np.nan), "std must be"),
        (lambda: AdaptiveNormalizer(MEAN, 0 * STD), "std must be positive"),
        (lambda: AdaptiveNormalizer(MEAN, STD, half_life_seconds=0.0), "half_life_seconds must be positive"),
        (lambda: AdaptiveNormalizer(MEAN, STD, prior_seconds=np.inf), "prior_seconds must be positive"),
        (lambda: AdaptiveNormalizer(MEAN, STD).update_and_normalize(MEAN[None]), "row must have shape"),
        (lambda: AdaptiveNormalizer(MEAN, STD).update_and_normalize(np.full(65, np.nan)), "row must be finite"),
        (lambda: make_normalizer(PreprocessSpec(), {"mean": [0.0]}), "statistics must have lld_mean"),
        (lambda: lld_statistics(np.zeros((0, 65)), PreprocessSpec()), "rows must have shape"),
        (lambda: lld_statistics(np.zeros((9, 65)), PreprocessSpec()), "rows must have values"),
    ],
)
def test_wrong_arguments_raise(call, match):
    with pytest.raises(ArgumentError, match=match):
        call()

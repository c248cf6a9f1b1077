"""Closed forms, an independent formula, and the daggers of the paper's Table 1."""

import numpy as np
import pytest

from edgeaff import measures
from edgeaff.errors import ArgumentError

# Paper, Table 1: (CCC valence, CCC arousal); frames of the test set (facts of the public track list).
TABLE1_RNN_V = (0.379, 0.481)
TABLE1_RNN_AV = (0.344, 0.506)
TABLE1_TRANSFORMER_V = (0.381, 0.489)
TABLE1_TRANSFORMER_AV = (0.396, 0.525)
TEST_FRAMES = 727_987
VALIDATION_FRAMES = 346_229


def _pair(seed=0, count=1000, correlation=0.6):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(count)
    return correlation * x + np.sqrt(1 - correlation**2) * rng.standard_normal(count), x


def test_ccc_identical_is_one_and_negated_is_minus_one():
    x = np.linspace(-1, 1, 101)
    assert measures.ccc(x, x) == pytest.approx(1.0, abs=1e-15)
    assert measures.ccc(-x, x) == pytest.approx(-1.0, abs=1e-15)


@pytest.mark.parametrize("shift", [-0.3, 0.1, 2.0])
def test_ccc_of_a_shift_has_its_closed_form(shift):
    _, y = _pair()
    variance = y.var()
    assert measures.ccc(y + shift, y) == pytest.approx(2 * variance / (2 * variance + shift**2), abs=1e-12)


@pytest.mark.parametrize("scale", [0.5, 2.0, -1.5])
def test_ccc_of_a_scale_has_its_closed_form(scale):
    y = _pair()[1]
    y = y - y.mean()
    assert measures.ccc(scale * y, y) == pytest.approx(2 * scale / (1 + scale**2), abs=1e-12)


@pytest.mark.parametrize("count", [2, 7, 100, 4999])
def test_ccc_equals_the_form_by_pearson_and_deviations(count):
    x, y = _pair(seed=count, count=count)
    x = 0.7 * x + 0.2
    r = np.corrcoef(x, y)[0, 1]
    expected = 2 * r * x.std() * y.std() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert measures.ccc(x, y) == pytest.approx(expected, abs=1e-12)
    assert measures.pearson(x, y) == pytest.approx(r, abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1])
def test_ccc_with_a_constant_side_is_zero(constant):
    x = np.linspace(-1, 1, 10)
    flat = np.full(10, constant)
    assert measures.ccc(flat, x) == 0.0
    assert measures.ccc(x, flat) == 0.0
    assert measures.ccc(flat, flat) == 0.0
    assert measures.pearson(flat, x) == 0.0


def test_ccc_in_float32_input_is_computed_in_float64():
    x, y = _pair(count=5000)
    x32, y32 = (x + 1000).astype(np.float32), (y + 1000).astype(np.float32)
    assert measures.ccc(x32, y32) == pytest.approx(measures.ccc(x32.astype(float), y32.astype(float)), abs=1e-15)


def test_masked_frames_never_enter():
    x, y = _pair(count=50)
    mask = np.arange(50) % 3 != 0
    spoiled = np.where(mask, x, 1e9)
    assert measures.ccc(spoiled, y, mask) == pytest.approx(measures.ccc(x[mask], y[mask]), abs=1e-15)
    assert measures.rmse(np.where(mask, x, np.nan), y, mask) == pytest.approx(measures.rmse(x[mask], y[mask]))


def test_nothing_valid_gives_zero_or_nan():
    x = np.zeros(4)
    nothing = np.zeros(4, dtype=bool)
    assert measures.ccc(x, x, nothing) == 0.0
    assert np.isnan(measures.rmse(x, x, nothing))
    assert np.isnan(measures.sign_agreement(x, x, nothing))


def test_wrong_shapes_and_nan_are_refused():
    with pytest.raises(ArgumentError, match="prediction must have the shape of target"):
        measures.ccc(np.zeros(3), np.zeros(4))
    with pytest.raises(ArgumentError, match="mask must have the shape"):
        measures.ccc(np.zeros(3), np.zeros(3), np.ones(2, dtype=bool))
    with pytest.raises(ArgumentError, match="finite"):
        measures.ccc(np.array([0.0, np.nan]), np.zeros(2))


def test_rmse_and_sign_agreement_by_hand():
    assert measures.rmse([0.0, 1.0], [0.0, 0.0]) == pytest.approx(np.sqrt(0.5))
    assert measures.sign_agreement([-0.1, 0.2, 0.0, -0.5], [-0.9, 0.1, 0.3, 0.4]) == pytest.approx(0.75)


def test_annotated_knows_minus_five_and_nan():
    labels = np.array([[0.1, 0.2], [-5, -5], [0.3, -5], [np.nan, 0.0], [1.0, -1.0]])
    assert measures.annotated(labels).tolist() == [True, False, False, False, True]
    assert measures.annotated([0.0, -5.0, 1.0]).tolist() == [True, False, True]


def test_concatenated_and_per_video_differ_and_skip_unannotated():
    x, y = _pair(count=60)
    y = np.clip(y / 4, -1, 1)
    labels = [y[:20], np.where(np.arange(40) % 2, y[20:], -5.0), np.full(3, -5.0)]
    predictions = [x[:20], x[20:] + 0.5, np.zeros(3)]
    keep = np.arange(40) % 2 == 1
    joined = measures.ccc(np.r_[x[:20], (x[20:] + 0.5)[keep]], np.r_[y[:20], y[20:][keep]])
    assert measures.concatenated(predictions, labels) == pytest.approx(joined, abs=1e-15)
    mean = (measures.ccc(x[:20], y[:20]) + measures.ccc((x[20:] + 0.5)[keep], y[20:][keep])) / 2
    assert measures.per_video(predictions, labels) == pytest.approx(mean, abs=1e-15)
    assert mean != pytest.approx(joined, abs=1e-3)


@pytest.mark.parametrize("frames", [TEST_FRAMES, VALIDATION_FRAMES])
def test_fisher_z_reproduces_the_daggers_of_table_1(frames):
    def dagger(first, second):
        return measures.fisher_z_test(first, second, count=frames).significant

    # Each transformer against the RNN of the same input. A dagger: arousal of (V), valence and arousal of (A+V).
    assert [dagger(*pair) for pair in zip(TABLE1_TRANSFORMER_V, TABLE1_RNN_V, strict=True)] == [False, True]
    assert [dagger(*pair) for pair in zip(TABLE1_TRANSFORMER_AV, TABLE1_RNN_AV, strict=True)] == [True, True]


def test_fisher_z_statistics_on_the_test_set():
    def statistic(first, second):
        return measures.fisher_z_test(first, second, count=TEST_FRAMES).z

    assert statistic(TABLE1_TRANSFORMER_V[0], TABLE1_RNN_V[0]) == pytest.approx(1.41, abs=0.005)
    assert statistic(TABLE1_TRANSFORMER_V[1], TABLE1_RNN_V[1]) == pytest.approx(6.31, abs=0.005)
    assert statistic(TABLE1_TRANSFORMER_AV[0], TABLE1_RNN_AV[0]) == pytest.approx(36.4, abs=0.05)
    assert statistic(TABLE1_TRANSFORMER_AV[1], TABLE1_RNN_AV[1]) == pytest.approx(15.6, abs=0.05)


def test_fisher_z_with_videos_as_count_finds_nothing():
    best = measures.fisher_z_test(TABLE1_TRANSFORMER_AV[0], TABLE1_RNN_AV[0], count=138)
    assert not best.significant
    assert abs(best.z) == pytest.approx(0.5, abs=0.05)


def test_fisher_z_refuses_what_has_no_answer():
    with pytest.raises(ArgumentError, match="first must be a correlation"):
        measures.fisher_z_test(1.0, 0.2, count=10)
    with pytest.raises(ArgumentError, match="at least 4"):
        measures.fisher_z_test(0.1, 0.2, count=3)


def test_bootstrap_interval_covers_the_truth():
    # 60 simulated data sets of 30 videos with known CCC 0.6; the 90 % interval must cover it about 54 times.
    rng = np.random.default_rng(5)
    inside = 0
    for repeat in range(60):
        y = [rng.standard_normal(40) * 0.2 for _ in range(30)]
        x = [0.6 * video + 0.8 * 0.2 * rng.standard_normal(40) for video in y]
        interval = measures.bootstrap(x, y, repeats=200, confidence=0.9, seed=repeat)
        inside += interval.low <= 0.6 <= interval.high
    assert 47 <= inside <= 59


def test_bootstrap_is_deterministic_and_contains_its_estimate():
    x, y = _pair(count=200)
    y = np.clip(y / 4, -1, 1)
    videos = [x[i : i + 20] for i in range(0, 200, 20)], [y[i : i + 20] for i in range(0, 200, 20)]
    first, second = (measures.bootstrap(*videos, repeats=100, seed=3) for _ in range(2))
    assert first == second
    assert first.low <= first.estimate <= first.high
    with pytest.raises(ArgumentError, match="at least one annotated frame"):
        measures.bootstrap([np.zeros(3)], [np.full(3, -5.0)])


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"confidence": 95}, {"confidence": 0.0}])
def test_bootstrap_refuses_what_gives_no_interval(wrong):
    with pytest.raises(ArgumentError, match="repeats must be at least 1 and confidence in"):
        measures.bootstrap([np.zeros(3)], [np.zeros(3)], **wrong)


def test_error_falls_with_the_share_where_standard_deviations_are_true():
    random = np.random.default_rng(0)
    std, target = random.uniform(0.05, 0.6, 4000), random.uniform(-1, 1, 4000)
    prediction = target + std * random.standard_normal(4000)
    points = measures.risk_coverage(prediction, target, std)
    assert [point.answered for point in points] == [k / 10 for k in range(1, 11)]
    assert points[0].rmse < 0.5 * points[-1].rmse
    assert points[0].ccc > points[-1].ccc
    assert points[-1].rmse == measures.rmse(prediction, target)
    assert points[-1].most_std == std.max()
    shuffled = measures.risk_coverage(prediction, target, random.permutation(std))
    assert shuffled[0].rmse == pytest.approx(shuffled[-1].rmse, rel=0.2)


def test_a_curve_leaves_out_what_is_not_annotated_and_answers_at_least_one():
    target, std = np.array([0.1, -5.0, 0.3]), np.array([0.2, np.nan, 0.1])
    mask = np.array([True, False, True])
    (point,) = measures.risk_coverage(np.array([0.1, np.nan, 0.5]), target, std, shares=(0.01,), mask=mask)
    assert (point.answered, point.most_std) == (0.5, 0.1)
    assert point.rmse == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("std", "shares", "message"),
    [
        ([0.1, -0.1], (1.0,), "std must be 0 or more"),
        ([0.1, 0.1], (0.0,), "shares must be in"),
        ([0.1, 0.1], (1.1,), "shares must be in"),
        ([0.1], (1.0,), "must have the shape"),
    ],
)
def test_a_curve_of_wrong_input_is_an_error(std, shares, message):
    with pytest.raises(ArgumentError, match=message):
        measures.risk_coverage([0.0, 0.1], [0.0, 0.2], std, shares=shares)

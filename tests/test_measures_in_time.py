"""Lagged agreement and synchrony, against direct sums, SciPy-free twins and the calibration of the test under chance."""

import numpy as np
import pytest

from edgeaff import measures
from edgeaff.errors import ArgumentError


def _moving(rng, count, keep=0.97, scale=0.2):
    noise = rng.standard_normal(count) * scale * np.sqrt(1 - keep**2)
    values = np.empty(count)
    values[0] = rng.standard_normal() * scale
    for index in range(1, count):
        values[index] = keep * values[index - 1] + noise[index]
    return np.clip(values, -1, 1)


@pytest.mark.parametrize("lag", [-20, -1, 0, 1, 13, 30])
def test_lagged_ccc_finds_the_lag_that_was_made(lag):
    values = _moving(np.random.default_rng(1), 700)
    prediction, target = values[50:550], values[50 - lag : 550 - lag]  # what is predicted now is annotated lag later
    found = measures.lagged_ccc([prediction], [target], most_lag_seconds=1.0, rate_hz=30.0)
    assert found.lag_seconds == pytest.approx(lag / 30)
    assert found.value == pytest.approx(1.0)
    assert len(found.values) == len(found.lags_seconds) == 61


def test_lagged_ccc_at_every_lag_is_the_ccc_of_the_shifted_videos():
    rng = np.random.default_rng(2)
    x, y = [_moving(rng, 90), _moving(rng, 41)], [_moving(rng, 90), _moving(rng, 41)]
    y[0][10:20] = -5.0
    found = measures.lagged_ccc(x, y, most_lag_seconds=0.2, rate_hz=25.0)
    for lag, value in zip(range(-5, 6), found.values, strict=True):
        pairs = [
            (one[t], other[t + lag])
            for one, other in zip(x, y, strict=True)
            for t in range(len(one))
            if 0 <= t + lag < len(other) and other[t + lag] >= -1
        ]
        a, b = np.array(pairs).T
        assert value == pytest.approx(2 * np.cov(a, b, ddof=0)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2))


def test_lagged_ccc_of_the_whole_equals_concatenated_at_lag_zero():
    rng = np.random.default_rng(3)
    x, y = [_moving(rng, 200)], [_moving(rng, 200)]
    found = measures.lagged_ccc(x, y, most_lag_seconds=0.5)
    assert found.values[len(found.values) // 2] == measures.concatenated(x, y)


def test_synchrony_at_every_lag_is_the_direct_circular_correlation():
    rng = np.random.default_rng(4)
    x, y = _moving(rng, 101, 0.5), _moving(rng, 101, 0.5)
    x[7:12], y[50] = np.nan, -5.0
    direct = []
    for lag in range(-6, 7):
        moved = np.roll(y, -lag)
        both = (np.abs(x) <= 1) & (np.abs(moved) <= 1)
        direct.append(np.corrcoef(x[both], moved[both])[0, 1])
    found = measures.synchrony(x, y, most_lag_seconds=6.0, rate_hz=1.0)
    assert found.value == pytest.approx(max(direct), abs=1e-12)
    assert found.lag_seconds == pytest.approx(int(np.argmax(direct)) - 6)


def test_synchrony_counts_its_surrogates_as_a_plain_loop_does():
    rng = np.random.default_rng(5)
    count, most = 160, 4
    x, y = _moving(rng, count, 0.8), _moving(rng, count, 0.8)
    best = [max(np.corrcoef(x, np.roll(y, -(s + lag)))[0, 1] for lag in range(-most, most + 1)) for s in range(count)]
    surrogates = best[3 * most : count - 3 * most + 1]
    found = measures.synchrony(x, y, most_lag_seconds=4.0, rate_hz=1.0)
    assert found.surrogates == len(surrogates)
    assert found.p_value == pytest.approx((1 + sum(value >= best[0] for value in surrogates)) / (1 + len(surrogates)))
    assert found.surrogate_95 == pytest.approx(np.quantile(surrogates, 0.95))


def test_synchrony_is_significant_where_one_follows_the_other():
    rng = np.random.default_rng(6)
    shared = _moving(rng, 3700)
    first, second = shared[60:3660], shared[:3600] + 0.1 * _moving(rng, 3600)
    found = measures.synchrony(first, np.clip(second, -1, 1))
    assert found.lag_seconds == pytest.approx(2.0, abs=0.1)  # second[t] = first[t - 60]
    assert found.p_value < 0.01 and found.value > found.surrogate_95


def test_synchrony_of_strangers_is_as_rare_as_its_level_states():
    rng = np.random.default_rng(7)
    values = [
        measures.synchrony(_moving(rng, 1200, 0.9), _moving(rng, 1200, 0.9), most_lag_seconds=1.0, rate_hz=30.0).p_value
        for _ in range(200)
    ]
    assert 0.01 <= np.mean(np.array(values) <= 0.05) <= 0.10  # 0.05 expected, standard error 0.015
    assert 0.4 <= np.mean(np.array(values) <= 0.5) <= 0.6


def test_synchrony_of_a_constant_is_zero_and_never_significant():
    found = measures.synchrony(
        np.full(400, 0.3), _moving(np.random.default_rng(8), 400), most_lag_seconds=1, rate_hz=10
    )
    assert found.value == 0.0 and found.p_value == 1.0


@pytest.mark.parametrize(
    ("arguments", "options", "what"),
    [
        ((np.zeros(50), np.zeros(51)), {"most_lag_seconds": 0.1}, "shape"),
        ((np.zeros(50), np.zeros(50)), {}, "at least 2400"),
        ((np.zeros(50), np.zeros(50)), {"most_lag_seconds": 0.0}, "positive"),
        ((np.zeros(50), np.zeros(50)), {"most_lag_seconds": 0.01}, "1 / rate_hz"),
    ],
)
def test_synchrony_names_what_is_wrong(arguments, options, what):
    with pytest.raises(ArgumentError, match=what):
        measures.synchrony(*arguments, **options)


def test_lagged_ccc_names_what_is_wrong():
    with pytest.raises(ArgumentError, match="longer than"):
        measures.lagged_ccc([np.zeros(20)], [np.zeros(20)], most_lag_seconds=1.0)
    with pytest.raises(ArgumentError, match="as many videos"):
        measures.lagged_ccc([np.zeros(90)], [], most_lag_seconds=1.0)

"""What is usual: its rule in plain cases, and both twins to the byte."""

import numpy as np
import pytest

from edgeaff.ops import people as native
from edgeaff.people.usual import BINS, KEEP, UsualValue

pytestmark = pytest.mark.needs_native


def _values(seed, count=4000):
    random = np.random.default_rng(seed)
    return np.clip(random.normal(random.uniform(-0.8, 0.8), 0.3, count), -1, 1).tolist()


@pytest.mark.parametrize("seed", range(4))
def test_twins_agree_to_the_byte(seed):
    start = np.random.default_rng(seed).uniform(0, 50, BINS).tolist() if seed else [0.0] * BINS
    twin, core = UsualValue(start), native.UsualValue(start)
    for number, value in enumerate([*_values(seed), -1.0, 1.0, 0.0]):
        assert twin.relative(value) == core.relative(value)
        twin.push(value)
        core.push(value)
        if number % 97 == 0:
            assert (twin.center, twin.scale, twin.seconds) == (core.center, core.scale, core.seconds)
    assert twin.weights == core.weights
    assert native.UsualValue(core.weights).relative(0.5) == core.relative(0.5)


def test_nothing_is_relative_in_the_first_ten_seconds():
    usual = native.UsualValue()
    given = []
    for _ in range(330):
        given.append(usual.relative(0.4))
        usual.push(0.4)
    assert given[:300] == [None] * 300 and all(value is not None for value in given[305:])


def test_the_level_grows_from_zero_to_the_median():
    usual, centers = native.UsualValue(), []
    for value in np.random.default_rng(1).normal(0.4, 0.05, 9000):
        usual.push(float(value))
        centers.append(usual.center)
    assert centers[299] == pytest.approx(0.4 * 10 / 40, abs=0.02)  # 10 s of evidence against 30 s of prior
    assert centers[-1] == pytest.approx(0.4 * usual.seconds / (usual.seconds + 30), abs=0.01)


def test_a_tenth_of_outliers_moves_the_level_little():
    plain, spoiled = native.UsualValue(), native.UsualValue()
    random = np.random.default_rng(2)
    for value in random.normal(0.1, 0.1, 6000):
        plain.push(float(value))
        spoiled.push(-1.0 if random.random() < 0.1 else float(value))
    assert spoiled.center == pytest.approx(plain.center, abs=0.03)


def test_half_of_the_weight_is_gone_after_ten_minutes():
    assert pytest.approx(0.5) == KEEP**18000
    usual = native.UsualValue()
    for _ in range(3000):
        usual.push(-0.5)
    for _ in range(18000):
        usual.push(0.5)
    weights = np.array(usual.weights)
    assert weights[16] == pytest.approx(0.5 * (1 - KEEP**3000) / (1 - KEEP))
    assert usual.center == pytest.approx(0.48, abs=0.05)


def test_a_value_of_nowhere_is_cut():
    for made in (native.UsualValue, UsualValue):
        usual = made()
        usual.push(7.0)
        usual.push(-7.0)
        assert (usual.weights[0], usual.weights[-1]) == (1.0, KEEP)

"""Change points: false alarms and misses on streams of other seeds than those that the constants were chosen on, and both twins."""

import numpy as np
import pytest

from edgeaff.ops import people as native
from edgeaff.people.changes import ChangeDetector
from tests.people.streams import SECOND, pts_of, smoothed, wandering

pytestmark = pytest.mark.needs_native
NOISE = [(0.03, 0.6), (0.05, 1.5), (0.08, 1.0), (0.1, 0.6)]


def _found(values, detector=None):
    detector = detector or native.ChangeDetector()
    pushed = ((index, detector.push(pts_of(index), float(value))) for index, value in enumerate(values))
    return [(index, change) for index, change in pushed if change is not None]


@pytest.mark.parametrize("seed", range(4))
def test_twins_agree_to_the_byte(seed):
    random = np.random.default_rng(seed)
    twin, core = ChangeDetector(), native.ChangeDetector()
    values = wandering(random, 120, std=0.15, tau_seconds=1.0) + np.repeat(random.uniform(-0.6, 0.6, 12), 300)
    pts_ns, answers = 0, 0
    for value in np.clip(values, -1, 1):
        pts_ns += SECOND // 30 if random.random() > 0.003 else int(random.choice([-SECOND, SECOND, 3 * SECOND]))
        expected, found = twin.push(pts_ns, float(value)), core.push(pts_ns, float(value))
        assert expected == found
        answers += found is not None
    assert twin.noise == core.noise and answers > 3


@pytest.mark.parametrize(("std", "tau_seconds"), NOISE)
def test_what_stays_raises_at_most_one_alarm_in_ten_minutes(std, tau_seconds):
    random = np.random.default_rng(100)
    found = [_found(wandering(random, 600, std=std, tau_seconds=tau_seconds)) for _ in range(4)]
    assert sum(map(len, found)) <= 4


@pytest.mark.parametrize(("std", "tau_seconds"), NOISE[:3])
@pytest.mark.parametrize("smoothing", [0.3, 0.6])
def test_steps_of_two_fifths_are_found_within_two_seconds(std, tau_seconds, smoothing):
    random, hits = np.random.default_rng(200), 0
    for number in range(40):
        sign = 1 if number % 2 else -1
        step = smoothed(sign * 0.4 * (np.arange(1200) >= 900), smoothing)
        found = _found(np.clip(wandering(random, 40, std=std, tau_seconds=tau_seconds) + step, -1, 1))
        hits += any(900 <= index <= 960 and (change.after - change.before) * sign > 0 for index, change in found)
    assert hits >= 35  # measured in benchmarks/results/people_changes.json


def test_a_change_states_its_levels_its_beginning_and_how_sure_it_is():
    quiet = 0.02 * np.sin(np.arange(1800))
    ((index, change),) = _found(np.where(np.arange(1800) < 900, -0.1, 0.5) + quiet)
    assert change.before == pytest.approx(-0.1, abs=0.02) and change.after == pytest.approx(0.5, abs=0.05)
    assert pts_of(895) <= change.began_ns <= pts_of(910) and 900 < index < 930
    assert 0.99 < change.sureness <= 1.0


def test_small_and_short_movements_are_no_change():
    values = np.zeros(1800)
    values[600:] += 0.12
    values[1200:1206] += 0.6
    assert _found(values) == []


def test_after_a_gap_the_level_is_learned_again():
    detector = native.ChangeDetector()
    for index in range(300):
        assert detector.push(pts_of(index), -0.5) is None
    assert all(detector.push(pts_of(index) + 5 * SECOND, 0.5) is None for index in range(300, 600))

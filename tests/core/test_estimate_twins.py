"""Normalizer, coverage, expected error, smoothing and ages of the native core and their Python twins: equal bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaff import inference, session
from edgeaff.features import normalize
from edgeaff.ops import core, native
from edgeaff.smoothing import Smoother
from edgeaff.spec import PreprocessSpec


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["adaptive", "fixed"]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.5, 60.0]),
    st.sampled_from([0.0, 3.0]),
)
def test_normalizers_agree(kind: str, seed: int, half_life: float, prior: float) -> None:
    rng = np.random.default_rng(seed)
    spec = PreprocessSpec(
        audio_normalization=kind,
        adaptive_half_life_seconds=half_life,
        adaptive_prior_seconds=max(prior, 1e-3),
        adaptive_learning_seconds=1.0,
    )
    statistics = {"lld_mean": rng.normal(0, 10, 65).tolist(), "lld_std": rng.uniform(0.01, 20, 65).tolist()}
    twin, ours = normalize.make_normalizer(spec, statistics), core.LldNormalizer(spec, statistics)
    for number in range(120):
        row = rng.normal(0, 30, 65).astype(np.float32)
        row[0] = 0.0 if rng.random() < 0.4 else 150.0
        row[5] = rng.choice(np.float32([-100.0, -20.0, -19.0, 10.0]))
        row[8] = rng.choice(np.float32([0.0, 0.001, 0.1]))
        assert ours.update_and_normalize(row).tobytes() == twin.update_and_normalize(row).tobytes()
        if number == 80:
            ours.reset()
            twin.reset()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), max_size=260))
def test_coverages_agree(ticks: list[bool]) -> None:
    twin, ours = inference.Coverage(), core.Coverage()
    assert [ours.push(tick) for tick in ticks] == [twin.push(tick) for tick in ticks]


step = st.tuples(st.integers(-(10**9), 10**9), st.one_of(st.none(), st.floats(-1, 1)))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([0.0, 0.3, 0.6, 60.0]), st.integers(-(2**62), 2**62), st.lists(step, max_size=60))
def test_smoothers_agree(seconds: float, start_ns: int, steps: list[tuple[int, float | None]]) -> None:
    twin, ours, pts_ns = Smoother(seconds), core.Smoother(seconds), start_ns
    for step_ns, value in steps:
        pts_ns += step_ns
        assert ours.push(pts_ns, value) == twin.push(pts_ns, value)


axis = st.lists(st.sampled_from([0.0, 0.01, 0.25, 0.3, 0.5, 0.77, 0.99, 1.0]), min_size=1, max_size=6, unique=True).map(
    sorted
)


@settings(max_examples=60, deadline=None)
@given(axis, axis, st.integers(0, 2**32 - 1))
def test_expected_errors_agree_at_every_coverage(video: list[float], audio: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    grids = {name: rng.uniform(0, 2, (len(video), len(audio))).tolist() for name in ("valence_std", "arousal_std")}
    table = {
        "video_coverage": video,
        "audio_coverage": audio,
        **grids,
        "abstain_above_std": 1.0,
        "audio_only_valence_max_std": 1.0,
    }
    twin, ours = inference.Uncertainty(table), core.Uncertainty(table)
    for a, b in rng.integers(0, 101, (40, 2)) / 100:
        assert ours.std(float(a), float(b)) == twin.std(float(a), float(b))


@settings(max_examples=300, deadline=None)
@given(
    st.integers(-(2**62), 2**61),
    st.one_of(st.integers(-(10**9), 10**10), st.integers(0, 10**7).map(lambda us: 1000 * us + 500)),
)
def test_ages_round_as_python_does(then_ns: int, age_ns: int) -> None:
    assert core.age_ms(then_ns + age_ns, then_ns) == session.age_ms(then_ns + age_ns, then_ns)


@pytest.mark.parametrize(
    "value", [0.0, -0.5, 1.0, 1.001, 1.0010001, -1.0005, 2.0, 2.1, -0.0, math.nan, math.inf, -math.inf]
)
def test_ranges_agree(value: float) -> None:
    assert native().value_in_range(value) == inference.value_in_range(value)
    assert native().std_in_range(value) == inference.std_in_range(value)

"""The standard deviations of a face's values: larger where raters and values differ more, and true after calibration."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.needs_torch


def faces(count: int, seed: int):
    """Returns faces whose first descriptor value reports whether their raters agree on happiness or vote for anything."""
    from recipes.default_bundle.spread import Seen

    random = np.random.default_rng(seed)
    clear = random.random(count) < 0.5
    descriptors = random.standard_normal((count, 6)).astype(np.float32)
    descriptors[:, 0] = np.where(clear, 2.0, -2.0)
    votes = random.dirichlet(np.full(8, 0.6), count)
    votes[clear] = np.eye(8)[1] * 0.9 + np.eye(8)[0] * 0.1
    return Seen(descriptors, np.tile(np.float32([0.6, 0.1]), (count, 1)), votes), clear


def test_spread_reports_clear_faces_from_others_and_holds_its_shares():
    from recipes.default_bundle.spread import calibrate_spread, fit_spread, honesty, stds_of

    seen, _ = faces(1500, 0)
    held, clear = faces(1500, 1)
    spread = fit_spread(seen, weight=np.ones(1500), hidden=16, steps=250)
    halves = calibrate_spread(spread, {"held": held})
    std = stds_of(spread, held)
    assert std[clear].mean() < 0.7 * std[~clear].mean()
    report = honesty(spread, held, halves)
    for dimension in ("valence", "arousal"):
        assert 0.93 <= report[dimension]["inside_95"] <= 0.98
        assert 0.64 <= report[dimension]["inside_68"] <= 0.9  # votes are eight points: shares come in steps
        assert report[dimension]["correlation"] > 0.3

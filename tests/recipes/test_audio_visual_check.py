"""Six real clips with face and voice of one actor through the whole path. They are never used in training."""

from __future__ import annotations

import numpy as np
import pytest

import edgeaff

pytestmark = [pytest.mark.slow, pytest.mark.needs_media]


def test_emotions_of_one_actor_come_out_in_order(shared):
    folder = shared / "data" / "cremad_av"
    valence, arousal = {}, {}
    for name in ("ANG", "HAP", "SAD"):
        events = [event for event in edgeaff.analyze(folder / f"1001_DFA_{name}_XX.flv") if event.valence is not None]
        valence[name] = np.mean([event.valence for event in events])
        arousal[name] = np.mean([event.arousal for event in events])
    assert valence["HAP"] > valence["ANG"] > valence["SAD"]
    assert min(arousal["ANG"], arousal["HAP"]) > arousal["SAD"]

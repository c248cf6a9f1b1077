"""The reference of `edge`, live: the window that ends with a tick, its newest row."""

import numpy as np
import pytest
import torch

from edgeaff.training.features.cache import Features
from edgeaff.training.models import find_system
from edgeaff.training.studies.edge_reference import newest_rows
from edgeaff.training.trainer.sequences import system_inputs

pytestmark = pytest.mark.needs_torch
SIZES = {"size": 16, "ffn_size": 16, "layers": 1, "num_heads": 2, "video_size": 8, "audio_size": 8}


def _track(ticks):
    rng = np.random.default_rng(0)
    video, audio = rng.standard_normal((2, ticks, 8)).astype(np.float32)
    return Features("one", "test", video, audio, np.ones((ticks, 2), bool), np.zeros((ticks, 2), np.float32))


def test_newest_rows_are_those_of_windows_that_end_there():
    torch.manual_seed(0)
    system = find_system("transformer_av")
    module, track = system.build(sizes=SIZES).eval(), _track(180)
    ticks = np.array([0, 40, 98, 99, 100, 179])
    got = newest_rows(module, system, track, ticks)
    for tick, values in zip(ticks, got, strict=True):
        inputs = system_inputs(system, track, slice(max(0, tick - 99), tick + 1))
        with torch.no_grad():
            wanted = module(**{name: torch.from_numpy(value)[None] for name, value in inputs.items()})[0, -1]
        np.testing.assert_allclose(values, np.clip(wanted.numpy(), -1, 1), atol=2e-6)


def test_the_future_changes_nothing():
    torch.manual_seed(0)
    system = find_system("transformer_av")
    module, long = system.build(sizes=SIZES).eval(), _track(180)
    short = Features("one", "test", long.video[:120], long.audio[:120], long.present[:120], long.labels[:120])
    ticks = np.arange(0, 120, 17)
    np.testing.assert_allclose(
        newest_rows(module, system, long, ticks), newest_rows(module, system, short, ticks), atol=2e-6
    )

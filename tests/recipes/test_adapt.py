"""The input layer of the face follows an encoder that was trained on; the rest of the tail does not move."""

import numpy as np
import pytest
import torch

from edgeaff.training.models.edge import Edge, EdgeConfig
from recipes.default_bundle.adapt import adapt, still
from recipes.default_bundle.data import FaceBank

pytestmark = pytest.mark.needs_torch
SIZES = EdgeConfig(video_size=6, size=8, num_heads=2, layers=1, ffn_size=8, band=5)


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads that wait for each other cost minutes on a busy machine; these networks are tiny."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def faces(count: int = 200) -> FaceBank:
    """Returns faces whose first two values are their affect, behind noise that differs from view to view."""
    random = np.random.default_rng(0)
    affect = random.uniform(-0.7, 0.7, (count, 2)).astype(np.float32)
    views = random.normal(0, 1, (count, 3, 6))
    views[:, :, :2] = affect[:, None] + random.normal(0, 0.05, (count, 3, 2))
    return FaceBank(views.astype(np.float16), affect)


def test_adapted_tail_agrees_more_and_is_steadier_while_the_rest_stays():
    torch.manual_seed(0)
    edge, bank = Edge(SIZES).eval(), faces()
    fitted = adapt(edge, bank, steps=60, batch=64)

    def error(one: Edge) -> float:
        with torch.no_grad():
            values = still(one, torch.from_numpy(bank.descriptors[:, 2].astype(np.float32))).numpy()
        return float(np.abs(values - bank.affect).mean())

    assert error(fitted) < error(edge)
    before, after = edge.state_dict(), fitted.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"video.weight", "video.bias"}


def test_adapted_tail_is_the_same_for_the_same_seed():
    torch.manual_seed(0)
    edge, bank = Edge(SIZES).eval(), faces(40)
    first, again = (adapt(edge, bank, steps=3, batch=16).video.weight for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)

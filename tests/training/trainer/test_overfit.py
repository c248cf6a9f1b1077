"""Eight sequences can be learned by heart: CCC above 0.98 within 300 steps, for each way of reading a sequence."""

import pytest
import torch

from edgeaff.training.models.edge import Edge, EdgeConfig
from edgeaff.training.models.recurrent import AudioVideoRnn
from edgeaff.training.models.transformer import AudioVideoTransformer, TransformerConfig
from edgeaff.training.trainer.losses import ccc, flattened_ccc_loss

pytestmark = pytest.mark.needs_torch
SIZES = {"video_size": 16, "audio_size": 16, "size": 32, "num_heads": 4, "ffn_size": 64, "layers": 1, "dropout": 0.0}


def _network(name):
    if name == "edge":
        return Edge(EdgeConfig(**SIZES, band=20))
    if name == "rnn":
        return AudioVideoRnn(video_size=16, audio_size=16, units=48)
    return AudioVideoTransformer(TransformerConfig(**SIZES, residual=name == "residual"))


@pytest.mark.parametrize("name", ["strict", "residual", "edge", "rnn"])
def test_eight_sequences_are_learned_by_heart(name):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    module = _network(name)
    inputs = {"video": torch.randn(8, 30, 16), "audio": torch.randn(8, 30, 16)}
    if name == "edge":
        inputs["present"] = torch.ones(8, 30, 2)
    target = 0.6 * torch.sin(torch.cumsum(0.3 * torch.randn(8, 30, 2), dim=1))
    optimizer = torch.optim.Adam(module.parameters(), lr=4e-3)
    for step in range(300):
        values = module(**inputs)
        if step % 10 == 0 and ccc(values, target).min() > 0.98:
            return
        loss = flattened_ccc_loss(values, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    assert ccc(module(**inputs), target).min() > 0.98

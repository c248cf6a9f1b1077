"""The torch system read back from a step graph is the one that was exported."""

import numpy as np
import pytest

from edgeaff.bundle import ModelBundle
from edgeaff.errors import BundleError

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_onnx]


def test_default_bundle_gives_its_golden_outputs():
    from edgeaff.export.from_onnx import read_step, require_same

    bundle = ModelBundle.load()
    edge, golden = read_step(bundle.graph_bytes("affect_step")), bundle.arrays("golden.npz")
    assert require_same(edge, golden) <= 1e-6  # measured: 0 on the machine that trained it
    golden["values"] = golden["values"] + np.float32(1e-3)
    with pytest.raises(BundleError, match="must give the golden outputs of its bundle within 1e-05"):
        require_same(edge, golden)


def test_every_weight_of_another_size_comes_back():
    import torch

    from edgeaff.export.from_onnx import read_step
    from edgeaff.export.to_onnx import export_step
    from edgeaff.training.models.edge import Edge, EdgeConfig

    torch.manual_seed(3)
    edge = Edge(EdgeConfig(video_size=12, audio_size=9, size=16, num_heads=2, ffn_size=24, layers=1, band=7)).eval()
    with torch.no_grad():
        for parameter in edge.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    again = read_step(export_step(edge))
    assert (again.config.band, again.config.layers, again.config.num_heads) == (7, 1, 2)
    for name, value in edge.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_another_graph_is_refused():
    from edgeaff.export.from_onnx import read_step

    with pytest.raises(BundleError, match="must be an edge step graph"):
        read_step(ModelBundle.load().graph_bytes("face_encoder"))

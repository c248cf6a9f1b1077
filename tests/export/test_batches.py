"""Every graph with a batch axis states what torch states, at each batch and on each engine of the processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeaff.backends import load_graph

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_onnx, pytest.mark.needs_openvino]
BATCHES = (1, 3, 16)
TICKS, SIZES = 9, {"video": 6, "audio": 5}
Made = tuple[bytes, Any, str]  # graph, torch module, name of its output


def away_from_start(module: Any, share: float = 0.2) -> Any:
    """The module with no weight and no statistic at its starting zero or one."""
    import torch

    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(share * parameter.std(correction=0).clamp(min=0.05) * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_var"):
                buffer.mul_(0.2 + 0.2 * torch.rand_like(buffer))
    return module.eval()


def make_edge_encoder() -> Made:
    import torch

    from recipes.face_encoder.export import to_onnx
    from recipes.face_encoder.model import FaceEncoder

    torch.manual_seed(2)
    encoder = away_from_start(FaceEncoder())
    return to_onnx(encoder), encoder, "descriptor"


def make_paper_encoder() -> Made:
    """VGGFace at an eighth of its width; the graph is the same but for the sizes."""
    import torch

    from edgeaff.export.paper import export_encoder
    from edgeaff.training.models.vggface import VggFace, VggFaceConfig

    torch.manual_seed(3)
    encoder = VggFace(VggFaceConfig(widths=(8, 16, 32, 64, 64), descriptor=64)).eval()
    for parameter in encoder.parameters():
        if parameter.dim() > 1:  # torch's own start lets thirteen layers forget what they see
            torch.nn.init.kaiming_normal_(parameter)
    return export_encoder(encoder)[1], encoder, "descriptor"


def make_window() -> Made:
    import torch

    from edgeaff.export.window import export_window
    from edgeaff.training.models.transformer import AudioVideoTransformer, TransformerConfig

    torch.manual_seed(1)
    sizes = {f"{name}_size": size for name, size in SIZES.items()}
    system = away_from_start(
        AudioVideoTransformer(TransformerConfig(**sizes, size=8, num_heads=2, ffn_size=8, layers=2))
    )
    return export_window(system, ticks=TICKS, batch=None), lambda *rows: system(*rows).clamp(-1, 1), "values"


@pytest.fixture(scope="module", params=[make_edge_encoder, make_paper_encoder, make_window])
def made(request: pytest.FixtureRequest) -> Made:
    return request.param()


def make_feed(output: str, batch: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(batch)
    if output == "descriptor":
        return {"face": rng.uniform(-1, 1, (batch, 3, 96, 96)).astype(np.float32)}
    rows = {name: rng.standard_normal((batch, TICKS, size)).astype(np.float32) for name, size in SIZES.items()}
    return rows | {f"{name}_mask": rng.random((batch, TICKS)) < 0.7 for name in SIZES}


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_any_batch_is_what_torch_states(made: Made, backend: str) -> None:
    import torch

    data, module, output = made
    graph = load_graph(data, backend=backend)
    for batch in BATCHES:
        feed = make_feed(output, batch)
        with torch.no_grad():
            expected = module(*(torch.from_numpy(value) for value in feed.values())).numpy()
        assert 0.01 < expected.std() < 30
        found = graph.run(feed)[output]
        scale = max(1.0, float(np.abs(expected).max()))
        # Measured: at most 3e-6.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale, err_msg=f"batch {batch}")
        assert found.shape[0] == batch and (batch == 1 or np.abs(found[0] - found[1]).max() > 1e-3)

"""The `paper` preset at small sizes: the step states what the whole window states, in a bundle that Session runs."""

import numpy as np
import pytest

from edgeaff.errors import ArgumentError

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_onnx]
SIZES = {"video_size": 6, "audio_size": 5, "size": 8, "num_heads": 2, "ffn_size": 8}


def _system(**changes):
    import torch

    from edgeaff.training.models.transformer import AudioVideoTransformer, TransformerConfig

    torch.manual_seed(1)
    system = AudioVideoTransformer(TransformerConfig(**{**SIZES, **changes})).eval()
    with torch.no_grad():
        for parameter in system.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return system


@pytest.fixture(scope="module")
def parts():
    from edgeaff.export.paper import PaperParts
    from edgeaff.training.models.vggface import VggFace, VggFaceConfig

    encoder = VggFace(VggFaceConfig(widths=(4, 4, 4, 4, 4), descriptor=6)).eval()
    return PaperParts(encoder, _system(audio_size=4096, layers=2))


@pytest.fixture(scope="module", params=["fp32", "int8"])
def bundle(request, parts, tmp_path_factory):
    from edgeaff.bundle import ModelBundle
    from edgeaff.export.paper import assemble_paper, drawn_faces

    path = tmp_path_factory.mktemp("paper") / "paper.eaff"
    assemble_paper(parts, path, precision=request.param, faces=drawn_faces(4))
    return ModelBundle.load(path)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_the_step_is_the_newest_row_of_the_window(layers, residual):
    import onnx

    from edgeaff.export.window_step import export_window_step

    step, _ = export_window_step(
        _system(layers=layers, residual=residual), ticks=7, parity_ticks=20
    )  # compares with torch
    model = onnx.load_from_string(step)
    assert [node.op_type for node in model.graph.node if node.domain == "edgeaff"] == ["CrossModalAttention"]
    assert [function.name for function in model.functions] == ["CrossModalAttention"]


def test_a_system_without_layers_is_refused():
    from edgeaff.export.window_step import export_window_step

    with pytest.raises(ArgumentError, match="at least one encoder layer"):
        export_window_step(_system(layers=0))


def test_the_bundle_states_what_torch_states(bundle):
    from edgeaff.golden import compare
    from edgeaff.inference import load_predictor

    int8 = bundle.manifest.precisions["affect_step"] == "int8"
    assert compare(bundle, load_predictor(bundle)).max_abs_difference < (0.1 if int8 else 1e-5)


def test_made_up_weights_are_named(bundle):
    assert bundle.manifest.fabricated == ("face_encoder", "affect_step")
    assert "fabricated" in bundle.manifest.model_id
    assert "FABRICATED" in bundle.manifest.provenance
    assert "FABRICATED" in bundle.manifest.intended_use


def test_session_runs_the_paper_preset(bundle):
    from edgeaff.session import Session
    from edgeaff.types import FaceBox, TrackedFace

    session = Session(bundle, threads=2)
    face = TrackedFace(track_id=1, box=FaceBox(0, 0, 96, 96), score=1.0)
    rng = np.random.default_rng(0)
    events = []
    for tick in range(40):
        now = tick * 1_000_000_000 // 30
        events += session.push_audio(rng.integers(-900, 900, 533).astype(np.int16), pts_ns=now, sample_rate_hz=16_000)
        events += session.push_face([(face, rng.integers(0, 255, (96, 96, 3), dtype=np.uint8))], pts_ns=now)
    events += session.finish()
    assert len(events) == 40
    assert all(event.valence is not None and -1 <= event.valence <= 1 for event in events[5:-2])


def test_stride_holds_values_and_loses_no_tick(bundle):
    from edgeaff.inference import load_predictor, replay

    golden = bundle.arrays("golden.npz")
    inputs = [golden[name] for name in ("video", "audio", "present")]
    every, third = (replay(load_predictor(bundle, stride=stride), *inputs)[0] for stride in (1, 3))
    np.testing.assert_allclose(third, np.repeat(every[::3], 3, axis=0)[: len(third)], atol=1e-6)


def test_stride_needs_the_graph_and_a_number(bundle):
    from edgeaff.bundle import ModelBundle
    from edgeaff.inference import load_predictor

    with pytest.raises(ArgumentError, match=r"stride must be an int in \[1, 256\], got 0"):
        load_predictor(bundle, stride=0)
    with pytest.raises(ArgumentError, match="stride must be 1 for .* it has no graph affect_append"):
        load_predictor(ModelBundle.load(), stride=2)
    with pytest.raises(ArgumentError, match=r"threads must be an int in \[1, 256\], got 'two'"):
        load_predictor(bundle, threads="two")

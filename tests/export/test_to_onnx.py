"""The exported step is one node plus its body, valid, and computes what torch computes."""

import itertools

import numpy as np
import pytest

from edgeaff.backends.engines import import_onnxruntime
from edgeaff.errors import ArgumentError

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_onnx]


def _one_node_model(given, band, shapes):
    import onnx
    from onnx import TensorProto, helper

    from edgeaff.export.onnx_function import function_body
    from edgeaff.ops.cross_modal_attention import NODE_INPUTS as INPUTS

    def kind(name):
        return TensorProto.BOOL if "mask" in name else TensorProto.FLOAT

    names = [name if name in given else "" for name in INPUTS]
    attributes = {"num_heads": 2, "band": band or 0}
    node = helper.make_node("CrossModalAttention", names, ["output"], domain="edgeaff", **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(name, kind(name), shapes[name]) for name in given],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shapes["q_audio"])],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("edgeaff", 1)]
    body = function_body(given, band=bool(band))
    model = helper.make_model(graph, opset_imports=imports, functions=[body], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@pytest.mark.parametrize(("queries", "keys"), [(1, 9), (7, 7), (3, 11), (5, 2)])
@pytest.mark.parametrize(
    ("band", "mask", "bias", "residual"),
    [c for c in itertools.product([None, 4], [False, True], [False, True], [False, True]) if c[0] or not c[2]],
)
def test_function_body_equals_torch(queries, keys, band, mask, bias, residual):
    import torch

    from edgeaff.export.to_onnx import check_parity
    from edgeaff.ops.cross_modal_attention import NODE_INPUTS as INPUTS
    from edgeaff.torch_ops.reference import cross_modal_attention

    shapes = {name: (2, queries, 8) for name in INPUTS if name.startswith(("q_", "residual"))}
    shapes |= {name: (2, keys, 16) for name in INPUTS if name.startswith("kv_")}
    shapes |= {"alpha": (), "beta": ()} | {name: (2, keys) for name in INPUTS if "mask" in name}
    shapes |= {name: (2, band or 0) for name in INPUTS if "bias" in name}
    absent = {"mask": mask, "bias": bias, "residual": residual}
    given = [name for name in INPUTS if not any(word in name and not on for word, on in absent.items())]
    rng = np.random.default_rng(queries * 100 + keys)
    feed = {name: np.asarray(rng.standard_normal(shapes[name]), dtype=np.float32) for name in given}
    for name in given:
        if "mask" in name:
            feed[name] = feed[name] > 0.5  # some rows see nothing
    tensors = {name: torch.from_numpy(value) for name, value in feed.items()}
    required = [tensors.pop(name) for name in INPUTS[:6]]
    expected = cross_modal_attention(*required, num_heads=2, band=band, **tensors).numpy()
    assert check_parity(_one_node_model(given, band, shapes), [(feed, {"output": expected})]) < 1e-5


@pytest.fixture(scope="module")
def step():
    import torch

    from edgeaff.export.to_onnx import export_step
    from edgeaff.training.models.edge import Edge, EdgeConfig

    torch.manual_seed(0)
    edge = Edge(EdgeConfig(video_size=6, audio_size=5, size=8, num_heads=2, ffn_size=8, layers=1, band=7)).eval()
    with torch.no_grad():
        for parameter in edge.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return edge, export_step(edge, parity_ticks=20)


def test_step_graph_has_one_node_and_one_function(step):
    import onnx

    model = onnx.load_from_string(step[1])
    assert model.ir_version == 10
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18, "edgeaff": 1}
    assert [node.op_type for node in model.graph.node if node.domain == "edgeaff"] == ["CrossModalAttention"]
    assert [function.name for function in model.functions] == ["CrossModalAttention"]
    node = next(node for node in model.graph.node if node.domain == "edgeaff")
    assert len(node.input) == 12
    assert {a.name: a.i for a in node.attribute if a.name in {"num_heads", "band"}} == {"num_heads": 2, "band": 7}


def test_step_graph_names_follow_the_contract(step):
    onnxruntime = import_onnxruntime()

    session = onnxruntime.InferenceSession(step[1], providers=["CPUExecutionProvider"])
    inputs = {value.name: value.shape for value in session.get_inputs()}
    states = {name: shape for name, shape in inputs.items() if name.startswith("state_")}
    assert {name: inputs[name] for name in ("video", "audio", "present")} == {
        "video": [1, 6],
        "audio": [1, 5],
        "present": [1, 2],
    }
    assert states["state_age_mask"] == [1, 6]
    outputs = {value.name: value.shape for value in session.get_outputs()}
    assert outputs.pop("values") == [1, 2]
    assert outputs == {f"next_{name}": shape for name, shape in states.items()}


def test_a_graph_that_differs_is_refused(step):
    from edgeaff.export.to_onnx import ExportError, _step_runs, check_parity

    (feed, expected), *_ = _step_runs(step[0], 1)
    assert check_parity(step[1], [(feed, expected)]) < 1e-5
    with pytest.raises(ExportError, match="must agree with torch"):
        check_parity(step[1], [(feed, {"values": expected["values"] + 1e-3})])


def test_a_system_without_fusion_is_refused():
    import torch

    from edgeaff.export.window import export_window

    with pytest.raises(ArgumentError, match="cross-modal fusion"):
        export_window(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("residual", [False, True])
def test_window_of_the_papers_transformer_is_exported(residual):
    import onnx

    onnxruntime = import_onnxruntime()
    import torch

    from edgeaff.export.window import export_window
    from edgeaff.training.models.transformer import AudioVideoTransformer, TransformerConfig

    torch.manual_seed(0)
    sizes = {"video_size": 6, "audio_size": 5, "size": 8, "num_heads": 2, "ffn_size": 8, "layers": 1}
    system = AudioVideoTransformer(TransformerConfig(**sizes, residual=residual))
    data = export_window(system, ticks=12)
    model = onnx.load_from_string(data)
    (node,) = (node for node in model.graph.node if node.domain == "edgeaff")
    assert {a.name: a.i for a in node.attribute if a.name in {"num_heads", "band"}} == {"num_heads": 2, "band": 0}
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    shapes = {value.name: value.shape for value in session.get_inputs()}
    assert shapes == {"video": [1, 12, 6], "audio": [1, 12, 5], "video_mask": [1, 12], "audio_mask": [1, 12]}
    feed = {name: np.zeros(shape, bool if "mask" in name else np.float32) for name, shape in shapes.items()}
    (values,) = session.run(["values"], feed)  # nothing is there: finite all the same
    assert values.shape == (1, 12, 2)
    assert np.isfinite(values).all()

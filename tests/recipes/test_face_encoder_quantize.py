"""The 8-bit face encoder: same door, smaller, near the float32 one; what misses the bar is refused."""

import numpy as np
import pytest

from edgeaff.bundle import ModelBundle
from edgeaff.errors import BundleError
from edgeaff.features.face import normalize
from edgeaff.measures import ccc

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_onnx, pytest.mark.needs_cv2]
GOOD = {
    "ccc_reference_valence": 0.995,
    "ccc_reference_arousal": 0.999,
    "ccc_label_loss_valence": 0.01,
    "ccc_label_loss_arousal": -0.001,
    "speed_up": 1.8,
}


def gray_crops(images):
    from recipes.face_encoder.augment import plain

    return np.stack([np.repeat(plain(image)[..., None], 3, axis=2) for image in images])


def blobs(count, seed):
    """Returns (N, 48, 48) uint8 smooth images: enough to calibrate ranges on, no faces."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(20, 235, (count, 7, 7))
    position = np.linspace(0, 5.99, 48)
    left, share = position.astype(int), position % 1
    rows = coarse[:, left] * (1 - share)[:, None] + coarse[:, left + 1] * share[:, None]
    return (rows[:, :, left] * (1 - share) + rows[:, :, left + 1] * share).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    """The shipped encoder in float32; where the bundle holds it with 8 bits, made float32 again."""
    from edgeaff.backends.onnx_edit import without_quantization

    bundle = ModelBundle.load()
    held = bundle.graph_bytes("face_encoder")
    return without_quantization(held) if bundle.precision("face_encoder") == "int8" else held


def descriptors(model, crops):
    from recipes.face_encoder.evaluate import encoder_of, session_of

    return encoder_of(session_of(model))(crops)


def test_quantized_encoder_is_small_and_near(model):
    import onnx

    from edgeaff.export.face_graphs import FRONT
    from recipes.face_encoder.quantize import quantize_face_encoder

    quantized = quantize_face_encoder(model, gray_crops(blobs(16, 0)))
    graph = onnx.load_from_string(quantized).graph
    assert [item.name for item in graph.input] == ["face"] and [item.name for item in graph.output] == ["descriptor"]
    weights = {item.name: item for item in graph.initializer}
    dequantized = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    convolutions = [node for node in graph.node if node.op_type == "Conv" and not node.name.startswith(FRONT)]
    assert len(convolutions) == 14
    for node in convolutions:  # every weight is 8 bits wide and uses 7 of them
        values = onnx.numpy_helper.to_array(weights[dequantized[node.input[1]]])
        assert values.dtype == np.int8 and np.abs(values.astype(int)).max() <= 64
    assert len(quantized) < 0.3 * len(model)
    crops = gray_crops(blobs(24, 1))
    found = ccc(descriptors(quantized, crops), descriptors(model, crops))
    assert 0.99 < found < 0.999999


def test_dequantized_encoder_is_nearer_than_the_quantized_one(model):
    import onnx

    from edgeaff.backends.onnx_edit import without_quantization
    from recipes.face_encoder.quantize import quantize_face_encoder

    quantized = quantize_face_encoder(model, gray_crops(blobs(16, 0)))
    back = without_quantization(quantized)
    assert not {"QuantizeLinear", "DequantizeLinear"} & {
        node.op_type for node in onnx.load_from_string(back).graph.node
    }
    crops = gray_crops(blobs(24, 1))
    reference = descriptors(model, crops)
    assert ccc(descriptors(back, crops), reference) > max(0.99, ccc(descriptors(quantized, crops), reference))


def test_quantized_step_keeps_the_fusion_node():
    import onnx

    from edgeaff.export.qdq import quantize_dynamic

    step = ModelBundle.load().graph_bytes("affect_step")
    before, after = (onnx.load_from_string(one) for one in (step, quantize_dynamic(step)))
    kinds = [node.op_type for node in after.graph.node]
    assert kinds.count("CrossModalAttention") == 1 and len(after.functions) >= 1
    assert kinds.count("MatMulInteger") >= 20
    for side in ("input", "output"):
        assert [item.name for item in getattr(after.graph, side)] == [item.name for item in getattr(before.graph, side)]


def test_speed_is_measured_for_both(model):
    from recipes.face_encoder.quantize import measure_speed

    found = measure_speed({"a": model, "b": model}, normalize(gray_crops(blobs(1, 2))), rounds=8)
    assert set(found) == {"a_ms", "b_ms", "speed_up"}
    assert min(found.values()) > 0


def test_agreement_of_a_model_with_itself(model):
    from recipes.face_encoder.quantize import measure_agreement

    rng = np.random.default_rng(0)
    heads = {"affect_weight": rng.standard_normal((2, 128)), "affect_bias": np.zeros(2)}
    found = measure_agreement(model, model, heads, blobs(8, 3).repeat(2, 1).repeat(2, 2), rng.uniform(-1, 1, (8, 2)))
    assert found["ccc_reference_valence"] == found["ccc_reference_arousal"] == 1.0
    assert found["ccc_label_loss_valence"] == found["max_abs_difference"] == 0.0
    assert found["ccc_label_valence"] != 0.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ccc_reference_valence", 0.9949),
        ("ccc_reference_arousal", float("nan")),
        ("ccc_label_loss_valence", 0.0101),
        ("speed_up", 1.79),
    ],
)
def test_below_the_bar_is_refused(name, value):
    from recipes.face_encoder.quantize import require_bar

    require_bar(GOOD)
    with pytest.raises(BundleError, match=f"{name} must be"):
        require_bar({**GOOD, name: value})


@pytest.mark.needs_shared
def test_real_faces_keep_their_descriptors(shared, model):
    from recipes.face_encoder.data import read_split
    from recipes.face_encoder.quantize import quantize_face_encoder

    folder = shared / "data" / "affect" / "fer2013plus"
    quantized = quantize_face_encoder(model, gray_crops(read_split(folder, "valid").images[:100]))
    crops = gray_crops(read_split(folder, "test").images[:200])
    assert ccc(descriptors(quantized, crops), descriptors(model, crops)) >= 0.995

"""Packing the face graphs: exact first layers, equal bytes, refusals by name."""

from functools import cache

import numpy as np
import pytest

from edgeaff.backends import Graph, load_graph
from edgeaff.backends.native_face import load_native_face
from edgeaff.backends.onnx_edit import without_quantization
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.export.face_graphs import EXACT_FLOAT, LUMA, exact_front, snap_image_layer, snapped
from edgeaff.export.net_parts import quotient_scale, split_parts
from edgeaff.export.pack_face import certify_face, drawn_crops, drawn_images, pack_face, require_equal
from edgeaff.export.pack_net import NetPacker
from edgeaff.features.face import normalize
from edgeaff.ops.face_nets import FaceNet, net_arrays
from edgeaff.ops.reference_nets import run_net

pytestmark = [pytest.mark.needs_onnx, pytest.mark.needs_native]


@cache
def graphs() -> tuple[bytes, bytes]:
    """The shipped detector and encoder, exact."""
    bundle = ModelBundle.load()
    return snap_image_layer(bundle.graph_bytes("face_detector")), exact_front(bundle.graph_bytes("face_encoder"))


@cache
def packed() -> dict[str, np.ndarray]:
    return pack_face(*graphs())


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def face_like(contrast: float, *, level: float = 90.0) -> np.ndarray:
    """A crop with light and dark parts of several sizes, (96, 96, 3) uint8; its luminance deviates by about 45 levels times contrast."""
    y, x = np.mgrid[:96, :96] / 96.0
    parts = np.sin(9 * x + 2 * y) + np.cos(7 * y) + 0.6 * np.sin(23 * x * y) + 0.8 * (np.hypot(x - 0.5, y - 0.4) < 0.3)
    shades = np.stack([parts, 0.8 * parts + 0.2 * x, 0.7 * parts], -1)
    return np.rint(level + 32 * contrast * (shades - shades.mean())).clip(0, 255).astype(np.uint8)


def test_packed_networks_equal_onnx_runtime_and_the_certificate_counts_it():
    crops = drawn_crops(2)
    made = certify_face(packed(), *graphs(), crops, drawn_images(crops)[:5])
    assert (
        made["encoder_bytes_differing"]
        == made["detector_bytes_differing"]
        == made["detector_first_layer_differing"]
        == 0
    )
    assert made["encoder_bytes_compared"] == len(crops) * 239_616
    assert made["detector_max_abs_difference"] < 2e-5 and made["encoder_max_abs_difference"] < 5e-6
    assert made["detector_error_to_float32"] == pytest.approx(made["detector_error_to_float32_onnxruntime"], abs=1e-5)
    require_equal(made)


def test_a_certificate_with_differing_bytes_is_refused():
    figures = {
        f"{name}_{key}": 0 for name in ("detector", "encoder") for key in ("bytes_differing", "first_layer_differing")
    }
    figures |= {"detector_bytes_compared": 10, "encoder_bytes_compared": 10}
    with pytest.raises(BundleError, match="encoder must give the bytes"):
        require_equal(figures | {"encoder_bytes_differing": 1})


def test_the_twin_equals_the_shipped_networks_to_the_byte():
    for name, image, size in (("detector", drawn_images(drawn_crops(1))[2], 96), ("encoder", face_like(1.0), 96)):
        arrays = net_arrays(packed(), name)
        tensors, outputs = run_net(arrays, image)
        net, found = FaceNet(arrays, strips=False), {}
        for written in net.run_steps(image, height=size, width=size):
            found.update(written)
        assert all(np.array_equal(found[index], tensor) for index, tensor in enumerate(tensors))
        for made, expected in zip(net.run(image, height=size, width=size), outputs, strict=True):
            np.testing.assert_array_equal(made, expected)


@cache
def float_encoder() -> Graph:
    """The encoder without any rounding: float32 weights and activations, a front of real numbers."""
    import onnx

    parsed = onnx.load_from_string(without_quantization(graphs()[1]))
    for one in parsed.graph.node:
        if one.op_type == "Round":
            one.op_type = "Identity"
    return load_graph(parsed.SerializeToString())


@pytest.mark.parametrize("contrast", [1.0, 0.5, 0.2, 0.1, 0.08, 0.06, 0.04, 0.02])
def test_descriptors_of_faint_faces_agree_with_float32(contrast):
    crop = face_like(contrast)
    exact = float_encoder().run({"face": normalize(crop)[None]})["descriptor"]
    native = load_native_face(packed(), "face_encoder", graphs()[1]).describe(crop)
    assert cosine(native, exact) > 0.97  # with a quantized variance: below 0 from a contrast of 0.08 on


@pytest.mark.parametrize("value", [0, 60, 255])
def test_descriptors_of_flat_crops_are_finite_and_equal(value):
    flat = np.full((96, 96, 3), value, np.uint8)
    native = load_native_face(packed(), "face_encoder", graphs()[1]).describe(flat)
    engine = load_graph(graphs()[1]).run({"face": normalize(flat)[None]})["descriptor"]
    assert np.isfinite(native).all() and np.isfinite(engine).all()
    np.testing.assert_allclose(native, engine[0], atol=5e-6)


def test_graph_form_of_the_encoder_equals_its_crop_form():
    encoder, crop = load_native_face(packed(), "face_encoder", graphs()[1]), face_like(0.7)
    np.testing.assert_array_equal(encoder.run({"face": normalize(crop)[None]})["descriptor"][0], encoder.describe(crop))


def test_editing_twice_changes_nothing():
    detector, encoder = graphs()
    assert snap_image_layer(detector) == detector
    assert exact_front(encoder) == encoder


def test_the_luma_weights_are_those_of_bt601():
    assert sum(LUMA) == 64
    np.testing.assert_allclose(np.array(LUMA) / 64, (0.299, 0.587, 0.114), atol=0.008)


def test_snapped_sums_are_exact_in_float32_in_any_order():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(16, 3, 3, 3)).astype(np.float32) / 300, rng.normal(size=16).astype(np.float32)
    whole, whole_bias, exponents = snapped(weight, bias)
    assert (255 * np.abs(whole).sum((1, 2, 3)) + np.abs(whole_bias) < EXACT_FLOAT).all()
    assert (
        np.abs(np.ldexp(whole, -exponents[:, None, None, None]) - weight).max((1, 2, 3))
        <= np.ldexp(0.5, -exponents) * 1.0001
    ).all()
    values = (np.ldexp(whole, -exponents[:, None, None, None]).reshape(16, -1) * rng.integers(0, 256, 27)).astype(
        np.float32
    )
    sums = [np.cumsum(values[:, rng.permutation(27)], 1, dtype=np.float32)[:, -1] for _ in range(5)]
    assert all(np.array_equal(one, sums[0]) for one in sums)


def test_quotient_scale_rounds_as_the_division_does():
    for exponent, step in ((18, 0.0123), (20, 0.0031), (17, 0.31)):
        scale = quotient_scale(exponent, np.float32(step))
        sums = np.arange(0, EXACT_FLOAT, 97, dtype=np.float32)
        np.testing.assert_array_equal(
            np.rint(sums * scale).clip(0, 255), np.rint(np.ldexp(sums, -exponent) / np.float32(step)).clip(0, 255)
        )


@pytest.mark.parametrize("count", [2, 3])
def test_parts_add_up_to_the_number(count):
    most = 64 * 128 ** (count - 1)
    whole = np.concatenate([np.arange(-300, 300), [-most, most], np.random.default_rng(0).integers(-most, most, 999)])
    parts = split_parts(whole, count).astype(np.int64)
    assert np.abs(parts).max() <= 64
    np.testing.assert_array_equal(sum(part * 128 ** (count - 1 - i) for i, part in enumerate(parts)), whole)


def test_networks_packed_from_another_graph_are_refused():
    with pytest.raises(BundleError, match="another graph"):
        load_native_face(packed(), "face_encoder", graphs()[0])


def test_networks_without_description_are_refused():
    with pytest.raises(BundleError, match="no description"):
        load_native_face(
            {name: array for name, array in packed().items() if name != "meta"}, "face_encoder", graphs()[1]
        )


def edited(role: int, change) -> bytes:
    import onnx

    parsed = onnx.load_from_string(graphs()[role])
    change(parsed.graph, {item.name: item for item in parsed.graph.initializer})
    return parsed.SerializeToString()


def node(graph, name):
    return next(one for one in graph.node if one.name == name)


def set_ints(graph, name, attribute, values):
    del next(item for item in node(graph, name).attribute if item.name == attribute).ints[:]
    next(item for item in node(graph, name).attribute if item.name == attribute).ints.extend(values)


def set_array(item, array):
    import onnx

    item.CopyFrom(onnx.numpy_helper.from_array(array, item.name))


REFUSED = {
    "another stride": (0, "stage.0.0.first", lambda g, c: set_ints(g, "stage.0.0.first", "strides", [3, 3])),
    "no padding": (0, "stage.0.0.first", lambda g, c: set_ints(g, "stage.0.0.first", "pads", [0, 0, 0, 0])),
    "dilation": (1, "node_conv2d_3", lambda g, c: set_ints(g, "node_conv2d_3", "dilations", [2, 2])),
    "an unknown node": (0, "stem.0.relu", lambda g, c: setattr(node(g, "stem.0.relu"), "op_type", "Sigmoid")),
    "weights of 8 bits": (
        0,
        "stem.1",
        lambda g, c: set_array(c["stem.1.weight_quantized"], np.full((16, 16, 3, 3), 127, np.int8)),
    ),
    "another front": (1, "front.standardized", lambda g, c: set_array(c["front.epsilon"], np.float32(1))),
    "bilinear enlarging": (
        0,
        "up.1",
        lambda g, c: setattr(next(a for a in node(g, "up.1").attribute if a.name == "mode"), "s", b"linear"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_graphs_of_another_form_are_refused_by_name(what):
    role, name, change = REFUSED[what]
    with pytest.raises(ArgumentError, match=name.replace(".", r"\.")):
        NetPacker(edited(role, change)).pack()


def test_the_old_front_is_refused_by_name():
    with pytest.raises(ArgumentError, match="face_QuantizeLinear|node"):
        NetPacker(with_old_front()).pack()


def with_old_front() -> bytes:
    """The exact encoder with a ReduceMean in place of a node of the front, as encoders had before."""
    import onnx

    parsed = onnx.load_from_string(graphs()[1])
    for one in parsed.graph.node:
        one.name = one.name.removeprefix("front.")
    return parsed.SerializeToString()

"""Every public layout of VGGFace weights, fabricated with known numbers, against the original framework's arithmetic."""

import dataclasses
import pickle
import struct

import numpy as np
import pytest
import torch

from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError
from edgeaff.training.features.recipe import USUAL_MODE, ExtractRecipe, vggface_network
from edgeaff.training.importers import import_vggface, save_weights
from edgeaff.training.importers.matlab import read_mat
from edgeaff.training.importers.torch7 import Torch7Reader
from edgeaff.training.models.vggface import PUBLISHED_MODES, VggFace, VggFaceConfig
from tests.training import vggface_files as files

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_onnx]
FACE = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(5)) * 2 - 1
BUNDLE = {"map_px": 3, "mean": (128.0,) * 3, "scale": 1 / 128}


def write_bundle(path, layers):
    files.write_bundle(path, files.affwildnet_tensors(layers))


def write_single_file(path, layers):
    files.write_single_file(path, files.affwildnet_tensors(layers))


# file name -> writer, its options, channel_order named by the caller, channel_order of the weights
LAYOUTS = {
    "VGG_FACE.caffemodel": (files.write_caffe, {"version": 1}, None, "bgr"),
    "new.caffemodel": (files.write_caffe, {"version": 2}, None, "bgr"),
    "VGG_FACE.t7": (files.write_torch7, {}, "rgb", "rgb"),
    "flat.t7": (files.write_torch7, {"flat_convolutions": True}, "bgr", "bgr"),
    "vgg-face.mat": (files.write_matconvnet, {"compress": True}, None, "rgb"),
    "old.mat": (files.write_matconvnet, {"compress": False, "old": True}, None, "rgb"),
    "vggface.h5": (files.write_keras, {"nested": False}, None, "bgr"),
    "new.hdf5": (files.write_keras, {"nested": True}, None, "bgr"),
    "vgg_face_dag.pth": (files.write_pytorch, {"wrapped": False}, None, "rgb"),
    "trained.pt": (files.write_pytorch, {"wrapped": True}, None, "rgb"),
    "model.ckpt-42": (write_bundle, {}, None, "rgb"),
    "model.ckpt": (write_single_file, {}, None, "rgb"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_import_gives_every_layer_of_the_original(tmp_path, name):
    writer, options, named, channel_order = LAYOUTS[name]
    affwildnet = writer in (write_bundle, write_single_file)
    layers = files.known_layers(3 if affwildnet else 7)
    if affwildnet:
        layers["conv1_1"] = (layers["conv1_1"][0] * 60, layers["conv1_1"][1])
    writer(tmp_path / name, layers, **options)
    config = files.SMALL if affwildnet else files.CONFIG
    weights = import_vggface(tmp_path / name, channel_order=named, config=config)
    model = VggFace(config).eval()
    model.load_weights(weights)
    with torch.no_grad():
        found = model.activations(FACE)
    if affwildnet:
        expected = files.reference(layers, FACE, channel_order="rgb", mean=BUNDLE["mean"], scale=BUNDLE["scale"])
    else:
        expected = files.reference(layers, FACE, channel_order=channel_order, enlarge_map=True)
    for layer, value in expected.items():
        difference = float((found[layer] - value).abs().max())
        assert difference <= 1e-5 * max(1.0, float(value.abs().max())), (layer, difference)
    assert weights.notes[0] == f"channel order of the file: {channel_order}"
    assert len(weights.sha256) == 64


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_mode_goes_by_the_file_in_a_recipe_of_extraction(tmp_path, name):
    writer, options, named, channel_order = LAYOUTS[name]
    affwildnet = writer in (write_bundle, write_single_file)
    layers = files.known_layers(3 if affwildnet else 7)
    writer(tmp_path / name, layers, **options)
    network = vggface_network(tmp_path / name, named, "upsample", files.CONFIG)
    assert network.config.mode == ("affwildnet" if affwildnet else "upsample")
    if not affwildnet:
        expected = files.reference(layers, FACE, channel_order=channel_order, upsample=True)["fc6"]
        with torch.no_grad():
            assert (network(FACE) - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))
    save_weights(import_vggface(tmp_path / name, channel_order=named, config=files.CONFIG), tmp_path / "imported.npz")
    again = vggface_network(tmp_path / "imported.npz", None, "upsample", files.CONFIG)
    with torch.no_grad():
        assert torch.equal(again(FACE), network(FACE))
    if affwildnet:
        with pytest.raises(ArgumentError, match="mode affwildnet"):
            vggface_network(tmp_path / name, named, "resampled", files.CONFIG)
    else:
        assert vggface_network(tmp_path / name, named, "resampled", files.CONFIG).config.mode == "resampled"
    recipes = [ExtractRecipe(vggface=tmp_path / name, vggface_mode=mode) for mode in ("upsample", "resampled")]
    assert len({recipe.encoder_id(ModelBundle.load()) for recipe in recipes}) == 1
    assert [recipe.encoder_mode for recipe in recipes] == [None, "resampled"]


def test_mean_of_matconvnet_comes_from_the_file(tmp_path):
    for name in ("vgg-face.mat", "old.mat"):
        writer, options, _, _ = LAYOUTS[name]
        writer(tmp_path / name, files.known_layers(7), **options)
        weights = import_vggface(tmp_path / name, config=files.CONFIG)
        np.testing.assert_allclose(weights.mean, files.PUBLISHED_RGB, atol=1e-4)
        assert weights.notes[1] == "mean: from the file"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_network_of_other_sizes_is_refused_by_layer_and_shape(tmp_path, name):
    writer, options, named, _ = LAYOUTS[name]
    affwildnet = writer in (write_bundle, write_single_file)
    layers = files.known_layers(3 if affwildnet else 7)
    weight, bias = layers["conv3_2"]
    layers["conv3_2"] = (weight[:, :-1], bias)
    writer(tmp_path / name, layers, **options)
    with pytest.raises(ArgumentError, match=r"conv3_2\.weight must be \(6, 6, 3, 3\), got \(6, 4?5") as caught:
        import_vggface(tmp_path / name, channel_order=named, config=files.CONFIG)
    assert "pass a VGG-16 face model" in str(caught.value)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_missing_layer_is_named(tmp_path, name):
    writer, options, named, _ = LAYOUTS[name]
    affwildnet = writer in (write_bundle, write_single_file)
    layers = files.known_layers(3 if affwildnet else 7)
    if affwildnet:
        tensors = files.affwildnet_tensors(layers)
        del tensors["linear_1/biases"]
        write = files.write_bundle if writer is write_bundle else files.write_single_file
        write(tmp_path / name, tensors)
    else:
        del layers["fc6"]
        writer(tmp_path / name, layers, **options)
    with pytest.raises(ArgumentError, match=r"fc6\.weight must be \(16, (72|392)\)"):
        import_vggface(tmp_path / name, channel_order=named, config=files.CONFIG)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_a_damaged_file_is_an_argument_error(tmp_path, name, damage):
    writer, options, named, _ = LAYOUTS[name]
    affwildnet = writer in (write_bundle, write_single_file)
    writer(tmp_path / name, files.known_layers(3 if affwildnet else 7), **options)
    path = tmp_path / (f"{name}.index" if writer is write_bundle else name)
    data = path.read_bytes()
    noise = np.random.default_rng(3).integers(0, 256, len(data), dtype=np.uint8).tobytes()
    path.write_bytes({"cut": data[: len(data) // 2], "noise": noise, "empty": b""}[damage])
    with pytest.raises(ArgumentError):
        import_vggface(tmp_path / name, channel_order=named, config=files.CONFIG)


def test_torch7_wants_its_color_order_named(tmp_path):
    files.write_torch7(tmp_path / "VGG_FACE.t7", files.known_layers(7))
    with pytest.raises(ArgumentError, match="channel_order must be 'rgb' or 'bgr'"):
        import_vggface(tmp_path / "VGG_FACE.t7", config=files.CONFIG)


def test_color_order_changes_the_first_layer_and_nothing_else(tmp_path):
    files.write_torch7(tmp_path / "x.t7", files.known_layers(7))
    rgb = import_vggface(tmp_path / "x.t7", channel_order="rgb", config=files.CONFIG)
    bgr = import_vggface(tmp_path / "x.t7", channel_order="bgr", config=files.CONFIG)
    changed = [name for name in rgb.tensors if not np.array_equal(rgb.tensors[name], bgr.tensors[name])]
    assert changed == ["conv1_1.weight"]
    np.testing.assert_array_equal(rgb.tensors["conv1_1.weight"], bgr.tensors["conv1_1.weight"][:, ::-1])


class Bomb:
    """Pickles into a call."""

    def __reduce__(self):
        return (exec, ("raise SystemError('a pickle was executed')",))


def test_pytorch_files_with_code_are_refused_unexecuted(tmp_path):
    torch.save({"conv1_1.weight": Bomb()}, tmp_path / "evil.pth")
    with pytest.raises(ArgumentError, match="state dict of tensors"):
        import_vggface(tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ArgumentError, match="state dict of tensors"):
        import_vggface(tmp_path / "raw.pth")


def test_torch7_reader_keeps_shared_objects_shared_and_skips_functions():
    writer = files.Torch7Writer()
    writer.write({"a": 1.5, "f": print, "t": np.arange(6, dtype=np.float32).reshape(2, 3), 2: True})
    content = Torch7Reader(bytes(writer.data)).read()
    assert content["a"] == 1.5
    assert content["f"] is None
    assert content[2] is True
    np.testing.assert_array_equal(content["t"], [[0, 1, 2], [3, 4, 5]])
    # a table that holds itself: type 3, index 1, one entry, key 1.0, value = reference to index 1
    loop = struct.pack("<iii", 3, 1, 1) + struct.pack("<id", 1, 1.0) + struct.pack("<ii", 3, 1)
    table = Torch7Reader(loop).read()
    assert table[1] is table


def test_torch7_tensor_outside_its_storage_is_refused():
    tensor = struct.pack("<ii", 4, 1) + struct.pack("<i", 3) + b"V 1" + struct.pack("<i", 17) + b"torch.FloatTensor"
    tensor += struct.pack("<i", 1) + struct.pack("<qq", 1000, 1) + struct.pack("<q", 1)
    storage = struct.pack("<ii", 4, 2) + struct.pack("<i", 3) + b"V 1" + struct.pack("<i", 18) + b"torch.FloatStorage"
    storage += struct.pack("<q", 2) + b"\0" * 8
    with pytest.raises(ArgumentError, match="must lie in its storage of 2"):
        Torch7Reader(tensor + storage).read()


def test_read_mat_reads_what_scipy_writes(tmp_path):
    from scipy.io import savemat

    savemat(
        tmp_path / "x.mat", {"a": np.arange(12).reshape(3, 4), "s": {"b": "words", "c": np.float32([[2.5]])}, "n": 3}
    )
    found = read_mat((tmp_path / "x.mat").read_bytes())
    np.testing.assert_array_equal(found["a"], np.arange(12).reshape(3, 4))
    assert found["s"]["b"] == "words"
    assert found["s"]["c"].item() == 2.5


def test_checksum_and_layout_are_checked(tmp_path):
    files.write_pytorch(tmp_path / "vgg.pth", files.known_layers(7), wrapped=False)
    weights = import_vggface(tmp_path / "vgg.pth", config=files.CONFIG)
    again = import_vggface(tmp_path / "vgg.pth", config=files.CONFIG, sha256=weights.sha256.upper())
    assert again.sha256 == weights.sha256
    with pytest.raises(ArgumentError, match="sha256 of vgg.pth must be 1234"):
        import_vggface(tmp_path / "vgg.pth", config=files.CONFIG, sha256="1234")
    with pytest.raises(ArgumentError, match="layout must be one of"):
        import_vggface(tmp_path / "vgg.bin")
    with pytest.raises(ArgumentError, match="path must be a file"):
        import_vggface(tmp_path / "absent.pth")
    with pytest.raises(ArgumentError, match="checkpoint prefix"):
        import_vggface(tmp_path / "absent.ckpt")


def test_a_bundle_without_its_data_states_which_file_is_missing(tmp_path):
    write_bundle(tmp_path / "model.ckpt-42", files.known_layers(3))
    (tmp_path / "model.ckpt-42.data-00001-of-00002").unlink()
    with pytest.raises(ArgumentError, match="model.ckpt-42.data-00001-of-00002 must lie beside"):
        import_vggface(tmp_path / "model.ckpt-42.index", config=files.SMALL)


def test_published_vgg_refuses_small_files(tmp_path):
    files.write_pytorch(tmp_path / "vgg.pth", files.known_layers(7), wrapped=False)
    with pytest.raises(ArgumentError, match=r"conv1_1\.weight must be \(64, 3, 3, 3\), got \(4, 3, 3, 3\)"):
        import_vggface(tmp_path / "vgg.pth", config=dataclasses.replace(VggFaceConfig(), mode="upsample"))


def test_usual_mode_is_the_first_of_the_published_ones():
    assert PUBLISHED_MODES[0] == USUAL_MODE

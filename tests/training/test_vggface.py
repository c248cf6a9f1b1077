"""VGG-16 in its three modes against plain arithmetic; loading and saving of imported weights."""

import dataclasses

import numpy as np
import pytest
import torch

from edgeaff.errors import ArgumentError
from edgeaff.training.importers import read_weights, save_weights
from edgeaff.training.models.vggface import VggFace, VggFaceConfig, VggFaceWeights, resample_fc6
from tests.training.vggface_files import CONFIG, PUBLISHED_RGB, known_layers, reference

pytestmark = pytest.mark.needs_torch
FACE = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(5)) * 2 - 1


def weights_of(layers, map_px, **changes):
    tensors = {}
    for name, (weight, bias) in layers.items():
        tensors |= {
            f"{name}.weight": weight.reshape(len(weight), -1) if name == "fc6" else weight,
            f"{name}.bias": bias,
        }
    values = {"map_px": map_px, "mean": PUBLISHED_RGB, "scale": 1.0, "layout": "pytorch", "sha256": "0" * 64, **changes}
    return VggFaceWeights(tensors=tensors, **values)


def model_of(mode, weights):
    model = VggFace(dataclasses.replace(CONFIG, mode=mode)).eval()
    model.load_weights(weights)
    return model


@pytest.mark.parametrize(
    ("mode", "map_px", "how"),
    [("affwildnet", 3, {}), ("upsample", 7, {"upsample": True}), ("resampled", 7, {"enlarge_map": True})],
)
def test_vggface_gives_what_plain_arithmetic_gives_in_every_layer(mode, map_px, how):
    layers = known_layers(map_px)
    found = model_of(mode, weights_of(layers, map_px)).activations(FACE)
    expected = reference(layers, FACE, channel_order="rgb", **how)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert (found[name] - value).abs().max() <= 1e-5 * max(1.0, value.abs().max()), name
    assert expected["fc6"].max() > 0.1


def test_vggface_of_full_size_has_the_published_numbers_of_parameters():
    # facts: convolutions 14,714,688; fc6 18,878,464 for 96 px. On the meta device nothing is allocated.
    with torch.device("meta"):
        model = VggFace(VggFaceConfig(mode="affwildnet"))
        published = VggFace(VggFaceConfig(mode="upsample"))
    assert sum(p.numel() for p in model.convolutions.parameters()) == 14_714_688
    assert sum(p.numel() for p in model.fc6.parameters()) == 18_878_464
    assert sum(p.numel() for p in published.fc6.parameters()) == 102_764_544


def test_resample_fc6_keeps_the_response_to_an_even_map():
    weight = np.random.default_rng(0).normal(size=(5, 4 * 49)).astype(np.float32)
    small = resample_fc6(weight, 4)
    level = np.random.default_rng(1).normal(size=4)
    even_7, even_3 = np.repeat(level, 49), np.repeat(level, 9)
    np.testing.assert_allclose(small @ even_3, weight @ even_7, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("mode", "map_px"), [("affwildnet", 7), ("upsample", 3), ("resampled", 3)])
def test_load_weights_refuses_an_fc6_of_another_map(mode, map_px):
    with pytest.raises(ArgumentError, match=f"got {map_px}x{map_px} from the pytorch file; use mode"):
        model_of(mode, weights_of(known_layers(map_px), map_px))


def test_vggface_refuses_an_unknown_mode():
    with pytest.raises(ArgumentError, match="mode must be one of"):
        VggFaceConfig(mode="best")


def test_saved_weights_come_back_whole(tmp_path):
    weights = weights_of(known_layers(7), 7, notes=("channel order of the file: rgb",), scale=0.5)
    save_weights(weights, tmp_path / "vgg.npz")
    back = read_weights(tmp_path / "vgg.npz")
    assert (back.mean, back.scale, back.notes, back.sha256) == (weights.mean, 0.5, weights.notes, weights.sha256)
    for name, value in weights.tensors.items():
        np.testing.assert_array_equal(back.tensors[name], value)

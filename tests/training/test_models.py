"""Every system: names, shapes, sizes and costs against closed forms, and one step that learns."""

import pytest
import torch

from edgeaff.errors import ArgumentError
from edgeaff.training.models import SYSTEMS, find_system
from edgeaff.training.trainer.complexity import count_macs_per_frame, count_parameters
from edgeaff.training.trainer.smoke import lowering_step, smoke

pytestmark = pytest.mark.needs_torch
ALL = (
    "affwildnet_static_2000",
    "affwildnet_static_4096",
    "affwildnet_dynamic",
    "rnn_a",
    "vggface_rnn_v",
    "vggface_rnn_av",
    "nisl_v",
    "m3t_av",
    "transformer_a",
    "transformer_v",
    "transformer_av",
    "edge",
)
VGG_CONVOLUTIONS = 14_714_688
RESNET50_WITHOUT_TOP = 23_508_032


def _linear(inputs, outputs):
    return inputs * outputs + outputs


def _gru(inputs, units, directions=1):
    return directions * (3 * units * (inputs + units) + 6 * units)


def _two_gru(inputs, units=128):
    return _gru(inputs, units) + _gru(units, units) + _linear(units, 2)


def _encoder(inputs, size, ffn, layers):
    layer = _linear(size, 3 * size) + _linear(size, size) + _linear(size, ffn) + _linear(ffn, size) + 4 * size
    return _linear(inputs, size) + layers * layer


def _edge(video=128, audio=65, d=64, heads=4, ffn=128, layers=2, band=100):
    layer = _linear(d, 3 * d) + _linear(d, d) + _linear(d, ffn) + _linear(ffn, d) + 4 * d + heads * band
    modality = layers * layer + 2 * d + 3 * d  # last norm; token of absence and two presence vectors
    cross = 2 * (_linear(d, d) + _linear(d, 2 * d) + heads * band) + 2
    return _linear(video, d) + _linear(audio, d) + 2 * modality + cross + _linear(d, 2)


_STEM = [(3, 96, 147), (96, 256, 75), (256, 512, 27), (512, 512, 27), (512, 512, 27)]
PARAMETERS = {
    "affwildnet_static_2000": VGG_CONVOLUTIONS + _linear(4608, 4096) + _linear(4096, 2000) + _linear(2000, 2),
    "affwildnet_static_4096": VGG_CONVOLUTIONS + _linear(4608, 4096) + _linear(4096, 4096) + _linear(4096, 2),
    "affwildnet_dynamic": VGG_CONVOLUTIONS + _linear(4608, 4096) + _two_gru(4096),
    "rnn_a": _two_gru(65),
    "vggface_rnn_v": _two_gru(4096),
    "vggface_rnn_av": _two_gru(8192),
    "nisl_v": RESNET50_WITHOUT_TOP + _linear(2048, 128) + _gru(128, 64, 2) + _linear(128, 40),
    "m3t_av": sum(i * o * k + 2 * o for i, o, k in _STEM)
    + _linear(4608, 512)
    + _gru(512, 512, 2)
    + _gru(200, 256, 2)
    + _gru(512, 256, 2)
    + _linear(1536, 2),
    "transformer_a": _encoder(4096, 512, 512, 2) + _linear(512, 2),
    "transformer_v": _encoder(4096, 512, 512, 2) + _linear(512, 2),
    "transformer_av": 2 * _encoder(4096, 512, 512, 2)
    + 2 * (_linear(512, 512) + _linear(512, 1024))
    + 2
    + _linear(512, 2),
    "edge": _edge(),
}


def _vgg_macs():
    pixels, channels, total = 96 * 96, 3, 0
    for planned in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if planned:
            total += 9 * channels * planned * pixels
            channels = planned
        else:
            pixels //= 4
    return total


def _resnet_macs():
    total, inputs, pixels = 147 * 64 * 56 * 56, 64, 28 * 28
    for planes, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for index in range(blocks):
            before = pixels
            if index == 0 and stride == 2:
                pixels = {784: 196, 196: 49, 49: 16}[pixels]
                total += inputs * 4 * planes * pixels
            elif index == 0:
                total += inputs * 4 * planes * pixels
            total += inputs * planes * before + 9 * planes * planes * pixels + 4 * planes * planes * pixels
            inputs = 4 * planes
    return total


def _attention_macs(size, keys):
    return 2 * size * keys


_ENCODER_MACS = 4096 * 512 + 2 * (4 * 512 * 512 + 2 * 512 * 512 + _attention_macs(512, 100))
_EDGE_LAYER_MACS = 4 * 64 * 64 + 2 * 64 * 128 + _attention_macs(64, 100)
_STEM_MACS = 96 * 147 * 3 * 56**2 + 256 * 75 * 96 * 14**2 + (27 * 256 * 512 + 2 * 27 * 512 * 512) * 7**2


def _gru_macs(inputs, units, directions=1):
    return directions * 3 * units * (inputs + units)


def _two_gru_macs(inputs):
    return _gru_macs(inputs, 128) + _gru_macs(128, 128) + 256


MACS = {
    "affwildnet_static_2000": _vgg_macs() + 4608 * 4096 + 4096 * 2000 + 2000 * 2,
    "affwildnet_static_4096": _vgg_macs() + 4608 * 4096 + 4096 * 4096 + 4096 * 2,
    "affwildnet_dynamic": _vgg_macs() + 4608 * 4096 + _two_gru_macs(4096),
    "rnn_a": _two_gru_macs(65),
    "vggface_rnn_v": _two_gru_macs(4096),
    "vggface_rnn_av": _two_gru_macs(8192),
    "nisl_v": _resnet_macs() + 2048 * 128 + _gru_macs(128, 64, 2) + 128 * 40,
    "m3t_av": _STEM_MACS + 4608 * 512 + _gru_macs(512, 512, 2) + _gru_macs(200, 256, 2) + _gru_macs(512, 256, 2) + 3072,
    "transformer_a": _ENCODER_MACS + 1024,
    "transformer_v": _ENCODER_MACS + 1024,
    "transformer_av": 2 * _ENCODER_MACS + 2 * (3 * 512 * 512 + _attention_macs(512, 100)) + 1024,
    "edge": (128 + 65 + 4) * 64 + 4 * _EDGE_LAYER_MACS + 2 * (3 * 64 * 64 + _attention_macs(64, 100)) + 128,
}


def test_registry_names_the_rows_of_the_table():
    assert tuple(SYSTEMS) == ALL
    assert find_system("edge").streaming
    with pytest.raises(ArgumentError, match="system must be one of"):
        find_system("transformer")


@pytest.mark.parametrize("name", ALL)
def test_parameters_equal_the_closed_form(name):
    with torch.device("meta"):
        assert count_parameters(SYSTEMS[name].build()) == PARAMETERS[name]


@pytest.mark.parametrize("name", ALL)
def test_macs_equal_the_closed_form(name):
    assert count_macs_per_frame(SYSTEMS[name]) == MACS[name]


def test_a_tick_of_edge_costs_a_fiftieth_of_the_window_of_equal_width():
    layer = 4 * 64 * 64 + 2 * 64 * 128 + _attention_macs(64, 100)
    window = 100 * ((128 + 65) * 64 + 4 * layer + 2 * (3 * 64 * 64 + _attention_macs(64, 100)) + 128)
    assert count_macs_per_frame(SYSTEMS["edge"]) * 50 <= window
    assert count_macs_per_frame(SYSTEMS["edge"]) * 50 < count_macs_per_frame(SYSTEMS["transformer_av"])


@pytest.mark.parametrize("name", ALL)
def test_forward_gives_a_pair_per_tick(name):
    system = SYSTEMS[name]
    torch.manual_seed(0)
    module = system.build(width=1 / 16 if system.from_pixels else 1.0).eval()
    with torch.no_grad():
        values = module(**system.made_up_inputs(2, 3))
    assert values.shape == (2, 3, 2)
    assert torch.isfinite(values).all()


def test_width_is_for_pixels_only():
    with pytest.raises(ArgumentError, match="width must be 1"):
        SYSTEMS["rnn_a"].build(width=0.5)


@pytest.mark.parametrize(
    "name", ["rnn_a", "vggface_rnn_v", "vggface_rnn_av", "transformer_a", "transformer_v", "transformer_av", "edge"]
)
def test_smoke_step_lowers_the_loss(name):
    result = smoke(name)
    assert result.loss_after < result.loss_before
    assert result.parameters == PARAMETERS[name]
    assert result.macs_per_frame == MACS[name]


@pytest.mark.parametrize(
    "name", ["affwildnet_static_2000", "affwildnet_static_4096", "affwildnet_dynamic", "nisl_v", "m3t_av"]
)
def test_smoke_step_lowers_the_loss_from_pixels(name):  # 15 s for the five on one core: not slow
    result = smoke(name)
    assert result.loss_after < result.loss_before


def test_a_step_that_overshoots_is_halved():
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(module.weight, 0.005)

    def loss():
        return module.weight.square().sum()

    before = loss().item()
    after = lowering_step(module, loss, before)  # the longest step, 0.02, lands at -0.015
    assert after < before
    assert after == pytest.approx(loss().item())


def test_windowed_transformer_ignores_masked_ticks():
    torch.manual_seed(0)
    module = SYSTEMS["transformer_av"].build().eval()
    inputs = SYSTEMS["transformer_av"].made_up_inputs(1, 6)
    mask = torch.tensor([[True, True, False, True, True, True]])
    with torch.no_grad():
        before = module(**inputs, video_mask=mask, audio_mask=mask)
        inputs["video"][:, 2], inputs["audio"][:, 2] = 9.0, -9.0
        after = module(**inputs, video_mask=mask, audio_mask=mask)
        keep = mask[0]
        assert torch.allclose(before[:, keep], after[:, keep], atol=1e-6)
        nothing = torch.zeros_like(mask)
        assert torch.isfinite(module(**inputs, video_mask=nothing, audio_mask=mask)).all()

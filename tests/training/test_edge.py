"""The edge transformer: step by step equals the whole sequence, the future never changes the past."""

import pytest
import torch

from edgeaff.training.models.edge import Edge, EdgeConfig, decaying_age_bias

pytestmark = pytest.mark.needs_torch
SMALL = EdgeConfig(video_size=12, audio_size=9, size=16, num_heads=4, ffn_size=24, layers=2, band=20)


def _model(config=SMALL, seed=0):
    torch.manual_seed(seed)
    model = Edge(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # nothing may hide behind a zero or a one
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def _stream(config, ticks, batch=1, seed=1):
    generator = torch.Generator().manual_seed(seed)
    video = torch.randn(batch, ticks, config.video_size, generator=generator)
    audio = 2 * torch.randn(batch, ticks, config.audio_size, generator=generator)
    present = (torch.rand(batch, ticks, 2, generator=generator) > 0.3).float()
    return video, audio, present


def _by_steps(model, video, audio, present):
    state, values = model.initial_state(video.shape[0]), []
    with torch.no_grad():
        for tick in range(video.shape[1]):
            value, state = model.step(video[:, tick], audio[:, tick], present[:, tick], state)
            values.append(value)
    return torch.stack(values, dim=1)


def test_step_by_step_equals_the_whole_sequence():
    model = _model()
    stream = _stream(SMALL, 150, batch=2)
    with torch.no_grad():
        whole = model(*stream).clamp(-1, 1)
    assert (_by_steps(model, *stream) - whole).abs().max() < 1e-5


@pytest.mark.parametrize("band", [1, 2])
def test_the_shortest_memories_step_as_the_whole_sequence(band):
    config = EdgeConfig(video_size=12, audio_size=9, size=16, num_heads=4, ffn_size=24, layers=1, band=band)
    model = _model(config)
    stream = _stream(config, 9, batch=2)
    with torch.no_grad():
        whole = model(*stream).clamp(-1, 1)
    assert (_by_steps(model, *stream) - whole).abs().max() < 1e-6


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_step_by_step_equals_the_whole_sequence_over_10000_ticks():
    config = EdgeConfig(video_size=256)
    model = _model(config)
    video, audio, present = _stream(config, 10_000)
    steps = _by_steps(model, video, audio, present)
    reach = (config.layers + 1) * (config.band - 1)  # ticks that can still matter, so long streams go in pieces
    worst = 0.0
    for start in range(0, 10_000, 500):
        first = max(0, start - reach)
        cut = slice(first, start + 500)
        with torch.no_grad():
            whole = model(video[:, cut], audio[:, cut], present[:, cut]).clamp(-1, 1)
        worst = max(worst, (whole[:, start - first :] - steps[:, start : start + 500]).abs().max().item())
    assert worst < 1e-5


def test_the_future_never_changes_the_past():
    model = _model()
    video, audio, present = _stream(SMALL, 60)
    with torch.no_grad():
        before = model(video, audio, present)
        video[:, 40:], audio[:, 40:], present[:, 40:] = 9.0, -9.0, 1.0
        after = model(video, audio, present)
    assert torch.equal(before[:, :40], after[:, :40])
    assert not torch.allclose(before[:, 40:], after[:, 40:])


def test_what_is_older_than_the_reach_is_forgotten():
    model = _model()
    video, audio, present = _stream(SMALL, 120)
    reach = (SMALL.layers + 1) * (SMALL.band - 1)
    with torch.no_grad():
        before = model(video, audio, present)[:, -1]
        video[:, : 119 - reach] = 5.0
        assert torch.equal(model(video, audio, present)[:, -1], before)
        video[:, 119 - reach] += 5.0
        present[:, 119 - reach] = 1.0
        assert not torch.equal(model(video, audio, present)[:, -1], before)


def test_values_of_an_absent_modality_are_not_looked_at():
    model = _model()
    video, audio, present = _stream(SMALL, 30)
    with torch.no_grad():
        before = model(video, audio, present)
        video[present[..., 0] == 0] = 1e6
        audio[present[..., 1] == 0] = -1e6
        assert torch.equal(model(video, audio, present), before)


def test_ticks_before_the_start_do_not_exist():
    model = _model()
    video, audio, present = _stream(SMALL, 40)
    mask = torch.arange(40)[None] >= 15
    with torch.no_grad():
        padded = model(video, audio, present, mask)[:, 15:]
        plain = model(video[:, 15:], audio[:, 15:], present[:, 15:])
    assert (padded - plain).abs().max() < 1e-6


def test_step_clips_to_the_circumplex():
    model = _model()
    with torch.no_grad():
        model.dense.bias.fill_(7.0)
    value, _ = model.step(*(x[:, 0] for x in _stream(SMALL, 1)), model.initial_state())
    assert value.tolist() == [[1.0, 1.0]]


def test_every_parameter_has_a_gradient():
    model = _model()
    model(*_stream(SMALL, 30)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_first_bias_gives_heads_different_memories():
    bias = decaying_age_bias(4, 100)
    assert bias.shape == (4, 100)
    assert (bias[:, 0] == 0).all()
    assert (bias[3] == 0).all()
    assert bias[0, 10] < bias[1, 10] < bias[2, 10] < 0

"""The paper's window in 8 bits, natively: near the torch system, the same on every instruction set, rows kept unchanged."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from edgeaff.backends.native_window import NativeWindow, is_window
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.export.pack_window import pack_window
from edgeaff.export.window_step import window_values
from edgeaff.measures import ccc
from edgeaff.ops import native
from edgeaff.training.models.transformer import AudioVideoTransformer, TransformerConfig

pytestmark = [pytest.mark.needs_native, pytest.mark.needs_torch]
TICKS = 21
CONFIG = TransformerConfig(video_size=96, audio_size=68, size=64, num_heads=4, ffn_size=128, residual=True)


def make_system(config=CONFIG, seed=0):
    """Returns a system whose outputs spread over their range."""
    torch.manual_seed(seed)
    system = AudioVideoTransformer(config).eval()
    with torch.no_grad():
        system.cross.alpha.fill_(0.7)
        system.cross.beta.fill_(-0.4)
        for module in system.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
    return system


def packed_of(system, ticks=TICKS):
    """Returns the packed weights of a system."""
    weights = {name: value.detach().numpy() for name, value in system.state_dict().items()}
    config = system.config
    return pack_window(
        weights, system.video.positions[:ticks].numpy(), num_heads=config.num_heads, residual=config.residual
    )


def make_inputs(config, count, seed=1):
    """Returns (video or None, audio or None) per tick, with gaps."""
    rng = np.random.default_rng(seed)
    here = rng.random((count, 2)) > 0.25
    sizes = (config.video_size, config.audio_size)
    return [
        tuple(
            rng.standard_normal(size).astype(np.float32) if there else None
            for size, there in zip(sizes, row, strict=True)
        )
        for row in here
    ]


@torch.no_grad()
def by_torch(system, inputs, ticks=TICKS):
    """Returns (n, 2): the newest row of the whole window in torch, per tick."""
    sizes = (system.config.video_size, system.config.audio_size)
    past, values = [], []
    for tick in inputs:
        rows = [
            torch.zeros(1, size) if x is None else torch.from_numpy(x)[None]
            for x, size in zip(tick, sizes, strict=True)
        ]
        present = torch.tensor([[float(x is not None) for x in tick]])
        past = [*past, (*rows, present)][-ticks:]
        values.append(window_values(system, past, ticks)[0].numpy())
    return np.array(values)


def run(model, inputs):
    """Returns (n, 2) values of a native window."""
    rows, values = (), []
    for video, audio in inputs:
        value, rows = model.step(rows, video, audio)
        values.append(value)
    return np.array(values)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_values_are_those_of_the_window_in_torch(layers, residual):
    config = TransformerConfig(
        video_size=96, audio_size=68, size=64, num_heads=4, ffn_size=128, layers=layers, residual=residual
    )
    system = make_system(config)
    inputs = make_inputs(config, 3 * TICKS)
    expected, found = by_torch(system, inputs), run(NativeWindow(packed_of(system)), inputs)
    # Measured over these four: at most 0.0085 apart of values with deviations of 0.04 to 0.27, CCC at least 0.9994.
    assert np.abs(found - expected).max() < 0.017
    assert min(ccc(found[:, column], expected[:, column]) for column in (0, 1)) > 0.999


@pytest.mark.parametrize("level", ["scalar", "avx2", "avx512", "best"])
def test_every_instruction_set_and_both_threads_give_the_same(level):
    system = make_system()
    packed, inputs = packed_of(system), make_inputs(CONFIG, TICKS + 5)
    expected = run(NativeWindow(packed), inputs)
    assert native().set_instruction_set(level)
    try:
        found = run(NativeWindow(packed, threads=2), inputs)
    finally:
        native().set_instruction_set("best")
    # Sums of bytes are exact everywhere; sums of floats differ in order, and a byte may round the other way.
    np.testing.assert_allclose(found, expected, atol=2e-3)  # measured: 7e-4


def test_with_nothing_there_the_dense_bias_remains():
    system = make_system(dataclasses.replace(CONFIG, residual=False))
    values = run(NativeWindow(packed_of(system)), [(None, None)] * 3)
    np.testing.assert_allclose(values, by_torch(system, [(None, None)] * 3), atol=1e-6)
    np.testing.assert_allclose(values, [system.dense.bias.detach().numpy()] * 3, atol=1e-6)


def test_rows_are_values_that_may_be_kept_and_handed_in_again():
    model, inputs = NativeWindow(packed_of(make_system())), make_inputs(CONFIG, 2 * TICKS)
    rows = ()
    for video, audio in inputs[:-1]:
        rows = model.append(rows, video, audio)
    assert len(rows) == model.memory_ticks == TICKS - 1
    before = [row.copy() for row in rows]
    first, after = model.step(rows, *inputs[-1])
    second, _ = model.step(rows, *inputs[-1])
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(run(model, inputs)[-1], first)
    assert len(after) == TICKS - 1 and after[-2] is rows[-1]


def test_what_does_not_fit_is_refused():
    system = make_system()
    packed = packed_of(system)
    assert is_window(packed) and not is_window({"bias": packed["bias"]})
    model = NativeWindow(packed)
    with pytest.raises(BundleError, match="video must be float32 of shape"):
        model.step((), np.zeros(95, np.float32), None)
    with pytest.raises(BundleError, match="audio must be float32"):
        model.append((), None, np.zeros(68))
    with pytest.raises(BundleError, match="audio.1.out.weight is missing"):
        NativeWindow({name: array for name, array in packed.items() if name != "audio.1.out.weight"})
    meta = json.loads(packed["meta"].tobytes()) | {"format": 9}
    with pytest.raises(BundleError, match="format 1, got 9"):
        NativeWindow(packed | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    with pytest.raises(ArgumentError, match="none named 'audio.project.bias'"):
        weights = {name: value.numpy() for name, value in system.state_dict().items() if name != "audio.project.bias"}
        pack_window(weights, np.zeros((TICKS, 64)), num_heads=4)

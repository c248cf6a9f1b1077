"""The native step against the torch model it was packed from, over long runs, and what it refuses."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaff.backends.native import NativeStep
from edgeaff.errors import BundleError
from edgeaff.export.pack_step import pack_step

pytestmark = [pytest.mark.needs_native, pytest.mark.needs_torch]

MEMORY = 300  # ticks: two layers and the fusion look back 3 * 99


def make_model(seed: int = 0, **sizes: int) -> Any:
    """An edge model with no weight at its starting zero or one, so that nothing folded cancels by accident."""
    import torch

    from edgeaff.training.models.edge import Edge, EdgeConfig

    torch.manual_seed(seed)
    model = Edge(EdgeConfig(**{"video_size": 128, **sizes})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        model.dense.weight.mul_(0.5)
    return model


def pack(model: Any, precision: str = "float32") -> NativeStep:
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    return NativeStep(pack_step(weights, num_heads=model.config.num_heads, precision=precision))


def make_ticks(count: int, model: Any, seed: int = 1) -> list[tuple[np.ndarray | None, np.ndarray | None]]:
    """Inputs with gaps in both modalities."""
    rng = np.random.default_rng(seed)
    video = rng.standard_normal((count, model.config.video_size)).astype(np.float32)
    audio = 3 * rng.standard_normal((count, model.config.audio_size)).astype(np.float32)
    present = rng.random((count, 2)) < 0.8
    return [(video[i] if present[i, 0] else None, audio[i] if present[i, 1] else None) for i in range(count)]


def torch_values(model: Any, ticks: list) -> np.ndarray:
    import torch

    state, rows = model.initial_state(), []
    with torch.no_grad():
        for video, audio in ticks:
            inputs = [
                torch.zeros(1, size) if values is None else torch.from_numpy(values)[None]
                for values, size in ((video, model.config.video_size), (audio, model.config.audio_size))
            ]
            present = torch.tensor([[float(video is not None), float(audio is not None)]])
            values, state = model.step(*inputs, present, state)
            rows.append(values[0].numpy())
    return np.array(rows)


@cache
def reference_run(**sizes: int) -> tuple[Any, list, np.ndarray]:
    """A model, ticks enough to fill its rings and turn them, and torch's values."""
    model = make_model(**sizes)
    ticks = make_ticks(model.config.band + 30, model)
    return model, ticks, torch_values(model, ticks)


def native_values(step: NativeStep, ticks: list) -> np.ndarray:
    state = step.initial_state()
    return np.array([step.advance(state, video, audio) for video, audio in ticks])


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"size": 32, "num_heads": 2, "ffn_size": 48, "layers": 1, "band": 7},
        {"size": 64, "num_heads": 2, "band": 33},
        {"layers": 0, "band": 2},
    ],
    ids=str,
)
def test_native_step_equals_the_torch_step(instruction_set: str, sizes: dict) -> None:
    model, ticks, expected = reference_run(**sizes)
    # Measured: 6e-7.
    np.testing.assert_allclose(native_values(pack(model), ticks), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_narrow_weights_are_read_as_what_they_stand_for(instruction_set: str, precision: str) -> None:
    model, ticks, _ = reference_run()
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    narrow = pack_step(weights, num_heads=4, precision=precision)
    wide = dict(narrow)
    for name, array in narrow.items():
        if array.dtype == np.uint16:
            wide[name] = (array.astype(np.uint32) << 16).view(np.float32)
        elif array.dtype == np.int8:
            wide[name] = array * narrow[name.replace(".weight", ".scale")]
    # Measured: 6e-7.
    np.testing.assert_allclose(
        native_values(NativeStep(narrow), ticks), native_values(NativeStep(wide), ticks), atol=1e-5, rtol=0
    )


def test_state_is_a_value() -> None:
    model = make_model()
    step, ticks = pack(model), make_ticks(20, model)
    state = step.initial_state()
    feeds = []
    for video, audio in ticks:
        feeds.append(
            {
                "video": np.full((1, 128), np.nan, np.float32) if video is None else video[None],
                "audio": np.full((1, 65), np.nan, np.float32) if audio is None else audio[None],
                "present": np.array([[video is not None, audio is not None]], np.float32),
            }
        )
    rows = []
    for tick in feeds:
        before = state.copy()
        once, again = (step.run({**tick, "state_rings": state}) for _ in range(2))
        np.testing.assert_array_equal(state, before)
        np.testing.assert_array_equal(once["values"], again["values"])
        rows.append(once["values"][0])
        state = once["next_state_rings"]
    np.testing.assert_array_equal(np.array(rows), native_values(step, ticks))


def check_long_run(count: int) -> None:
    """After `count` ticks of one state, a fresh one that saw only the last ticks states the same."""
    model = make_model()
    step, block = pack(model), make_ticks(997, model)
    state = step.initial_state()
    for tick in range(count):
        values = step.advance(state, *block[tick % 997])
    fresh = step.initial_state()
    for tick in range(count - MEMORY, count):
        expected = step.advance(fresh, *block[tick % 997])
    # The rings are turned differently, so sums run in another order. Measured: 3e-7.
    np.testing.assert_allclose(values, expected, atol=2e-6, rtol=0)


def test_state_does_not_drift_over_twenty_thousand_ticks() -> None:
    check_long_run(20_000)


@pytest.mark.slow
def test_state_does_not_drift_over_a_million_ticks() -> None:
    check_long_run(1_000_000)


def test_damaged_or_foreign_weights_are_refused() -> None:
    arrays = pack_step({k: v.numpy() for k, v in make_model().state_dict().items()}, num_heads=4)
    with pytest.raises(BundleError, match="must hold a `meta` entry"):
        NativeStep({"weights": np.zeros(3)})
    with pytest.raises(BundleError, match="must have format 1, got 2"):
        NativeStep({**arrays, "meta": np.frombuffer(b'{"format": 2}', np.uint8)})
    with pytest.raises(BundleError, match=r"audio\.1\.qkv\.bias is missing"):
        NativeStep({name: array for name, array in arrays.items() if name != "audio.1.qkv.bias"})
    with pytest.raises(BundleError, match=r"video\.absent has another shape"):
        NativeStep({**arrays, "video.absent": np.zeros(3, np.float32)})
    with pytest.raises(BundleError, match=r"bias is not float32"):
        NativeStep({**arrays, "bias": np.zeros(2, np.int8)})


def test_wrong_inputs_are_refused() -> None:
    step = pack(make_model())
    state = step.initial_state()
    with pytest.raises(BundleError, match=r"video must be float32 of shape \(128,\), got float64 of \(128,\)"):
        step.advance(state, np.zeros(128), None)
    with pytest.raises(BundleError, match=r"audio must be float32 of shape \(65,\), got float32 of \(64,\)"):
        step.advance(state, None, np.zeros(64, np.float32))
    with pytest.raises(BundleError, match="state must be contiguous, writable float32 of shape"):
        step.advance(state[1:], None, None)


def test_streaming_predictor_runs_on_it() -> None:
    from edgeaff.inference import StreamingPredictor

    model = make_model()
    ticks = make_ticks(12, model)
    predictor = StreamingPredictor(pack(model))
    assert predictor.backend == "native"
    state, rows = predictor.initial_state(), []
    for video, audio in ticks:
        prediction, state = predictor.step(state, video, audio)
        rows.append((prediction.valence, prediction.arousal))
    np.testing.assert_array_equal(np.array(rows, np.float32), native_values(pack(model), ticks))


def test_shipped_bundle_states_the_same_natively_and_in_onnxruntime(root: Path) -> None:
    from edgeaff.bundle import ModelBundle
    from edgeaff.inference import load_predictor

    bundle = ModelBundle.load(root / "edgeaff" / "assets" / "edge.eaff")
    predictors = [load_predictor(bundle, backend) for backend in ("native", "onnxruntime")]
    states = [predictor.initial_state() for predictor in predictors]
    rng = np.random.default_rng(3)
    audio_size = bundle.spec.audio_vector_size
    differences = []
    for tick in range(130):
        video = rng.standard_normal(128).astype(np.float32) if tick % 7 else None
        audio = rng.standard_normal(audio_size).astype(np.float32) if tick % 11 else None
        values = []
        for index, predictor in enumerate(predictors):
            prediction, states[index] = predictor.step(states[index], video, audio)
            values.append((prediction.valence, prediction.arousal))
        differences.append(np.abs(np.subtract(*values)).max())
    # Measured: 1.2e-7.
    assert max(differences) < 1e-5


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_standard_deviations_equal_torch_and_need_a_face(precision: str) -> None:
    import torch

    model = make_model(spread_size=32)
    step = pack(model, precision)
    state = step.initial_state()
    assert step.outputs[:2] == ("values", "std")
    for video, audio in make_ticks(40, model):
        feeds = {
            "video": np.zeros((1, 128), np.float32) if video is None else video[None],
            "audio": np.zeros((1, model.config.audio_size), np.float32) if audio is None else audio[None],
            "present": np.array([[video is not None, audio is not None]], np.float32),
            "state_rings": state,
        }
        outputs = step.run(feeds)
        state = outputs["next_state_rings"]
        if video is None:
            np.testing.assert_array_equal(outputs["std"], 0.0)
            continue
        with torch.no_grad():  # of the values that the step gave: the spread stays float32 in every precision
            expected = model.spread(torch.from_numpy(video)[None], torch.from_numpy(outputs["values"])).numpy()
        np.testing.assert_allclose(outputs["std"], expected, rtol=2e-5)


def test_weights_without_a_spread_state_no_standard_deviations() -> None:
    assert pack(make_model()).outputs[0] == "values" and "std" not in pack(make_model()).outputs


def test_advancing_in_place_equals_stepping_and_leaves_copies_alone() -> None:
    from edgeaff.bundle import ModelBundle
    from edgeaff.inference import load_predictor

    predictor = load_predictor(ModelBundle.load(), "native")
    rng = np.random.default_rng(3)
    stepped, advanced = predictor.initial_state(), predictor.initial_state()
    copies = []
    for tick in range(250):
        video = rng.standard_normal(128).astype(np.float32) if tick % 7 else None
        audio = rng.standard_normal(65).astype(np.float32) if tick % 5 else None
        expected, stepped = predictor.step(stepped, video, audio)
        found, after = predictor.advance(advanced, video, audio)
        assert found == expected and after is advanced
        if tick % 60 == 0:
            copies.append((predictor.copy_state(advanced), {name: one.tobytes() for name, one in stepped.items()}))
    for copied, then in copies:
        assert {name: one.tobytes() for name, one in copied.items()} == then
    with pytest.raises((ValueError, TypeError)):
        predictor.advance({"state_rings": advanced["state_rings"][:5]}, None, None)

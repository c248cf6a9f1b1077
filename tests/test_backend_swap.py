"""A stream goes over to another backend between two ticks: the values continue, no event is lost, repeated or out of order."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaff import Session
from edgeaff.backend_swap import PreparedBackend, prepare, require_same_descriptors, transfer_state
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.features.lld import NAMES
from edgeaff.golden import self_test
from edgeaff.inference import Prediction, Predictor, load_predictor
from edgeaff.recording.format import Recording
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import first_difference
from edgeaff.types import AffectEvent, FaceBox, TrackedFace

pytestmark = pytest.mark.needs_native
SECOND = 1_000_000_000
TICKS = 420  # the default bundle remembers 297
SWAP = 380
PAIRS = [
    pytest.param("onnxruntime", "native", id="onnxruntime-native"),
    pytest.param("native", "onnxruntime", id="native-onnxruntime"),
    pytest.param("onnxruntime", "openvino", id="onnxruntime-openvino", marks=pytest.mark.needs_openvino),
]


@cache
def bundle() -> ModelBundle:
    return ModelBundle.load()


@cache
def inputs() -> tuple[list[np.ndarray | None], list[np.ndarray | None]]:
    """Descriptors and audio vectors of 420 ticks, with gaps."""
    golden = bundle().arrays("golden.npz")
    present = golden["present"].reshape(-1, 2)[:TICKS] > 0.5
    video, audio = (
        golden[name].reshape(len(golden["present"]) * golden["present"].shape[1], -1) for name in ("video", "audio")
    )
    return (
        [video[tick] if present[tick, 0] else None for tick in range(TICKS)],
        [audio[tick] if present[tick, 1] else None for tick in range(TICKS)],
    )


def values_of(
    predictor: Any, state: Any, first: int, last: int, history: deque | None = None
) -> tuple[np.ndarray, Any]:
    video, audio = inputs()
    rows = []
    for tick in range(first, last):
        prediction, state = predictor.step(state, video[tick], audio[tick])
        rows.append((prediction.valence, prediction.arousal))
        if history is not None:
            history.append((video[tick], audio[tick]))
    return np.array(rows), state


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_take_over_continues_the_values(before: str, after: str) -> None:
    old, new = load_predictor(bundle(), before), load_predictor(bundle(), after)
    history: deque = deque(maxlen=old.memory_ticks)
    _, state = values_of(old, old.initial_state(), 0, SWAP, history)
    continued, _ = values_of(new, transfer_state(old, new, state, history), SWAP, TICKS)
    alone, _ = values_of(old, old.initial_state(), 0, TICKS)
    assert np.abs(continued - alone[SWAP:]).max() < 2e-6  # two engines differ by 4e-7 at most


def test_take_over_needs_what_all_layers_have_seen() -> None:
    old, new = load_predictor(bundle(), "onnxruntime"), load_predictor(bundle(), "native")
    assert old.memory_ticks == new.memory_ticks == 297
    history: deque = deque(maxlen=100)
    _, state = values_of(old, old.initial_state(), 0, SWAP, history)
    continued, _ = values_of(new, transfer_state(old, new, state, history), SWAP, TICKS)
    alone, _ = values_of(old, old.initial_state(), 0, TICKS)
    assert np.abs(continued - alone[SWAP:]).max() > 1e-4  # 4e-3: the last 100 ticks alone are not enough


def test_graphs_share_their_state() -> None:
    old, new = load_predictor(bundle(), "onnxruntime"), load_predictor(bundle(), "onnxruntime")
    _, state = values_of(old, old.initial_state(), 0, 3)
    taken = transfer_state(old, new, state, ())
    assert all(taken[name] is array for name, array in state.items())
    assert load_predictor(bundle(), "native").state_layout != old.state_layout


@cache
def pushes() -> tuple[tuple[str, int, Any], ...]:
    """Fourteen seconds of made faces at 30 Hz and LLD rows at 100 Hz, in the order of time."""
    rng = np.random.default_rng(3)
    face = TrackedFace(1, FaceBox(10.0, 10.0, 80.0, 80.0), 0.9)
    rows_, columns = np.mgrid[0:96, 0:96] / 96.0
    light = 90 + 120 * np.exp(-((rows_ - 0.5) ** 2 + (columns - 0.5) ** 2) / 0.08) * (1 + 0.3 * np.cos(9 * rows_))
    crop = np.clip(light[..., None] + rng.normal(0, 4, (96, 96, 3)), 0, 255).astype(np.uint8)
    made: list[tuple[str, int, Any]] = []
    for index in range(TICKS):
        pixels = np.roll(crop, round(6 * np.sin(index / 9)), axis=1)
        made.append(("face", round(index * SECOND / 30), [] if index % 97 < 9 else [(face, pixels)]))
    rows = rng.standard_normal((TICKS * 100 // 30, len(NAMES))).astype(np.float32)
    made += [("lld", start * SECOND // 100, rows[start : start + 2]) for start in range(0, len(rows), 2)]
    return tuple(sorted(made, key=lambda push: (push[1], push[0])))


def drive(session: Any, swaps: dict[int, Any] | None = None) -> list[AffectEvent]:
    """Returns all events; swaps: number of events after which to hand over, and to what."""
    events: list[AffectEvent] = []
    waiting = dict(swaps or {})
    for kind, pts_ns, data in pushes():
        events += session.push_face(data, pts_ns=pts_ns) if kind == "face" else session.push_lld(data, pts_ns=pts_ns)
        due = next((count for count in waiting if len(events) >= count), None)
        if due is not None:
            session.swap_backend(waiting.pop(due))
    return events + session.finish()


@cache
def unswapped(max_faces: int = 1) -> tuple[AffectEvent, ...]:
    return tuple(drive(Session(bundle(), max_faces=max_faces, backend="onnxruntime")))


def assert_continues(events: list[AffectEvent], swap_at: int, after: str, expected: tuple[AffectEvent, ...]) -> None:
    assert [event.seq for event in events] == list(range(len(expected)))
    assert [event.pts_ns for event in events] == [event.pts_ns for event in expected]
    first = next(index for index, event in enumerate(events) if event.backend == after)
    assert swap_at <= first <= swap_at + 2
    assert events[:first] == list(expected[:first])
    for event, other in zip(events[first:], expected[first:], strict=True):
        assert event.backend == after
        assert event.status is other.status
        for name in ("valence", "arousal", "valence_raw", "arousal_raw"):
            mine, theirs = getattr(event, name), getattr(other, name)
            assert (mine is None) == (theirs is None)
            assert mine is None or abs(mine - theirs) < 2e-6
        assert (event.video_coverage, event.audio_coverage) == (other.video_coverage, other.audio_coverage)


@pytest.mark.parametrize("max_faces", [1, 2])
@pytest.mark.parametrize("swap_at", [1, SWAP])
def test_session_continues_on_the_native_step(swap_at: int, max_faces: int) -> None:
    session = Session(bundle(), max_faces=max_faces, backend="onnxruntime")
    events = drive(session, {swap_at: "native"})
    assert session.backend == "native"
    assert_continues(events, swap_at, "native", unswapped(max_faces))


@pytest.mark.needs_openvino
def test_session_changes_the_face_encoder_too_and_goes_back() -> None:
    session = Session(bundle(), backend="onnxruntime")
    events = drive(session, {150: "openvino", 300: "native"})
    assert {event.backend for event in events} == {"onnxruntime", "openvino", "native"}
    assert [event.pts_ns for event in events] == [event.pts_ns for event in unswapped()]
    of_openvino = drive(Session(bundle(), backend="openvino"), {})
    # OpenVINO rounds an 8-bit encoder at other places; the values lie between those of both engines, but for what a mixed window gives.
    most = 5e-3 if bundle().precision("face_encoder") == "int8" else 1e-4
    swapped, plain, other = (raw_valence(found) for found in (events, unswapped(), of_openvino))
    assert np.nanmax(np.maximum(np.minimum(plain, other) - swapped, swapped - np.maximum(plain, other))) < most
    # Once the window holds descriptors of one engine alone, the values are those of that engine.
    np.testing.assert_allclose(swapped[270:300], other[270:300], rtol=0, atol=1e-4)
    np.testing.assert_allclose(swapped[405:], plain[405:], rtol=0, atol=1e-4)


def raw_valence(events: Sequence[AffectEvent]) -> np.ndarray:
    return np.array([np.nan if event.valence_raw is None else event.valence_raw for event in events])


class Wrong(Predictor):
    """The native step with its outputs exchanged."""

    def __init__(self) -> None:
        self._inner = load_predictor(bundle(), "native")
        self.backend, self.precision = "wrong", "fp32"
        self.state_layout, self.memory_ticks = self._inner.state_layout, self._inner.memory_ticks

    def initial_state(self) -> Any:
        return self._inner.initial_state()

    def step(self, state: Any, video: Any, audio: Any) -> tuple[Prediction, Any]:
        prediction, state = self._inner.step(state, video, audio)
        return Prediction(prediction.arousal, prediction.valence), state


class NotFinite(Wrong):
    """Gives NaN."""

    def step(self, state: Any, video: Any, audio: Any) -> tuple[Prediction, Any]:
        return Prediction(float("nan"), 0.0), state


def test_a_backend_that_fails_its_self_test_is_refused() -> None:
    with pytest.raises(BundleError, match="wrong fp32: CCC of valence .* must be at least 0.9999, got"):
        prepare(bundle(), "wrong", predictor=Wrong())
    with pytest.raises(BundleError, match="computed NaN or infinity"):
        self_test(bundle(), NotFinite())


def test_a_session_goes_on_after_a_refusal() -> None:
    session = Session(bundle(), backend="onnxruntime")
    events: list[AffectEvent] = []
    for number, (kind, pts_ns, data) in enumerate(pushes()):
        events += session.push_face(data, pts_ns=pts_ns) if kind == "face" else session.push_lld(data, pts_ns=pts_ns)
        if number == 400:
            with pytest.raises(ArgumentError, match="backend must be one of"):
                session.swap_backend("warp")
            with pytest.raises(BundleError, match="not used here"):
                session.swap_backend(prepare(bundle(), "wrong", predictor=Wrong()))
    assert events + session.finish() == list(unswapped())


def test_a_candidate_of_another_bundle_is_refused() -> None:
    session = Session(bundle(), backend="onnxruntime")
    other = dataclasses.replace(bundle(), manifest=dataclasses.replace(bundle().manifest, model_id="other"))
    made = prepare(bundle(), "native")
    with pytest.raises(ArgumentError, match="must be prepared for"):
        session.swap_backend(PreparedBackend("native", other, made.predictor, made.encoder, {}))
    assert session.backend == "onnxruntime"


class Brightness:
    """A face encoder that knows brightness alone."""

    backend = "brightness"

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"descriptor": np.full((1, 128), feeds["face"].mean(), np.float32)}


def test_another_face_encoder_is_refused() -> None:
    session = Session(bundle(), backend="onnxruntime")
    made = prepare(bundle(), "native")
    with pytest.raises(BundleError, match="the face encoder on brightness must give descriptors"):
        session.swap_backend(dataclasses.replace(made, encoder=Brightness()))
    assert session.backend == "onnxruntime"
    assert made.encoder is not None
    assert require_same_descriptors(made.encoder, made.encoder, 96) == pytest.approx(1.0)


def test_a_bundle_without_golden_sequences_is_not_swapped() -> None:
    members = {name: data for name, data in bundle().members.items() if name != "golden.npz"}
    with pytest.raises(BundleError, match="must hold golden.npz"):
        prepare(dataclasses.replace(bundle(), members=members), "native")


def test_prepare_states_what_it_measured() -> None:
    figures = prepare(bundle(), "native").figures
    assert set(figures) == {"ccc_valence", "ccc_arousal", "max_abs_difference", "seconds"}
    assert figures["ccc_valence"] > 0.9999
    assert figures["max_abs_difference"] < 1e-5


def test_a_swap_is_recorded_and_replayed_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "session.eaffrec"
    with Recorder(path, options={"backend": "onnxruntime"}) as recorder:
        session = recorder.wrap(Session(bundle(), backend="onnxruntime", tap=recorder))
        written: list[AffectEvent] = []

        class Listening:
            """Hands every event to the recorder, as a runtime does."""

            def __getattr__(self, name: str) -> Any:
                def call(*arguments: Any, **options: Any) -> Any:
                    found = getattr(session, name)(*arguments, **options)
                    for event in found or ():
                        recorder.write(event)
                        written.append(event)
                    return found

                return call

        drive(Listening(), {200: prepare(bundle(), "native")})
    recording = Recording(path)
    swaps = [call.head for call in recording.calls() if call.name == "swap_backend"]
    assert swaps == [{"call": "swap_backend", "backend": "native"}]
    assert {event.backend for event in written} == {"onnxruntime", "native"}
    difference = first_difference(recording, lambda tap, options: Session(bundle(), tap=tap, **options))
    assert difference == ""


def test_an_8_bit_encoder_may_differ_more() -> None:
    made = prepare(bundle(), "native")
    assert made.encoder is not None
    turned = Turned(made.encoder, 0.2)  # cosine 0.98
    with pytest.raises(BundleError, match="at least 0.995"):
        require_same_descriptors(Plain(made.encoder), turned, 96)
    turned.precision = "int8"
    assert require_same_descriptors(Plain(made.encoder), turned, 96) == pytest.approx(np.cos(0.2), abs=1e-3)


class Plain:
    """A face encoder that states it is float32."""

    backend, precision = "plain", "float32"

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._graph.run(feeds)


class Turned(Plain):
    """Turns descriptors by an angle."""

    backend = "turned"

    def __init__(self, graph: Any, angle: float) -> None:
        super().__init__(graph)
        self._angle = angle

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        row = self._graph.run(feeds)["descriptor"][0].astype(np.float64)
        other = np.random.default_rng(0).standard_normal(row.size)
        other -= row * (other @ row) / (row @ row)
        other *= np.linalg.norm(row) / np.linalg.norm(other)
        return {"descriptor": (np.cos(self._angle) * row + np.sin(self._angle) * other)[None]}

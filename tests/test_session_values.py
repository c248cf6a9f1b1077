"""Nothing that is not finite or out of range leaves a Session: a model, detector or bundle that misbehaves, every face and status."""

from __future__ import annotations

import gc
import math
import weakref
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgeaff
from edgeaff.bundle import SPEECH, ModelBundle
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.inference import Prediction, Predictor, std_in_range, value_in_range
from edgeaff.smoothing import check_smoothing
from edgeaff.types import AffectEvent, FaceBox, FaceDetection, Status, TrackedFace, is_face

SECOND = 1_000_000_000
CROP = np.full((96, 96, 3), 90, np.uint8)
FACE = TrackedFace(0, FaceBox(8, 6, 24, 18), 0.99)
BAD = [math.nan, math.inf, -math.inf, 1.01, -1.5, 141.0, 1e308]
IMAGE = np.full((60, 80, 3), 90, np.uint8)


class Scripted(Predictor):
    """A predictor that gives what it is reported to. Its state is what it has seen, so that a spoiled one shows."""

    backend, precision, state_layout, memory_ticks = "scripted", "fp32", "scripted", 100

    def __init__(self, values: list[tuple[float, float]]) -> None:
        self.values, self.states = list(values), []

    def initial_state(self) -> tuple[Prediction, ...]:
        return ()

    def step(self, state: Any, video: Any, audio: Any) -> tuple[Prediction, Any]:
        prediction = Prediction(*(self.values.pop(0) if self.values else (0.1, 0.2)))
        self.states.append(state)
        return prediction, (*state, prediction)


def session_with(values: list[tuple[float, float]], **options: Any) -> tuple[edgeaff.Session, Scripted]:
    session, scripted = edgeaff.Session(**options), Scripted(values)
    session._predictor = scripted
    session._restart()
    return session, scripted


def push_faces(session: edgeaff.Session, ticks: range, face: TrackedFace = FACE) -> list[AffectEvent]:
    return [event for tick in ticks for event in session.push_face([(face, CROP)], pts_ns=tick * SECOND // 30)]


def assert_finite(events: list[AffectEvent]) -> None:
    for event in events:
        row = event.to_dict()
        numbers = [value for value in row.values() if isinstance(value, float)]
        numbers += [] if row["face"] is None else [*row["face"]["box"], row["face"]["score"]]
        assert all(math.isfinite(number) for number in numbers)
        values = [event.valence, event.arousal, event.valence_raw, event.arousal_raw]
        assert all(value is None or -1 <= value <= 1 for value in values)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("which", [0, 1])
def test_a_value_out_of_range_makes_the_event_abstain_and_the_next_one_goes_on(bad: float, which: int) -> None:
    wrong = (bad, 0.2) if which == 0 else (0.1, bad)
    session, scripted = session_with([(0.1, 0.2)] * 30 + [wrong], audio=False)
    events = push_faces(session, range(40))
    assert_finite(events)
    assert [event.status for event in events[29:32]] == [Status.OK, Status.ABSTAIN, Status.OK]
    abstained = events[30]
    assert {abstained.valence, abstained.arousal, abstained.valence_raw, abstained.arousal_raw} == {None}
    assert {abstained.valence_std, abstained.arousal_std} == {None} and abstained.face == FACE
    assert session.counts.values_rejected == 1 and "abstain" in session.warnings[-1]
    assert len(scripted.states[30]) == 30 and scripted.states[31] == ()  # the spoiled past is gone


def test_a_model_that_misbehaves_always_warns_once() -> None:
    session, _ = session_with([(math.nan, math.nan)] * 60, audio=False)
    warnings = len(session.warnings)
    events = push_faces(session, range(60))
    assert {event.status for event in events} == {Status.ABSTAIN}
    assert session.counts.values_rejected == 60 and len(session.warnings) == warnings + 1


def test_what_rounding_adds_is_cut_off() -> None:
    session, _ = session_with([(1.0005, -1.0005)] * 60, audio=False, smoothing=(0, 0))
    last = push_faces(session, range(60))[-1]
    assert (last.valence, last.arousal, session.counts.values_rejected) == (1.0, -1.0, 0)


def test_without_evidence_the_status_stays_what_it_is() -> None:
    session, _ = session_with([(math.nan, math.nan)] * 60)
    events = [event for tick in range(40) for event in session.push_face([], pts_ns=tick * SECOND // 30)]
    assert {event.status for event in events} == {Status.NO_FACE} and session.counts.values_rejected == len(events)


def test_every_face_is_checked_by_itself() -> None:
    session, _ = session_with([(0.1, 0.2)] * 3 + [(math.nan, 0.0), (0.1, 0.2), (0.1, 0.2)], audio=False, max_faces=2)
    other = TrackedFace(1, FaceBox(30, 6, 44, 18), 0.9)
    events = []
    for tick in range(20):
        events += session.push_face([(FACE, CROP), (other, CROP)], pts_ns=tick * SECOND // 30)
    assert_finite(events)
    assert sum(event.status is Status.ABSTAIN for event in events) <= 1 and len(events) == 40


@pytest.mark.parametrize("table", [math.nan, math.inf, -0.1, 3.0])
def test_a_table_of_uncertainty_out_of_range_makes_events_abstain(table: float) -> None:
    session, _ = session_with([], audio=False)
    session._uncertainty._valence = np.full_like(session._uncertainty._valence, table)
    session._uncertainty._known.clear()
    events = push_faces(session, range(30))
    assert {event.status for event in events} == {Status.ABSTAIN} and session.counts.values_rejected == 30
    assert_finite(events)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1, 61, None, "x"])
def test_time_constants_of_a_bundle_are_checked(wrong: Any) -> None:
    with pytest.raises(BundleError, match="smoothing"):
        check_smoothing(None, {"valence_seconds": wrong, "arousal_seconds": 0.3})


class Detector:
    """Gives one box on every image."""

    id = "edgeaff-ssd"

    def __init__(self, box: tuple[float, ...], score: float) -> None:
        self.found = FaceDetection(FaceBox(*box), score)

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        return [self.found]


@pytest.mark.parametrize(
    "box, score",
    [
        ((math.nan, 0, 10, 10), 0.9),
        ((0, 0, math.inf, 10), 0.9),
        ((0, -math.inf, 10, 10), 0.9),
        ((0, 0, 1e9, 10), 0.9),
        ((10, 0, 0, 10), 0.9),
        ((0, 0, 10, 0), 0.9),
        ((0, 0, 10, 10), math.nan),
        ((0, 0, 10, 10), 7.0),
    ],
)
def test_a_box_that_is_none_is_left_out_and_counted(box: tuple[float, ...], score: float) -> None:
    session = edgeaff.Session(audio=False, detector=Detector(box, score), detector_stride=1)
    events = [event for tick in range(5) for event in session.push_frame(IMAGE, pts_ns=tick * SECOND // 30)]
    assert {event.status for event in events} == {Status.NO_FACE} and session.counts.values_rejected == 5
    assert_finite(events)
    with pytest.raises(ArgumentError, match="face must have"):
        session.push_face([(TrackedFace(0, FaceBox(*box), score), CROP)], pts_ns=SECOND)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(-200, 300), st.floats(-200, 300), st.integers(1, 10**8)), min_size=1, max_size=30))
def test_boxes_stay_finite_under_any_motion_and_time_steps(motion: list[tuple[float, float, int]]) -> None:
    session = edgeaff.Session(audio=False, detector=Detector((0, 0, 1, 1), 0.9), detector_stride=1)
    pts_ns, events = 0, []
    for x, y, step in motion:
        pts_ns += step
        session._preprocessor.parts.detector.found = FaceDetection(FaceBox(x, y, x + 30, y + 40), 0.9)
        events += session.push_frame(IMAGE, pts_ns=pts_ns)
    assert_finite(events)
    assert session.counts.values_rejected == 0


@pytest.mark.parametrize("scale", [1.0, 1e19, 3e38])
def test_loud_samples_and_rows_leave_numbers_in_range(scale: float) -> None:
    rng = np.random.default_rng(0)
    bundle = ModelBundle.load()  # without its gate: what is no speech is to reach the model
    bundle = ModelBundle(
        bundle.path, bundle.manifest, {name: data for name, data in bundle.members.items() if name != SPEECH}
    )
    session, rows = edgeaff.Session(bundle, video=False), edgeaff.Session(bundle, video=False)
    events = []
    for index in range(60):
        samples = (rng.uniform(-1, 1, 533) * (scale if index < 30 else 0.1)).astype(np.float32)
        refused = (
            pytest.raises(ArgumentError, match=r"must be in \[-1, 1\]") if abs(samples).max() > 1 else nullcontext()
        )
        with refused:
            events += session.push_audio(samples, pts_ns=index * SECOND // 30, sample_rate_hz=16_000)
    for index in range(200):
        row = np.full((1, 65), scale if index < 100 else 0.1, np.float32)
        events += rows.push_lld(row, pts_ns=index * SECOND // 100)
    assert_finite(events)
    assert events[-1].arousal is not None or events[-1].status is Status.ABSTAIN


def test_ranges_of_values_boxes_and_scores() -> None:
    assert [value_in_range(value) for value in (0.5, 1.0005, -1.0005, 1.002, math.nan)] == [0.5, 1.0, -1.0, None, None]
    assert [std_in_range(std) for std in (0.0, 0.3, 2.0, 2.1, -0.1, math.nan)] == [0.0, 0.3, 2.0, None, None, None]
    assert is_face((0, 0, 1, 1), 1.0) and not is_face((0, 0, 1, math.nan), 1.0) and not is_face((0, 0, 1, 1), -0.1)


@pytest.mark.parametrize("options", [{}, {"backend": "onnxruntime"}, {"max_faces": 3}, {"video": False}])
def test_a_dropped_session_frees_its_memory_without_the_collector(options: dict[str, Any]) -> None:
    gc.disable()
    try:
        session = edgeaff.Session(**options)
        for index in range(3):
            if "video" not in options:
                session.push_frame(IMAGE, pts_ns=index * SECOND // 30)
            session.push_audio(np.zeros(533, np.int16), pts_ns=index * SECOND // 30, sample_rate_hz=16_000)
        parts = session._preprocessor, session._preprocessor._core, session._predictor
        watched = [weakref.ref(part) for part in parts]
        del session, parts
        assert [part() for part in watched] == [None] * 3
    finally:
        gc.enable()

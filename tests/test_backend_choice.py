"""backend="auto" measures and reports it; the test at load refuses, warns or stays away."""

import dataclasses
import io

import numpy as np
import pytest

from edgeaff.backend_choice import CANDIDATES, choose_backend
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.golden import check_at_load, self_test
from edgeaff.inference import Predictor, load_predictor
from edgeaff.session import Session

pytestmark = pytest.mark.needs_native


@pytest.fixture(scope="module")
def bundle():
    return ModelBundle.load()


def promising(bundle, change):
    """Returns the bundle with other golden outputs."""
    golden = bundle.arrays("golden.npz")
    buffer = io.BytesIO()
    np.savez(buffer, **{**golden, "values": change(golden["values"])})
    return dataclasses.replace(bundle, members={**bundle.members, "golden.npz": buffer.getvalue()})


def test_the_fastest_is_chosen_and_the_others_are_accounted_for(bundle, caplog):
    with caplog.at_level("INFO", logger="edgeaff.backend_choice"):
        choice = choose_backend(bundle)
    assert choice.backend in choice.milliseconds
    assert set(choice.milliseconds) | set(choice.left_out) == set(CANDIDATES)
    assert all(value > 0 for value in choice.milliseconds.values())
    default = choice.milliseconds["onnxruntime"]
    assert choice.milliseconds[choice.backend] <= default
    assert choice.reason in caplog.text and f"{default:.2f} ms" in choice.reason


def test_model_and_face_encoder_are_chosen_apart(bundle, monkeypatch):
    milliseconds = {"native": 3.0, "onnxruntime": 1.0, "openvino": 2.0}
    faces = {"onnxruntime": 2.0, "openvino": 1.0}
    monkeypatch.setattr("edgeaff.backend_choice.CANDIDATES", tuple(milliseconds))
    monkeypatch.setattr("edgeaff.backend_choice._tick_trial", lambda _, backend, **options: milliseconds[backend])
    monkeypatch.setattr("edgeaff.backend_choice._face_trials", lambda _, **options: faces)
    choice = choose_backend(bundle)
    assert (choice.backend, choice.face_backend) == ("onnxruntime", "openvino")
    faces["openvino"] = 1.9  # no tenth faster than what goes with the model
    assert choose_backend(bundle).face_backend == "onnxruntime"


@pytest.mark.needs_openvino
def test_face_encoder_runs_where_it_is_configured_to_and_stays_there(bundle):
    session = Session(bundle, face_backend="openvino")
    graph = session._preprocessor.parts.encoder.graph
    assert (session.backend, graph.backend) == ("native", "openvino")
    session.swap_backend("onnxruntime")
    assert session.backend == "onnxruntime" and session._preprocessor.parts.encoder.graph is graph


def test_what_states_something_else_is_not_chosen(bundle, monkeypatch):
    real = load_predictor

    class Wrong(Predictor):
        backend, precision = "native", "fp32"

        def __init__(self, inner):
            self._inner = inner

        def initial_state(self):
            return self._inner.initial_state()

        def step(self, state, video, audio):
            prediction, state = self._inner.step(state, video, audio)
            return type(prediction)(prediction.arousal, prediction.valence), state

    def loader(bundle, backend, **options):
        made = real(bundle, backend, **options)
        return Wrong(made) if backend == "native" else made

    monkeypatch.setattr("edgeaff.backend_choice.load_predictor", loader)
    choice = choose_backend(bundle)
    assert choice.backend != "native"
    assert "native fp32: CCC of valence with the golden outputs must be at least 0.9999" in choice.left_out["native"]


def test_a_bundle_that_no_backend_fulfils_is_refused(bundle):
    with pytest.raises(BundleError, match="must run on one of native"):
        choose_backend(promising(bundle, np.negative))


def test_session_takes_what_was_chosen(bundle, monkeypatch):
    monkeypatch.setattr("edgeaff.backend_choice.CANDIDATES", ("native",))
    session = Session(bundle, backend="auto")
    assert session.backend == session.choice.backend == "native"
    assert Session(bundle).choice is None


def test_self_test_at_load_follows_the_policy(bundle, caplog):
    wrong = promising(bundle, lambda values: values + np.float32(0.2))
    assert Session(bundle, self_test="refuse").warnings == []
    assert Session(wrong).warnings == []  # off
    (text,) = Session(wrong, self_test="warn").warnings
    assert "CCC of valence with the golden outputs must be at least 0.9999, got 0." in text and text in caplog.text
    with pytest.raises(BundleError, match="CCC of valence with the golden outputs"):
        Session(wrong, self_test="refuse")
    with pytest.raises(ArgumentError, match="self_test must be one of refuse, warn, off, got 'maybe'"):
        Session(bundle, self_test="maybe")


def test_a_bundle_without_golden_sequences_is_not_vouched_for(bundle):
    empty = dataclasses.replace(bundle, members={k: v for k, v in bundle.members.items() if k != "golden.npz"})
    (text,) = check_at_load(empty, load_predictor(empty, "native"), "warn")
    assert "must hold golden.npz to be tested" in text


def test_a_short_time_tests_fewer_ticks(bundle):
    predictor = load_predictor(bundle, "native")
    assert self_test(bundle, predictor, seconds=0.0).ticks == 10 * len(bundle.arrays("golden.npz")["video"])


def test_runtime_states_what_it_chose_and_records_it(bundle, monkeypatch, tmp_path):
    from edgeaff.capture.push import PushAudio
    from edgeaff.recording.recorder import Recorder
    from edgeaff.runtime import Runtime

    monkeypatch.setattr("edgeaff.backend_choice.CANDIDATES", ("native",))
    recorder = Recorder(tmp_path / "a.eaffrec")
    wrong = promising(bundle, lambda values: values + np.float32(1e-4))
    source = PushAudio(sample_rate_hz=16_000)
    with Runtime(wrong, audio=source, backend="auto", sinks=[recorder]) as runtime:
        chosen = [event for event in runtime.status.recent() if event.kind == "backend_selected"]
        source.push(np.zeros(1600, np.int16))
        source.end()
    recorder.close()
    assert [(event.source, event.name) for event in chosen] == [("backend", "native")]
    assert "native" in chosen[0].message
    assert '"backend":"native"' in (tmp_path / "a.eaffrec").read_bytes().decode("latin-1")

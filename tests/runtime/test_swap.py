"""Another backend takes over from a running Runtime: no event lost, repeated or out of order; a refused one changes nothing."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.backend_swap import PreparedBackend, prepare
from edgeaff.bundle import ModelBundle
from edgeaff.errors import BackendUnavailableError, BundleError, DeviceError, SessionStateError
from edgeaff.recording.format import Recording
from edgeaff.recording.recorder import Recorder
from edgeaff.recording.replay import first_difference
from edgeaff.runtime import swap
from edgeaff.runtime.swap import BackendSwap, InitialBackend, begin
from edgeaff.types import AffectEvent, StatusEvent

pytestmark = pytest.mark.needs_native
RATE = 16_000
SERVING = ModelBundle.load().manifest.default_backend
OTHER = "onnxruntime" if SERVING == "native" else "native"
SECONDS = 4.0
CHUNK = 320


def tone(index: int) -> np.ndarray:
    times = (index * CHUNK + np.arange(CHUNK)) / RATE
    return (8000 * np.sin(2 * np.pi * 180 * times) * (1 + 0.5 * np.sin(2 * np.pi * 2 * times))).astype(np.int16)


def make_runtime(**options: Any) -> edgeaff.Runtime:
    return edgeaff.Runtime(
        audio=edgeaff.PushAudio(sample_rate_hz=RATE), **{"backend": SERVING, "ladder": False, **options}
    )


def push_all(
    runtime: edgeaff.Runtime, during: dict[int, Any] | None = None, *, until: Any = None, after_seconds: float = 0.0
) -> list[AffectEvent]:
    """Pushes four seconds of audio at twice real time, slower where the runtime cannot keep up, and returns all events.

    during: calls to make before a chunk; until: goes on, up to a minute, until this is true, and then for after_seconds.
    """
    events: list[AffectEvent] = []
    reader = threading.Thread(target=lambda: events.extend(runtime))
    least, most, index = round(SECONDS * RATE / CHUNK), round(60 * RATE / CHUNK), 0
    with runtime:
        reader.start()
        start = time.monotonic()
        while index < least:
            if during and index in during:
                during[index]()
            if index == least - 1 and until is not None and least < most:
                if until():
                    least, until = least + round(after_seconds * RATE / CHUNK), None
                else:
                    least += 1
            runtime.push_audio(tone(index), pts_ns=index * CHUNK * 1_000_000_000 // RATE)
            index += 1
            while runtime.stats().queues["audio_ms"] > 2000:
                time.sleep(0.01)
            time.sleep(max(0.0, start + index * CHUNK / RATE / 2 - time.monotonic()))
        runtime.finish()
        reader.join(60)
    return events


def assert_whole(events: list[AffectEvent]) -> None:
    """No event lost, repeated or out of order."""
    assert [event.seq for event in events] == list(range(len(events)))
    ticks = [round(event.pts_ns * 30 / 1e9) for event in events]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    assert len(events) >= 30 * SECONDS - 12  # those that wait for audio beyond the end
    assert events[0].dropped_since_last in (0, None)


def backends(events: list[AffectEvent]) -> list[str]:
    """Returns the backends in order, each once per change."""
    return [
        event.backend for index, event in enumerate(events) if not index or event.backend != events[index - 1].backend
    ]


class Slow:
    """Prepares as usual, but waits to be released, and reports progress meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcome: BaseException | None = None) -> None:
        self.release, self.outcome, self.stopped = threading.Event(), outcome, False
        monkeypatch.setattr(BackendSwap.__init__, "__kwdefaults__", {"options": None, "make": self})

    def __call__(self, bundle: Any, backend: str, *, progress: Any, **options: Any) -> PreparedBackend:
        step = 0
        while not self.release.wait(0.02):
            step += 1
            if progress("Building engine", step, 1000) is False:
                self.stopped = True
                raise BundleError("The build was stopped before its end. Start it again.")
        if self.outcome is not None:
            raise self.outcome
        return prepare(bundle, OTHER, **options)


def test_a_slow_build_takes_over_between_ticks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow, stated = Slow(monkeypatch), []
    path = tmp_path / "session.eaffrec"
    runtime = make_runtime(backend="tensorrt", sinks=[Recorder(path)])
    runtime.on_status(stated.append)
    events = push_all(
        runtime, {100: slow.release.set}, until=lambda: runtime.health().backend["name"] == OTHER, after_seconds=0.5
    )
    assert_whole(events)
    assert backends(events) == [SERVING, OTHER]
    kinds = [event.kind for event in stated if event.source == "backend"]
    assert kinds[-1] == "swapped"
    assert "building" in kinds
    swapped = next(event for event in stated if event.kind == "swapped")
    assert swapped.counts["ccc_valence"] > 0.9999
    assert swapped.counts["swap_ms"] > 0
    assert runtime.health().backend == {"name": OTHER, "swap": f"{OTHER} took over from {SERVING}"}
    recording = Recording(path)
    assert [call.head["backend"] for call in recording.calls() if call.name == "swap_backend"] == [OTHER]
    options = recording.header["session"]
    assert options["backend"] == "default"
    difference = first_difference(recording, lambda tap, known: edgeaff.Session(tap=tap, **known))
    assert difference == ""


def test_values_continue_over_a_swap() -> None:
    plain = push_all(make_runtime())
    runtime = make_runtime()
    events = push_all(
        runtime, {10: lambda: runtime.swap_backend(OTHER)}, until=lambda: runtime.health().backend["name"] == OTHER
    )
    assert_whole(plain)
    assert_whole(events)
    assert backends(events) == [SERVING, OTHER]
    compared = min(len(plain), len(events)) - 12  # the last of a run end with its audio
    for event, other in zip(events[:compared], plain[:compared], strict=True):
        assert (event.status, event.audio_coverage) == (other.status, other.audio_coverage)
        assert event.arousal is None or abs(event.arousal - (other.arousal or 0.0)) < 2e-6


def test_there_and_back_under_load() -> None:
    runtime = make_runtime()
    for _ in range(3):
        threading.Thread(target=burn, args=(runtime,), daemon=True).start()
    wanted = [OTHER, SERVING, OTHER]
    asked: list[str] = []

    def next_swap() -> bool:
        """Asks for the next swap once the one before has taken place; states whether all have."""
        if asked and runtime.health().backend["name"] != asked[-1]:
            return False
        if len(asked) == len(wanted):
            return True
        asked.append(wanted[len(asked)])
        runtime.swap_backend(asked[-1])
        return False

    events = push_all(runtime, dict.fromkeys(range(20, 199), next_swap), until=next_swap, after_seconds=0.5)
    assert_whole(events)
    assert backends(events) == [SERVING, *wanted]


def burn(runtime: edgeaff.Runtime) -> None:
    """Keeps a core busy while the runtime runs."""
    numbers = np.random.default_rng(0).random((64, 64))
    while not runtime.finished:
        numbers = np.tanh(numbers @ numbers)


@pytest.mark.parametrize(
    "outcome",
    [
        BundleError(
            "tensorrt fp16: CCC of valence with the golden outputs must be at least 0.999, got 0.5; it is not used here."
        ),
        DeviceError("a CUDA device must be there to run an engine, got cudaErrorNoDevice; check `nvidia-smi`."),
        RuntimeError("something inside another library"),
    ],
    ids=["self-test", "no device", "foreign"],
)
def test_a_refused_engine_changes_nothing(outcome: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, stated = Slow(monkeypatch, outcome), []
    runtime = make_runtime(backend="tensorrt")
    runtime.on_status(stated.append)
    events = push_all(runtime, {60: slow.release.set})
    assert_whole(events)
    assert backends(events) == [SERVING]
    refused = [event for event in stated if event.kind == "swap_refused"]
    assert [(event.source, event.name, event.message) for event in refused] == [("backend", "tensorrt", str(outcome))]
    assert runtime.health().backend["swap"].startswith("refused tensorrt: ")


def test_a_refusal_at_the_handover_changes_nothing() -> None:
    runtime = make_runtime()
    stated: list[StatusEvent] = []
    runtime.on_status(stated.append)

    def request() -> None:
        made = prepare(runtime.bundle, "native")
        other = ModelBundle(made.bundle.path, dataclasses.replace(made.bundle.manifest, model_id="x"), {})
        runtime._worker.submit(
            lambda session: runtime._swap._hand_over(
                session, PreparedBackend("native", other, made.predictor, None, {})
            )
        )

    events = push_all(runtime, {50: request})
    assert_whole(events)
    assert backends(events) == [SERVING]
    assert [event.kind for event in stated if event.source == "backend"] == ["swap_refused"]


def test_stop_ends_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    runtime = make_runtime(backend="tensorrt").start()
    with pytest.raises(SessionStateError, match="swap_backend must wait for the one before, got 'native' while"):
        runtime.swap_backend("native")
    start = time.monotonic()
    runtime.stop()
    assert time.monotonic() - start < 2.0
    deadline = time.monotonic() + 5
    while not slow.stopped:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_runtime_begins_with() -> None:
    def make(backend: str) -> str:
        if backend == "tensorrt":
            raise error
        return f"session of {backend}"

    error: Exception = DeviceError("no device")
    assert begin(make, "native", live=True, strict=False) == InitialBackend("session of native", "native")
    assert begin(make, "tensorrt", live=True, strict=False) == InitialBackend(
        "session of default", "default", "tensorrt"
    )
    assert begin(make, "tensorrt", live=False, strict=False) == InitialBackend(
        "session of default", "default", None, error
    )
    assert begin(make, "tensorrt:fp32", live=False, strict=False).backend == "tensorrt:fp32"
    for live in (True, False):
        with pytest.raises(DeviceError):
            begin(make, "tensorrt", live=live, strict=True)
    error = BundleError("damaged")
    with pytest.raises(BundleError):
        begin(make, "tensorrt", live=False, strict=False)
    assert swap.BUILT == ("tensorrt", "tensorrt:fp32", "tensorrt:int8")


def test_strict_refuses_to_begin_without_it() -> None:
    with pytest.raises((BackendUnavailableError, DeviceError), match="must be"):
        make_runtime(backend="tensorrt", strict=True)

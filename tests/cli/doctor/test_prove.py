"""`edgeaff doctor --prove`: the five promises on a clip, and each of them broken on purpose."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeaff.bench.latency_media import RATE_HZ, make_media
from edgeaff.bundle import ModelBundle
from edgeaff.cli.doctor import prove
from edgeaff.cli.doctor.finding import Finding
from edgeaff.cli.main import main
from edgeaff.session import Session
from edgeaff.types import Status
from tests.media_maker import frame_times, write_clip

pytestmark = pytest.mark.needs_media
PROVED = {"preprocessing", "streaming", "replay", "bundle", "engine", "evidence", "privacy"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    media, times = make_media(3.0), frame_times(15, 3)
    frames = [media.images[index] for index in range(len(times))]
    samples = (media.samples / 32_768).astype(np.float32)
    path = tmp_path_factory.mktemp("prove") / "clip.mkv"
    return write_clip(path, frames=frames, times=times, samples=samples, sample_rate_hz=RATE_HZ)


@pytest.fixture(scope="module")
def proof(clip: Path) -> tuple[prove.Clip, ModelBundle, list[Any]]:
    shown, bundle = prove.Clip(str(clip)), ModelBundle.load()
    return shown, bundle, shown.whole_events(bundle)


@pytest.fixture
def one_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-tests of all backends belong to test_doctor.py, and some take long."""
    monkeypatch.setattr("edgeaff.export.certificate.BACKENDS", ("native",))


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.mark.usefixtures("one_backend")
def test_every_promise_holds(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--prove", str(clip), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {finding["name"] for finding in report["findings"]} == PROVED
    assert {finding["level"] for finding in report["findings"]} == {"OK"}


def test_a_clip_that_is_absent_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--prove", str(tmp_path / "absent.mp4")]) != 0
    assert "absent.mp4" in capsys.readouterr().err


def test_a_long_clip_is_cut(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "MOST_SECONDS", 2.0)
    shown, bundle = prove.Clip(str(clip)), ModelBundle.load()
    events = shown.whole_events(bundle)
    assert 25 < len(events) < 35
    for check in (prove.check_streaming, prove.check_replay, prove.check_preprocessing):
        assert only(check(shown, bundle, events)).level == "OK"


def test_values_that_depend_on_chunks_are_found(proof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, bundle, events = proof
    push = Session.push_audio

    def quieter(self: Session, samples: np.ndarray, **arguments: Any) -> Any:
        return push(self, samples // (2 if len(samples) % 2 else 1), **arguments)

    monkeypatch.setattr(Session, "push_audio", quieter)
    assert only(prove.check_streaming(shown, bundle, events)).level == "FAIL"


def test_another_preprocessing_is_found(proof: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, bundle, events = proof
    assert any(event.arousal_raw is not None for event in events)
    changed = [
        dataclasses.replace(event, arousal_raw=None if event.arousal_raw is None else event.arousal_raw + 1e-6)
        for event in events
    ]
    assert only(prove.check_preprocessing(shown, bundle, changed)).level == "FAIL"


def test_a_replay_that_differs_is_found(proof: Any) -> None:
    shown, bundle, events = proof
    assert only(prove.check_replay(shown, bundle, events[:-1])).level == "FAIL"


@pytest.mark.parametrize(
    "change",
    [
        {"arousal_std": None},
        {"arousal": float("nan")},
        {"video_age_ms": None, "audio_age_ms": None},
        {"status": Status.ABSTAIN},
        {"audio_coverage": 1.5},
    ],
)
def test_a_value_without_evidence_is_found(proof: Any, change: dict[str, Any]) -> None:
    events = proof[2]
    assert only(prove.check_evidence(events)).level == "OK"
    stated = next(event for event in events if event.arousal is not None)
    assert only(prove.check_evidence([dataclasses.replace(stated, **change)])).level == "FAIL"


@pytest.mark.usefixtures("one_backend")
def test_a_file_that_is_written_is_found(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push = Session.push_audio

    def leak(self: Session, samples: np.ndarray, **arguments: Any) -> Any:
        (tmp_path / "leak").write_bytes(samples.tobytes())
        return push(self, samples, **arguments)

    monkeypatch.setattr(Session, "push_audio", leak)
    findings = {finding.name: finding for finding in prove.check_promises(str(clip), None)}
    assert findings["privacy"].level == "FAIL" and "leak" in findings["privacy"].text

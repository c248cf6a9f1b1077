"""The notice: shown before anything is read, and recorded; and what is found of people on its way through a Runtime."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import edgeaff
from edgeaff.delivery.reading import read_events
from edgeaff.errors import ArgumentError
from edgeaff.recording.format import Recording
from edgeaff.runtime.notice import NOTICES
from edgeaff.types import ChangeEvent

SECOND = 1_000_000_000


def _runtime(**options):
    return edgeaff.Runtime(audio=edgeaff.PushAudio(sample_rate_hz=16_000), **options)


def _run(runtime):
    with runtime:
        runtime.push_audio(np.zeros(16_000, np.int16), pts_ns=0)
        runtime.finish()
        runtime.join()


def test_a_notice_is_shown_before_anything_is_read_and_recorded(tmp_path):
    order, path = [], tmp_path / "session.eaffrec"

    def show(texts):
        order.append(runtime.stats().samples)
        return texts["de"]

    runtime = _runtime(notice=show, sinks=[path])
    assert runtime.notice_record is None and order == []
    _run(runtime)
    digest = hashlib.sha256(NOTICES["de"].encode()).hexdigest()
    assert order == [0] and runtime.notice_record.sha256 == digest
    assert Recording(path).notice == runtime.notice_record.to_dict()
    assert any(event.kind == "notice_shown" and digest in event.message for event in runtime.status.recent())


@pytest.mark.parametrize("shown", [None, "", "  ", True])
def test_without_a_text_nothing_begins(shown):
    runtime = _runtime(notice=lambda texts: shown)
    with pytest.raises(ArgumentError, match="the text that it showed"):
        runtime.start()
    assert runtime.notice_record is None and runtime.stats().samples == 0
    runtime.stop()


async def _later(texts):
    return texts["en"]


@pytest.mark.parametrize("notice", ["text", 1, _later])
def test_a_notice_must_be_a_plain_function(notice):
    with pytest.raises(ArgumentError, match="notice must be a plain function"):
        _runtime(notice=notice)


def test_texts_name_the_system_the_doubt_and_the_operator():
    assert {"en", "de"} <= set(NOTICES)
    assert "emotions" in NOTICES["en"] and "wrong" in NOTICES["en"] and "operator" in NOTICES["en"]
    assert all(150 < len(text) < 500 for text in NOTICES.values())


def test_a_recording_without_a_notice_has_none(tmp_path):
    path = tmp_path / "plain.eaffrec"
    _run(_runtime(sinks=[path]))
    assert Recording(path).notice is None


def test_a_change_reaches_callbacks_and_json_lines_and_is_no_event(tmp_path):
    path, seen = tmp_path / "events.jsonl", []
    change = ChangeEvent(3, 5 * SECOND, "arousal", -0.1, 0.4, 0.97, 900.0)
    runtime = _runtime(changes=True, sinks=[path])
    runtime.on_change(seen.append)
    sent: list[int] = []

    def once():
        if sent:
            return []
        sent.append(1)
        return [change]

    runtime._worker.session.take_changes = once
    _run(runtime)
    assert seen == [change]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    (row,) = [line for line in lines if line.get("type") == "change"]
    assert row == {"schema": 2, **change.to_dict()}
    assert len(read_events(path)) == len(lines) - 1


def test_a_baseline_goes_through_a_runtime_and_its_recording(tmp_path):
    kept, path = tmp_path / "me.json", tmp_path / "session.eaffrec"
    first = _runtime(baseline=True)
    _run(first)
    first.baseline().save(kept)
    second = _runtime(baseline=kept, sinks=[path])
    _run(second)
    assert Recording(path).session_options["baseline"] == first.baseline().to_dict() == second.baseline().to_dict()


def test_on_change_must_come_before_start():
    with _runtime() as runtime, pytest.raises(edgeaff.EdgeaffError, match="before start"):
        runtime.on_change(print)

"""The fault matrix, sinks: a full disk, a killed broker, sinks that are slow, hang or raise."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import edgeaff
from edgeaff.delivery.files import JsonlSink
from edgeaff.delivery.mqtt import MqttSink
from edgeaff.delivery.queued import QueuedSink
from edgeaff.recording.recorder import Recorder
from tests.soak.cells_device import make_camera
from tests.soak.devices import FaultySink
from tests.soak.rig import Rig
from tests.soak.trial import Cell, Trial, bundle, running
from tests.waiting import wait_until


@contextlib.contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """Lets no file of this process grow beyond what `path` has now, and half a line: every further write fails."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 200, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def disk_full(rig: Rig) -> float:
    """Events wait for room, and every line is whole."""
    path = rig.folder / "events.jsonl"
    runtime = edgeaff.Runtime(bundle(), video=make_camera(rig), sinks=[JsonlSink(path)])
    with running(Trial(runtime, "video")) as trial:
        with full_disk(path):
            trial.expect("lost", "sink")
        recovery = trial.recover("lost", "sink")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    trial.must([row["seq"] for row in rows] == list(range(len(rows))), "lines are missing or double")
    return recovery


def file_rotated(rig: Rig) -> float:
    """Events go on in the file of that name, after a rename without a loss, after copy and truncate without a hole."""
    path, old, copied = (rig.folder / name for name in ("rotated.jsonl", "renamed.jsonl", "copied.jsonl"))
    runtime = edgeaff.Runtime(bundle(), video=make_camera(rig), sinks=[JsonlSink(path)])
    with running(Trial(runtime, "video")) as trial:
        path.rename(old)
        renamed = time.monotonic()
        trial.must(trial.follow(5.0, lambda: path.exists() and path.stat().st_size > 0) is not None, "no new file")
        recovery = time.monotonic() - renamed
        trial.follow(1.0)
        shutil.copy(path, copied)
        os.truncate(path, 0)
        truncated = time.monotonic()
        trial.must(
            trial.follow(5.0, lambda: path.stat().st_size > 0) is not None, "nothing written after the truncation"
        )
        recovery = max(recovery, time.monotonic() - truncated)
        trial.follow(1.0)
        trial.must(trial.is_well(), "the events stopped with the file")
    rows = [[json.loads(line)["seq"] for line in file.read_text().splitlines()] for file in (old, copied, path)]
    trial.must([*rows[0], *rows[1]] == list(range(len(rows[0]) + len(rows[1]))), "the rename lost lines")
    trial.must(rows[2] == list(range(rows[2][0], rows[2][0] + len(rows[2]))), "the truncation left a hole")
    return recovery


def disk_full_for_recording(rig: Rig) -> float:
    """The recording ends there with a warning; the session goes on."""
    path = rig.folder / "session.eaffrec"
    with Recorder(path) as recorder:
        runtime = edgeaff.Runtime(bundle(), video=make_camera(rig), sinks=[recorder])
        with running(Trial(runtime, "video")) as trial:
            with full_disk(path):
                trial.expect("lost", "sink")
            trial.must(bool(recorder.warnings), "no warning of the recorder")
            return trial.recover(None, "sink")


def broker_killed(rig: Rig) -> float:
    """Events are lost and counted until the broker is back."""
    broker = rig.broker()
    sink = MqttSink("127.0.0.1", broker.port)
    wait_until(lambda: sink.connected, 5.0, "connection")
    runtime = edgeaff.Runtime(bundle(), video=make_camera(rig), sinks=[sink])
    with running(Trial(runtime, "video")) as trial:
        broker.kill()
        trial.expect("lost", "sink")
        trial.follow(1.0)
        broker.start()
        recovery = trial.recover("lost", "sink")
        trial.must(runtime.stats().sinks["MqttSink"]["dropped"] > 0, "what was lost is not counted")
        return recovery


def sink_cell(mode: str) -> Cell:
    """Returns the cell of a sink that is slow or hangs; nobody waits for it."""

    def cell(rig: Rig) -> float:
        sink = FaultySink()
        runtime = edgeaff.Runtime(bundle(), video=make_camera(rig), sinks=[QueuedSink(sink, capacity=15)])
        with running(Trial(runtime, "video")) as trial:
            sink.mode = mode
            trial.expect("dropped", "sink")
            trial.must(trial.is_well(), "the events stopped with the sink")
            return trial.recover("dropped", "sink", sink.repair())

    return cell


def sink_raises(rig: Rig) -> float:
    """A mistake in a sink is reported, and ends neither the sink nor the runtime."""
    sink = FaultySink()
    runtime = edgeaff.Runtime(bundle(), video=make_camera(rig), sinks=[sink])
    with running(Trial(runtime, "video")) as trial:
        sink.mode = "raising"
        trial.expect("lost", "sink")
        trial.must(trial.is_well(), "the events stopped with the sink")
        recovery = trial.recover("lost", "sink", sink.repair())
        got = sink.got
        trial.must(trial.follow(2.0, lambda: sink.got > got) is not None, "the sink gets nothing any more")
        return recovery


CELLS: dict[str, Cell] = {
    "full disk/sink": disk_full,
    "rotation/sink": file_rotated,
    "full disk/recording": disk_full_for_recording,
    "killed broker/sink": broker_killed,
    "slow consumer/sink": sink_cell("slow"),
    "stalled/sink": sink_cell("stalled"),
    "raising callback/sink": sink_raises,
}

"""The simulated archive and the clips of the archive benchmark."""

from __future__ import annotations

from pathlib import Path

from benchmarks.archives import SimulatedWorkers, decoding_seconds, simulate, write_clip
from edgeaff.archive.task import Task
from edgeaff.bench.latency_media import make_media
from edgeaff.capture.media_file import MediaFile


def test_every_simulated_task_is_done_and_the_workers_are_busy(tmp_path: Path) -> None:
    row = simulate(tmp_path, [100.0, 200.0, 300.0], tasks=400, workers=4)
    assert row["tasks"] == 400
    assert 0.9 < row["efficiency"] <= 1


def test_a_simulated_worker_ends_after_its_seconds() -> None:
    engine = SimulatedWorkers(2, {"a": 50.0, "b": 20.0})
    for name in ("a", "b"):
        engine.submit(Task(name))
    replies = [engine.next(0), engine.next(0)]
    assert [reply.task.file for reply in replies if reply] == ["b", "a"]
    assert 50.0 <= engine.now < 60.0


def test_clips_have_the_size_and_the_length_that_are_asked_for(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_clip(clip, make_media(1.0), (320, 240), 50, 1.0)
    with MediaFile(clip) as source:
        units = list(source)
    assert source.counts["frames"] == 50
    assert units[0].image.shape == (240, 320, 3)
    assert decoding_seconds(clip) > 0

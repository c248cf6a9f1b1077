"""A forked child of a program that uses edgeaff: every use of what it inherited raises, no lock is waited for, and the child ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.media_maker import frame_times, write_clip

HEAD = """
import os, sys, time, threading
import numpy as np
import edgeaff
from edgeaff.errors import SessionStateError

image, samples = np.zeros((48, 64, 3), np.uint8), np.zeros(533, np.int16)

def raises(call):
    try:
        call()
    except SessionStateError as error:
        return "forked child" in str(error)
    return False

def ended(child, seconds=20):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    return "it hung"
"""
SESSION = """
session = edgeaff.Session(backend={backend!r}, threads={threads})
for tick in range(4):
    session.push_frame(image, pts_ns=tick * 33_333_333)
    session.push_audio(samples, pts_ns=tick * 33_333_333, sample_rate_hz=16_000)
child = os.fork()
if child == 0:
    calls = [
        lambda: session.push_frame(image, pts_ns=10**9),
        lambda: session.push_audio(samples, pts_ns=10**9, sample_rate_hz=16_000),
        lambda: session.push_face([], pts_ns=10**9),
        lambda: session.push_lld(np.zeros((1, 65), np.float32), pts_ns=10**9),
        lambda: session.advance(10**9), lambda: session.degrade(1), session.finish, session.reset,
        lambda: session.swap_backend("onnxruntime"),
    ]
    good = all([raises(call) for call in calls])
    del session, calls
    sys.exit(7 if good else 1)
print(ended(child))
"""
RUNTIME = """
runtime = edgeaff.Runtime(video=edgeaff.PushVideo(), audio=edgeaff.PushAudio(sample_rate_hz=16_000)).start()
video, audio = runtime._source.sources
running = True

def feed():
    while running:
        runtime.push_frame(image)
        runtime.push_audio(samples)
        runtime.stats(), runtime.health(), runtime.poll()

feeders = [threading.Thread(target=feed, daemon=True) for _ in range(4)]
[feeder.start() for feeder in feeders]
time.sleep(0.3)
codes = set()
for attempt in range(20):
    child = os.fork()
    if child == 0:
        calls = [
            lambda: runtime.push_frame(image), lambda: runtime.push_audio(samples), lambda: video.push(image),
            lambda: audio.push(samples), runtime.poll, runtime.join, runtime.stats, runtime.health, runtime.finish,
            lambda: runtime.status.recent(), lambda: runtime.finished, lambda: runtime.warnings, lambda: next(iter(runtime)),
            lambda: runtime.on_event(print), lambda: runtime.on_status(print), lambda: runtime.add_sink(None),
            lambda: runtime.swap_backend("onnxruntime"), video.take, video.health, lambda: video.ended,
        ]
        good = all([raises(call) for call in calls])
        runtime.stop()
        video.finish()
        video.close()
        if attempt % 10 == 0:  # a new one works regardless of the locks held at the fork
            good = good and len(edgeaff.Session(threads=2).push_audio(samples, pts_ns=0, sample_rate_hz=16_000)) >= 0
            with edgeaff.Runtime(video=edgeaff.PushVideo()) as own:
                own.push_frame(image)
                good = good and own.poll(20.0) is not None
        os._exit(7 if good else 1)
    codes.add(ended(child))
running = False
[feeder.join() for feeder in feeders]
runtime.push_frame(image)
runtime.stop()
print(*codes)
"""
MEDIA = """
from edgeaff.capture.media_file import MediaFile
units = iter(MediaFile("clip.mp4"))
next(units)
child = os.fork()
if child == 0:
    del units
    sys.exit(7)
print(ended(child))
"""


def output_of(program: str, folder: Path, root: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", HEAD + program],
        cwd=folder,
        env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize(
    ("backend", "threads"),
    [("native", 2), ("onnxruntime", 2), pytest.param("openvino", 1, marks=pytest.mark.needs_openvino)],
)
def test_session_raises_in_a_forked_child_and_the_child_ends(
    tmp_path: Path, root: Path, backend: str, threads: int
) -> None:
    assert output_of(SESSION.format(backend=backend, threads=threads), tmp_path, root) == "7"


def test_runtime_raises_in_a_forked_child_regardless_of_held_locks(tmp_path: Path, root: Path) -> None:
    assert output_of(RUNTIME, tmp_path, root) == "7"


@pytest.mark.needs_media
def test_forked_child_ends_while_its_parent_reads_a_file(tmp_path: Path, root: Path) -> None:
    times = frame_times(25, 2.0)
    write_clip(tmp_path / "clip.mp4", frames=[np.full((240, 320, 3), 9, np.uint8)] * len(times), times=times)
    assert output_of(MEDIA, tmp_path, root) == "7"

"""Nothing leaves the device: no run that was not asked for it opens a socket or writes a file, in Python or below it.

Each program runs in its own process that the kernel kills at the first socket (tests/seccomp.py); files
are seen by an audit hook.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from .conftest import ROOT

PROGRAM = """
import sys
written = []
sys.addaudithook(lambda event, arguments:
    written.append(str(arguments[0])) if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+") else None
)
from tests.seccomp import forbid_sockets
forbid_sockets(allow_unix={unix})
import numpy as np
import edgeaff
image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
samples = np.zeros(534, np.int16)
{body}
print("written:", [path for path in written if not path.startswith("/dev/") and not path.isdigit()])
"""
SESSION = """
session = edgeaff.Session({options})
for tick in range(45):
    session.push_audio(samples, pts_ns=tick * 33_375_000, sample_rate_hz=16_000)
    session.push_frame(image, pts_ns=tick * 33_375_000)
assert len(session.finish()) > 0
"""
LIVE = """
import time
seen = []
runtime = edgeaff.Runtime(video=edgeaff.PushVideo(), audio=edgeaff.PushAudio(sample_rate_hz=16_000), {options})
runtime.on_event(seen.append)
with runtime:
    for tick in range(30):
        runtime.push_audio(samples)
        runtime.push_frame(image)
        while runtime.poll() is not None:
            pass
        time.sleep(1 / 30)
    runtime.finish()
    runtime.join()
    runtime.stats()
assert len(seen) > 20, len(seen)
"""
FILE = """
table = edgeaff.analyze({path!r})
assert len(table) == 30
"""
DOCTOR = """
import json
from edgeaff.cli.main import main
assert main(["doctor", "--json"]) == 0
"""


def run(tmp_path: Path, body: str, *, unix: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM.format(body=body, unix=unix)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode != -signal.SIGSYS, "a socket was asked for"
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "written: []"


@pytest.mark.parametrize(
    "backend", ["onnxruntime", "native", pytest.param("openvino", marks=pytest.mark.needs_openvino)]
)
@pytest.mark.parametrize("program", [SESSION, LIVE], ids=["session", "live"])
def test_run_opens_no_socket_and_writes_no_file(tmp_path: Path, program: str, backend: str) -> None:
    check(run(tmp_path, program.format(options=f"backend={backend!r}")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs_media
def test_analyzing_a_file_opens_no_socket_and_writes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(32_000))
    check(run(tmp_path, FILE.format(path=str(path))))
    assert list(tmp_path.iterdir()) == [path]


def test_doctor_stays_on_the_machine(tmp_path: Path) -> None:
    """PortAudio asks the audio server over a Unix socket which microphones there are; nothing else is allowed."""
    done = run(tmp_path, DOCTOR, unix=True)
    check(done)
    assert "no socket opened, no file written" in done.stdout


@pytest.mark.parametrize(
    "act",
    [
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
        "import socket; socket.socketpair()",
        "import ctypes; ctypes.CDLL(None).socket(2, 1, 0)",
        "import threading; t = threading.Thread(target=lambda: __import__('socket').socket()); t.start(); t.join()",
    ],
)
def test_the_watch_itself_sees_sockets(tmp_path: Path, act: str) -> None:
    assert run(tmp_path, act).returncode == -signal.SIGSYS


def test_the_watch_itself_sees_files_and_lets_unix_sockets_through_where_reported(tmp_path: Path) -> None:
    done = run(tmp_path, "open('left.txt', 'w').close()\nimport socket; socket.socketpair()", unix=True)
    assert done.returncode == 0 and done.stdout.strip() == "written: ['left.txt']"
    assert run(tmp_path, "import socket; socket.socket(socket.AF_INET)", unix=True).returncode == -signal.SIGSYS

"""Nothing leaves the device: the default run opens no socket and writes no file but those asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT

PROGRAM = """
import builtins, os, socket, sys

def forbidden(*arguments, **options):
    raise AssertionError(f"a socket was asked for: {arguments}")

class NoSocket(socket.socket):
    def __init__(self, *arguments, **options):
        forbidden(*arguments)

socket.socket = NoSocket
socket.create_connection = socket.getaddrinfo = forbidden
written = []
sys.addaudithook(lambda event, arguments: (
    forbidden(event) if event.startswith("socket.") else
    written.append(str(arguments[0])) if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+") else None
))
import numpy as np
import edgeaff

session = edgeaff.Session()
image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
samples = np.zeros(534, np.int16)
for tick in range(45):
    session.push_audio(samples, pts_ns=tick * 33_375_000, sample_rate_hz=16_000)
    session.push_frame(image, pts_ns=tick * 33_375_000)
events = session.finish()
{extra}
print("written:", [path for path in written if not path.startswith("/dev/") and not path.isdigit()])
"""


def run(tmp_path: Path, extra: str = "") -> str:
    program = PROGRAM.replace("{extra}", extra)
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_session_opens_no_socket_and_writes_no_file(tmp_path: Path) -> None:
    assert run(tmp_path) == "written: []"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs_openvino
def test_openvino_opens_no_socket(tmp_path: Path) -> None:
    extra = "import edgeaff as e; s = e.Session(backend='openvino'); s.push_frame(image, pts_ns=0); s.finish()"
    run(tmp_path, extra)


def test_the_watch_itself_sees_sockets_and_files(tmp_path: Path) -> None:
    assert run(tmp_path, "open('left.txt', 'w').close()") == "written: ['left.txt']"
    with pytest.raises(AssertionError, match="a socket was asked for"):
        run(tmp_path, "import http.client; http.client.HTTPConnection('localhost', 9).request('GET', '/')")

"""A machine without what only Linux has: import, the help of every command, doctor, run and analyze work there too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeaff import machine
from edgeaff.capture.camera import Camera
from edgeaff.cli.doctor import devices
from edgeaff.cli.main import COMMANDS
from edgeaff.errors import DeviceError

from .cli.test_run import write_wav

BARE = """
import contextlib, errno, os, select, signal, sys, time
for name in ("numpy", "onnxruntime", "av", "cv2", "openvino"):  # each for its system; what is ours is loaded below
    with contextlib.suppress(ImportError):
        __import__(name)
for name in ("fcntl", "resource", "termios", "pwd", "grp", "tty", "pty", "syslog", "posix_ipc"):
    sys.modules[name] = None
GONE = {
    os: ("sched_getaffinity process_cpu_count getloadavg fork forkpty register_at_fork geteuid getuid getgid setsid killpg fchmod "
         "fchown chown mkfifo pipe2 openpty uname sysconf posix_spawn O_NONBLOCK O_CLOEXEC O_NOFOLLOW O_DIRECTORY"),
    select: "poll epoll",
    signal: "SIGKILL SIGHUP SIGALRM SIGPIPE SIGUSR1 setitimer pthread_sigmask pthread_kill sigwait SIG_BLOCK",
    time: "CLOCK_BOOTTIME CLOCK_MONOTONIC CLOCK_REALTIME clock_gettime clock_getres",
}
for module, names in GONE.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)

def no_linux_files(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], (str, bytes)):
        if os.fsdecode(arguments[0]).startswith(("/proc", "/sys", "/dev/video")):
            raise FileNotFoundError(errno.ENOENT, "only Linux has it", arguments[0])

sys.addaudithook(no_linux_files)
"""
IMPORT = """
import importlib
import edgeaff
for name in edgeaff.__all__:
    getattr(edgeaff, name)
torch = ("training", "export", "bench", "torch_ops", "__")
root = edgeaff.__path__[0]
for folder, _, files in os.walk(root):
    for file in files:
        name = os.path.join(folder, file)[len(root) + 1 : -3].replace(os.sep, ".").removesuffix(".__init__")
        if file.endswith(".py") and not name.startswith(torch) and file[0].isalpha():
            importlib.import_module("edgeaff." + name)
from edgeaff import machine
machine.stamp(), machine.resident_mib(), machine.peak_mib(), machine.thread_limit(), machine.prefer_for_oom_kill()
assert machine.usable_cores() >= 1
with machine.lock_file(machine.Path("lock")):
    pass
"""
HELP = """
import contextlib, io
from edgeaff.cli.main import main
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main([command, "--help"])
    assert "usage: edgeaff " + command in out.getvalue(), command
"""
DOCTOR = """
from edgeaff.cli.main import main
assert main(["doctor"]) == 0
"""
RUN = """
from edgeaff.cli.main import main
assert main(["run", "a.wav", "--output", "a.jsonl"]) == 0
"""
LIVE = """
import numpy as np
import edgeaff
with edgeaff.Runtime(video=edgeaff.PushVideo()) as runtime:
    runtime.push_frame(np.zeros((48, 64, 3), np.uint8))
    assert runtime.poll(20.0) is not None
    runtime.health(), runtime.stats()
assert len(edgeaff.analyze("a.wav")) == 30
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(IMPORT, id="import"),
        pytest.param(HELP, id="help"),
        pytest.param(DOCTOR, id="doctor"),
        pytest.param(RUN, id="run", marks=pytest.mark.needs_media),
        pytest.param(LIVE, id="analyze", marks=pytest.mark.needs_media),
    ],
)
def test_without_what_only_linux_has(tmp_path: Path, root: Path, program: str) -> None:
    write_wav(tmp_path / "a.wav", 1.0)
    done = subprocess.run(
        [sys.executable, "-c", BARE + program, *COMMANDS],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    assert "Traceback" not in done.stderr and "itself broke" not in done.stdout


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_camera_of_another_system_is_opened_by_its_number(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    opened: list[Any] = []
    cv2 = SimpleNamespace(
        CAP_ANY=0,
        CAP_V4L2=200,
        CAP_PROP_BUFFERSIZE=38,
        VideoCapture=lambda *device: opened.append(device) or SimpleNamespace(set=lambda *pair: True),
    )
    monkeypatch.setattr("edgeaff.capture.camera.sys.platform", platform)
    monkeypatch.setattr("edgeaff.capture.camera._import_cv2", lambda needs_gstreamer: cv2)
    Camera(7)._open_cv2()
    Camera("/dev/cam")._open_cv2()
    assert opened == [(7,), ("/dev/cam", cv2.CAP_ANY)]
    closed = SimpleNamespace(isOpened=lambda: False, release=lambda: None)
    with pytest.raises(DeviceError, match="Privacy"):
        Camera(0, opener=lambda: closed)._open()
    (finding,) = devices.check_cameras()
    assert finding.level == "WARN" and "only Linux lists its cameras" in finding.text


def test_lock_file_is_held_by_one_process(tmp_path: Path, root: Path) -> None:
    program = (
        "from edgeaff.machine import lock_file\nfrom pathlib import Path\nwith lock_file(Path('lock')):\n    pass\n"
    )
    with machine.lock_file(tmp_path / "lock"):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": str(root)}, capture_output=True, text=True
        )
        assert "BlockingIOError" in done.stderr
    with machine.lock_file(tmp_path / "lock"):
        pass

"""What docs/deployment.md states of services and of read-only file systems, on this machine (needs root, as in a container)."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.media_maker import write_clip
from tests.system.conftest import find_program

pytestmark = [pytest.mark.system, pytest.mark.needs_media]
ROOT = Path(__file__).parents[2]
READ_ONLY = """
for place in $(cut -d' ' -f2 /proc/self/mounts | sort -u); do mount -o remount,bind,ro "$place" 2>/dev/null; done
for folder in / /tmp /dev/shm "$HOME" "$PWD"; do touch "$folder/probe" 2>/dev/null && echo "$folder can be written" && exit 9; done
exec "$@"
"""


def run_read_only(*command: str) -> subprocess.CompletedProcess:
    """Runs a command where nothing can be written: every file system is read-only, in a separate mount namespace."""
    whole = [find_program("unshare"), "--mount", "bash", "-c", READ_ONLY, "bash", *command]
    return subprocess.run(whole, capture_output=True, text=True, timeout=120)


def test_the_watch_itself_works():
    assert run_read_only("touch", str(ROOT / "probe")).returncode == 1


def test_runs_where_nothing_can_be_written(tmp_path):
    samples = (0.2 * np.sin(np.arange(48_000) / 20)).astype(np.float32)
    clip = write_clip(tmp_path / "clip.wav", samples=samples)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5.0)
        sink = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        done = run_read_only(sys.executable, "-m", "edgeaff", "run", str(clip), "--output", sink, "--quiet")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert json.loads(receiver.recv(65_536))["seq"] == 0


def test_doctor_finds_nothing_wrong_where_nothing_can_be_written():
    done = run_read_only(
        sys.executable, "-m", "edgeaff", "doctor", "--json", "--require", "native,engine,bundle,privacy"
    )
    assert done.returncode == 0, done.stdout


def test_the_unit_file_is_right(tmp_path):
    text = (ROOT / "examples" / "edgeaff.service").read_text(encoding="utf-8")
    (command,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    unit = tmp_path / "edgeaff.service"
    unit.write_text(text.replace("/opt/edgeaff/bin/edgeaff", "/bin/true"), encoding="utf-8")
    done = subprocess.run(
        [find_program("systemd-analyze"), "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    help_text = subprocess.run(
        [sys.executable, "-m", "edgeaff", "run", "--help"], capture_output=True, text=True
    ).stdout
    assert all(word in help_text for word in command.split() if word.startswith("--"))

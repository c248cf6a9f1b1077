"""Builds the programs of this folder, in each of the ways they are tested, and runs them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
EMULATOR = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
UNDEFINED = f"-DCMAKE_CXX_FLAGS={SANITIZE}"
THREADS = "-DCMAKE_CXX_FLAGS=-fsanitize=thread -fno-omit-frame-pointer -g1"
AARCH64 = f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cmake' / 'aarch64.cmake'}"
OPTIONS = ("-DEDGEAFF_PYTHON=OFF", "-DEDGEAFF_CUDA=OFF", "-DEDGEAFF_CPP_TESTS=ON", "-DCMAKE_BUILD_TYPE=Release")


def build(name: str, *options: str) -> Path:
    """Returns the folder with the programs, built in build/<name> (kept, so that a second run is fast)."""
    folder = ROOT / "build" / name
    jobs = os.environ.get("EDGEAFF_BUILD_JOBS", "2")
    commands = (
        ("cmake", "-S", str(ROOT), "-B", str(folder), "-G", "Ninja", *OPTIONS, *options),
        ("cmake", "--build", str(folder), "--parallel", jobs),
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return folder / "tests" / "cpp"


def run(*command: str, data: bytes = b"") -> bytes:
    done = subprocess.run(command, input=data, capture_output=True)
    assert done.returncode == 0, done.stdout[-2000:].decode() + done.stderr[-4000:].decode()
    return done.stdout

"""Short recordings, and a faulty reader for the ones that are named after their fault."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

FAULTS = """
import os
FAULT = {
    "segfault": lambda: os.kill(os.getpid(), 11),
    "hang": lambda: __import__("time").sleep(1e6),
    "memory": lambda: bytearray(1 << 40),
    "exit": lambda: os._exit(139),
}
import av
_open = av.open
def open(file, *args, **kwargs):
    for name, act in FAULT.items():
        if name in os.path.basename(str(file)):
            act()
    return _open(file, *args, **kwargs)
av.open = open
"""


def write_clips(folder: Path, names: list[str], seconds: float = 0.4) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, name in enumerate(names):
        time = np.arange(int(16000 * seconds)) / 16000
        samples = (8000 * np.sin(2 * np.pi * (150 + 5 * number) * time)).astype("<i2")
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(samples.tobytes())
        paths.append(folder / name)
    return paths


def faulty_reader(folder: Path) -> dict[str, str]:
    """Returns the environment in which av.open acts out the fault in a file's name."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAULTS)
    return {"PYTHONPATH": str(folder)}

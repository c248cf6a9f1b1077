"""Devices that break on command, at the public seams: a camera as OpenCV's, a sink, microphones."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np

from edgeaff.bench.latency_media import make_media


class FaultyCamera:
    """What `Camera(opener=...)` takes: 30 frames a second, unless `mode` states otherwise."""

    def __init__(self) -> None:
        self.mode = "ok"
        self._images = [np.ascontiguousarray(image[:, :, ::-1]) for image in make_media(1.0).images]
        self._index = itertools.count()
        self._repaired = threading.Event()

    def break_it(self, mode: str) -> None:
        """Breaks it: lost, frozen, stalled, garbage or raising."""
        self._repaired.clear()
        self.mode = mode

    def repair(self) -> float:
        """Repairs it; returns the monotonic time."""
        self.mode = "ok"
        self._repaired.set()
        return time.monotonic()

    def opener(self) -> _Capture:
        """Opens it."""
        return _Capture(self)

    def image(self) -> np.ndarray:
        """Returns the next frame, (480, 640, 3) uint8 BGR, never the same twice: sensors have noise."""
        index = next(self._index)
        image = self._images[index % len(self._images)].copy()
        image[0, :16, 0] = np.frombuffer(f"{index:016d}".encode(), np.uint8)
        image[::8, ::8, 1] ^= index & 1
        return image


class _Capture:
    def __init__(self, camera: FaultyCamera) -> None:
        self._camera, self._due = camera, time.monotonic()
        self._last: np.ndarray | None = None

    def isOpened(self) -> bool:
        return self._camera.mode != "lost"

    def read(self) -> tuple[bool, Any]:
        mode = self._camera.mode
        if mode == "stalled":
            self._camera._repaired.wait()
        self._due = max(self._due + 1 / 30, time.monotonic() - 0.1)
        time.sleep(max(0.0, self._due - time.monotonic()))
        if mode == "lost":
            return False, None
        if mode == "raising":
            raise RuntimeError("OpenCV(5.0) error: (-215:Assertion failed)")
        if mode == "frozen" and self._last is not None:
            return True, self._last
        if mode == "garbage" and next(self._camera._index) % 3:
            return True, np.zeros((0, 7), np.float32)
        self._last = self._camera.image()
        return True, self._last

    def get(self, name: int) -> float:
        return 0.0

    def release(self) -> None:
        """Nothing to free."""


class FaultySink:
    """A sink that is slow, hangs or raises on command."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.repaired = threading.Event()
        self.got = 0

    def write(self, event: Any) -> None:
        if self.mode == "slow":
            time.sleep(0.3)
        if self.mode == "stalled":
            self.repaired.wait(30.0)
        if self.mode == "raising":
            raise ZeroDivisionError("a mistake in the sink")
        self.got += 1

    def close(self) -> None:
        """Nothing to free."""

    def repair(self) -> float:
        """Repairs it; returns the monotonic time."""
        self.mode = "ok"
        self.repaired.set()
        return time.monotonic()

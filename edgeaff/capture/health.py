"""The health of a live source, and the detection of a frozen camera."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from edgeaff.spec import NANOSECONDS
from edgeaff.types import VideoFrame


class Health(enum.Enum):
    """The state of a live source."""

    STARTING = "starting"
    OK = "ok"
    STALLED = "stalled"
    FROZEN = "frozen"
    LOST = "lost"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SourceHealth:
    """A snapshot. age_seconds: since the last delivery, None before the first; detail: why it is not OK, or empty."""

    state: Health
    age_seconds: float | None
    detail: str
    reconnects: int


class FreezeWatch:
    """Notices a camera that repeats its last frame: real sensors never give the same bytes twice for long."""

    _STEP = 8  # every 8th row and column is compared

    def __init__(self, seconds: float | None) -> None:
        """Makes the watch.

        Args:
            seconds: how long the frame must stay identical; None never finds a freeze.
        """
        self._limit_ns = None if seconds is None else int(seconds * NANOSECONDS)
        self._last: np.ndarray | None = None
        self._since_ns = 0

    def frozen_seconds(self, frame: VideoFrame) -> float:
        """Returns for how long the frame has been frozen, 0.0 if it is not.

        Args:
            frame: the next frame.
        """
        if self._limit_ns is None:
            return 0.0
        sparse = frame.image[:: self._STEP, :: self._STEP]
        if self._last is None or not np.array_equal(sparse, self._last):
            self._last, self._since_ns = sparse.copy(), frame.pts_ns
        same_ns = frame.pts_ns - self._since_ns
        return same_ns / NANOSECONDS if same_ns >= self._limit_ns else 0.0

"""Causal smoothing of the values that are stated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edgeaff.errors import ArgumentError, BundleError
from edgeaff.spec import NANOSECONDS


@dataclass(slots=True)
class Smoother:
    """Causal exponential smoothing of one value; time_constant_seconds = 0 passes the value through.

    A gap longer than `reset_seconds` starts over. Choice: time constants from the bundle (0.3 s valence, 0.6 s arousal).
    """

    time_constant_seconds: float
    reset_seconds: float = 0.5
    _value: float | None = None
    _pts_ns: int = 0

    def push(self, pts_ns: int, value: float | None) -> float | None:
        """Returns the smoothed value, None for None."""
        if value is None:
            return None
        gap = (pts_ns - self._pts_ns) / NANOSECONDS
        if self._value is None or self.time_constant_seconds <= 0 or gap > self.reset_seconds:
            self._value = value
        else:
            self._value += (1 - math.exp(-gap / self.time_constant_seconds)) * (value - self._value)
        self._pts_ns = pts_ns
        return self._value


def check_smoothing(smoothing: tuple[float, float] | None, defaults: Mapping[str, float]) -> tuple[float, float]:
    """Returns (valence_seconds, arousal_seconds).

    Raises:
        ArgumentError: smoothing is no pair of seconds in [0, 60].
        BundleError: the bundle's time constants are none.
    """
    given = (defaults["valence_seconds"], defaults["arousal_seconds"]) if smoothing is None else smoothing
    try:
        valence_seconds, arousal_seconds = (float(seconds) for seconds in given)
    except (TypeError, ValueError):
        valence_seconds = arousal_seconds = -1.0
    if not (0 <= valence_seconds <= 60 and 0 <= arousal_seconds <= 60):
        if smoothing is None:
            raise BundleError(f"smoothing of the bundle must be seconds in [0, 60], got {given!r}; export it again.")
        raise ArgumentError(
            f"smoothing must be (valence_seconds, arousal_seconds) in [0, 60], got {smoothing!r}; pass (0, 0) for none."
        )
    return valence_seconds, arousal_seconds

"""The door to what csrc/core knows of people, under the names of the readable twins.

| here | twin |
|---|---|
| UsualValue | `edgeaff.people.usual` |
| ChangeDetector | `edgeaff.people.changes` |

Both give the same bytes for the same calls (tests/people).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgeaff.ops import native

BINS = 64


class Change(NamedTuple):
    """A change; see `edgeaff.people.changes.Change`."""

    began_ns: int
    before: float
    after: float
    sureness: float


class UsualValue:
    """Running median and spread of one value. weights: (64,) a state to go on from."""

    def __init__(self, weights: Sequence[float] = (0.0,) * BINS) -> None:
        self._core = native().UsualValue(list(weights))

    def push(self, value: float) -> None:
        """Counts the value of one tick."""
        self._core.push(value)

    def relative(self, value: float) -> float | None:
        """Returns the value against what is usual, in [-1, 1]; None in the first 10 s of evidence."""
        return self._core.relative(value)

    @property
    def center(self) -> float:
        """Level that values are compared with."""
        return self._core.center

    @property
    def scale(self) -> float:
        """Spread that values are compared with."""
        return self._core.scale

    @property
    def seconds(self) -> float:
        """Evidence that is not faded yet."""
        return self._core.seconds

    @property
    def weights(self) -> list[float]:
        """The state."""
        return self._core.weights


class ChangeDetector:
    """Finds the changes of one value."""

    def __init__(self) -> None:
        self._core = native().ChangeDetector()

    def push(self, pts_ns: int, value: float) -> Change | None:
        """Returns the change that the value of this tick completes."""
        found = self._core.push(pts_ns, value)
        return None if found is None else Change(*found)

    @property
    def noise(self) -> float:
        """Spread of the means about their level."""
        return self._core.noise

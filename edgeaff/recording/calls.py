"""`SessionCalls`: the calls of a Session that a recording keeps and a replay makes again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from edgeaff.types import AffectEvent, TrackedFace


class SessionCalls(Protocol):
    """Protocol of a session: its inputs and the events for them; see `edgeaff.Session`."""

    def push_frame(self, image: np.ndarray, *, pts_ns: int) -> list[AffectEvent]:
        """Returns the events that a frame completes."""
        ...

    def push_audio(self, samples: np.ndarray, *, pts_ns: int, sample_rate_hz: int) -> list[AffectEvent]:
        """Returns the events that samples complete."""
        ...

    def push_face(self, faces: Sequence[tuple[TrackedFace, np.ndarray]], *, pts_ns: int) -> list[AffectEvent]:
        """Returns the events that faces with their crops complete."""
        ...

    def push_lld(self, rows: np.ndarray, *, pts_ns: int) -> list[AffectEvent]:
        """Returns the events that LLD rows complete."""
        ...

    def advance(self, pts_ns: int) -> list[AffectEvent]:
        """Returns the events that are due although nothing was delivered."""
        ...

    def swap_backend(self, backend: Any) -> None:
        """Lets another backend take over between two ticks. backend: a name, or a prepared one."""
        ...

    def degrade(self, step: int) -> None:
        """Leaves out work from the next frame on."""
        ...

    def finish(self) -> list[AffectEvent]:
        """Returns the events that were held back."""
        ...

    def reset(self) -> None:
        """Starts again, as after construction."""
        ...

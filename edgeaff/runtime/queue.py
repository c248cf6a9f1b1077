"""The bounded queue between the inference thread and whoever reads events."""

from __future__ import annotations

import threading
from collections import deque

from edgeaff.errors import ArgumentError
from edgeaff.types import AffectEvent

POLICIES = ("every", "latest")


class EventQueue:
    """Hands events from one thread to another, never growing beyond its capacity.

    Args:
        policy: "every" keeps events in order; "latest" keeps the newest only.
        capacity: most events held.
        lossless: when full, "every" makes the producer wait (file mode) instead of dropping the oldest (live).

    Raises:
        ArgumentError: the policy is unknown.
    """

    def __init__(self, policy: str = "every", *, capacity: int = 256, lossless: bool = True) -> None:
        if policy not in POLICIES:
            raise ArgumentError(f"policy must be one of {', '.join(POLICIES)}, got {policy!r}; choose one.")
        self._events: deque[AffectEvent] = deque()
        self._capacity = 1 if policy == "latest" else capacity
        self._lossless = lossless and policy == "every"
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0

    def put(self, event: AffectEvent) -> bool:
        """Returns whether the event was added (False once closed); waits when lossless and full."""
        with self._changed:
            while self._lossless and len(self._events) >= self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            if len(self._events) >= self._capacity:
                self._events.popleft()
                self.dropped += 1
            self._events.append(event)
            self._changed.notify_all()
            return True

    def get(self, timeout_seconds: float | None = None) -> AffectEvent | None:
        """Returns the next event, or None after the timeout or when the queue is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._closed, timeout_seconds)
            if not self._events:
                return None
            event = self._events.popleft()
            self._changed.notify_all()
            return event

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        with self._changed:
            return self._closed and not self._events

    def close(self, *, discard: bool = False) -> None:
        """Lets readers end after what is there; discard throws that away too."""
        with self._changed:
            self._closed = True
            if discard:
                self._events.clear()
            self._changed.notify_all()

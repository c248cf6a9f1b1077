"""The bounded queue between a thread of the runtime and whoever reads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from edgeaff.runtime.policy import Policy, as_policy

T = TypeVar("T")


class EventQueue(Generic[T]):
    """Hands events from one thread to another, never growing beyond its capacity.

    Args:
        policy: a Policy, "every" or "latest".
        capacity: most events held, in place of the policy's.
        lossless: when full, "every" makes the producer wait (file mode) instead of dropping the oldest (live).
        clock: monotonic seconds, for the age of what waits.

    Attributes:
        dropped: events that went because the reader was too slow.
        stale: of these, the ones that had waited for longer than the policy allows.
        read: whether anything was ever asked for.

    Raises:
        ArgumentError: the policy is unknown.
    """

    def __init__(
        self,
        policy: Policy | str = "every",
        *,
        capacity: int | None = None,
        lossless: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        chosen = as_policy(policy)
        self._items: deque[tuple[float, T]] = deque()
        self._capacity = 1 if chosen.keep == "latest" else capacity or chosen.capacity
        self._lossless = lossless and chosen.keep == "every"
        self._max_age = None if self._lossless else chosen.max_age_seconds
        self._changed = threading.Condition()
        self._clock = clock
        self._closed = False
        self.dropped = 0
        self.stale = 0
        self.read = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Returns whether the event was added (False once closed); waits when lossless and full."""
        with self._changed:
            while self._lossless and len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            if len(self._items) >= self._capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append((self._clock(), item))
            self._changed.notify_all()
            return True

    def get(self, timeout_seconds: float | None = None) -> T | None:
        """Returns the next event, or None after the timeout or when the queue is closed and empty."""
        with self._changed:
            self.read = True
            self._changed.wait_for(self._has_fresh, timeout_seconds)
            if not self._items:
                return None
            _, item = self._items.popleft()
            self._changed.notify_all()
            return item

    def _has_fresh(self) -> Any:
        """Returns whether the reader has anything to do, after dropping what is too old."""
        if self._max_age is not None:
            limit = self._clock() - self._max_age
            while self._items and self._items[0][0] < limit:
                self._items.popleft()
                self.dropped += 1
                self.stale += 1
        return self._items or self._closed

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        with self._changed:
            return self._closed and not self._items

    def close(self, *, discard: bool = False) -> None:
        """Lets readers end after what is there; discard throws that away too."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()

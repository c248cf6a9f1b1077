"""The bounded queue between a thread of the runtime and a reader."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from edgeaff.runtime.policy import Policy, as_policy

T = TypeVar("T")


class EventQueue(Generic[T]):
    """Passes events from one thread to another, with bounded size.

    Args:
        policy: a Policy, "every" or "latest".
        capacity: maximum number of events, in place of the policy's.
        lossless: when full, "every" makes the producer wait (file mode) instead of dropping the oldest (live).
        clock: monotonic seconds, for the age of waiting events.

    Attributes:
        dropped: events dropped because the reader was too slow.
        stale: of these, the ones that had waited for longer than the policy allows.
        read: whether an event was ever requested.

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
        self._awaited: set[asyncio.Future[None]] = set()  # of readers in event loops, each done at the next change
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
            self._wake()
            return True

    def get(self, timeout_seconds: float | None = None) -> T | None:
        """Returns the next event, or None after the timeout or when the queue is closed and empty."""
        with self._changed:
            self.read = True
            self._changed.wait_for(self._has_fresh, timeout_seconds)
            return self._pop()

    async def get_async(self) -> T | None:
        """Returns the next event, or None when the queue is closed and empty; waits in the event loop, without a thread.

        An event leaves the queue in the step that returns it: a wait that is canceled loses none.
        """
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                self.read = True
                if self._has_fresh():
                    return self._pop()
                change: asyncio.Future[None] = loop.create_future()
                self._awaited.add(change)
            try:
                await change
            finally:
                with self._changed:
                    self._awaited.discard(change)

    def _pop(self) -> T | None:
        """Returns the oldest event and removes it, or None if there is none; call with `_changed` held."""
        if not self._items:
            return None
        _, item = self._items.popleft()
        self._changed.notify_all()  # a producer may wait for room
        return item

    def _wake(self) -> None:
        """Wakes all who wait for a change; call with `_changed` held."""
        self._changed.notify_all()
        for change in self._awaited:
            with contextlib.suppress(RuntimeError):  # its event loop is closed: nobody waits any more
                change.get_loop().call_soon_threadsafe(_set_done, change)
        self._awaited.clear()

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
        """True if no more events will come."""
        with self._changed:
            return self._closed and not self._items

    def close(self, *, discard: bool = False) -> None:
        """Lets readers end after the waiting events; discard=True drops those too."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._wake()


def _set_done(change: asyncio.Future[None]) -> None:
    if not change.done():
        change.set_result(None)

"""`FirstError`: keeps the first error of any thread for the reader."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgeaff.naming import without_secrets
from edgeaff.runtime.origin import WORKER, Origin
from edgeaff.runtime.status import StatusChannel


class FirstError:
    """Keeps the first error of a run and ends the run. Threads hold it instead of the Runtime, which can then be garbage-collected.

    Attributes:
        failed: True after an error.
    """

    def __init__(self) -> None:
        self.failed = False
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._status: StatusChannel | None = None
        self._endings: list[Callable[[], None]] = []

    def report_to(self, status: StatusChannel) -> None:
        """Sets the channel for errors in callbacks and sinks."""
        self._status = status

    def then(self, ending: Callable[[], None]) -> None:
        """Adds a function that is called after an error; it ends a part of the run without waiting."""
        self._endings.append(ending)

    def keep(self, origin: Origin, error: BaseException) -> None:
        """Keeps the error if it is the first, reports it and ends the run.

        Args:
            origin: where it was raised.
            error: the exception.
        """
        with self._lock:
            self.failed = True
            self._error = self._error or error
        if origin != WORKER and self._status is not None:
            reason = without_secrets(f"{type(error).__name__}: {error}")
            message = f"{origin.name} must not raise, got {reason}; it surfaces where events are read."
            self._status.emit(origin.source, "failed", message, name=origin.name)
        for ending in self._endings:
            ending()

    def take(self) -> BaseException | None:
        """Returns the error and clears it; None without one."""
        with self._lock:
            error, self._error = self._error, None
        return error

"""Swaps the backend of a running stream: prepares the new one on a thread, then the worker swaps.

```
BackendSwap.request("tensorrt")
  thread: load or build, self-test  --ok-->     worker, between two inputs: Session.swap_backend     -> status "swapped"
                                    --refused-> the old one continues                                -> status "swap_refused"
```
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from edgeaff.backend_swap import PreparedBackend, prepare
from edgeaff.backends import GRAPH_BACKENDS
from edgeaff.bundle import ModelBundle
from edgeaff.errors import BackendUnavailableError, DeviceError, EdgeaffError, SessionStateError
from edgeaff.runtime.status import StatusChannel
from edgeaff.runtime.worker import RunningSession, Worker
from edgeaff.session import Session

PROGRESS_SECONDS = 1.0  # between two reports of one build
BUILT = tuple(name for name in GRAPH_BACKENDS if name.startswith("tensorrt"))  # on the device, which may take minutes
logger = logging.getLogger(__name__)


class InitialBackend(NamedTuple):
    """The backend that a runtime starts with.

    Attributes:
        session: made with `backend`.
        backend: the first backend.
        wanted: the backend to swap to, or None.
        refused: why the requested backend is missing, or None.
    """

    session: Session
    backend: str
    wanted: str | None = None
    refused: EdgeaffError | None = None


def begin(make: Callable[[str], Session], backend: str, *, live: bool, strict: bool) -> InitialBackend:
    """Returns the session that a runtime starts with.

    Only a backend that is built on the device is replaced. Live, the bundle's default runs until the build is done; for files, it runs
    if the build fails. A file waits for its engine, so that its events do not depend on the build time.

    Args:
        make: makes a session of a backend.
        backend: the requested backend.
        live: whether time continues while an engine is built.
        strict: raise instead of starting with another backend.
    """
    if backend == "auto":
        session = make(backend)
        assert session.choice is not None
        return InitialBackend(session, session.choice.backend)
    if strict or backend not in BUILT:
        return InitialBackend(make(backend), backend)
    if live:
        return InitialBackend(make("default"), "default", wanted=backend)
    try:
        return InitialBackend(make(backend), backend)
    except (BackendUnavailableError, DeviceError) as error:
        return InitialBackend(make("default"), "default", refused=error)


def announce(session: Session, status: StatusChannel) -> None:
    """Reports the automatic choice of a session and the warnings of its self-test.

    Args:
        session: just made.
        status: where it is stated.
    """
    for text in session.warnings:
        status.emit("backend", "self_test_failed", text, name=session.backend)
    if session.choice is not None:
        choice = session.choice
        status.emit("backend", "backend_selected", choice.reason, name=choice.backend, counts=choice.milliseconds)


class BackendSwap:
    """Prepares backends for a worker, one at a time.

    Args:
        worker: it owns the session.
        status: where it is stated.
        options: threads and stride of the session.
        make: prepares a candidate; another one in tests.

    Attributes:
        state: current activity, one sentence; empty before the first request.
    """

    def __init__(
        self,
        worker: Worker,
        status: StatusChannel,
        *,
        options: dict[str, Any] | None = None,
        make: Callable[..., PreparedBackend] = prepare,
    ) -> None:
        self.state = ""
        self._worker, self._status, self._options, self._make = worker, status, dict(options or {}), make
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._reported = 0.0
        self._busy = False  # from a request until its handover or refusal

    def request(self, backend: str) -> None:
        """Starts to prepare a backend; returns immediately.

        Args:
            backend: a name, as in Session.

        Raises:
            SessionStateError: another one is being prepared.
        """
        if self._busy:
            raise SessionStateError(
                f"swap_backend must wait for the one before, got {backend!r} while {self.state}; wait for its status."
            )
        self._busy = True
        self.state = f"preparing {backend}"
        self._thread = threading.Thread(target=self._prepare, args=(backend,), name="edgeaff-backend", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the preparation; does not wait for it."""
        self._closed.set()

    def refuse(self, backend: str, error: BaseException) -> None:
        """Reports that a backend was refused, and that the old one continues."""
        self._busy = False
        self.state = f"refused {backend}: {error}"
        if not self._closed.is_set():
            logger.warning("%s was refused: %s", backend, error)
            self._status.emit("backend", "swap_refused", str(error), name=backend)

    def _prepare(self, backend: str) -> None:
        bundle: ModelBundle = self._worker.session.bundle
        try:
            candidate = self._make(bundle, backend, progress=self._report, **self._options)
        except Exception as error:  # noqa: BLE001 - an engine of another library may raise anything; the old one continues
            self.refuse(backend, error)
            return
        self._worker.submit(lambda session: self._hand_over(session, candidate))

    def _hand_over(self, session: RunningSession, candidate: PreparedBackend) -> None:
        """Makes the swap; on the worker."""
        before, start = session.backend, time.perf_counter()
        try:
            session.swap_backend(candidate)
        except EdgeaffError as error:
            self.refuse(candidate.backend, error)
            return
        figures = {**candidate.figures, "swap_ms": round(1e3 * (time.perf_counter() - start), 3)}
        self._busy = False
        self.state = f"{candidate.backend} took over from {before}"
        logger.info("%s: %s", self.state, figures)
        self._status.emit("backend", "swapped", self.state, name=candidate.backend, counts=figures)

    def _report(self, phase: str, done: int, steps: int) -> bool:
        """Returns whether the build may continue, after reporting the progress."""
        self.state = f"{phase}: {done} of {steps}"
        now = time.monotonic()
        if now - self._reported >= PROGRESS_SECONDS:
            self._reported = now
            self._status.emit("backend", "building", self.state, name="engine", counts={"done": done, "steps": steps})
        return not self._closed.is_set()

"""`Parts`: the components of a Runtime that run on threads, and their stop order. Holds no reference to the Runtime."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeaff.capture.source import Source
from edgeaff.listen.status_server import StatusServer
from edgeaff.runtime.monitor import Monitor
from edgeaff.runtime.outlets import Outlets
from edgeaff.runtime.status import StatusChannel
from edgeaff.runtime.swap import BackendSwap
from edgeaff.runtime.worker import Worker

if TYPE_CHECKING:
    from edgeaff.live.server import LivePage

STOP_SECONDS = 0.95


@dataclass
class Parts:
    """The components of a Runtime.

    Attributes:
        live: True if closing `source` wakes the worker.
        server: the status server, if started.
        page: the live page, likewise.
    """

    source: Source
    live: bool
    worker: Worker
    swap: BackendSwap
    outlets: Outlets
    monitor: Monitor
    status: StatusChannel
    server: StatusServer | None = None
    page: LivePage | None = None

    def stop(self) -> None:
        """Stops everything within a second; may be called again."""
        deadline = time.monotonic() + STOP_SECONDS
        self.worker.stop.set()
        self.swap.close()
        self.outlets.discard()
        if self.live:
            self.source.close()  # wakes a worker that waits for input
        if self.server is not None:
            self.server.close()
        if self.page is not None:
            self.page.close()
        self.worker.join(deadline - time.monotonic())
        if not self.worker.alive:
            self.outlets.close_sinks()
        self.monitor.close()
        self.status.close(max(0.0, min(0.2, deadline - time.monotonic())))
        self.outlets.background.close()

    def stop_forgotten(self, name: str) -> None:
        """Stops the components of a garbage-collected Runtime on a thread; warns unless its source had ended.

        Args:
            name: of the source, for the warning.
        """
        if sys.is_finalizing():
            return
        threading.Thread(target=self.stop, name="edgeaff-stop", daemon=True).start()
        if self.worker.state != "ended":
            message = f"Runtime on {name} must be stopped before it is dropped, got neither stop() nor a with block."
            warnings.warn(message, ResourceWarning, stacklevel=2)

"""The Ray engine: one actor per CPU of an existing cluster, each with a Supervisor, so that a crash ends a process, not an actor.

Ray Core, not Ray Data: attempts are counted by our ledger, and results are parts under their names, never objects of Ray. Ray
reports its use to its makers unless reported otherwise; that is off before it is imported.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from edgeaff.archive.engines import Reply, as_reply
from edgeaff.archive.supervisor import Supervisor
from edgeaff.archive.task import Task
from edgeaff.errors import BackendUnavailableError, DeviceError

USAGE = "RAY_USAGE_STATS_ENABLED"
LONGEST_WITHOUT_NODE_SECONDS = 600.0


def load_ray() -> Any:
    """Returns ray, with its reports of usage switched off.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    os.environ[USAGE] = "0"
    try:
        import ray
    except ImportError as error:
        raise BackendUnavailableError(f"engine ray needs Ray, got: {error}; pip install 'edgeaff[ray]'.") from error
    return ray


class RayEngine:
    """Actors on the nodes of a cluster."""

    def __init__(self, settings: Mapping[str, Any], workers: int | None, *, address: str | None = None) -> None:
        """Connects and starts the actors.

        Args:
            settings: of the supervisors; bundle and output must be paths that every node sees.
            workers: actors; None for one per CPU of the cluster.
            address: of the cluster; None for the one that Ray finds.

        Raises:
            BackendUnavailableError: Ray is not installed.
            DeviceError: there is no cluster.
        """
        self._ray = load_ray()
        self._ours = not self._ray.is_initialized()  # a connection of the caller's stays open
        if self._ours:
            try:
                self._ray.init(address=address or "auto", log_to_driver=False, configure_logging=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise DeviceError(
                    f"engine ray needs a running cluster, got none at {address or 'auto'} ({error}); start it with ray start."
                ) from error
        self.capacity = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._settings = dict(settings)
        self._actor = self._ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=0)(RaySupervisor)
        self._idle = deque(self._actor.remote(self._settings) for _ in range(self.capacity))
        self._open: dict[Any, tuple[Task, Any]] = {}
        self._lost_since: float | None = None

    def submit(self, task: Task) -> None:
        """Takes an order."""
        actor = self._idle.popleft()
        self._open[actor.run.remote(task.file)] = (task, actor)

    def next(self, timeout_seconds: float) -> Reply | None:
        """Returns the next reply, None after the time.

        Raises:
            DeviceError: no node of the cluster answers for ten minutes.
        """
        done, _ = self._ray.wait(list(self._open), num_returns=1, timeout=timeout_seconds)
        if not done:
            return None
        task, actor = self._open.pop(done[0])
        self._idle.append(actor)
        try:
            message = self._ray.get(done[0])
        except (
            self._ray.exceptions.RayError
        ) as error:  # the actor or its node, not the file: a crash ends its process only
            self._bear(error)
            return Reply(task, "lost", f"the node of the worker is gone: {type(error).__name__}")
        self._lost_since = None
        return as_reply(task, message)

    def seconds_open(self) -> float:
        """Returns 0: progress within a file does not cross the cluster."""
        return 0.0

    def close(self) -> None:
        """Ends the actors; the cluster goes on."""
        for actor in [*self._idle, *(actor for _, actor in self._open.values())]:
            self._ray.kill(actor, no_restart=True)
        if self._ours:
            self._ray.shutdown()

    def _bear(self, error: Exception) -> None:
        now = time.monotonic()
        self._lost_since = self._lost_since or now
        if now - self._lost_since > LONGEST_WITHOUT_NODE_SECONDS:
            raise DeviceError(
                f"the Ray cluster has no working node ({error}); run the same command when it has."
            ) from error
        time.sleep(0.2)


class RaySupervisor:
    """The actor: a Supervisor on some node."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._supervisor = Supervisor(settings)

    def run(self, file: str) -> dict[str, Any]:
        """Returns the last reply to one order."""
        return self._supervisor.run(file)

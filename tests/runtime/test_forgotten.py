"""A Runtime that is dropped without `stop` ends its threads and warns; one that has ended or was stopped is silent."""

from __future__ import annotations

import gc
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff

from ..waiting import wait_until


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("edgeaff-")}


class Sink:
    closed = False

    def write(self, event: Any) -> None:
        """Takes it."""

    def close(self) -> None:
        self.closed = True


def started(**options: Any) -> edgeaff.Runtime:
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo(), **options).start()
    runtime.push_frame(np.zeros((48, 64, 3), np.uint8))
    return runtime


@pytest.mark.parametrize("state", ["running", "never started", "serving", "with callbacks"])
def test_dropped_runtime_warns_and_ends(state: str, tmp_path: Path) -> None:
    before, sink = threads(), Sink()
    runtime = edgeaff.Runtime(
        video=edgeaff.PushVideo(), sinks=[sink], serve="127.0.0.1:0" if state == "serving" else None
    )
    if state == "with callbacks":
        runtime.on_event(print)
        runtime.on_status(str)
    if state != "never started":
        runtime.start()
    with pytest.warns(ResourceWarning, match="must be stopped before it is dropped"):
        del runtime
        gc.collect()
    wait_until(lambda: sink.closed and not threads() - before)


@pytest.mark.parametrize("state", ["stopped", "ended"])
def test_runtime_that_is_over_is_dropped_without_a_warning(state: str) -> None:
    before = threads()
    runtime = started()
    if state == "stopped":
        runtime.stop()
    else:
        runtime.finish()
        assert len(list(runtime)) == 1
        while runtime.health().state != "ended":
            time.sleep(0.01)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del runtime
        gc.collect()
    assert not [warning for warning in caught if warning.category is ResourceWarning]
    wait_until(lambda: not threads() - before)

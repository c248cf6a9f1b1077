"""The worker process: `python -m edgeaff.archive.worker`. One JSON object per line in and out.

In: the settings, then one order per file. Out: ready, then for each order opened, progress, and one of done and failed. A
worker ends when its standard input ends, so it never outlives its parent. What libraries print goes to standard error.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import IO, Any

from edgeaff.archive.limits import limit_memory, lower_priority
from edgeaff.archive.storage import open_store
from edgeaff.archive.task import Task
from edgeaff.archive.work import annotate_file
from edgeaff.bundle import open_bundle
from edgeaff.errors import EdgeaffError

ORPHANED, OUT_OF_MEMORY = 1, 70  # exit codes


def main() -> int:
    """Returns the exit code where memory ran out; otherwise works until standard input ends, which ends the process."""
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    replies = _replies()
    threading.Thread(target=_read, args=(orders,), daemon=True).start()
    settings = orders.get()
    limit_memory(settings["memory_mb"])
    lower_priority()
    bundle = open_bundle(settings["bundle"], **settings["trust"])
    store = open_store(settings["output"])

    def report(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")

    report({"kind": "ready"})
    while True:
        order = orders.get()
        try:
            summary = annotate_file(
                Task(order["file"]), store, bundle, options=settings["options"], kind=settings["format"], report=report
            )
        except EdgeaffError as error:
            report({"kind": "failed", "reason": " ".join(str(error).split())})
        except MemoryError:
            return OUT_OF_MEMORY
        else:
            report({"kind": "done", "summary": summary})


def _replies() -> IO[str]:
    """Returns a private copy of standard output, whose number then belongs to standard error."""
    copy = os.dup(1)
    os.dup2(2, 1)
    return open(copy, "w", buffering=1, encoding="utf-8")


def _read(orders: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main())

"""One worker process and its limits: a process that dies or runs too long is replaced, and its death has a cause."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgeaff.archive.worker import OUT_OF_MEMORY

START_SECONDS = 120.0  # to load the bundle
OPEN_SECONDS = 60.0  # to open a file, and the least limit of a whole one
TIMES_REAL_TIME = 20.0
TAIL_CHARACTERS = 300


class Supervisor:
    """Runs orders one after another in its own process."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Starts nothing yet.

        Args:
            settings: bundle, output, format, options and memory_mb.
        """
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._errors: Any = None
        self._seconds = 0.0
        self.closed = False

    def run(self, file: str, progress: Callable[[float], None] | None = None) -> dict[str, Any]:
        """Returns the last reply to one order: done, failed, or died with its reason.

        Args:
            file: path of the file, as given.
            progress: called with the seconds of media that are annotated.
        """
        self._seconds = 0.0
        if self._process is None:
            self._start()
            if (reply := self._next(time.monotonic() + START_SECONDS)).get("kind") != "ready":
                return reply
        if not self._send({"file": file}):
            return self._dead(None)
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            reply = self._next(deadline)
            if reply["kind"] == "opened":
                deadline = time.monotonic() + max(OPEN_SECONDS, TIMES_REAL_TIME * (reply["seconds"] or 0.0))
            elif reply["kind"] == "progress":
                self._seconds = float(reply["seconds"])
                if progress is not None:
                    progress(self._seconds)
            else:
                return reply

    def close(self) -> None:
        """Ends the process at once; may be called again."""
        self.closed = True
        self._kill()

    def _start(self) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._replies = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgeaff.archive.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
        )
        threading.Thread(target=_read, args=(self._process, self._replies), daemon=True).start()
        self._send(self._settings)

    def _send(self, message: Mapping[str, Any]) -> bool:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            return False
        return True

    def _next(self, deadline: float) -> dict[str, Any]:
        try:
            reply = self._replies.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return self._dead("it ran longer than its limit of time")
        return self._dead(None) if reply is None else reply

    def _dead(self, cause: str | None) -> dict[str, Any]:
        """Returns the reply of a process that died, after taking leave of it."""
        process = self._process
        if cause is None and process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            cause = _cause(process.returncode)
        tail = self._tail()
        self._kill()
        where = f" after {self._seconds:.1f} s of media" if self._seconds else ""
        return {"kind": "died", "reason": f"worker ended: {cause}{where}{'; ' + tail if tail else ''}"}

    def _tail(self) -> str:
        if self._errors is None:
            return ""
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - TAIL_CHARACTERS))
        return " ".join(self._errors.read().decode(errors="replace").split())

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            process.wait()
        if self._errors is not None:
            self._errors.close()
            self._errors = None


def _cause(code: int | None) -> str:
    if code is None:
        return "it stopped answering"
    if code == OUT_OF_MEMORY:
        return "it ran out of its limit of memory"
    if code < 0:
        return f"killed by {signal.Signals(-code).name if -code in list(signal.Signals) else f'signal {-code}'}"
    return f"exit code {code}"


def _read(process: subprocess.Popen[bytes], replies: queue.Queue[dict[str, Any] | None]) -> None:
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):  # closed here while it was read
        for line in process.stdout:
            replies.put(json.loads(line))
    replies.put(None)

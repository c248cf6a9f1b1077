"""The parent: forks a child for each door, watches it, and starts it again behind an input that ended it."""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.fuzz.board import Board
from tests.fuzz.child import FINDINGS, HANG_SECONDS, run
from tests.fuzz.door import Door

LONGEST_WALL_SECONDS = 30.0  # of an input that waits without computing
MOST_RESTARTS = 20
_POLL_SECONDS = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Run:
    """A door that is being fuzzed."""

    door: Door
    folder: Path
    seconds: float
    seed: int
    board: Board = field(default_factory=Board)
    pid: int = 0
    started: float = 0.0
    spent: float = 0.0
    restarts: int = 0
    watched: tuple[int, float] = (-1, 0.0)  # input, processor time of the child when it was seen first
    findings: list[dict[str, Any]] = field(default_factory=list)

    def start(self, first: int) -> None:
        """Forks a child that begins at an input."""
        self.started, self.watched = time.monotonic(), (-1, 0.0)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            return
        code = 1
        try:
            self.folder = self.folder / str(self.restarts)
            self.folder.mkdir()
            os.dup2(os.open(self.folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
            os.dup2(1, 2)
            faulthandler.enable(file=2)
            run(self.door, self.board, self.folder, seed=self.seed, first=first, seconds=self.seconds - self.spent)
            code = 0
        except BaseException:  # noqa: BLE001 - the parent reads it
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def look(self) -> bool:
        """Returns whether the door is done; notes how its child ended, and ends one that hangs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            if self._hangs():
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                return self._go_on("hang", "killed after two seconds")
            return False
        if os.WIFSIGNALED(status):
            return self._go_on("signal", f"{signal.Signals(os.WTERMSIG(status)).name}\n{self._output()}")
        if os.WEXITSTATUS(status):
            self.findings.append({"kind": "leak", "index": -1, "text": self._output(), "input": ""})
        return True

    def _output(self) -> str:
        """Returns the end of what the child printed: where a signal met it."""
        return (self.folder / str(self.restarts) / "output").read_text(encoding="utf-8", errors="replace")[-2000:]

    def _hangs(self) -> bool:
        state = self.board.read()
        if not state.running:
            return False
        used, wall = _processor_seconds(self.pid), (time.monotonic_ns() - state.started_ns) / 1e9
        if self.watched[0] != state.index:
            self.watched = (state.index, used)
        return (wall > HANG_SECONDS and used - self.watched[1] > HANG_SECONDS) or wall > LONGEST_WALL_SECONDS

    def _go_on(self, kind: str, text: str) -> bool:
        """Notes a finding and starts again behind its input; returns whether the door is done."""
        state = self.board.read()
        self.spent += time.monotonic() - self.started
        self.restarts += 1
        self.findings.append({"kind": kind, "index": state.index, "text": text, "input": self.board.input().hex()})
        if self.restarts > MOST_RESTARTS or self.spent >= self.seconds:
            return True
        state.running = 0
        self.board.write(state)
        self.start(state.index + 1)
        return False

    def result(self) -> dict[str, Any]:
        """Returns the figures of the door."""
        state = self.board.read()
        for noted in self.folder.glob(f"*/{FINDINGS}"):
            self.findings += [json.loads(line) for line in noted.read_text(encoding="utf-8").splitlines()]
        kinds = [finding["kind"] for finding in self.findings]
        return {
            "inputs": state.refused + state.taken + len(kinds),
            "refused": state.refused,
            "taken": state.taken,
            "signals": kinds.count("signal"),
            "hangs": kinds.count("hang"),
            "leaks": kinds.count("leak"),
            "slowest_ms": round(state.slowest_ns / 1e6, 1),
            "peak_mib": round(state.peak_kib / 1024, 1),
        }


def _processor_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def fuzz(doors: Sequence[Door], *, seconds: float, seed: int, jobs: int, keep: Path | None = None) -> dict[str, Any]:
    """Returns the figures of every door, and the findings.

    Args:
        doors: what is fuzzed; one whose modules are not installed is left out and named.
        seconds: in all.
        seed: of the inputs.
        jobs: children at once.
        keep: folder that gets the inputs of findings.
    """
    there = [door for door in doors if all(find_spec(name) is not None for name in door.needs)]
    left_out = sorted({door.name for door in doors} - {door.name for door in there})
    total = sum(door.share for door in there)
    memory = Path("/dev/shm")
    root = Path(tempfile.mkdtemp(prefix="edgeaff-fuzz-", dir=memory if memory.is_dir() else None))
    waiting, running, results = list(there), list[Run](), dict[str, Any]()
    findings: list[dict[str, Any]] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                door = waiting.pop(0)
                folder = root / door.name.replace(" ", "_")
                folder.mkdir()
                running.append(Run(door, folder, seconds * jobs * door.share / total, seed))
                running[-1].start(0)
            for one in [one for one in running if one.look()]:
                running.remove(one)
                results[one.door.name] = one.result()
                findings += [{"door": one.door.name, **finding} for finding in one.findings]
            time.sleep(_POLL_SECONDS)
    finally:
        for one in running:
            os.kill(one.pid, signal.SIGKILL)
        shutil.rmtree(root, ignore_errors=True)
    _keep(findings, keep)
    names = ("inputs", "refused", "taken", "signals", "hangs", "leaks")
    sums = {name: sum(result[name] for result in results.values()) for name in names}
    return {**sums, "seconds": seconds, "seed": seed, "left_out": left_out, "doors": results, "findings": findings}


def _keep(findings: Sequence[dict[str, Any]], folder: Path | None) -> None:
    """Writes the inputs of findings into a folder, and shortens them in the report."""
    for finding in findings:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{finding['door'].replace(' ', '_')}-{finding['index']}.bin"
            path.write_bytes(bytes.fromhex(finding["input"]))
        finding["input"] = finding["input"][:400]

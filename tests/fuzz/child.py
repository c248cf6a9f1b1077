"""The child of one door: makes inputs and feeds them until its time has ended."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path

from edgeaff.errors import EdgeaffError
from tests.fuzz.board import Board, State
from tests.fuzz.door import Door

MEMORY_BYTES = 1 << 30  # beyond what the process has when the door is open
HANG_SECONDS = 2.0
FINDINGS = "findings.jsonl"


def run(door: Door, board: Board, folder: Path, *, seed: int, first: int, seconds: float) -> None:
    """Feeds inputs from number `first` on; the state of the board goes on from what stands there."""
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(1000)
    seeds, feed = door.open(folder)
    for data in seeds:
        with contextlib.suppress(EdgeaffError, *door.refusals):
            feed(data)
    gc.freeze()  # what the modules made is not looked through again and again
    _bound_memory()
    state, deadline, known = board.read(), time.monotonic() + seconds, set[str]()
    state.index = first
    while time.monotonic() < deadline:
        data = make_input(door, seeds, seed=seed, index=state.index)
        _take(door, feed, data, board, state, folder, known)
        state.index += 1
        if state.index % 64 == 0:
            state.peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    board.write(state)


def make_input(door: Door, seeds: object, *, seed: int, index: int) -> bytes:
    """Returns the input of a number: the same for the same seed."""
    return door.make(random.Random(f"{seed} {door.name} {index}"), seeds)  # type: ignore[arg-type]


def _take(door: Door, feed: object, data: bytes, board: Board, state: State, folder: Path, known: set[str]) -> None:
    """Feeds one input and counts what came of it."""
    board.put_input(data)
    state.length, state.running, state.started_ns = len(data), 1, time.monotonic_ns()
    board.write(state)
    started = time.process_time_ns()
    try:
        feed(data)  # type: ignore[operator]
        state.taken += 1
    except (EdgeaffError, *door.refusals):
        state.refused += 1
    except Exception as error:  # noqa: BLE001 - what leaks is what is looked for
        _note(
            folder, known, "leak", state.index, data, "".join(traceback.format_exception(error)[-4:]), _place_of(error)
        )
    elapsed = time.process_time_ns() - started
    state.slowest_ns, state.running = max(state.slowest_ns, elapsed), 0
    board.write(state)
    if elapsed > HANG_SECONDS * 1e9:
        _note(folder, known, "hang", state.index, data, f"{elapsed / 1e9:.1f} s", f"hang {state.index}")


def _place_of(error: BaseException) -> str:
    """Returns the class of an exception and the line that raised it: one finding for each."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} {frames[-1].filename}:{frames[-1].lineno}"


def _note(folder: Path, known: set[str], kind: str, index: int, data: bytes, text: str, place: str) -> None:
    if place in known:
        return
    known.add(place)
    with open(folder / FINDINGS, "a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": kind, "index": index, "text": text, "input": data.hex()}) + "\n")


def _bound_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY_BYTES, now + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

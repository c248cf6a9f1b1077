"""Fair timing on a machine that others use too: all competitors in turn, many rounds, wall and CPU time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

WARM_CALLS = 5
LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Times per call of one competitor, one entry per round. wall_us, cpu_us: (rounds,) microseconds."""

    wall_us: np.ndarray
    cpu_us: np.ndarray

    def row(self) -> dict[str, float]:
        """Returns the figures of a results row; cpu_share is CPU time / wall time."""
        return {
            "n": int(self.wall_us.size),
            "min_us": round(float(self.wall_us.min()), 2),
            "p50_us": round(float(np.median(self.wall_us)), 2),
            "p90_us": round(float(np.percentile(self.wall_us, 90)), 2),
            "p99_us": round(float(np.percentile(self.wall_us, 99)), 2),
            "cpu_min_us": round(float(self.cpu_us.min()), 2),
            "cpu_p50_us": round(float(np.median(self.cpu_us)), 2),
            "cpu_share": round(float(self.cpu_us.sum() / self.wall_us.sum()), 3),
        }


def interleave(
    competitors: dict[str, Callable[[], Any]], *, rounds: int, calls: int = 1, seconds: float = math.inf
) -> dict[str, Timing]:
    """Returns the times of all competitors, each called once per round and `calls` times in a row.

    Args:
        competitors: what to time, by name; single-threaded, so that the CPU time of the process is theirs.
        rounds: how often each is timed.
        calls: calls per timing; their mean counts.
        seconds: after them no new round begins, except for the first LEAST_ROUNDS.

    Returns:
        Timings by name.
    """
    end = time.monotonic() + seconds
    for function in competitors.values():
        for _ in range(WARM_CALLS):
            function()
    wall = {name: np.empty(rounds) for name in competitors}
    cpu = {name: np.empty(rounds) for name in competitors}
    done = 0
    while done < rounds and (done < LEAST_ROUNDS or time.monotonic() < end):
        for name, function in competitors.items():
            function()  # brings its data back to the caches
            cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
            for _ in range(calls):
                function()
            wall[name][done] = (time.perf_counter_ns() - start) / calls / 1e3
            cpu[name][done] = (time.process_time_ns() - cpu_start) / calls / 1e3
        done += 1
    return {name: Timing(wall[name][:done], cpu[name][:done]) for name in competitors}


def ratio(slower: Timing, faster: Timing) -> float:
    """Returns the number of times faster the second is: the median over rounds of the ratio of CPU times."""
    return round(float(np.median(slower.cpu_us / faster.cpu_us)), 3)

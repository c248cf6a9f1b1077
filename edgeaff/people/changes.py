"""Lasting changes of one value, found while it runs: a two-sided CUSUM on means of 0.2 s, with the noise of the subject at hand.

The value of a model wanders: neighboring ticks say nearly the same, and nothing here takes ticks as independent. Six ticks make
one mean. The level before is the mean of up to 30 s that end 2 s ago, so that a change does not pull it along; the noise
is the spread of the means about it over up to 2 minutes. Evidence for a rise grows by what the mean is above level plus slack, for a
fall in the same way, and a change is found where it passes a threshold after 0.6 s at least, while it lasts. Both are as large as the
noise asks for, and never so small that a wobble is a change. The sureness weighs the size against the noise, with one real
change expected in 200 looks. After a change, and after 2 s without a value, the level is learned again.

The runtime computes with the compiled twin, `edgeaff.ops.people.ChangeDetector`; both give the same bytes (tests/people).
"""

from __future__ import annotations

import math
from typing import NamedTuple

BLOCK_TICKS, BLOCK_SECONDS = 6, 0.2
LONGEST_GAP_NS = 2_000_000_000
DELAY_BLOCKS, NEWEST_BLOCKS, FIRST_BLOCKS = 10, 3, 10
MOST_LEVEL_BLOCKS, FIRST_NOISE_BLOCKS, MOST_NOISE_BLOCKS = 150, 100, 600
LEAST_SLACK, SLACK_OF_NOISE = 0.15, 2.2
LEAST_THRESHOLD, THRESHOLD_OF_NOISE = 0.10, 1.6
FIRST_NOISE, LEAST_NOISE, MOST_DEVIATION = 0.08, 0.02, 3.0
STD_OF_MEAN_DEVIATION = 1.2533141373155001  # sqrt(pi / 2), of normal noise
LOOKS = 200.0


class Change(NamedTuple):
    """A change. began_ns: when; before, after: levels in [-1, 1]; sureness: probability that it is none of chance."""

    began_ns: int
    before: float
    after: float
    sureness: float


class ChangeDetector:
    """Finds the changes of one value.

    Attributes:
        noise: spread of the means about their level.
    """

    def __init__(self) -> None:
        self.noise = FIRST_NOISE
        self._noise_blocks = FIRST_NOISE_BLOCKS
        self._last_ns: int | None = None
        self._sum, self._ticks, self._block_ns = 0.0, 0, 0
        self._level, self._level_blocks = 0.0, 0
        self._forget()

    def push(self, pts_ns: int, value: float) -> Change | None:
        """Returns the change that the value of this tick completes."""
        if self._last_ns is not None and not 0 <= pts_ns - self._last_ns <= LONGEST_GAP_NS:
            self._forget()
        self._last_ns = pts_ns
        if self._ticks == 0:
            self._block_ns = pts_ns
        self._sum += value
        self._ticks += 1
        if self._ticks < BLOCK_TICKS:
            return None
        mean = self._sum / BLOCK_TICKS
        self._sum, self._ticks = 0.0, 0
        return self._push_block(mean)

    def _forget(self) -> None:
        self._sum, self._ticks, self._block_ns = 0.0, 0, 0
        self._level, self._level_blocks = 0.0, 0
        self._waiting: list[float] = []
        self._evidence = [0.0, 0.0]  # for a rise, for a fall
        self._began_ns = [0, 0]
        self._blocks = [0, 0]

    def _push_block(self, mean: float) -> Change | None:
        if self._level_blocks < FIRST_BLOCKS:
            self._level_blocks += 1
            self._level += (mean - self._level) / self._level_blocks
            return None
        found = [self._grow(side, away) for side, away in enumerate((mean - self._level, self._level - mean))]
        self._wait(mean)
        if not any(found):
            return None
        side = found.index(True)
        newest = self._waiting[-min(self._blocks[side], NEWEST_BLOCKS) :]
        before, after, began_ns = self._level, _sum(newest) / len(newest), self._began_ns[side]
        size = (after - before) / self.noise
        self._forget()
        self._level, self._level_blocks = after, len(newest)
        return Change(began_ns, before, after, 1.0 / (1.0 + LOOKS * math.exp(-0.5 * size * size)))

    def _grow(self, side: int, away: float) -> bool:
        slack = max(LEAST_SLACK, SLACK_OF_NOISE * self.noise)
        if self._evidence[side] == 0:
            self._began_ns[side], self._blocks[side] = self._block_ns, 0
        self._blocks[side] += 1
        self._evidence[side] = max(0.0, self._evidence[side] + (away - slack) * BLOCK_SECONDS)
        is_enough = self._evidence[side] > max(LEAST_THRESHOLD, THRESHOLD_OF_NOISE * self.noise)
        return is_enough and self._blocks[side] >= NEWEST_BLOCKS and away > slack

    def _wait(self, mean: float) -> None:
        if len(self._waiting) == DELAY_BLOCKS:
            self._absorb(self._waiting.pop(0))
        self._waiting.append(mean)

    def _absorb(self, mean: float) -> None:
        away = min(abs(mean - self._level), MOST_DEVIATION * self.noise)
        self._noise_blocks = min(self._noise_blocks + 1, MOST_NOISE_BLOCKS)
        self.noise = max(LEAST_NOISE, self.noise + (STD_OF_MEAN_DEVIATION * away - self.noise) / self._noise_blocks)
        self._level_blocks = min(self._level_blocks + 1, MOST_LEVEL_BLOCKS)
        self._level += (mean - self._level) / self._level_blocks


def _sum(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total

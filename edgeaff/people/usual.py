"""What is usual for one subject in one dimension: a running median and spread, and a value against them.

[-1, 1] is cut into 64 equal parts, and each has a weight: the ticks whose value fell into it, faded by half in every 600 s of
evidence (not of time: who is away is not forgotten). Median and spread are quantiles of that histogram. The level that values are
compared with is the median, pulled toward 0 as 30 s of evidence would, so that it grows in slowly; the spread is pulled toward
0.25 by 600 s, since moods of a few minutes say little about how far somebody moves. Relative is the distance from the level,
stretched by 0.25 / spread (at most 2, at least 1/2). In the first 10 s there is none.

The runtime computes with the compiled twin, `edgeaff.ops.people.UsualValue`; both give the same bytes (tests/people).
"""

from __future__ import annotations

from collections.abc import Sequence

BINS = 64
TICKS_PER_SECOND = 30.0
WARMUP_SECONDS = 10.0
KEEP = 0.9999614925495148  # 0.5 ** (1 / (600 s * 30 ticks))
CENTER_PRIOR_SECONDS, SCALE_PRIOR_SECONDS, PRIOR_SCALE = 30.0, 600.0, 0.25
LOW_SHARE, HIGH_SHARE = 0.1587, 0.8413  # one standard deviation to either side, where values are normal
MOST_STRETCH = 2.0


class UsualValue:
    """Running median and spread of one value. weights: (64,) a state to go on from."""

    def __init__(self, weights: Sequence[float] = (0.0,) * BINS) -> None:
        self.weights = [float(weight) for weight in weights]

    def push(self, value: float) -> None:
        """Counts the value of one tick, cut to [-1, 1]."""
        self.weights = [weight * KEEP for weight in self.weights]
        self.weights[min(BINS - 1, max(0, int((value + 1.0) * (BINS // 2))))] += 1.0

    def relative(self, value: float) -> float | None:
        """Returns the value against what is usual, in [-1, 1]; None in the first 10 s of evidence."""
        if self.seconds < WARMUP_SECONDS:
            return None
        stretch = min(MOST_STRETCH, max(1.0 / MOST_STRETCH, PRIOR_SCALE / self.scale))
        return min(1.0, max(-1.0, (value - self.center) * stretch))

    @property
    def center(self) -> float:
        """Level that values are compared with."""
        total = self._total()
        seconds = total / TICKS_PER_SECOND
        return seconds / (seconds + CENTER_PRIOR_SECONDS) * self._quantile(0.5, total) if total > 0 else 0.0

    @property
    def scale(self) -> float:
        """Spread that values are compared with."""
        total = self._total()
        seconds = total / TICKS_PER_SECOND
        if not total > 0:
            return PRIOR_SCALE
        spread = (self._quantile(HIGH_SHARE, total) - self._quantile(LOW_SHARE, total)) / 2
        return (seconds * spread + SCALE_PRIOR_SECONDS * PRIOR_SCALE) / (seconds + SCALE_PRIOR_SECONDS)

    @property
    def seconds(self) -> float:
        """Evidence that is not faded yet."""
        return self._total() / TICKS_PER_SECOND

    def _total(self) -> float:
        total = 0.0
        for weight in self.weights:
            total += weight
        return total

    def _quantile(self, share: float, total: float) -> float:
        wanted, below, last = share * total, 0.0, 0
        for index, weight in enumerate(self.weights):
            if not weight > 0:
                continue
            if below + weight >= wanted:
                return (index + (wanted - below) / weight) / (BINS // 2) - 1.0
            below += weight
            last = index
        return (last + 1.0) / (BINS // 2) - 1.0

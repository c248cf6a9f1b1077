"""Voice quality from the waveform, in NumPy: jitter, shimmer and harmonics-to-noise ratio, period by period.

The pitch (after the energy gate) gives the expected length of a period; within 25 % of that the lag with the highest
normalized correlation of a stretch with the one that follows is the period found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeaff.features.lld_reference_pitch import LONG_WINDOW
from edgeaff.features.lld_reference_spectral import HOP
from edgeaff.spec import SAMPLE_RATE_HZ

COUNTED_FROM = 0.5
LONGEST_LAG = 386
UNVOICED = (0.0, 0.0, 0.0, -100.0)


def stretch_correlations(samples: np.ndarray, low: int, high: int) -> np.ndarray:
    """Returns, for each lag L, the correlation (means removed) of the first L samples with the L that follow.

    The same samples and lag give the same bits for any range of lags: a period that two frames both find must have
    exactly no jitter. So the sums run over a fixed length.

    Args:
        samples: (>= 2 * high,) float64.
        low: shortest lag.
        high: longest lag.

    Returns:
        (high - low + 1,) float64 in [-1, 1]; NaN where one of the two is constant (no comparison with it is true, so
        neither this lag nor its neighbors are peaks).
    """
    x = samples[
        : 2 * high
    ]  # no offset is taken off: float32 values add up exactly, so a covariance of 0 comes out as 0
    lags = np.arange(low, high + 1)
    used = np.arange(LONGEST_LAG)[None, :] < lags[:, None]
    padded = np.concatenate([x, np.zeros(2 * LONGEST_LAG - len(x))])
    cross = (sliding_window_view(padded, LONGEST_LAG)[low : high + 1] * (used * padded[:LONGEST_LAG])).sum(axis=-1)
    sums = np.concatenate([[0.0], np.cumsum(x)])
    squares = np.concatenate([[0.0], np.cumsum(x * x)])
    first, both = sums[lags], sums[2 * lags]
    second = both - first
    covariance = cross - first * second / lags
    variance_first = squares[lags] - first * first / lags
    variance_second = squares[2 * lags] - squares[lags] - second * second / lags
    changes = np.concatenate([[0], np.cumsum(x[1:] != x[:-1])])  # exact, where a rounded variance is not exactly 0
    varies = (changes[lags - 1] > 0) & (changes[2 * lags - 1] > changes[lags])
    product = np.where(varies, variance_first * variance_second, 0.0)
    return np.divide(covariance, np.sqrt(np.maximum(product, 0.0)), out=np.full(len(lags), np.nan), where=product > 0)


@dataclass
class FramePeriods:
    """The periods of one frame; lengths in seconds, float32 (an exact 0 between two lengths matters)."""

    starts: list[int] = field(default_factory=list)
    last_lag: int = 0
    lengths: list[np.float32] = field(default_factory=list)
    length_changes: list[np.float32] = field(default_factory=list)
    second_changes: list[np.float32] = field(default_factory=list)
    amplitudes: list[np.float32] = field(default_factory=list)
    amplitude_changes: list[np.float32] = field(default_factory=list)


class VoiceQuality:
    """Walks along the waveform from period to period, driven by the pitch of each frame.

    The walk of a frame goes on where that of the frame before ended: `carry` samples before the frame's own start, at
    most 772 (two of the longest lags tried). What is held is the last value of each measure, for voiced frames that
    count no period.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Starts a new audio."""
        self._next = 0
        self._carry = 0
        self._forget()

    def _forget(self) -> None:
        self._last_length = np.float32(0)
        self._last_change = np.float32(0)
        self._held = [0.0, 0.0, 0.0]

    @property
    def first_needed(self) -> int:
        """Index of the oldest sample that the next frame will look at."""
        return self._next

    def step(self, frame: int, f0_hz: float, samples: np.ndarray, first: int) -> tuple[float, float, float, float]:
        """Takes the next frame and gives its jitterLocal, jitterDDP, shimmerLocal and logHNR.

        Args:
            frame: its index; it covers the samples from 160 * frame on.
            f0_hz: its pitch, 0 if unvoiced.
            samples: (n,) float32, the audio from `first` on.
            first: index of samples[0], at most `first_needed`.

        Returns:
            jitterLocal, jitterDDP and shimmerLocal in [0, 1], logHNR in dB; 0, 0, 0, -100 if unvoiced.
        """
        if f0_hz <= 0:
            self._next = HOP * (frame + 1)
            self._carry = 0
            self._forget()
            return UNVOICED
        base = HOP + self._carry
        period = SAMPLE_RATE_HZ / f0_hz
        count = min(max(base, 2 * math.ceil(1.25 * period) + 2), LONG_WINDOW + self._carry)
        stretch = samples[self._next - first : self._next - first + count]
        periods = FramePeriods()
        last, end = self._walk(stretch, period, base, periods)
        self._carry = base - last
        self._next += last
        hnr = log_hnr(stretch, [*periods.starts, end], math.floor(period + 0.5), periods.last_lag)
        return (*self._summary(periods), hnr)

    def _walk(self, stretch: np.ndarray, period: float, base: int, periods: FramePeriods) -> tuple[int, int]:
        """Fills in `periods`.

        Returns:
            Where in the stretch the next frame goes on, and where the walk ended.
        """
        low, high = math.floor(0.75 * period), math.ceil(1.25 * period)
        whole = math.floor(period + 0.5)
        exact = stretch.astype(np.float64)
        start = last = 0
        while start < len(stretch) - 2 * high - 1:
            correlation = stretch_correlations(exact[start:], low, high)
            inner = correlation[1:-2]
            peak = (inner > correlation[:-3]) & (inner > correlation[2:-1])
            if not peak.any():
                start += whole
                periods.last_lag = whole
                if start < base - 1:
                    last = start
                continue
            at = 1 + int(np.argmax(np.where(peak, inner, -np.inf)))
            periods.starts.append(start)
            before, here, after = correlation[at - 1 : at + 2]
            offset = 0.5 * (before - after) / (before - 2 * here + after)
            lag = low + at
            if here - 0.25 * (before - after) * offset > COUNTED_FROM:
                length = np.float32((lag + offset) / SAMPLE_RATE_HZ)
                self._count(periods, length, stretch[start : start + 2 * lag])
            periods.last_lag = lag
            start += lag
            if start < base - 1:
                last = start
        return last, start

    def _count(self, periods: FramePeriods, length: np.float32, two: np.ndarray) -> None:
        periods.lengths.append(length)
        if self._last_length > 0:
            change = abs(length - self._last_length)
            periods.length_changes.append(change)
            if self._last_change > 0:
                periods.second_changes.append(abs(change - self._last_change))
            self._last_change = change
        self._last_length = length
        lag = len(two) // 2
        first, second = (part.max() - part.min() for part in (two[1 : lag - 1], two[lag + 1 : -1]))
        periods.amplitudes.append((first + second) / np.float32(2))
        periods.amplitude_changes.append(abs(first - second))

    def _summary(self, periods: FramePeriods) -> tuple[float, float, float]:
        if not periods.lengths:
            return self._held[0], self._held[1], self._held[2]
        mean = _mean(periods.lengths)
        values = [0.0, 0.0, 0.0]
        for column, changes in enumerate((periods.length_changes, periods.second_changes)):
            if changes:
                values[column] = self._held[column] = min(float(_mean(changes) / mean), 1.0)
        amplitude = _running_sum(periods.amplitudes)
        if amplitude > 0:
            values[2] = self._held[2] = min(float(_running_sum(periods.amplitude_changes) / amplitude), 1.0)
        return values[0], values[1], values[2]


def _mean(values: list[np.float32]) -> np.float32:
    return _running_sum(values) / np.float32(len(values))


def _running_sum(values: list[np.float32] | np.ndarray) -> np.float32:
    """Returns the float32 sum, added up from first to last."""
    total: np.float32 = np.cumsum(values, dtype=np.float32)[-1] if len(values) else np.float32(0)
    return total


def log_hnr(stretch: np.ndarray, starts: list[int], period: int, last_lag: int) -> float:
    """Returns 20 log10 of the RMS of the average period over that of what differs from it, at least -100.

    All in float32, sums from first to last as in the peer: where nothing but rounding differs (one period after
    silence, perfectly periodic audio), the result, and whether it is exactly 0, depends on it. With this order all
    voiced frames of the golden clips are equal to the bit.

    Args:
        stretch: (n,) float32, the audio of the frame.
        starts: where each period starts, the one after the last found included.
        period: T0, the length of the average period.
        last_lag: length of the last of `starts`.

    Returns:
        The ratio in dB; 0 where nothing differs from the average.
    """
    average = np.zeros(period, np.float32)
    for start in starts:
        average += stretch[start : start + period]
    average /= np.float32(len(starts))
    inner = average[3 : period - 2]
    harmonic = np.sqrt(_running_sum(inner * inner) / np.float32(period - 4))
    parts = []
    for start, following in zip(starts, [*starts[1:], starts[-1] + last_lag], strict=True):
        end = max(min(following - start, period) - 2, 2)
        parts.append(stretch[start + 2 : start + end] - average[2:end])
    difference = np.concatenate(parts)
    noise = np.sqrt(_running_sum(difference * difference) / np.float32(max(len(difference), 1)))
    if noise <= 0:
        return 0.0
    return max(20 * math.log10(float(harmonic / noise)), -100.0) if harmonic > 0 else -100.0

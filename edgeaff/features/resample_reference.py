"""Streaming polyphase resampler in NumPy: the readable twin of the native one (csrc/lld/resample).

Output sample m lies at input position t = m * input_rate / output_rate and is the sum over the input of
x[n] h(t - n), with the continuous kernel (u in input samples, c = min(1, output_rate / input_rate))

    h(u) = c sinc(c u) kaiser(u / H),   |u| < H.

`Choice:` H covers 2.5 ms on either side where the lower of the two rates is at least 16 kHz, and grows to at most 4 ms
below (the transition band has to narrow with the rate). The Kaiser window has beta = 11.2 (about 110 dB), so content
up to 7/8 of the lower Nyquist frequency passes flat, and its images and aliases stay at least 90 dB down
(tests/features/test_resample_reference.py, with soxr VHQ as oracle).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeaff.errors import SessionStateError
from edgeaff.features.samples import as_float_samples
from edgeaff.spec import SAMPLE_RATE_HZ, check_rate

HALF_WIDTH_SECONDS = 0.0025
LONGEST_HALF_WIDTH_SECONDS = 0.004
KAISER_BETA = 11.2
MOST_EXACT_PHASES = 512
BLOCK = 2_048


def half_width_samples(input_rate_hz: int, output_rate_hz: int) -> int:
    """Returns H, the reach of the kernel to either side, in input samples."""
    lower = min(input_rate_hz, output_rate_hz)
    seconds = min(LONGEST_HALF_WIDTH_SECONDS, HALF_WIDTH_SECONDS * max(1.0, SAMPLE_RATE_HZ / lower))
    return math.floor(seconds * input_rate_hz + 1e-9)


@lru_cache(maxsize=8)
def kernel_table(input_rate_hz: int, output_rate_hz: int) -> np.ndarray:
    """Returns the filter taps for every phase.

    Row p holds the taps for the fractional position p / P, tap k belonging to input sample floor(t) - H + 1 + k. With
    at most 512 phases P is their number, and rows 0..P-1 are used; with more, P = 512 and neighboring rows are
    interpolated linearly (error below -105 dB). Each row is scaled to sum 1, so a constant stays that constant.

    Returns:
        (P + 1, 2 H) float64.
    """
    phases = min(output_rate_hz // math.gcd(input_rate_hz, output_rate_hz), MOST_EXACT_PHASES)
    reach = half_width_samples(input_rate_hz, output_rate_hz)
    cutoff = min(1.0, output_rate_hz / input_rate_hz)
    fraction = np.arange(phases + 1)[:, None] / phases
    u = fraction + (reach - 1) - np.arange(2 * reach)[None, :]
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1.0 - (u / reach) ** 2, 0.0, None)))
    taps = np.sinc(cutoff * u) * window
    return taps / taps.sum(axis=1, keepdims=True)


class Resampler:
    """Brings mono audio from one rate to another, chunk by chunk; chunking never changes a bit of the result.

    The first output sample lies at the time of the first input sample; before and after the audio there is silence. n
    input samples give ceil(n * output_rate / input_rate) output samples in all.

    Args:
        input_rate_hz: 8,000 to 768,000.
        output_rate_hz: 8,000 to 768,000.

    Raises:
        ArgumentError: a rate outside this range.
    """

    def __init__(self, input_rate_hz: int, output_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self.input_rate_hz = check_rate("input_rate_hz", input_rate_hz)
        self.output_rate_hz = check_rate("output_rate_hz", output_rate_hz)
        divisor = math.gcd(self.input_rate_hz, self.output_rate_hz)
        self._up = self.output_rate_hz // divisor
        self._down = self.input_rate_hz // divisor
        self._reach = half_width_samples(self.input_rate_hz, self.output_rate_hz)
        self.reset()

    @property
    def delay_ns(self) -> int:
        """Output at time u comes out once the input has reached u + delay_ns; at most 4 ms."""
        return 0 if self._up == self._down else -(-self._reach * 1_000_000_000 // self.input_rate_hz)

    def reset(self) -> None:
        """Forgets everything; the next sample is the first of a new audio."""
        self._finished = False
        self._received = 0
        self._produced = 0
        self._buffer = np.zeros(max(self._reach - 1, 0), np.float32)
        self._first = -len(self._buffer)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Takes audio and returns what can be computed so far.

        Args:
            samples: (n,) int16, or float32 with full scale 1 (out of range: saturated), at the input rate.

        Returns:
            (m,) float32 at the output rate, full scale 1 (band-limiting may overshoot it slightly).

        Raises:
            SessionStateError: finish() was called before. (`as_float_samples` checks the samples.)
        """
        if self._finished:
            raise SessionStateError("push must come before finish, got a call after it; call reset() first.")
        samples = as_float_samples(samples)
        self._received += len(samples)
        if self._up == self._down:
            return samples
        self._buffer = np.concatenate([self._buffer, samples])
        last = self._received - 1 - self._reach  # the last input index that floor(t) may have
        return self._produce(-(-(last + 1) * self._up // self._down))

    def finish(self) -> np.ndarray:
        """Ends the audio and returns what was held back.

        Returns:
            (m,) float32 at the output rate.

        Raises:
            SessionStateError: finish() was called before.
        """
        if self._finished:
            raise SessionStateError("finish must be called once, got a second call; call reset() first.")
        self._finished = True
        if self._up == self._down:
            return np.zeros(0, np.float32)
        self._buffer = np.concatenate([self._buffer, np.zeros(self._reach, np.float32)])
        return self._produce(-(-self._received * self._up // self._down))

    def _produce(self, end: int) -> np.ndarray:
        """Returns the outputs up to index `end` (exclusive) and lets go of input that no later one needs."""
        parts = []
        while self._produced < end:
            count = min(end - self._produced, BLOCK)
            parts.append(self._block(count))
            self._produced += count
        start = self._produced * self._down // self._up - self._reach + 1
        if start > self._first:
            self._buffer = self._buffer[start - self._first :]
            self._first = start
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _block(self, count: int) -> np.ndarray:
        whole, rest = divmod(self._produced * self._down, self._up)
        steps = rest + np.arange(count) * self._down
        table = kernel_table(self.input_rate_hz, self.output_rate_hz)
        phases = len(table) - 1
        if phases == self._up:
            taps = table[steps % self._up]
        else:
            row, weight = np.divmod(steps % self._up * phases, self._up)
            weight = (weight / self._up)[:, None]
            taps = (1.0 - weight) * table[row] + weight * table[row + 1]
        starts = whole + steps // self._up - self._reach + 1 - self._first
        stretch = self._buffer[starts[0] : starts[-1] + 2 * self._reach].astype(np.float64)
        windows = sliding_window_view(stretch, 2 * self._reach)[starts - starts[0]]
        return np.einsum("ij,ij->i", windows, taps).astype(np.float32)

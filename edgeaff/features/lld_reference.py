"""The 65 low-level descriptors in NumPy, group by group: the readable twin of the native extractor (csrc/lld).

Two framings of 16 kHz audio share a hop of 10 ms: 20 ms (58 columns, lld_reference_spectral.py) and 60 ms (pitch group,
columns 0 to 5, lld_reference_pitch.py and lld_reference_quality.py; zero crossings, column 9). Each column is then
averaged over three rows. `lld_stream.LldStream` feeds these groups; docs/lld.md reports what the columns mean.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from edgeaff.features import lld_reference_pitch as pitch
from edgeaff.features import lld_reference_spectral as spectral
from edgeaff.features.lld_reference_quality import VoiceQuality
from edgeaff.features.lld_reference_spectral import HOP
from edgeaff.features.resample_reference import as_float_samples


def scale_samples(samples: np.ndarray) -> np.ndarray:
    """Returns audio in the scale of the descriptors: int16 value / 32767.

    float32 x counts as the int16 value 32768 x (kept with its fraction, saturated to -32768..32767), so both forms of
    one audio give the same bits.

    Args:
        samples: (n,) int16, or float32 with full scale 1.

    Returns:
        (n,) float32.
    """
    values = np.asarray(samples)
    if values.dtype != np.int16:
        values = np.clip(as_float_samples(values) * np.float32(32_768), -32_768, 32_767)
    elif values.ndim != 1:
        as_float_samples(values)  # raises
    return values.astype(np.float32) / np.float32(32_767)


def frames(samples: np.ndarray, window: int) -> np.ndarray:
    """Returns the complete frames of `window` samples every 160, (T, window), as a view. samples: (n,)."""
    if len(samples) < window:
        return np.zeros((0, window), samples.dtype)
    return sliding_window_view(samples, window)[::HOP]


class Smoother:
    """Average over rows t-1, t, t+1, in float32; at the ends of the audio the missing neighbor is the row at the end.

    Args:
        columns: how many.
        nonzero: the rule of the pitch group: 0 stays 0, and neighbors that are 0 do not count.
    """

    def __init__(self, columns: int, *, nonzero: bool = False) -> None:
        self._columns = columns
        self._nonzero = nonzero
        self.reset()

    def reset(self) -> None:
        """Starts a new audio."""
        self._tail: np.ndarray | None = None

    def push(self, rows: np.ndarray) -> np.ndarray:
        """Returns the averaged rows that are final now: all up to the last but one. rows: (T, C) float32."""
        if not len(rows):
            return rows
        tail = rows[:1] if self._tail is None else self._tail
        series = np.concatenate([tail, rows])
        self._tail = series[-2:]
        return self._average(series)

    def edge(self) -> np.ndarray:
        """Returns the last row and one more, with the last row in place of what would follow, (2, C)."""
        if self._tail is None:
            return np.zeros((0, self._columns), np.float32)
        return self._average(np.concatenate([self._tail, self._tail[-1:], self._tail[-1:]]))

    def _average(self, series: np.ndarray) -> np.ndarray:
        before, here, after = series[:-2], series[1:-1], series[2:]
        total = before + here + after
        if not self._nonzero:
            return total / np.float32(3)
        count = (before != 0).astype(np.float32) + (here != 0) + (after != 0)
        return np.divide(total, count, out=np.zeros_like(total), where=here != 0)


class SpectralGroup:
    """The 58 columns of the 20 ms window, before the average."""

    def __init__(self) -> None:
        self._rasta = spectral.RastaFilter()
        self.reset()

    def reset(self) -> None:
        """Starts a new audio."""
        self._rasta.reset()
        self._previous: np.ndarray | None = None

    def push(self, windows: np.ndarray) -> np.ndarray:
        """Returns the columns `SPECTRAL_COLUMNS`, (T, 58) float32. windows: (T, 320) float32, consecutive frames."""
        window = spectral.hamming_window()
        exact = spectral.exact_power(windows, window, spectral.SHORT_FFT)
        magnitude = np.sqrt(exact).astype(np.float32)
        bands = spectral.mel_bands(magnitude * magnitude)
        rasta = spectral.rasta_bands(bands, self._rasta)
        lengths = [
            spectral.auditory_length(bands),
            (rasta.astype(np.float64).sum(axis=-1) / spectral.NUM_BANDS).astype(np.float32),
            spectral.root_mean_square(windows),
        ]
        shape = spectral.spectral_shape(magnitude, self._previous, exact, windows * window)
        if len(magnitude):
            self._previous = magnitude[-1]
        return np.concatenate([np.stack(lengths, axis=-1), rasta, shape, spectral.mfcc(bands)], axis=-1)


class PitchGroup:
    """The six columns of pitch and voice quality, before the average.

    Args:
        max_pitch_lag: see `lld_reference_pitch.PitchTracker`.
    """

    def __init__(self, max_pitch_lag: int) -> None:
        self._tracker = pitch.PitchTracker(max_pitch_lag)
        self._quality = VoiceQuality()
        self.reset()

    def reset(self) -> None:
        """Starts a new audio."""
        self._tracker.reset()
        self._quality.reset()
        self._silent: deque[bool] = deque()
        self._decided = 0

    @property
    def first_needed(self) -> int:
        """Index of the oldest sample that a later frame will look at."""
        return self._quality.first_needed

    def push(self, windows: np.ndarray, samples: np.ndarray, first: int) -> np.ndarray:
        """Takes frames and gives the columns of those decided now.

        Args:
            windows: (T, 960) float32, consecutive frames.
            samples: (n,) float32, the audio from `first` on.
            first: index of samples[0], at most `first_needed`.

        Returns:
            (D, 6) float32.
        """
        window = pitch.gaussian_window()
        self._silent += (spectral.root_mean_square(windows * window) <= np.float32(pitch.GATE_RMS)).tolist()
        found = pitch.pitch_candidates(spectral.magnitudes(windows, window, pitch.LONG_FFT))
        decided = [pair for candidates in found for pair in self._tracker.step(candidates)]
        return self._rows(decided, samples, first)

    def finish(self, samples: np.ndarray, first: int) -> np.ndarray:
        """Returns the columns of the frames still open, decided from the best path, (D, 6) float32."""
        return self._rows(self._tracker.finish(), samples, first)

    def _rows(self, decided: list[tuple[float, float]], samples: np.ndarray, first: int) -> np.ndarray:
        rows = np.zeros((len(decided), 6), np.float32)
        for row, (f0_hz, voicing) in zip(rows, decided, strict=True):
            if not self._silent.popleft():
                row[:2] = f0_hz, voicing
            row[2:] = self._quality.step(self._decided, float(row[0]), samples, first)
            self._decided += 1
        return rows

"""Pitch and voicing from the 60 ms window, in NumPy: octave spectrum, subharmonic summation, candidates, Viterbi.

The chain for one frame: magnitudes of 960 Gaussian-windowed samples -> keep what is near a peak -> spline onto an axis
of equal steps in octaves -> add the spectrum to itself, shifted by the harmonics -> six highest peaks -> the smoothest
path through them.
"""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache

import numpy as np

from edgeaff.features.lld_timing import OFFLINE_LAG

LONG_WINDOW = 960
LONG_FFT = 1_024
NUM_BINS = LONG_FFT // 2 + 1
NUM_CANDIDATES = 6
LOWEST_HZ = 52.0
HIGHEST_HZ = 620.0
VOICED_FROM = 0.7
GATE_RMS = 0.001

BIN_HZ = 1.0 / float(np.float32(0.064))
LOWEST_OCTAVE = math.log2(25.0)
HIGHEST_OCTAVE = math.log2(512 * BIN_HZ)
OCTAVE_STEP = (HIGHEST_OCTAVE - LOWEST_OCTAVE) / (NUM_BINS - 1)
POINTS_PER_OCTAVE = NUM_BINS / (HIGHEST_OCTAVE - LOWEST_OCTAVE)


@lru_cache(maxsize=1)
def gaussian_window() -> np.ndarray:
    """Returns the (960,) float32 window exp(-0.5 ((k - 479.5) / (0.4 * 479.5))^2)."""
    middle = (LONG_WINDOW - 1) / 2
    return np.exp(-0.5 * ((np.arange(LONG_WINDOW) - middle) / (0.4 * middle)) ** 2).astype(np.float32)


def zero_crossings(frames: np.ndarray) -> np.ndarray:
    """Returns the share of zero crossings, (T,) float32. frames: (T, 960) float32, not windowed.

    A crossing lies at i (1 to 958) where x[i-1] x[i] < 0, or where x[i] = 0 and x[i-1] x[i+1] <= 0.
    """
    sign = np.sign(frames)
    before, here, after = sign[:, :-2], sign[:, 1:-1], sign[:, 2:]
    crossing = (before * here < 0) | ((here == 0) & (before * after <= 0))
    return (crossing.sum(axis=-1) / frames.shape[-1]).astype(np.float32)


# --- from magnitudes to the octave spectrum -----------------------------------------------------------------


def keep_peaks(magnitude: np.ndarray) -> np.ndarray:
    """Returns the spectrum with what lies between two peaks, more than 2 bins from both, set to 0.

    Before the first and after the last peak all stays. With a single peak only bins 0 to 2 stay (so in the peer).

    Args:
        magnitude: (T, 513) float64.

    Returns:
        (T, 513) float64.
    """
    peak = np.empty(magnitude.shape, bool)
    peak[:, 0] = magnitude[:, 0] > magnitude[:, 1]
    peak[:, 1:-1] = (magnitude[:, 1:-1] > magnitude[:, :-2]) & (magnitude[:, 1:-1] >= magnitude[:, 2:])
    peak[:, -1] = magnitude[:, -1] > magnitude[:, -2]
    near = peak.copy()
    for step in (1, 2):
        near[:, step:] |= peak[:, :-step]
        near[:, :-step] |= peak[:, step:]
    index = np.arange(magnitude.shape[1])
    count = peak.sum(axis=1)[:, None]
    first = np.argmax(peak, axis=1)[:, None]
    last = index[-1] - np.argmax(peak[:, ::-1], axis=1)[:, None]
    kept = np.where(count == 1, index < 3, near | (index < first) | (index > last) | (count == 0))
    return np.where(kept, magnitude, 0.0)


def smooth_bins(magnitude: np.ndarray) -> np.ndarray:
    """Returns (a[i-1] + 2 a[i] + a[i+1]) / 4, with a[-1] = 0; the last bin stays. magnitude: (T, 513) float64."""
    smooth = magnitude.copy()
    smooth[:, :-1] = (2 * magnitude[:, :-1] + magnitude[:, 1:]) / 4
    smooth[:, 1:-1] += magnitude[:, :-2] / 4
    return smooth


@lru_cache(maxsize=1)
def spline_matrix() -> np.ndarray:
    """Returns the (513, 513) float64 matrix that interpolates a spectrum onto the octave axis.

    A natural cubic spline is linear in its values a: its second derivatives m solve the tridiagonal system
    T m = R a, and each new point is a mix of the two a and the two m beside it.
    """
    x = np.log2(np.maximum(np.arange(NUM_BINS), 0.5) * BIN_HZ)  # bin 0 is put one octave below bin 1
    h = np.diff(x)
    system = np.eye(NUM_BINS)
    right = np.zeros((NUM_BINS, NUM_BINS))
    for i in range(1, NUM_BINS - 1):
        system[i, i - 1 : i + 2] = h[i - 1] / 6, (h[i - 1] + h[i]) / 3, h[i] / 6
        right[i, i - 1 : i + 2] = 1 / h[i - 1], -1 / h[i - 1] - 1 / h[i], 1 / h[i]
    second = np.linalg.solve(system, right)
    new_x = LOWEST_OCTAVE + OCTAVE_STEP * np.arange(NUM_BINS)
    left = np.clip(np.searchsorted(x, new_x, side="right") - 1, 0, NUM_BINS - 2)
    width = h[left]
    a = (x[left + 1] - new_x) / width
    b = 1 - a
    matrix = ((a**3 - a) * width**2 / 6)[:, None] * second[left]
    matrix += ((b**3 - b) * width**2 / 6)[:, None] * second[left + 1]
    rows = np.arange(NUM_BINS)
    matrix[rows, left] += a
    matrix[rows, left + 1] += b
    return matrix


@lru_cache(maxsize=1)
def octave_weights() -> np.ndarray:
    """Returns the (513,) float64 weight that fades out what lies below about 65 Hz."""
    shift = POINTS_PER_OCTAVE * math.log2(65 / 50) - 1
    return 0.5 + np.arctan(3 * (np.arange(NUM_BINS) + 1 - shift) / POINTS_PER_OCTAVE) / np.pi


def octave_spectrum(magnitude: np.ndarray) -> np.ndarray:
    """Returns the weighted spectrum on the octave axis, (T, 513) float32. magnitude: (T, 513) float32.

    One matrix product per frame, always of the same shape: a product over the batch could round otherwise for each
    batch size.
    """
    matrix = spline_matrix()
    smooth = smooth_bins(keep_peaks(magnitude.astype(np.float64)))
    octaves = np.empty(smooth.shape)
    for row, frame in enumerate(smooth):
        octaves[row] = matrix @ frame
    return (np.maximum(octaves, 0.0) * octave_weights()).astype(np.float32)


# --- subharmonic summation and candidates -------------------------------------------------------------------


def subharmonic_sum(octaves: np.ndarray) -> np.ndarray:
    """Returns the octave spectrum plus its 14 shifted, fading copies, (T, 513) float32. octaves: (T, 513) float32."""
    total = octaves.copy()
    weight = np.float32(1.0)
    for harmonic in range(2, 16):
        weight = np.float32(weight * np.float32(0.85))
        shift = int(np.floor(np.float32(POINTS_PER_OCTAVE) * math.log2(harmonic)))
        total[:, :-shift] += weight * octaves[:, shift:]
    return np.maximum(total / np.float32(15), np.float32(0.0))


def frame_candidates(sums: np.ndarray) -> np.ndarray:
    """Returns the pitch candidates of one frame.

    Args:
        sums: (513,) float32, the subharmonic sum.

    Returns:
        (3, 6) float32: frequency in Hz, voicing and score, highest score first, unused places 0.
    """
    found = np.zeros((3, NUM_CANDIDATES), np.float32)
    peaks = np.flatnonzero((sums[1:-1] > sums[:-2]) & (sums[1:-1] > sums[2:])) + 1
    peaks = peaks[np.argsort(-sums[peaks], kind="stable")][:NUM_CANDIDATES]
    values = sums.astype(np.float64)
    mean = values.sum() / len(values)
    count = 0
    for j in peaks:
        before, here, after = values[j - 1], values[j], values[j + 1]
        curve = before - 2 * here + after
        offset = 0.5 * (before - after) / curve
        score = here - 0.25 * (before - after) * offset
        frequency = 2.0 ** (LOWEST_OCTAVE + OCTAVE_STEP * (j + offset))
        if LOWEST_HZ <= frequency <= HIGHEST_HZ:
            found[:, count] = frequency, 1 - mean / score if score > mean else 0.0, score
            count += 1
    best = int(np.argmax(found[2]))
    if best:
        found[:, [0, best]] = found[:, [best, 0]]
    return found


def pitch_candidates(magnitude: np.ndarray) -> np.ndarray:
    """Returns each frame's candidates, (T, 3, 6) float32: frequency, voicing, score. magnitude: (T, 513) float32."""
    sums = subharmonic_sum(octave_spectrum(magnitude))
    return np.array([frame_candidates(row) for row in sums], np.float32).reshape(len(sums), 3, NUM_CANDIDATES)


# --- the path through the candidates ------------------------------------------------------------------------


def frequency_cost(frequency_hz: float) -> float:
    """Returns the local cost of a candidate's frequency: 0 from 100 to 350 Hz, rising outside."""
    if frequency_hz <= 0:
        return 2.0
    if frequency_hz < 100:
        return 1 - frequency_hz / 100
    if frequency_hz <= 350:
        return 0.0
    return (frequency_hz - 350) / 250 if frequency_hz <= 600 else 1.2


def local_costs(candidates: np.ndarray) -> list[float]:
    """Returns the cost of being in each of the 7 states (6 candidates, then unvoiced). candidates: (3, 6) float32."""
    frequencies, voicings = candidates[0].tolist(), candidates[1].tolist()
    costs = [
        2 * (-math.log(min(max(voicing, 0.01), 1.0)) + (4 if voicing < VOICED_FROM else 0)) + frequency_cost(frequency)
        for frequency, voicing in zip(frequencies, voicings, strict=True)
    ]
    return [*costs, 8.0 if max(voicings) >= VOICED_FROM else 0.0]


class PitchTracker:
    """Viterbi search over the candidates, with a bounded lag.

    State 6 is "unvoiced". A frame is decided as soon as all 7 best paths agree on it. `max_pitch_lag` = L < 29:
    agreement first, then every frame older than L is forced from the currently best path, so frame t - L is
    decided when frame t is in. L = 29 keeps the order of openSMILE: with more than 30 frames pending, force one instead
    of looking for agreement.

    The transition cost between two voiced states compares their interval r with that of the *last evaluated pair*
    (`_last_interval`), in the order of the loops, across frames. That is a peculiarity of the peer, kept for parity.

    Args:
        max_pitch_lag: L, 0 to 29.
    """

    def __init__(self, max_pitch_lag: int) -> None:
        self._lag = max_pitch_lag
        self.reset()

    def reset(self) -> None:
        """Forgets all frames."""
        self._costs: list[float] = []
        self._paths: list[list[int]] = []
        self._pending: deque[np.ndarray] = deque()
        self._last_frequencies: list[float] = []
        self._last_interval = 1.0

    def step(self, candidates: np.ndarray) -> list[tuple[float, float]]:
        """Takes one frame.

        Args:
            candidates: (3, 6) float32.

        Returns:
            (F0 in Hz, voicing) of each frame that is decided now, oldest first.
        """
        local = local_costs(candidates)
        if not self._costs:
            self._costs = local
            self._paths = [[state] for state in range(7)]
        else:
            self._advance(candidates, local)
        self._last_frequencies = candidates[0].tolist()
        self._pending.append(candidates)
        return self._decide()

    def finish(self) -> list[tuple[float, float]]:
        """Returns the frames still open, from the best path."""
        return [self._emit_from_best() for _ in range(len(self._pending))]

    def _advance(self, candidates: np.ndarray, local: list[float]) -> None:
        frequencies = candidates[0].tolist()
        costs, paths = [], []
        for state in range(7):
            totals = [self._costs[before] + self._transition(before, state, frequencies) for before in range(7)]
            best = totals.index(min(totals))
            costs.append(totals[best] + local[state])
            paths.append([*self._paths[best], state])
        self._costs, self._paths = costs, paths

    def _transition(self, before: int, state: int, frequencies: list[float]) -> float:
        if before == 6 or state == 6:
            if before == state:
                return 1.0
            self._last_interval = 0.0
            return 10.0
        old, new = self._last_frequencies[before], frequencies[state]
        if old <= 0 or new <= 0:
            return 10 * 999.0 + 10 * abs(999.0 - self._last_interval)
        interval = math.log(new / old)
        cost = 10 * abs(interval) + 10 * abs(interval - self._last_interval)
        self._last_interval = interval
        return cost

    def _decide(self) -> list[tuple[float, float]]:
        decided = []
        if self._lag == OFFLINE_LAG and len(self._pending) > OFFLINE_LAG + 1:
            return [self._emit_from_best()]
        while self._pending and all(path[0] == self._paths[0][0] for path in self._paths):
            decided.append(self._emit_from_best())
        while self._lag < OFFLINE_LAG and len(self._pending) > self._lag:
            decided.append(self._emit_from_best())
        return decided

    def _emit_from_best(self) -> tuple[float, float]:
        state = self._paths[self._costs.index(min(self._costs))][0]
        candidates = self._pending.popleft()
        for path in self._paths:
            del path[0]
        if state == 6:
            return 0.0, float(candidates[1, 0])
        return float(candidates[0, state]), float(candidates[1, state])

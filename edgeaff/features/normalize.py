"""Normalization of the 65 LLDs before the model: fixed statistics, or running ones that follow voice and microphone.

Both take one row at a time, in order, and keep their state in float64, so chunking changes nothing. Masked
rows are not handed in at all; silent ones are, but do not enter the running statistics.

Five columns carry codes where there is no voice (F0, jitter and shimmer 0, logHNR -100). `Choice:` the adaptive
normalizer takes the statistics of those columns over voiced rows alone and maps unvoiced rows to a constant: -2 for F0
and logHNR (the side on which the code lies), 0 for jitter and shimmer. A row where the three-row average mixed the code
into logHNR (below -20 dB) counts as unvoiced in that column. The fixed normalizer is the plain one of the paper
(section 4.2.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.lld_names import NAMES
from edgeaff.ops import native
from edgeaff.spec import LLD_SIZE, PreprocessSpec

F0_COLUMN = 0
LOG_HNR_COLUMN = 5
RMS_COLUMN = 8
CODED_COLUMNS = (0, 2, 3, 4, 5)
UNVOICED_VALUES = (-2.0, 0.0, 0.0, 0.0, -2.0)
MIXED_BELOW_DB = -20.0
LEAST_STD_SHARE = 0.1
LARGEST_VALUE = 8.0
LEAST_STD = 1e-6


class LldStatistics(NamedTuple):
    """Mean and standard deviation of each column, (65,) float64 each."""

    mean: np.ndarray
    std: np.ndarray

    def to_dict(self) -> dict[str, list[float]]:
        """Returns the form in a bundle's manifest: lld_mean and lld_std, 65 numbers each."""
        return {"lld_mean": self.mean.tolist(), "lld_std": self.std.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[float]]) -> LldStatistics:
        """Returns the statistics from the form in a bundle's manifest.

        Raises:
            ArgumentError: lld_mean or lld_std is missing.
        """
        if not {"lld_mean", "lld_std"} <= set(values):
            raise ArgumentError(
                f"statistics must have lld_mean and lld_std, got {', '.join(sorted(values)) or 'nothing'}; "
                "write LldStatistics.to_dict() into the bundle."
            )
        return cls(np.asarray(values["lld_mean"], np.float64), np.asarray(values["lld_std"], np.float64))


def present_values(rows: np.ndarray) -> np.ndarray:
    """Returns where a column has a value and not the code for "no voice", (..., 65) bool. rows: (..., 65)."""
    present = np.ones(rows.shape, bool)
    voiced = rows[..., F0_COLUMN] > 0
    for column in CODED_COLUMNS:
        present[..., column] = voiced
    present[..., LOG_HNR_COLUMN] &= rows[..., LOG_HNR_COLUMN] > MIXED_BELOW_DB
    return present


def lld_statistics(rows: np.ndarray, spec: PreprocessSpec) -> LldStatistics:
    """Returns the statistics of a training set for the normalizer that the spec names.

    For "fixed" they are plain. For "adaptive" rows at or below the silence gate do not count, and coded columns count
    where there is voice.

    Args:
        rows: (T, 65), not normalized.
        spec: audio_normalization and silence_gate_rms are used.

    Returns:
        Mean, and standard deviation (at least 1e-6), per column.

    Raises:
        ArgumentError: rows has another shape, or a column has no value to count.
    """
    rows = np.asarray(rows, np.float64)
    if rows.ndim != 2 or rows.shape[1] != LLD_SIZE or not len(rows):
        raise ArgumentError(f"rows must have shape (T, {LLD_SIZE}), got {rows.shape}; pass the LLDs of some audio.")
    counted = np.ones(rows.shape, bool)
    if spec.audio_normalization == "adaptive":
        counted = present_values(rows) & (rows[:, RMS_COLUMN] > spec.silence_gate_rms)[:, None]
    count = counted.sum(axis=0)
    if not count.all():
        raise ArgumentError(
            f"rows must have values in every column, got none in {NAMES[int(np.argmin(count))]}; "
            "pass audio with voice above the silence gate."
        )
    mean = np.where(counted, rows, 0.0).sum(axis=0) / count
    variance = np.square(np.where(counted, rows - mean, 0.0)).sum(axis=0) / count
    return LldStatistics(mean, np.maximum(np.sqrt(variance), LEAST_STD))


def _checked_statistics(mean: np.ndarray, std: np.ndarray) -> LldStatistics:
    mean, std = np.array(mean, np.float64), np.array(std, np.float64)
    for name, values in (("mean", mean), ("std", std)):
        if values.shape != (LLD_SIZE,) or not np.isfinite(values).all():
            raise ArgumentError(
                f"{name} must be {LLD_SIZE} finite numbers, got shape {values.shape}; use lld_statistics."
            )
    if not (std > 0).all():
        raise ArgumentError(f"std must be positive, got {std.min()} in {NAMES[int(np.argmin(std))]}; drop that column.")
    return LldStatistics(mean, std)


def _checked_row(row: np.ndarray) -> np.ndarray:
    row = np.asarray(row, np.float64)
    if row.shape != (LLD_SIZE,):
        raise ArgumentError(f"row must have shape ({LLD_SIZE},), got {row.shape}; pass one row of LLDs at a time.")
    if not np.isfinite(row).all():
        column = NAMES[int(np.argmin(np.isfinite(row)))]
        raise ArgumentError(f"row must be finite, got a NaN or infinite {column}; mask such rows.")
    return row


class FixedNormalizer:
    """(row - mean) / std with the statistics of the training set. Paper: section 4.2.2.

    Args:
        mean: (65,).
        std: (65,), positive.
    """

    def __init__(self, mean: np.ndarray, std: np.ndarray) -> None:
        self._statistics = _checked_statistics(mean, std)

    def reset(self) -> None:
        """Does nothing; there is no state."""

    def update_and_normalize(self, row: np.ndarray) -> np.ndarray:
        """Returns the normalized row, (65,) float32. row: (65,), not normalized."""
        mean, std = self._statistics
        return ((_checked_row(row) - mean) / std).astype(np.float32)


class AdaptiveNormalizer:
    """(row - mean) / std with running statistics that start from fixed ones; causal.

    Each column keeps its own weight W (seconds counted), mean m and variance v. A row x that counts moves them,
    with the duration of a step dt:

        W' = W + dt,  g = dt / W' while W' <= prior_seconds + learning_seconds, then dt ln 2 / half_life,
        m' = m + g (x - m),  v' = (1 - g) (v + g (x - m)^2)

    At the start W = prior_seconds and m, v are the fixed statistics. So a voice and a microphone are learned within the first
    seconds of speech, and a mood that lasts for minutes is not taken for the speaker. The row is normalized with the statistics
    that include it. `Choice:` v is at least (0.1 std)^2, so that a held tone does
    not blow up small changes, and results are clipped to -8..8.

    Args:
        mean: (65,), of the training set; of voiced rows in the coded columns (`lld_statistics`).
        std: (65,), positive.
        half_life_seconds: memory after the learning, counted in audio that counts.
        prior_seconds: weight of the fixed statistics at the start.
        learning_seconds: how long the statistics are the mean of everything so far, counted likewise.
        silence_gate_rms: rows whose pcm_RMSenergy is at or below this do not count.
        step_seconds: time between two rows.

    Raises:
        ArgumentError: a time is not positive.
    """

    def __init__(
        self,
        mean: np.ndarray,
        std: np.ndarray,
        half_life_seconds: float = 600.0,
        prior_seconds: float = 3.0,
        learning_seconds: float = 10.0,
        silence_gate_rms: float = 0.001,
        *,
        step_seconds: float = 1 / 30,
    ) -> None:
        self._fixed = _checked_statistics(mean, std)
        times = {
            "half_life_seconds": half_life_seconds,
            "prior_seconds": prior_seconds,
            "learning_seconds": learning_seconds,
            "step_seconds": step_seconds,
        }
        for name, value in times.items():
            if not value > 0 or not np.isfinite(value):
                raise ArgumentError(f"{name} must be positive, got {value!r}; see PreprocessSpec for usual values.")
        self._times = (half_life_seconds, prior_seconds, learning_seconds)
        self._step = float(step_seconds)
        self._prior = float(prior_seconds)
        self._slow_gain = float(step_seconds * np.log(2.0) / half_life_seconds)
        self._learned = float(prior_seconds + learning_seconds)
        self._gate = float(silence_gate_rms)
        self._least_variance = (LEAST_STD_SHARE * self._fixed.std) ** 2
        self._unvoiced = np.zeros(LLD_SIZE)
        self._unvoiced[list(CODED_COLUMNS)] = UNVOICED_VALUES
        self._all_present = np.ones(LLD_SIZE, bool)
        self.reset()

    def reset(self) -> None:
        """Goes back to the fixed statistics."""
        self._weight = np.full(LLD_SIZE, self._prior)
        self._mean = self._fixed.mean.copy()
        self._variance = self._fixed.std**2

    @property
    def statistics(self) -> LldStatistics:
        """The statistics that the next silent row would be normalized with."""
        return LldStatistics(self._mean.copy(), np.sqrt(np.maximum(self._variance, self._least_variance)))

    def update_and_normalize(self, row: np.ndarray) -> np.ndarray:
        """Takes one row and normalizes it.

        Args:
            row: (65,), not normalized, one step after the row before.

        Returns:
            (65,) float32 in -8..8; coded columns of unvoiced rows hold their constant.
        """
        row = _checked_row(row)
        voiced = row[F0_COLUMN] > 0 and row[LOG_HNR_COLUMN] > MIXED_BELOW_DB
        present = self._all_present if voiced else present_values(row)
        if row[RMS_COLUMN] > self._gate:
            self._update(row, present)
        scaled = (row - self._mean) / np.sqrt(np.maximum(self._variance, self._least_variance))
        np.minimum(np.maximum(scaled, -LARGEST_VALUE, out=scaled), LARGEST_VALUE, out=scaled)
        return (scaled if voiced else np.where(present, scaled, self._unvoiced)).astype(np.float32)

    def _update(self, row: np.ndarray, present: np.ndarray) -> None:
        weight = self._weight + self._step
        gain = np.where(weight <= self._learned, self._step / weight, self._slow_gain)
        if present is not self._all_present:
            gain = np.where(present, gain, 0.0)
            weight = np.where(present, weight, self._weight)
        change = row - self._mean
        self._weight = weight
        self._mean = self._mean + gain * change
        self._variance = (1 - gain) * (self._variance + gain * change * change)


def make_normalizer(
    spec: PreprocessSpec, statistics: LldStatistics | Mapping[str, Sequence[float]]
) -> FixedNormalizer | AdaptiveNormalizer:
    """Returns the normalizer that the spec names, for rows at the model rate.

    Args:
        spec: audio_normalization, the adaptive fields and model_rate_hz are used.
        statistics: of the training set, or their form in a bundle's manifest (`LldStatistics.to_dict`).
    """
    if not isinstance(statistics, LldStatistics):
        statistics = LldStatistics.from_dict(statistics)
    if spec.audio_normalization == "fixed":
        return FixedNormalizer(*statistics)
    return AdaptiveNormalizer(
        *statistics,
        spec.adaptive_half_life_seconds,
        spec.adaptive_prior_seconds,
        spec.adaptive_learning_seconds,
        spec.silence_gate_rms,
        step_seconds=1 / spec.model_rate_hz,
    )


def native_normalizer(normalizer: Any) -> Any:
    """Returns the compiled form of a normalizer, without a past; None for one of another kind."""
    if type(normalizer) is FixedNormalizer:
        return native().LldNormalizer(*normalizer._statistics, False, 1.0, 1.0, 1.0, 0.0, 1.0)
    if type(normalizer) is AdaptiveNormalizer:
        return native().LldNormalizer(*normalizer._fixed, True, *normalizer._times, normalizer._gate, normalizer._step)
    return None

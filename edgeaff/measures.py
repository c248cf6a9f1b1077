"""Measures of agreement between predicted and annotated affect, in NumPy and float64.

The concordance correlation coefficient (CCC) is the measure of the paper (section 5); training, the certificate of an
exported engine and the benchmarks all call the functions of this module, so that one word means one formula.

Convention: arrays are (N,) or (..., T) of any float dtype; a mask of the same shape states which frames are annotated;
frames that are not annotated never enter a measure; differing shapes, or a valid frame that is not finite, raise
`ArgumentError`. Concatenation over videos is the default (the measure of ABAW);
`per_video` gives the mean over videos beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from edgeaff.errors import ArgumentError

Measure = Callable[[np.ndarray, np.ndarray], float]
RISK_SHARES = tuple(tenths / 10 for tenths in range(1, 11))


@dataclass(frozen=True, slots=True)
class FisherTest:
    """Result of a Fisher z test between two correlations. z: statistic; p_value: two-sided; significant: p < alpha."""

    z: float
    p_value: float
    significant: bool


@dataclass(frozen=True, slots=True)
class Interval:
    """A measure with its bootstrap interval. estimate: on all videos; low, high: of the resamples."""

    estimate: float
    low: float
    high: float


def annotated(values: ArrayLike) -> np.ndarray:
    """Returns which annotations are there: both corpora and readers mark a missing one with -5 (any |x| > 1) or NaN.

    Args:
        values: (..., C) annotations, the last axis the dimensions of one frame, or (T,) for one dimension.

    Returns:
        bool, the shape of values without its last axis for two or more axes, else (T,): True where all are in [-1, 1].
    """
    array = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        inside = np.abs(array) <= 1.0
    return np.asarray(inside if array.ndim < 2 else inside.all(axis=-1))


def _valid_pairs(prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns both as flat float64 arrays of the frames that the mask keeps.

    Raises:
        ArgumentError: shapes differ, or a valid frame is not finite.
    """
    x = np.asarray(prediction, dtype=np.float64)
    y = np.asarray(target, dtype=np.float64)
    if x.shape != y.shape:
        raise ArgumentError(
            f"prediction must have the shape of target {y.shape}, got {x.shape}; align them before measuring."
        )
    if mask is None:
        x, y = x.ravel(), y.ravel()
    else:
        keep = np.asarray(mask, dtype=bool)
        if keep.shape != y.shape:
            raise ArgumentError(f"mask must have the shape of target {y.shape}, got {keep.shape}; pass a flag a frame.")
        x, y = x[keep], y[keep]
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ArgumentError("prediction and target must be finite on valid frames, got NaN or inf; mask those frames.")
    return x, y


def ccc(prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Returns the concordance correlation coefficient over all valid frames together.

    ccc = 2 s_xy / (s_x^2 + s_y^2 + (m_x - m_y)^2) with population (co)variances. Paper: section 4.4.

    Args:
        prediction: float array, any shape.
        target: same shape.
        mask: same shape, bool, True = annotated; None = all.

    Returns:
        Value in [-1, 1]. Choice: 0 when either side is constant or nothing is valid; nothing agrees with a constant.
    """
    x, y = _valid_pairs(prediction, target, mask)
    if x.size == 0 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    dx, dy = x - x.mean(), y - y.mean()
    denominator = np.mean(dx * dx) + np.mean(dy * dy) + (x.mean() - y.mean()) ** 2
    return float(2.0 * np.mean(dx * dy) / denominator)


def pearson(prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Returns Pearson's correlation over all valid frames together; 0 when either side is constant.

    Args:
        prediction: float array, any shape.
        target: same shape.
        mask: same shape, bool, True = annotated; None = all.

    Returns:
        Value in [-1, 1].
    """
    x, y = _valid_pairs(prediction, target, mask)
    if x.size == 0 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    dx, dy = x - x.mean(), y - y.mean()
    return float(np.clip(np.sum(dx * dy) / math.sqrt(np.sum(dx * dx) * np.sum(dy * dy)), -1.0, 1.0))


def rmse(prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Returns the root of the mean squared error over all valid frames; NaN when none is valid.

    Args:
        prediction: float array, any shape.
        target: same shape.
        mask: same shape, bool, True = annotated; None = all.

    Returns:
        Value >= 0.
    """
    x, y = _valid_pairs(prediction, target, mask)
    return float(np.sqrt(np.mean((x - y) ** 2))) if x.size else math.nan


def sign_agreement(prediction: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Returns the share of valid frames where both have the same sign (0 counts as positive); NaN when none is valid.

    Args:
        prediction: float array, any shape.
        target: same shape.
        mask: same shape, bool, True = annotated; None = all.

    Returns:
        Value in [0, 1].
    """
    x, y = _valid_pairs(prediction, target, mask)
    return float(np.mean((x >= 0) == (y >= 0))) if x.size else math.nan


def _paired_videos(
    predictions: Sequence[ArrayLike], targets: Sequence[ArrayLike]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the (prediction, target) arrays of each video, annotated frames only, empty videos left out.

    Raises:
        ArgumentError: the numbers of videos differ.
    """
    if len(predictions) != len(targets):
        raise ArgumentError(
            f"predictions must hold as many videos as targets ({len(targets)}), got {len(predictions)}; pair them."
        )
    pairs = [_valid_pairs(x, y, annotated(y)) for x, y in zip(predictions, targets, strict=True)]
    return [(x, y) for x, y in pairs if y.size]


def concatenated(predictions: Sequence[ArrayLike], targets: Sequence[ArrayLike], measure: Measure = ccc) -> float:
    """Returns a measure over the annotated frames of all videos joined: the figure that ABAW and the paper report.

    Args:
        predictions: one (T,) float array a video.
        targets: one (T,) float array a video; |x| > 1 or NaN = not annotated.
        measure: function of two flat arrays.

    Returns:
        The measure; of empty arrays when no frame is annotated.
    """
    pairs = _paired_videos(predictions, targets)
    x = np.concatenate([pair[0] for pair in pairs]) if pairs else np.empty(0)
    y = np.concatenate([pair[1] for pair in pairs]) if pairs else np.empty(0)
    return measure(x, y)


def per_video(predictions: Sequence[ArrayLike], targets: Sequence[ArrayLike], measure: Measure = ccc) -> float:
    """Returns the mean of a measure over videos, each with its annotated frames only; NaN when no frame is annotated.

    Args:
        predictions: one (T,) float array a video.
        targets: one (T,) float array a video; |x| > 1 or NaN = not annotated.
        measure: function of two flat arrays.

    Returns:
        The mean.
    """
    pairs = _paired_videos(predictions, targets)
    return float(np.mean([measure(x, y) for x, y in pairs])) if pairs else math.nan


def fisher_z_test(first: float, second: float, *, count: int, alpha: float = 0.01) -> FisherTest:
    """Returns whether two correlations differ: z = (atanh r1 - atanh r2) / sqrt(2 / (n - 3)).

    With the number of *frames* as count this gives the daggers of the paper's Table 1 (section 5). Frames of one video
    are not independent, so the test is far too sure of itself: read `bootstrap` beside it.

    Args:
        first: correlation in (-1, 1).
        second: correlation in (-1, 1).
        count: pairs behind each of them, at least 4.
        alpha: level of the two-sided test. Paper: 0.01.

    Returns:
        z is positive when the first is larger.

    Raises:
        ArgumentError: a correlation is outside (-1, 1) or a count is below 4.
    """
    for name, value in (("first", first), ("second", second)):
        if not -1.0 < value < 1.0:
            raise ArgumentError(f"{name} must be a correlation in (-1, 1), got {value}; z is infinite at the ends.")
    if count < 4:
        raise ArgumentError(f"count must be at least 4, got {count}; the variance is 1 / (count - 3).")
    z = (math.atanh(first) - math.atanh(second)) / math.sqrt(1.0 / (count - 3) + 1.0 / (count - 3))
    p_value = math.erfc(abs(z) / math.sqrt(2.0))
    return FisherTest(z=z, p_value=p_value, significant=p_value < alpha)


def bootstrap(
    predictions: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
    *,
    measure: Measure = ccc,
    repeats: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Returns the concatenated measure with its percentile interval from resampling whole videos with replacement.

    Args:
        predictions: one (T,) float array a video.
        targets: one (T,) float array a video; |x| > 1 or NaN = not annotated.
        measure: function of two flat arrays.
        repeats: number of resamples.
        confidence: share of the resamples inside the interval.
        seed: of the resampling.

    Returns:
        Estimate and interval.

    Raises:
        ArgumentError: no video has an annotated frame, or repeats or confidence is out of range.
    """
    if repeats < 1 or not 0.0 < confidence < 1.0:
        raise ArgumentError(
            f"repeats must be at least 1 and confidence in (0, 1), got {repeats} and {confidence}; 1000 and 0.95 are usual."
        )
    pairs = _paired_videos(predictions, targets)
    if not pairs:
        raise ArgumentError("targets must hold at least one annotated frame, got none; check how labels were read.")
    draws = np.random.default_rng(seed).integers(0, len(pairs), size=(repeats, len(pairs)))
    values = []
    for draw in draws:
        x, y = (np.concatenate([pairs[video][side] for video in draw]) for side in (0, 1))
        values.append(measure(x, y))
    tail = 50.0 * (1.0 - confidence)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    estimate = concatenated([x for x, _ in pairs], [y for _, y in pairs], measure)
    return Interval(estimate=estimate, low=float(low), high=float(high))


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """What is left of the error where only the most certain values are answered.

    Attributes:
        answered: share of the values that are.
        most_std: the largest standard deviation among them.
        ccc: agreement of the answered values.
        rmse: of the answered values.
    """

    answered: float
    most_std: float
    ccc: float
    rmse: float


def risk_coverage(
    prediction: ArrayLike,
    target: ArrayLike,
    std: ArrayLike,
    *,
    shares: Sequence[float] = RISK_SHARES,
    mask: ArrayLike | None = None,
) -> list[RiskPoint]:
    """Returns agreement and error against the share answered, values in the order of their standard deviations.

    With standard deviations that are true, the error falls with the share. Values with equal ones keep their order.

    Args:
        prediction: float array, any shape.
        target: same shape.
        std: same shape, the standard deviation stated for each value.
        shares: in (0, 1], of the valid values.
        mask: same shape, bool, True = annotated; None = all.

    Returns:
        A point for each share, in their order; at least one value is answered.

    Raises:
        ArgumentError: shapes differ, nothing is valid, a valid standard deviation is not finite or negative, or a share is out of
            range.
    """
    x, y = _valid_pairs(prediction, target, mask)
    s, _ = _valid_pairs(std, target, mask)
    if not x.size or (s < 0).any():
        raise ArgumentError(
            f"std must be 0 or more for at least one valid value, got {s.size} of them; pass what the model states."
        )
    if not all(0.0 < share <= 1.0 for share in shares):
        raise ArgumentError(f"shares must be in (0, 1], got {tuple(shares)}; 0.1 to 1 are usual.")
    order = np.argsort(s, kind="stable")
    points = []
    for share in shares:
        kept = order[: max(1, round(share * x.size))]
        points.append(RiskPoint(kept.size / x.size, float(s[kept[-1]]), ccc(x[kept], y[kept]), rmse(x[kept], y[kept])))
    return points


@dataclass(frozen=True, slots=True)
class Lagged:
    """A measure at every lag.

    Attributes:
        value: the largest.
        lag_seconds: where it is; positive: the targets follow the predictions, as raters follow what they see.
        lags_seconds: (L,) rising, all that were tried.
        values: (L,) the measure at each.
    """

    value: float
    lag_seconds: float
    lags_seconds: np.ndarray
    values: np.ndarray


def lagged_ccc(
    predictions: Sequence[ArrayLike],
    targets: Sequence[ArrayLike],
    *,
    most_lag_seconds: float,
    rate_hz: float = 30.0,
    measure: Measure = ccc,
) -> Lagged:
    """Returns the concatenated measure with the targets read earlier or later by every lag up to a limit.

    Choice: every video loses its ends at a lag, nothing is wrapped. The largest of many is optimistic: state the one at 0 beside it.

    Args:
        predictions: one (T,) float array a video.
        targets: one (T,) float array a video; |x| > 1 or NaN = not annotated.
        most_lag_seconds: largest lag to either side.
        rate_hz: values per second of both.
        measure: function of two flat arrays.

    Returns:
        The measure by lag; on a tie the shortest lag is the best, of two as short the negative one.

    Raises:
        ArgumentError: the limit or the rate is not positive, or no video is longer than the limit.
    """
    most = _lag_steps(most_lag_seconds, rate_hz)
    if len(predictions) != len(targets):
        raise ArgumentError(
            f"predictions must hold as many videos as targets ({len(targets)}), got {len(predictions)}; pair them."
        )
    x, y = ([np.asarray(video, dtype=np.float64) for video in videos] for videos in (predictions, targets))
    if not any(len(video) > most for video in y):
        raise ArgumentError(f"targets must hold a video longer than {most_lag_seconds} s, got none; lower the lag.")
    lags = np.arange(-most, most + 1)
    values = np.empty(len(lags))
    for index, lag in enumerate(lags):
        ahead, behind = max(0, int(lag)), max(0, -int(lag))
        early = [video[behind : max(behind, len(video) - ahead)] for video in x]
        late = [video[ahead : max(ahead, len(video) - behind)] for video in y]
        values[index] = concatenated(early, late, measure)
    best = min(range(len(lags)), key=lambda index: (-values[index], abs(lags[index])))
    return Lagged(float(values[best]), float(lags[best] / rate_hz), lags / rate_hz, values)


@dataclass(frozen=True, slots=True)
class Synchrony:
    """How two subjects move together, and whether chance explains it.

    Attributes:
        value: largest correlation over the lags.
        lag_seconds: where it is; positive: the second follows the first.
        p_value: share of surrogates that reach the value, the value itself counted among them.
        surrogate_95: value that 95 % of the surrogates stay below.
        surrogates: how many there were.
    """

    value: float
    lag_seconds: float
    p_value: float
    surrogate_95: float
    surrogates: int


def synchrony(
    first: ArrayLike, second: ArrayLike, *, most_lag_seconds: float = 5.0, rate_hz: float = 30.0
) -> Synchrony:
    """Returns the largest Pearson correlation of two subjects over lags, tested against circular shifts of the second.

    A shift keeps everything that each has alone (level, spread, autocorrelation) and breaks what they share. Every shift at
    least three times the largest lag away is a surrogate, and each is searched over the same lags as the data, so the choice of
    the best lag is part of the test. Choice: the data themselves are correlated circularly too, which makes them one
    of the set under chance; the wrapped part is at most `most_lag_seconds` long.

    Args:
        first: (T,) values of one subject at the ticks of one clock; |x| > 1 or NaN = none.
        second: (T,) of the other.
        most_lag_seconds: largest lag to either side.
        rate_hz: values per second of both.

    Returns:
        The correlation, its lag and its p value.

    Raises:
        ArgumentError: shapes differ, or they are shorter than 16 times the largest lag.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    most = _lag_steps(most_lag_seconds, rate_hz)
    if x.ndim != 1 or x.shape != y.shape:
        raise ArgumentError(
            f"second must have the shape of first {x.shape}, got {y.shape}; cut them to the same ticks."
        )
    if len(x) < 16 * most:
        raise ArgumentError(
            f"first and second must have at least {16 * most} values for lags up to {most_lag_seconds} s, got {len(x)}; lower "
            "most_lag_seconds."
        )
    by_shift = _circular_correlations(x, y)
    window = np.arange(-most, most + 1)
    at_lags = by_shift[window]
    best = min(range(len(window)), key=lambda index: (-at_lags[index], abs(window[index])))
    largest = np.lib.stride_tricks.sliding_window_view(by_shift, len(window)).max(
        axis=1
    )  # at shift most, most + 1, ...
    surrogates = largest[2 * most : len(x) - 4 * most + 1]  # of shift 3 most to T - 3 most
    value = float(at_lags[best])
    return Synchrony(
        value=value,
        lag_seconds=float(window[best] / rate_hz),
        p_value=float((1 + np.sum(surrogates >= value - 1e-12)) / (1 + len(surrogates))),
        surrogate_95=float(np.quantile(surrogates, 0.95)),
        surrogates=len(surrogates),
    )


def _lag_steps(most_lag_seconds: float, rate_hz: float) -> int:
    """Returns the largest lag in values.

    Raises:
        ArgumentError: one of them is not positive, or the lag is shorter than a value.
    """
    if not (rate_hz > 0 and most_lag_seconds > 0 and math.isfinite(most_lag_seconds * rate_hz)):
        raise ArgumentError(
            f"most_lag_seconds and rate_hz must be positive, got {most_lag_seconds} and {rate_hz}; pass for example 5 and 30."
        )
    steps = int(most_lag_seconds * rate_hz + 1e-9)
    if steps < 1:
        raise ArgumentError(f"most_lag_seconds must be at least 1 / rate_hz, got {most_lag_seconds}; raise it.")
    return steps


def _circular_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns Pearson's correlation of x[t] and y[t + s, wrapped] over the t where both have a value, for every s: (T,).

    All sums of all shifts are products of spectra: O(T log T).
    """
    spectra, squares = [], []
    for values in (x, y):
        has = annotated(values)
        centered = np.where(has, values, 0.0)
        centered = np.where(has, centered - (centered.sum() / max(1, has.sum())), 0.0)
        spectra.append([np.fft.rfft(part) for part in (has.astype(np.float64), centered, centered**2)])
        squares.append(float(np.sum(centered**2)))

    def sums(of_x: int, of_y: int) -> np.ndarray:
        return np.fft.irfft(np.conj(spectra[0][of_x]) * spectra[1][of_y], len(x))

    count = np.maximum(np.round(sums(0, 0)), 1.0)
    mean_x, mean_y = sums(1, 0) / count, sums(0, 1) / count
    covariance = sums(1, 1) / count - mean_x * mean_y
    variances = (sums(2, 0) / count - mean_x**2) * (sums(0, 2) / count - mean_y**2)
    rounding = 1e-20 * (1.0 + squares[0]) * (1.0 + squares[1])
    found = covariance / np.sqrt(np.maximum(variances, rounding))
    return np.asarray(np.where(variances > rounding, np.clip(found, -1.0, 1.0), 0.0))

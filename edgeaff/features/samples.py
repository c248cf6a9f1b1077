"""Sound as it enters the features: which arrays are taken, and the one scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError

PCM_SCALE = np.float32(32767)
LOWEST_SAMPLE = np.float32(-32768) / PCM_SCALE


def check_samples(samples: Any) -> np.ndarray:
    """Returns sound as a contiguous int16 or float32 array; copies only where it must.

    Args:
        samples: (n,) int16 or float32 array or buffer, one channel (float64 is rounded to float32).

    Returns:
        (n,) int16 or float32, C-contiguous, finite.

    Raises:
        ArgumentError: another shape or dtype, or a NaN or infinite value; the message names its index.
    """
    array = np.asarray(samples)
    if array.ndim != 1 or array.dtype not in (np.int16, np.float32, np.float64):
        raise ArgumentError(
            f"samples must be a (n,) array of int16 or float32, got {array.shape} {array.dtype}; "
            "pass one channel, mixed down."
        )
    if array.dtype == np.int16:
        return np.ascontiguousarray(array)
    finite = np.isfinite(array)
    if not finite.all():
        index = int(np.argmin(finite))
        raise ArgumentError(
            f"samples must be finite, got {array[index]} at index {index}; replace such samples by 0 and count them."
        )
    if array.dtype == np.float64:
        array = np.clip(array, -2.0, 2.0)  # still out of range, to be saturated later; but no overflow to infinity
    return np.ascontiguousarray(array, dtype=np.float32)


def as_float_samples(samples: Any) -> np.ndarray:
    """Returns sound as float32: int16 s as s / 32767, floats saturated to that range.

    Choice: 32767 because the LLDs are defined so (docs/lld.md); -32768 is then a little below -1, for floats too.

    Args:
        samples: (n,) int16 or float32, as `check_samples` takes them.

    Returns:
        (n,) float32 in [-32768 / 32767, 1].
    """
    samples = check_samples(samples)
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / PCM_SCALE
    return np.clip(samples, LOWEST_SAMPLE, np.float32(1))

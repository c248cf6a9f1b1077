"""Sound as it enters the features: which arrays are taken, and the one scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.parsing.boundary import reason_of

FULL_SCALE = np.float32(32768)


def check_form(samples: Any) -> np.ndarray:
    """Returns sound as an array.

    Raises:
        ArgumentError: it is not (n,) int16, float32 or float64.
    """
    try:
        array = np.asarray(samples)
    except Exception as error:  # of whatever makes an array of the object
        raise ArgumentError(
            f"samples must be (n,) int16 or float32, got {type(samples).__name__} ({reason_of(error)}); pass a NumPy array."
        ) from error
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.ndim != 1 or array.dtype not in (np.int16, np.float32, np.float64):
        raise ArgumentError(
            f"samples must be (n,) int16 or float32, got {array.shape} {array.dtype}; mix to mono and convert."
        )
    return array


def check_samples(samples: Any) -> np.ndarray:
    """Returns sound as a contiguous int16 or float32 array; copies only where it must.

    Args:
        samples: (n,) int16 or float32 array or buffer, one channel (float64 is rounded to float32).

    Returns:
        (n,) int16 or float32, C-contiguous, finite.

    Raises:
        ArgumentError: another shape or dtype, or a NaN or infinite value; the message names its index.
    """
    array = check_form(samples)
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
    """Returns sound as float32 with full scale 1: int16 divided by 32768, floats saturated.

    Args:
        samples: (n,) int16 or float32, as `check_samples` takes them.

    Returns:
        (n,) float32 in [-1, 1].
    """
    samples = check_samples(samples)
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / FULL_SCALE
    return np.clip(samples, np.float32(-1), np.float32(1))

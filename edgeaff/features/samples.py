"""Audio input of the features: accepted arrays and their scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.parsing.boundary import reason_of

FULL_SCALE = np.float32(32768)
FAR_BEYOND_SCALE = 8.0  # 18 dB above full scale: no mixture of channels reaches it
FEW_SAMPLES = 64  # as few say nothing about the scale
_INT16 = np.dtype(np.int16)


def check_form(samples: Any) -> np.ndarray:
    """Returns audio as an aligned array of the machine's byte order.

    Raises:
        ArgumentError: it is not (n,) int16, float32 or float64, or its floats are plainly not on the scale of [-1, 1].
    """
    if type(samples) is np.ndarray and samples.dtype == _INT16 and samples.ndim == 1 and samples.flags.carray:
        return samples
    try:
        array = np.asarray(samples)
    except Exception as error:  # any error of the conversion to an array
        raise ArgumentError(
            f"samples must be (n,) int16 or float32, got {type(samples).__name__} ({reason_of(error)}); pass a NumPy array."
        ) from error
    if array.ndim != 1:
        raise ArgumentError(f"samples must be mono, (n,), got shape {array.shape}; mix the channels to one.")
    native = array.dtype.newbyteorder("=")
    if native not in (np.int16, np.float32, np.float64):
        raise ArgumentError(f"samples must be int16 or float32, got {array.dtype}; convert them.")
    array = np.require(array, native, "A")  # numbers at odd addresses are copied too
    if native != np.int16 and _is_int16_scale(array):
        raise ArgumentError(
            f"float samples must be in [-1, 1], got values up to {np.nanmax(np.abs(array)):g}; divide them by 32768, or pass int16."
        )
    return array


def _is_int16_scale(samples: np.ndarray) -> bool:
    """Returns whether most samples that are not 0 lie far beyond full scale; a glitch does not count."""
    with np.errstate(invalid="ignore"):
        beyond = np.count_nonzero(np.abs(samples) > FAR_BEYOND_SCALE)
    return bool(beyond >= FEW_SAMPLES and 2 * beyond > np.count_nonzero(samples))


def check_samples(samples: Any) -> np.ndarray:
    """Returns audio as a contiguous int16 or float32 array; copies only where it must.

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
    """Returns audio as float32 with full scale 1: int16 divided by 32768, floats saturated.

    Args:
        samples: (n,) int16 or float32, as `check_samples` takes them.

    Returns:
        (n,) float32 in [-1, 1].
    """
    samples = check_samples(samples)
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / FULL_SCALE
    return np.clip(samples, np.float32(-1), np.float32(1))

"""The one resampler of the house: native where it was built, else its NumPy twin; equal within float32 rounding."""

from __future__ import annotations

from typing import Any

from edgeaff.errors import BackendUnavailableError
from edgeaff.features import resample_reference
from edgeaff.ops import native


def Resampler(input_rate_hz: int, output_rate_hz: int = 16_000) -> Any:
    """Returns a streaming resampler; see `resample_reference.Resampler` for its methods and for the filter.

    Args:
        input_rate_hz: 8,000 to 96,000.
        output_rate_hz: 8,000 to 96,000.

    Returns:
        An object with push(samples) -> (m,) float32, finish() -> (m,) float32, reset() and latency_ns.
    """
    resample_reference.check_rate("input_rate_hz", input_rate_hz)
    resample_reference.check_rate("output_rate_hz", output_rate_hz)
    try:
        module = native()
    except BackendUnavailableError:
        return resample_reference.Resampler(input_rate_hz, output_rate_hz)
    if not hasattr(module, "Resampler"):
        return resample_reference.Resampler(input_rate_hz, output_rate_hz)
    return module.Resampler(int(input_rate_hz), int(output_rate_hz))

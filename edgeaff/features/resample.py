"""The resampler: native if it was built, else its NumPy twin; equal within float32 rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaff.errors import BackendUnavailableError, SessionStateError
from edgeaff.features.samples import check_samples
from edgeaff.ops import native
from edgeaff.spec import SAMPLE_RATE_HZ, check_rate

AFTER_FINISH = "Resampler must be open, got a call after finish(); call reset() first."


class Resampler:
    """Resamples one mono stream; any chunking gives the same samples, bit by bit.

    Output n is the signal at n / output_rate_hz seconds after the first input sample: the delay of the filter is
    compensated. Equal rates pass samples through (scaled, saturated). The filter: see `resample_reference`.

    Args:
        input_rate_hz: rate of the pushed samples, 8,000 to 768,000; another is an ArgumentError.
        output_rate_hz: rate of what comes out, same range.
    """

    def __init__(self, input_rate_hz: int, output_rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self.input_rate_hz = check_rate("input_rate_hz", input_rate_hz)
        self.output_rate_hz = check_rate("output_rate_hz", output_rate_hz)
        self._finished = False
        self._core: Any
        try:
            self._core = native().Resampler(self.input_rate_hz, self.output_rate_hz)
        except BackendUnavailableError:
            from edgeaff.features import resample_reference

            self._core = resample_reference.Resampler(self.input_rate_hz, self.output_rate_hz)

    @property
    def delay_ns(self) -> int:
        """Output at time u comes out once the input has reached u + delay_ns; at most 4 ms."""
        return int(self._core.delay_ns)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Takes audio and returns what became final.

        Args:
            samples: (n,) int16 (taken as s / 32768) or float32 (saturated), any length, one channel, at the input rate;
                another form or a NaN is an ArgumentError (`check_samples`).

        Returns:
            (m,) float32 at output_rate_hz, full scale 1 (band-limiting may overshoot it slightly).

        Raises:
            SessionStateError: after finish().
        """
        if self._finished:
            raise SessionStateError(AFTER_FINISH)
        return self._core.push(check_samples(samples))

    def finish(self) -> np.ndarray:
        """Returns the rest, the input taken as followed by silence.

        In total ceil(inputs * output_rate_hz / input_rate_hz) samples have come out then.

        Returns:
            (m,) float32.

        Raises:
            SessionStateError: after finish().
        """
        if self._finished:
            raise SessionStateError(AFTER_FINISH)
        self._finished = True
        return self._core.finish()

    def reset(self) -> None:
        """Goes back to the state after construction."""
        self._core.reset()
        self._finished = False

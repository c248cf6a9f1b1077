"""The compiled LLD stream (csrc/lld) behind the interface of its NumPy twin, `lld_stream.LldStream`."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, SessionStateError
from edgeaff.features.resample import Resampler
from edgeaff.features.samples import check_samples
from edgeaff.ops import native
from edgeaff.spec import SAMPLE_RATE_HZ


class LldStream:
    """Extracts the 65 descriptors natively; arguments are those of `lld.LldStream`, checked there.

    Samples at 16 kHz go in without a copy and with the GIL released; other rates pass the resampler first.
    """

    def __init__(self, *, sample_rate_hz: int, max_pitch_lag: int, variant: str) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.variant = variant
        self._resampler = None if sample_rate_hz == SAMPLE_RATE_HZ else Resampler(sample_rate_hz, SAMPLE_RATE_HZ)
        self._stream: Any = native().LldStream(max_pitch_lag)
        self._finished = False

    @property
    def rows_ready(self) -> int:
        """Number of rows that `pop` would return."""
        return self._stream.rows_ready

    @property
    def watermarks(self) -> dict[str, int]:
        """Number of final rows so far, per column group."""
        return self._stream.watermarks

    @property
    def state_bytes(self) -> int:
        """Memory of the compiled stream; grows only with rows that are not popped."""
        return self._stream.state_bytes

    def push(self, samples: np.ndarray) -> int:
        """Takes audio.

        Args:
            samples: see `lld.LldStream.push`.

        Returns:
            How many rows became final.

        Raises:
            ArgumentError: a sample is NaN or infinite (other forms: `check_samples`); nothing is taken.
            SessionStateError: finish() was called before.
        """
        if self._finished:
            raise SessionStateError("push must come before finish, got a call after it; call reset() first.")
        if self._resampler is not None:
            return self._stream.push(self._resampler.push(samples))
        if not (
            isinstance(samples, np.ndarray)
            and samples.ndim == 1
            and samples.dtype == np.float32
            and samples.flags.aligned
        ):
            samples = check_samples(samples)
        final = self._stream.push(np.ascontiguousarray(samples))
        if final < 0:
            index = -1 - final
            raise ArgumentError(
                f"samples must be finite, got {samples[index]} at index {index}; "
                "replace such samples by 0 and count them."
            )
        return final

    def pop(self) -> np.ndarray:
        """Returns the rows that are final and not yet popped, (n, 65) float32."""
        return self._stream.pop()

    def finish(self, compatible: bool = False) -> int:
        """Ends the audio.

        Args:
            compatible: see `lld.LldStream.finish`.

        Returns:
            How many rows became final.

        Raises:
            SessionStateError: it was called before.
        """
        if self._finished:
            raise SessionStateError("finish must be called once, got a second call; call reset() first.")
        self._finished = True
        final = 0
        if self._resampler is not None:
            final = self._stream.push(self._resampler.finish())
        return final + self._stream.finish(bool(compatible))

    def reset(self) -> None:
        """Forgets everything; the next sample is the first of a new audio."""
        if self._resampler is not None:
            self._resampler.reset()
        self._stream.reset()
        self._finished = False

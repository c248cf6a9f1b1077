"""The 65 low-level descriptors of the voice (ComParE 2016), streaming: native if it was built, else in NumPy.

    stream = LldStream(sample_rate_hz=48_000)
    stream.push(samples)            # any length, int16 or float32
    rows = stream.pop()             # (n, 65) float32, columns as NAMES, a row every 10 ms

docs/lld.md reports what the columns mean, their timing and how they compare with openSMILE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeaff.errors import BackendUnavailableError
from edgeaff.features import lld_native
from edgeaff.features.lld_timing import GROUPS, OFFLINE_LAG, check_arguments
from edgeaff.lld_names import NAMES
from edgeaff.spec import HOP_NS, SAMPLE_RATE_HZ

__all__ = ["GROUPS", "NAMES", "LldStream", "extract"]


def _engine(**options: Any) -> Any:
    """Returns the native stream, or its NumPy twin where the compiled module is absent."""
    try:
        return lld_native.LldStream(**options)
    except BackendUnavailableError:
        from edgeaff.features import lld_stream

        return lld_stream.LldStream(**options)


class LldStream:
    """Extracts the 65 descriptors while the audio comes in; the same bits for any chunking, with bounded memory.

    Row i describes the audio from 10 ms * i on (`row_time_ns`). The column groups (`GROUPS`: "pitch" 0 to 5, "zcr" 9,
    "spectral" all others) look at windows centered `center_offset_ns` later. A row can be popped once all its columns
    are final, at most `latency_ns` after its start. Rows are kept until popped. One stream is for one thread at a time.

    Args:
        sample_rate_hz: 8,000 to 768,000; other than 16,000 is resampled.
        max_pitch_lag: decide the pitch of a frame at most this many hops late, 0 to 29. Choice: 4, which changes about
            one F0 in a thousand against 29, the order of openSMILE, and saves up to 260 ms.
        variant: "compare2016".

    Raises:
        ArgumentError: an argument is out of its range.
    """

    def __init__(
        self, *, sample_rate_hz: int = SAMPLE_RATE_HZ, max_pitch_lag: int = 4, variant: str = "compare2016"
    ) -> None:
        timing = check_arguments(sample_rate_hz, max_pitch_lag, variant)
        self._center_offset_ns, self._latency_ns = timing
        self._stream = _engine(sample_rate_hz=int(sample_rate_hz), max_pitch_lag=int(max_pitch_lag), variant=variant)

    @property
    def center_offset_ns(self) -> Mapping[str, int]:
        """Per column group, the center of the window minus the start of the row, in ns."""
        return self._center_offset_ns

    @property
    def latency_ns(self) -> Mapping[str, int]:
        """Per column group, the longest time from the start of a row to the last sample that it needs, in ns."""
        return self._latency_ns

    @property
    def rows_ready(self) -> int:
        """Number of rows that `pop` would return."""
        return int(self._stream.rows_ready)

    @property
    def watermarks(self) -> Mapping[str, int]:
        """Number of final rows so far, per column group; a row can be popped once it is final in all."""
        return self._stream.watermarks

    def row_time_ns(self, row: int) -> int:
        """Returns when row `row` starts, in ns after the first sample."""
        return row * HOP_NS

    def push(self, samples: np.ndarray) -> int:
        """Takes audio.

        Args:
            samples: (n,) int16, or float32 with full scale 1 (float32 x counts as the int16 value 32768 x; out of range
                it saturates), at `sample_rate_hz`. NaN or infinite values raise ArgumentError, which names the index;
                nothing is taken then.

        Returns:
            How many rows became final.
        """
        return int(self._stream.push(samples))

    def pop(self) -> np.ndarray:
        """Returns the rows that are final and not yet popped, (n, 65) float32, columns as `NAMES`."""
        rows: np.ndarray = self._stream.pop()
        return rows

    def finish(self, compatible: bool = False) -> int:
        """Ends the audio and makes the rows still open final; only pop() and reset() are allowed then.

        The audio has as many rows as 60 ms frames, and one more; less than 60 ms of audio has none.

        Args:
            compatible: also imitates what openSMILE does to columns 2 to 5 in the two rows where its pitch tracker was
                when the audio ended; meant for comparisons.

        Returns:
            How many rows became final.
        """
        return int(self._stream.finish(compatible))

    def reset(self) -> None:
        """Forgets everything; the next sample is the first of a new audio."""
        self._stream.reset()


def extract(
    samples: np.ndarray,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    max_pitch_lag: int = OFFLINE_LAG,
    compatible: bool = True,
) -> np.ndarray:
    """Returns the descriptors of a whole recording, computed through `LldStream`.

    `Choice:` a whole recording has no latency to save, so the defaults are those that equal openSMILE in every row; a live
    stream with `max_pitch_lag=4` and `finish()` gives the same rows except for about one pitch in a thousand.

    Args:
        samples: (n,) int16, or float32 with full scale 1.
        sample_rate_hz: 8,000 to 768,000.
        max_pitch_lag: see `LldStream`.
        compatible: see `LldStream.finish`.

    Returns:
        (n, 65) float32, a row every 10 ms, columns as `NAMES`; (0, 65) for less than 60 ms.
    """
    stream = LldStream(sample_rate_hz=sample_rate_hz, max_pitch_lag=max_pitch_lag)
    stream.push(samples)
    stream.finish(compatible)
    return stream.pop()

"""The NumPy `LldStream`: audio in, rows of 65 descriptors out; bounded memory, the same bits for any chunking."""

from __future__ import annotations

import numpy as np

from edgeaff.errors import SessionStateError
from edgeaff.features import lld_reference as reference
from edgeaff.features.lld_reference import HOP
from edgeaff.features.lld_reference_pitch import LONG_WINDOW
from edgeaff.features.lld_reference_spectral import SHORT_WINDOW
from edgeaff.features.lld_timing import GROUPS, check_arguments
from edgeaff.features.resample_reference import Resampler, as_float_samples
from edgeaff.spec import HOP_NS, LLD_SIZE, SAMPLE_RATE_HZ

BLOCK = 8_000


class RowQueue:
    """Rows that wait to be popped, (n, C) float32."""

    def __init__(self, columns: int) -> None:
        self._parts: list[np.ndarray] = [np.zeros((0, columns), np.float32)]
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, rows: np.ndarray) -> None:
        """Adds rows at the end."""
        if len(rows):
            self._parts.append(rows)
            self._count += len(rows)

    def take(self, count: int) -> np.ndarray:
        """Returns the oldest `count` rows and lets go of them."""
        rows = np.concatenate(self._parts)
        self._parts = [rows[count:].copy()]
        self._count -= count
        return rows[:count]


class LldStream:
    """Extracts the 65 descriptors while the audio comes in.

    Row i describes the audio from 10 ms * i on (`row_time_ns`); the groups of columns ("pitch": 0 to 5, "zcr": 9,
    "spectral": all others) look at windows centered `center_offset_ns` later. Each group advances as its audio comes in;
    a row can be popped once all its columns are final, `latency_ns` after its start at most.

    Args:
        sample_rate_hz: 8,000 to 768,000; other than 16,000 is resampled.
        max_pitch_lag: decide the pitch of a frame at most this many hops late, 0 to 29. 4 changes one F0 in a thousand
            against 29, which is the order of openSMILE.
        variant: "compare2016".
    """

    def __init__(
        self, *, sample_rate_hz: int = SAMPLE_RATE_HZ, max_pitch_lag: int = 4, variant: str = "compare2016"
    ) -> None:
        self.center_offset_ns, self.latency_ns = check_arguments(sample_rate_hz, max_pitch_lag, variant)
        self.sample_rate_hz = int(sample_rate_hz)
        self._resampler = Resampler(self.sample_rate_hz, SAMPLE_RATE_HZ)
        self._spectral = reference.SpectralGroup()
        self._pitch = reference.PitchGroup(max_pitch_lag)
        self._smoothers = {
            group: reference.Smoother(len(columns), nonzero=group == "pitch") for group, columns in GROUPS.items()
        }
        self.reset()

    def reset(self) -> None:
        """Forgets everything; the next sample is the first of a new audio."""
        self._resampler.reset()
        self._spectral.reset()
        self._pitch.reset()
        for smoother in self._smoothers.values():
            smoother.reset()
        self._buffer = np.zeros(0, np.float32)
        self._first = 0
        self._short_frames = 0
        self._long_frames = 0
        self._rows = {group: RowQueue(len(columns)) for group, columns in GROUPS.items()}
        self._popped = 0
        self._end: int | None = None

    @property
    def rows_ready(self) -> int:
        """Number of rows that `pop` would return."""
        ready = min(len(rows) for rows in self._rows.values())
        return ready if self._end is None else min(ready, self._end - self._popped)

    @property
    def watermarks(self) -> dict[str, int]:
        """Number of final rows so far, per column group."""
        return {group: self._popped + len(rows) for group, rows in self._rows.items()}

    def row_time_ns(self, row: int) -> int:
        """Returns when row `row` starts, in ns after the first sample."""
        return row * HOP_NS

    def push(self, samples: np.ndarray) -> int:
        """Takes audio.

        Args:
            samples: (n,) int16, or float32 with full scale 1 (out of range: saturated), at `sample_rate_hz`. NaN or
                infinite values raise ArgumentError, which names the index; nothing is taken then.

        Returns:
            How many rows became final.

        Raises:
            SessionStateError: finish() was called before.
        """
        if self._end is not None:
            raise SessionStateError("push must come before finish, got a call after it; call reset() first.")
        before = self.rows_ready
        if self.sample_rate_hz == SAMPLE_RATE_HZ:
            scaled = reference.scale_samples(samples)
        else:
            scaled = self._resampled(self._resampler.push(samples))
        self._take(scaled)
        return self.rows_ready - before

    def pop(self) -> np.ndarray:
        """Returns the rows that are final and not yet popped, (n, 65) float32, columns as `lld.NAMES`."""
        count = self.rows_ready
        out = np.empty((count, LLD_SIZE), np.float32)
        for group, columns in GROUPS.items():
            out[:, columns] = self._rows[group].take(count)
        self._popped += count
        return out

    def finish(self, compatible: bool = False) -> int:
        """Ends the audio and makes the rows still open final; only pop() and reset() are allowed then.

        The audio has as many rows as 60 ms frames, and one more; less than 60 ms of audio has none.

        Args:
            compatible: also imitates what openSMILE does to columns 2 to 5 where its pitch tracker was when the audio
                ended: the two rows there are averaged as if that were the end. At most 32 rows before the end; meant
                for comparisons only.

        Returns:
            How many rows became final.

        Raises:
            SessionStateError: it was called before.
        """
        if self._end is not None:
            raise SessionStateError("finish must be called once, got a second call; call reset() first.")
        before = self.rows_ready
        if self.sample_rate_hz != SAMPLE_RATE_HZ:
            self._take(self._resampled(self._resampler.finish()))
        smoother = self._smoothers["pitch"]
        artifact = smoother.edge()
        rest = smoother.push(self._pitch.finish(self._buffer, self._first))
        rest = np.concatenate([rest, smoother.edge()])
        if compatible and len(artifact):
            rest[:2, 2:] = artifact[:, 2:]
        self._rows["pitch"].append(rest)
        for group in ("zcr", "spectral"):
            self._rows[group].append(self._smoothers[group].edge())
        self._end = self._long_frames + 1 if self._long_frames else 0
        return self.rows_ready - before

    def _resampled(self, samples: np.ndarray) -> np.ndarray:
        return reference.scale_samples(as_float_samples(samples))

    def _take(self, samples: np.ndarray) -> None:
        for start in range(0, len(samples), BLOCK):
            self._buffer = np.concatenate([self._buffer, samples[start : start + BLOCK]])
            self._advance()

    def _advance(self) -> None:
        """Computes the frames that are complete, and lets go of audio that none needs any more."""
        short = reference.frames(self._buffer[self._short_frames * HOP - self._first :], SHORT_WINDOW)
        if len(short):
            self._append("spectral", self._spectral.push(short))
            self._short_frames += len(short)
        long = reference.frames(self._buffer[self._long_frames * HOP - self._first :], LONG_WINDOW)
        if len(long):
            self._append("zcr", reference.pitch.zero_crossings(long)[:, None])
            self._append("pitch", self._pitch.push(long, self._buffer, self._first))
            self._long_frames += len(long)
            keep = min(self._long_frames * HOP, self._pitch.first_needed)
            self._buffer = self._buffer[keep - self._first :]
            self._first = keep

    def _append(self, group: str, raw: np.ndarray) -> None:
        self._rows[group].append(self._smoothers[group].push(raw))

"""From chunks of audio to one normalized audio vector per tick."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError
from edgeaff.features.lld import GROUPS as COLUMNS
from edgeaff.features.lld import LldStream
from edgeaff.preprocess.inputs import InputCounts, InputTap, Normalizer, SpeechGate
from edgeaff.reference.sync import AudioClock, ColumnGroup, RowTimeline
from edgeaff.spec import HOP_NS, LLD_SIZE, MILLISECOND, NANOSECONDS, PreprocessSpec

RESAMPLER_DELAY_NS = 4 * MILLISECOND  # the most that any rate needs
WINDOW_NS = {"pitch": 60 * MILLISECOND, "zcr": 60 * MILLISECOND, "spectral": 20 * MILLISECOND}


def column_groups(stream: LldStream) -> tuple[ColumnGroup, ...]:
    """Returns the groups of columns with the timing of their analysis windows."""
    return tuple(
        ColumnGroup(tuple(columns), stream.center_offset_ns[name], WINDOW_NS[name]) for name, columns in COLUMNS.items()
    )


def row_latency_ns(stream: LldStream) -> int:
    """Returns the time for which after its start all columns of a row are final."""
    return max(stream.latency_ns.values())


def audio_need_ns(spec: PreprocessSpec) -> int:
    """Returns the end of the last sample that a tick's rows need, relative to the tick (negative: before it)."""
    stream = LldStream(max_pitch_lag=spec.lld_max_pitch_lag)
    after_center = row_latency_ns(stream) - min(group.center_ns for group in column_groups(stream))
    return -spec.audio_lag_ns + HOP_NS // 2 + after_center + RESAMPLER_DELAY_NS


@dataclass(slots=True)
class _Span:
    start_ns: int
    end_ns: int


class AudioFront:
    """From chunks to timed LLD rows: cleaning, clock, resampler, LLD stream; rows that touch a hole are masked."""

    def __init__(self, spec: PreprocessSpec, counts: InputCounts, tap: InputTap | None = None) -> None:
        self._spec = spec
        self._tap = tap
        self._counts = counts
        self._clock = AudioClock()
        self._stream: LldStream | None = None
        timing = LldStream(max_pitch_lag=spec.lld_max_pitch_lag)
        self._groups = column_groups(timing)
        self._row_latency_ns = row_latency_ns(timing)
        self._row = 0
        self._spans: deque[_Span] = deque(maxlen=64)
        self._last_row_ns: int | None = None  # start of the last row pushed
        self._rows_end_ns: int | None = None
        self.rows = RowTimeline(self._groups)

    @property
    def has_any(self) -> bool:
        """Whether samples or rows have come."""
        return self._clock.rate_hz > 0 or self._rows_end_ns is not None

    @property
    def end_pts_ns(self) -> int:
        """Time after the last sample, or after the last row pushed."""
        return self._clock.end_pts_ns if self._rows_end_ns is None else self._rows_end_ns

    def push(self, pts_ns: int, samples: np.ndarray, rate_hz: int) -> int | None:
        """Accepts one chunk.

        Args:
            pts_ns: time of the first sample.
            samples: (n,) int16 or float32.
            rate_hz: of the samples.

        Returns:
            Time of the first sample that is not known yet, None without one.
        """
        samples = self._clean(samples)
        place = self._clock.place(pts_ns, len(samples), rate_hz)
        if place.restart:
            self._restart(rate_hz)
        self._counts.samples_overlapping += place.skip
        self._counts.samples_filled += place.fill
        if place.fill:
            self._feed(np.zeros(place.fill, samples.dtype))
        kept = samples[place.skip :]
        if not len(kept):
            return None
        self._feed(kept)
        end = self._clock.end_pts_ns
        self._note_span(end - len(kept) * NANOSECONDS // rate_hz, end)
        return pts_ns + place.skip * NANOSECONDS // rate_hz

    def push_rows(self, pts_ns: int, rows: np.ndarray) -> int | None:
        """Accepts final rows; those that are not newer than the last one are left out and counted.

        Args:
            pts_ns: start of the first row.
            rows: (n, 65) float32, 10 ms apart.

        Returns:
            Start of the first row that is not known yet, None without one.
        """
        known = 0 if self._last_row_ns is None else max(0, (self._last_row_ns - pts_ns) // HOP_NS + 1)
        self._counts.rows_not_newer += min(known, len(rows))
        for index, row in enumerate(rows[known:], known):
            self._last_row_ns = pts_ns + index * HOP_NS
            self.rows.push(self._last_row_ns, row, (False,) * len(self._groups))
        if known >= len(rows) or self._last_row_ns is None:
            return None
        self._rows_end_ns = self._last_row_ns + self._row_latency_ns
        self._note_span(pts_ns + known * HOP_NS, self._rows_end_ns)
        return pts_ns + known * HOP_NS

    def finish(self) -> None:
        """Flushes the rows that end of audio makes final."""
        if self._stream is None:
            return
        self._stream.finish()
        self._collect()
        self._stream = None

    def newest_audio_before(self, instant_ns: int) -> int | None:
        """Returns the time of the newest real sample before an instant, or None."""
        for span in reversed(self._spans):
            if span.start_ns < instant_ns:
                return min(span.end_ns, instant_ns)
        return None

    def _clean(self, samples: np.ndarray) -> np.ndarray:
        if samples.dtype == np.int16:
            return samples
        bad = ~np.isfinite(samples)
        if bad.any():
            self._counts.samples_not_finite += int(bad.sum())
            samples = np.where(bad, np.float32(0), samples)
        return samples

    def _restart(self, rate_hz: int) -> None:
        self._counts.audio_restarts += self._stream is not None
        self._stream = LldStream(sample_rate_hz=rate_hz, max_pitch_lag=self._spec.lld_max_pitch_lag)
        self._row = 0

    def _feed(self, samples: np.ndarray) -> None:
        assert self._stream is not None
        self._stream.push(samples)
        self._collect()

    def _collect(self) -> None:
        assert self._stream is not None
        pop = self._stream.pop
        for lld in pop() if self._tap is None else self._tap.rows(pop):
            start = self._row * HOP_NS
            masked = tuple(
                self._clock.touches_hole(start - HOP_NS, start + group.window_ns + HOP_NS) for group in self._groups
            )
            self.rows.push(self._clock.pts_ns(start), lld, masked)
            self._row += 1

    def _note_span(self, start_ns: int, end_ns: int) -> None:
        if self._spans and start_ns - self._spans[-1].end_ns <= MILLISECOND:
            self._spans[-1].end_ns = end_ns
        else:
            self._spans.append(_Span(start_ns, end_ns))


@dataclass
class AudioSteps:
    """From the step of a tick to the model's audio vector: normalized once per new row, stacked oldest first, zero-padded.

    A step without speech is as good as missing: the normalizer neither learns from it nor sees it.

    Paper: section 4.2.2 (63 steps x 65 LLDs and one zero: 4096). A missing step is zeros; before the first step too.
    """

    spec: PreprocessSpec
    normalizer: Normalizer | None
    speech: SpeechGate | None = None
    _steps: deque[np.ndarray] = field(init=False)
    _row: int = -1
    _speaks: bool = True

    def __post_init__(self) -> None:
        if self.normalizer is None:
            raise ArgumentError(
                "normalizer must be given when audio is declared, got None; load a bundle with LLD statistics."
            )
        self.normalizer.reset()
        if self.speech is not None:
            self.speech.reset()
        self._steps = deque(
            [np.zeros(LLD_SIZE, np.float32)] * self.spec.audio_context_steps, self.spec.audio_context_steps
        )
        self._last = self._steps[-1]

    def push(self, step: Any) -> np.ndarray | None:
        """Returns the (audio_vector_size,) float32 vector of a tick, or None when its own step is missing or without speech."""
        assert self.normalizer is not None
        if step is None:
            self._steps.append(np.zeros(LLD_SIZE, np.float32))
            return None
        if step.row != self._row:
            self._row = step.row
            self._speaks = self.speech is None or self.speech.push(step.lld)
            if self._speaks:
                self._last = self.normalizer.update_and_normalize(step.lld).astype(np.float32)
        if not self._speaks:
            return self.push(None)
        self._steps.append(self._last)
        vector = np.zeros(self.spec.audio_vector_size, np.float32)
        stacked = np.concatenate(self._steps)
        vector[: len(stacked)] = stacked
        return vector

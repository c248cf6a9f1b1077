"""Sources that the program feeds: the public seam for user capture code, and for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edgeaff.capture.clocks import SampleClock
from edgeaff.capture.health import Health, SourceHealth
from edgeaff.capture.live import LiveSource
from edgeaff.errors import ArgumentError
from edgeaff.features.samples import check_form
from edgeaff.spec import JUMP_CONFIRM_NS, JUMP_NS, check_rate
from edgeaff.types import AudioChunk, VideoFrame, check_image, check_pts

if TYPE_CHECKING:
    from typing import Self


class _PushSource(LiveSource):
    """A live source without a thread."""

    def __init__(
        self, name: str, *, max_frames: int = 1, max_audio_seconds: float = 5.0, clock: Callable[[], int]
    ) -> None:
        super().__init__(name, max_frames=max_frames, max_audio_seconds=max_audio_seconds, clock=clock)
        self._push_lock = threading.Lock()
        self._offset_ns: int | None = None  # caller's clock minus the monotonic clock, at the last push with a time
        self._doubted_ns: int | None = None  # the same of a push that jumps, until the next one confirms it

    def start(self) -> Self:
        """Returns the source itself; there is no device to open."""
        self._require_own_process()
        return self

    def finish(self) -> None:
        """Lets the reader end after all pushed input."""
        if self._is_inherited:
            return
        self._state = Health.ENDED
        self.inbox.close()

    def end(self) -> None:
        """Same as `finish`."""
        self.finish()

    def now_ns(self) -> int | None:
        """Returns the present instant on the caller's clock, None before the first push.

        A single push whose time jumps does not prove a step of the clock; the second one decides.
        """
        if self._offset_ns is None:
            return None
        return self._clock() + self._offset_ns

    def health(self) -> SourceHealth:
        """Returns OK, or STALLED when nothing was pushed for the stall time."""
        self._require_own_process()
        if self._last_ns is None or self._state is Health.ENDED:
            return SourceHealth(self._state, None, "", 0)
        silent = self._clock() - self._last_ns
        if silent > self._stall_ns:
            return SourceHealth(Health.STALLED, silent / 1e9, f"nothing was pushed into {self.name}.", 0)
        return SourceHealth(Health.OK, silent / 1e9, "", 0)

    def _time_of(self, pts_ns: int | None) -> int:
        now = self._clock()
        if pts_ns is None:
            self._offset_ns = 0
            return now
        pts_ns = check_pts(pts_ns)
        offset_ns, doubted_ns = pts_ns - now, self._doubted_ns
        jumps = self._offset_ns is not None and abs(offset_ns - self._offset_ns) > JUMP_NS
        confirmed = doubted_ns is not None and abs(offset_ns - doubted_ns) <= JUMP_CONFIRM_NS
        if jumps and not confirmed:
            self._doubted_ns = offset_ns
        else:
            self._offset_ns, self._doubted_ns = offset_ns, None
        return pts_ns


class PushVideo(_PushSource):
    """Frames that the program pushes. Never blocks; for a slow reader the newest frames are kept."""

    has_video = True

    def __init__(self, *, max_frames: int = 2, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Makes an empty source.

        Args:
            max_frames: frames kept for a slow reader.
            clock: gives the time of frames pushed without one.

        Raises:
            ArgumentError: max_frames is not positive.
        """
        if max_frames < 1:
            raise ArgumentError(f"max_frames must be at least 1, got {max_frames}; leave it out for 2.")
        super().__init__("pushed video", max_frames=max_frames, clock=clock)

    def push(self, image: np.ndarray, *, pts_ns: int | None = None) -> int:
        """Pushes a frame.

        Args:
            image: (H, W, 3) uint8 RGB. Not copied: do not write into it afterwards.
            pts_ns: its time on the caller's clock; None takes the monotonic clock now.

        Returns:
            The number of frames dropped for it (this one, after the end).

        Raises:
            ArgumentError: shape, dtype or time is not what it must be.
        """
        self._require_own_process()
        image = check_image(np.asarray(image))
        with self._push_lock:
            frame = VideoFrame(self._time_of(pts_ns), image)
            self._counts["frames"] += 1
            self._last_ns = self._clock()
            return self.inbox.put(frame)


class PushAudio(_PushSource):
    """Audio that the program pushes. Never blocks; for a slow reader the oldest audio is dropped, which shows as a gap."""

    has_audio = True

    def __init__(
        self,
        *,
        sample_rate_hz: int = 48_000,
        max_audio_seconds: float = 5.0,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Makes an empty source.

        Args:
            sample_rate_hz: rate of the pushed samples.
            max_audio_seconds: audio kept for a slow reader.
            clock: steers the time of chunks pushed without one.

        Raises:
            ArgumentError: the rate is out of range.
        """
        super().__init__("pushed audio", max_audio_seconds=max_audio_seconds, clock=clock)
        self.sample_rate_hz = check_rate("sample_rate_hz", sample_rate_hz)
        self._sample_clock = SampleClock(self.sample_rate_hz)

    @property
    def skew_ppm(self) -> float:
        """Skew in ppm: how much slower the pushed audio runs than the monotonic clock, for chunks without a time."""
        return self._sample_clock.skew_ppm

    def push(self, samples: np.ndarray, *, pts_ns: int | None = None) -> int:
        """Pushes audio.

        Args:
            samples: (n,) int16, or float32 or float64 in [-1, 1], mono. Only copied to convert it: do not write into it afterwards.
            pts_ns: time of samples[0] on the caller's clock; None counts samples, steered by the time of the call.

        Returns:
            The number of samples dropped for it (all of these, after the end).

        Raises:
            ArgumentError: shape, dtype or time is not what it must be.
        """
        self._require_own_process()
        samples = check_form(samples)
        samples = samples if samples.dtype == np.int16 else samples.astype(np.float32, copy=False)
        if not samples.size:
            return 0
        with self._push_lock:
            now = self._time_of(pts_ns)
            start = self._sample_clock.stamp(samples.size, now) if pts_ns is None else now
            self._counts["samples"] += samples.size
            self._last_ns = self._clock()
            return self.inbox.put(AudioChunk(start, samples, self.sample_rate_hz))

"""Clocks of live sources: from a device's own count or timestamps to the monotonic clock, without its jitter.

Data arrive late by a delay that is never negative and often large (bursts, buffers). The smallest delay of a few
seconds is steady, so it is what both clocks steer by: towards zero, slowly, so that times stay smooth.
"""

from __future__ import annotations

from edgeaff.spec import NANOSECONDS


class SampleClock:
    """Time of audio: samples counted, steered to the arrival times, with the skew of the two clocks as a by-product.

    A proportional-integral loop over windows of 2 s; damping 0.71, natural frequency 0.14 per window. At a
    constant skew of 200 ppm the largest error is 1.5 ms while the skew is learned, under 0.05 ms after a minute; with
    arrivals as bursty as PulseAudio's 2.9 ms and 0.13 ms (tests/capture/test_clocks.py). What the loop cannot mean is a
    loss: after an overflow, or when the smallest delay of a window exceeds 0.1 s, time jumps forward by the
    delay, and the listener sees a hole. Nor can audio arrive before it was made: a delay below minus that states
    that the first chunks had come late (a busy start), so time jumps back at once, and the listener drops the overlap.
    """

    _PROPORTIONAL, _INTEGRAL = 0.2, 0.02
    _MAX_PPM = 1000.0
    _WINDOW_NS, _GAP_NS = 2 * NANOSECONDS, NANOSECONDS // 10

    def __init__(self, sample_rate_hz: int) -> None:
        """Makes a clock that starts with the first chunk.

        Args:
            sample_rate_hz: nominal rate of the device.
        """
        self._rate = sample_rate_hz
        self._next_ns: float | None = None  # time of the next sample
        self._correction_ns = 0.0  # spread over the running window
        self._smallest: float | None = None
        self._window_start = 0.0
        self._lost = False
        self.skew_ppm = 0.0
        self.gaps = 0

    def mark_lost(self) -> None:
        """States that the device lost samples before the next chunk."""
        self._lost = True

    def stamp(self, count: int, arrival_ns: int) -> int:
        """Returns the time of the first sample of a chunk.

        Args:
            count: samples in the chunk.
            arrival_ns: monotonic time at which its last sample had been captured at the latest.

        Returns:
            int nanoseconds on the monotonic clock; before the previous chunk's only after a late start.
        """
        nominal = count * NANOSECONDS / self._rate
        if self._next_ns is None:
            self._next_ns = self._window_start = arrival_ns - nominal
        step = nominal * (1.0 + (self.skew_ppm + self._correction_ns / self._WINDOW_NS * 1e6) * 1e-6)
        delay = arrival_ns - (self._next_ns + step)
        if self._lost:
            self._jump(max(delay, 0.0))
            delay = min(delay, 0.0)
        if delay < -self._GAP_NS:
            self._restart_window(delay)
            delay = 0.0
        start = self._next_ns
        self._next_ns = start + step
        self._smallest = delay if self._smallest is None else min(self._smallest, delay)
        if self._next_ns - self._window_start >= self._WINDOW_NS:
            self._end_window(self._smallest)
        return round(start)

    def _jump(self, forward_ns: float) -> None:
        self._restart_window(forward_ns)
        self._lost = False
        self.gaps += 1

    def _restart_window(self, shift_ns: float) -> None:
        assert self._next_ns is not None
        self._next_ns += shift_ns
        self._window_start, self._smallest, self._correction_ns = self._next_ns, None, 0.0

    def _end_window(self, error_ns: float) -> None:
        assert self._next_ns is not None
        if error_ns > self._GAP_NS:
            self._jump(error_ns)
            return
        limit = self._MAX_PPM * 1e-6 * self._WINDOW_NS
        self._correction_ns = max(-limit, min(limit, self._PROPORTIONAL * error_ns))
        self.skew_ppm += self._INTEGRAL * max(-limit, min(limit, error_ns)) / self._WINDOW_NS * 1e6
        self.skew_ppm = max(-self._MAX_PPM, min(self._MAX_PPM, self.skew_ppm))
        self._window_start, self._smallest = self._next_ns, None


class StreamClock:
    """Time of a network stream: its timestamps plus an offset, the same for frame and audio, that follows arrival.

    When a stream opens, what was buffered comes in a burst and looks late by up to a second: the smallest delay seen is
    the right one, so a smaller delay lowers the offset at once, while a larger one only raises it by 500 ppm.
    """

    _WINDOW_NS, _MAX_PPM = 5 * NANOSECONDS, 500.0

    def __init__(self) -> None:
        self._offset: int | None = None
        self._smallest: int | None = None
        self._window_start = 0

    @property
    def offset_ns(self) -> int | None:
        """Offset added to the stream's times, None before the first."""
        return self._offset

    def observe(self, stream_ns: int, arrival_ns: int) -> int:
        """Returns the offset after one more unit has arrived.

        Args:
            stream_ns: end of the unit on the stream's timeline.
            arrival_ns: monotonic time of its arrival.

        Returns:
            int nanoseconds to add to the stream's times.
        """
        delay = arrival_ns - stream_ns
        if self._offset is None or delay < self._offset:
            self._offset = delay
            self._smallest, self._window_start = None, arrival_ns
        self._smallest = delay if self._smallest is None else min(self._smallest, delay)
        if arrival_ns - self._window_start >= self._WINDOW_NS:
            rise = int(self._MAX_PPM * 1e-6 * (arrival_ns - self._window_start))
            self._offset += min(self._smallest - self._offset, rise)
            self._smallest, self._window_start = None, arrival_ns
        return self._offset

    def is_from_the_future(self, stream_ns: int, arrival_ns: int) -> bool:
        """Returns whether a unit would have to come from more than a second ahead: its timestamp is damaged.

        Args:
            stream_ns: end of the unit on the stream's timeline.
            arrival_ns: monotonic time of its arrival.
        """
        return self._offset is not None and arrival_ns - stream_ns < self._offset - NANOSECONDS


class JumpFilter:
    """Finds timestamps that jump and do not stay: what a damaged packet carries. A jump that the next packet confirms is one."""

    _FORWARD_NS, _BACK_NS, _CONFIRMED_NS = 5 * NANOSECONDS, NANOSECONDS // 2, NANOSECONDS
    _WRAP_NS, _WRAP_TOLERANCE_NS = (1 << 33) * NANOSECONDS // 90_000, 10 * NANOSECONDS

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self._doubted: dict[int, int] = {}

    def is_damaged(self, stream: int, raw_ns: int | None) -> bool:
        """Returns whether a packet's time jumps without confirmation; the wrap of a 33-bit clock is none.

        Args:
            stream: which stream the packet belongs to.
            raw_ns: its decoding time, None if unknown.
        """
        if raw_ns is None:
            return False
        step = raw_ns - self._last.get(stream, raw_ns)
        steady = -self._BACK_NS <= step <= self._FORWARD_NS or abs(step + self._WRAP_NS) < self._WRAP_TOLERANCE_NS
        confirmed = stream in self._doubted and 0 <= raw_ns - self._doubted[stream] < self._CONFIRMED_NS
        if not steady and not confirmed:
            self._doubted[stream] = raw_ns
            return True
        self._doubted.pop(stream, None)
        self._last[stream] = raw_ns
        return False

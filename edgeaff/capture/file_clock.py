"""Times of the frames and chunks of one track, whichever times its container stores.

| the container stores | the clock gives |
|---|---|
| presentation times | those |
| one time per packet, in coding order (AVI always; H.264 or MPEG-2 in ASF and MXF) | the same times, in the order of the frames |
| no times (raw H.264, HEVC, MPEG, MJPEG) | a nominal clock: the rate that the stream declares, else 25 frames a second |
| times that do not advance | the last time that did, plus the nominal step |
| a time now and then absent, repeated or late | the nominal step, or 1 ms after the frame before |
"""

from __future__ import annotations

from bisect import insort
from fractions import Fraction
from typing import Any

from edgeaff.spec import MILLISECOND, NANOSECONDS

NOMINAL_RATE_HZ = 25
_DEFAULT_FRAME_NS = NANOSECONDS // NOMINAL_RATE_HZ
_LEAST_RATE_HZ, _MOST_RATE_HZ = 1, 1_000  # beyond them a declared rate is a time base, not a rate
_MOST_PENDING = 18  # no codec holds more than 16 frames back for reordering
_STALLED = 3  # this many frames without a later time: the container's times have stopped
_NO_TIMESTAMPS = 0x0080  # FFmpeg's AVFMT_NOTIMESTAMPS
_STORES_DECODING_TIMES = frozenset({"avi"})
_B_FRAME = 3
_RARE = 64  # one step back in this many packets is a glitch; real presentation times of B-frames step back all the time


def has_no_times(container: Any) -> bool:
    """Returns whether a container is a raw stream, whose times FFmpeg makes up."""
    return bool(int(container.format.flags) & _NO_TIMESTAMPS)


def stores_decoding_times(container: Any) -> bool:
    """Returns whether a container stores the order of decoding and no presentation times."""
    return not _STORES_DECODING_TIMES.isdisjoint(container.format.name.split(","))


def declared_rate(stream: Any, *, raw: bool = False) -> Fraction | None:
    """Returns the frame rate that a video track declares, or None where it declares none, or none that a camera has.

    Args:
        stream: of PyAV.
        raw: only what the coded stream itself declares; a raw stream's average rate is FFmpeg's assumption.
    """
    coded = getattr(stream.codec_context, "framerate", None)
    for rate in (coded,) if raw else (stream.average_rate, coded):
        if rate and _LEAST_RATE_HZ <= rate <= _MOST_RATE_HZ:
            return Fraction(rate)
    return None


class CodingOrder:
    """Gives each decoded frame its time where the container's times are in coding order.

    Packets and frames are as many, and the frames come out in the order of presentation. So the k-th time in rising order
    belongs to the k-th frame. Which containers do so shows in the data: the packets' times rise although frames are reordered.
    Times are ticks of the track's time base.
    """

    def __init__(self, *, decoding_times: bool = False) -> None:
        """Starts before the first packet.

        Args:
            decoding_times: the container stores decoding times alone; presentation times are then FFmpeg's guess.
        """
        self._decoding_times = decoding_times
        self.reset()

    def reset(self) -> None:
        """Forgets all packets, as after a flush of the decoder."""
        self._pending: list[
            tuple[int, int]
        ] = []  # (time in coding order, the packet's own), of packets without a frame yet
        self._last: int | None = None
        self._packets = self._steps_back = 0
        self._reorders = False
        self._offset: int | None = None

    def add(self, packet: Any) -> None:
        """Notes a packet that goes to the decoder."""
        own = packet.pts if packet.pts is not None else packet.dts
        if own is None or not packet.size:
            return
        decoding = packet.dts if packet.dts is not None else own
        if self._offset is None:
            self._offset = 0 if self._decoding_times else own - decoding
        self._packets += 1
        self._steps_back += self._last is not None and own < self._last
        self._last = own
        insort(self._pending, (decoding + self._offset, own))
        if len(self._pending) > _MOST_PENDING:  # lost packets, which no frame came of
            del self._pending[0]

    def drop(self, packet: Any) -> None:
        """Notes that no frame will come of a packet."""
        self._take(packet.pts if packet.pts is not None else packet.dts)

    def time_of(self, frame: Any) -> int | None:
        """Returns the time of the next decoded frame, None where none is known."""
        own = frame.pts if frame.pts is not None else frame.dts
        rising = self._decoding_times or _RARE * self._steps_back < self._packets
        self._reorders = self._reorders or int(getattr(frame, "pict_type", 0) or 0) == _B_FRAME
        if rising and self._reorders and self._pending:
            return self._pending.pop(0)[0]
        noted = self._take(own)
        return noted if self._decoding_times and noted is not None else own

    def _take(self, own: int | None) -> int | None:
        for position, (time, packet_own) in enumerate(self._pending):
            if packet_own == own:
                del self._pending[position]
                return time
        return None


class VideoClock:
    """Gives each frame a time: absent ones are filled in, none steps back. Counts what it repaired.

    Attributes:
        repaired: times that were absent, repeated or late.
        stalled: of these, times that did not advance.
        end_ns: end of the last frame.
    """

    def __init__(self, frame_ns: int = _DEFAULT_FRAME_NS, *, nominal: bool = False) -> None:
        """Starts before the first frame.

        Args:
            frame_ns: nominal step from frame to frame.
            nominal: the container has no times; each frame comes a nominal step after the one before.
        """
        self._last: int | None = None
        self._newest_raw: int | None = None
        self._gap, self._nominal = max(frame_ns, MILLISECOND), nominal
        self._without_advance = 0
        self.repaired = self.stalled = 0
        self.end_ns = 0

    def stamp(self, pts_ns: int | None, duration_ns: int | None) -> int:
        """Returns the time of the next frame, at least 1 ms after the one before where it is not the container's.

        Args:
            pts_ns: what the container states, or None.
            duration_ns: how long the frame is shown, or None.
        """
        if self._nominal:
            pts_ns = 0 if self._last is None else self._last + self._gap
            duration_ns = self._gap
        else:
            pts_ns = self._repaired(pts_ns)
        if duration_ns and duration_ns >= MILLISECOND:
            self._gap = duration_ns
        elif self._last is not None and pts_ns >= self._last + MILLISECOND and not self._without_advance:
            self._gap = pts_ns - self._last
        self._last = pts_ns
        self.end_ns = pts_ns + (duration_ns or self._gap)
        return pts_ns

    def _repaired(self, pts_ns: int | None) -> int:
        last, newest = self._last, self._newest_raw
        if pts_ns is None:
            self.repaired += 1
            return 0 if last is None else last + self._gap
        repeats = newest is not None and pts_ns == newest
        advances = newest is None or pts_ns > newest
        self._newest_raw = pts_ns if advances else newest
        self._without_advance = 0 if advances else self._without_advance + 1
        if last is None or pts_ns > last:
            return pts_ns
        self.repaired += 1
        if repeats or self._without_advance >= _STALLED:
            self.stalled += 1
            return last + self._gap
        return last + MILLISECOND


class AudioClock:
    """Gives each chunk a time. While the container agrees to within its own rounding, samples are counted instead.

    Matroska rounds to 1 ms and MPEG to 11 us: counting gives the exact time back.
    """

    _COARSEST_NS = 2_000_000  # a time base coarser than 2 ms cannot resolve single chunks, so it is taken unchanged

    def __init__(self) -> None:
        self._anchor = 0
        self._count = 0
        self._rate = 0
        self._last: int | None = None
        self._newest_raw: int | None = None
        self.repaired = 0

    @property
    def end_ns(self) -> int:
        """Time just after the last sample."""
        return self._anchor + (self._count * NANOSECONDS // self._rate if self._rate else 0)

    def stamp(self, pts_ns: int | None, *, count: int, rate_hz: int, tick_ns: int) -> int:
        """Returns the time of the next chunk's first sample.

        Args:
            pts_ns: what the container states, or None.
            count: samples in the chunk.
            rate_hz: their rate.
            tick_ns: length of the container's time unit.

        Returns:
            int nanoseconds, always after the previous chunk's.
        """
        expected = self.end_ns
        started = self._last is not None
        agrees = pts_ns is not None and abs(pts_ns - expected) <= min(tick_ns, self._COARSEST_NS)
        if pts_ns is None or pts_ns == self._newest_raw:  # absent, or times that do not advance: samples are counted
            self.repaired += 1
            pts_ns = None
        else:
            self._newest_raw = pts_ns
        if rate_hz != self._rate or not started or not (agrees or pts_ns is None):
            start = expected if pts_ns is None else pts_ns
            if self._last is not None and start <= self._last:
                self.repaired += 1
                start = self._last + 1
            self._anchor, self._count, self._rate = start, 0, rate_hz
        start = self.end_ns
        self._count += count
        self._last = start
        return start

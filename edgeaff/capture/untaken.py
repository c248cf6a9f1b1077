"""Reading for ticks: frames that no tick takes come without an image, and are not even decoded where nothing refers to them.

```
display   F0   F1   F2   F3   F4       60 fps; ticks take F0, F2, F4
packets   F0   F4   F2   F1   F3       F1: F0 of the same tick and F2 of the next are decoded, so no tick can need it
```
The first frame of a tick is taken. Another frame of it stands in only for a later tick without a frame: whether there is one shows
with the next frame. Events are those of `TrackReader` (tests/capture/test_untaken.py).
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np

from edgeaff.capture.timeline import Timeline, to_ns
from edgeaff.capture.track import Storage, TrackReader
from edgeaff.types import AudioChunk, VideoFrame

NO_IMAGE = np.zeros((1, 1, 3), dtype=np.uint8)
NO_IMAGE.flags.writeable = False
_REFERENCES_KNOWN = frozenset({"h264", "hevc"})  # their packets state whether others refer to them
_REMEMBERED = 64  # packets; no codec reorders more than 16


class TakenFrameReader(TrackReader):
    """A TrackReader of video whose frames after the first of their tick hold `NO_IMAGE` unless a tick can need them.

    A packet is left out only between two that were decoded, and none after the first damaged one. Damage in a packet that is left
    out is not counted.
    """

    def __init__(
        self,
        container: Any,
        stream: Any,
        others: list[Any],
        timeline: Timeline,
        *,
        storage: Storage,
        tick_of: Callable[[int], int],
    ) -> None:
        """Prepares the decoder.

        Args:
            container: see `TrackReader`.
            stream: a video track.
            others: see `TrackReader`.
            timeline: see `TrackReader`.
            storage: see `TrackDecoder`.
            tick_of: tick that a frame of this pts_ns belongs to; never falls.
        """
        super().__init__(container, stream, others, timeline, storage=storage)
        self._tick_of = tick_of
        self._tick: int | None = None  # of the frame before
        self._waiting: tuple[int, Any, Any] | None = None  # pts_ns, frame, aspect
        self._images.use_one_thread()
        timed = not (storage.no_times or storage.decoding_times or storage.still)
        self._may_leave_out = timed and self._decoder.name in _REFERENCES_KNOWN
        self._decoded: list[int] = []  # rising times of packets since the first keyframe
        self._left_out: list[tuple[int, int]] = []  # rising (time, duration)
        self._leaves_out = False

    def __iter__(self) -> Generator[VideoFrame | AudioChunk, None, None]:
        """Yields frames with rising pts."""
        yield from super().__iter__()
        yield from self._settle(None)

    def drain(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields what still waits in the decoder, which then starts afresh."""
        yield from super().drain()
        self._decoded, self._left_out = [], []

    def _decode(self, packet: Any) -> list[Any]:
        leave_out = self._is_unneeded(packet)
        if leave_out != self._leaves_out:
            self._leaves_out = leave_out
            self._decoder.skip_frame = "NONREF" if leave_out else "DEFAULT"
        bad = self.bad_packets
        frames = super()._decode(packet)
        if self.bad_packets != bad or any(frame.is_corrupt for frame in frames):
            self._may_leave_out = False
        elif packet.size and packet.pts is not None and (self._decoded or packet.is_keyframe):
            if leave_out:
                insort(self._left_out, (packet.pts, packet.duration or 0))
            else:
                insort(self._decoded, packet.pts)
                del self._decoded[: -2 * _REMEMBERED if len(self._decoded) > 4 * _REMEMBERED else 0]
        return frames

    def _is_unneeded(self, packet: Any) -> bool:
        if not self._may_leave_out or self.repaired_pts or not packet.size or packet.pts is None or packet.is_keyframe:
            return False
        after = bisect(self._decoded, packet.pts)
        if not 0 < after < len(self._decoded):
            return False
        before_tick, tick, after_tick = (
            self._tick_of(self._raw_pts_ns(ticks) or 0)
            for ticks in (self._decoded[after - 1], packet.pts, self._decoded[after])
        )
        return before_tick == tick and after_tick <= tick + 1

    def _made(self, frame: Any) -> Iterator[VideoFrame | AudioChunk]:
        assert self._order is not None and self._video_clock is not None
        ticks = self._order.time_of(frame)
        while self._left_out and ticks is not None and self._left_out[0][0] <= ticks:
            own, duration = self._left_out.pop(0)
            if own < ticks:  # else it was decoded all the same: others refer to it
                pts_ns = self._video_clock.stamp(self._raw_pts_ns(own), to_ns(duration, self._time_base))
                yield from self._settle(pts_ns)
                self.frames += 1
                yield VideoFrame(pts_ns, NO_IMAGE)
        raw, aspect = self._raw_pts_ns(ticks), self._aspect(frame)
        waits = raw is not None and self._tick_of(raw) == self._tick
        image = None if waits else self._images.image_of(frame, aspect)
        self.damaged_frames += bool(frame.is_corrupt)
        pts_ns = self._video_clock.stamp(raw, to_ns(frame.duration, self._time_base) if frame.duration else None)
        before = self._tick
        yield from self._settle(pts_ns)
        if image is None and self._tick == before:
            self._waiting = (pts_ns, frame, aspect)
        else:
            yield VideoFrame(pts_ns, self._images.image_of(frame, aspect) if image is None else image)

    def _settle(self, next_ns: int | None) -> Iterator[VideoFrame]:
        """Yields the frame that waits, with its image only where a tick before the next frame can need it.

        Args:
            next_ns: time of the next frame; None at the end.
        """
        import av

        waiting, self._waiting = self._waiting, None
        before = self._tick
        if next_ns is not None:
            self._tick = self._tick_of(next_ns)
        if waiting is not None:
            pts_ns, frame, aspect = waiting
            needed = next_ns is None or self._tick is None or before is None or self._tick > before + 1
            try:
                image = self._images.image_of(frame, aspect) if needed else NO_IMAGE
            except (av.error.FFmpegError, ValueError):  # as in TrackDecoder
                self.bad_packets += 1
                self.frames -= 1
            else:
                yield VideoFrame(pts_ns, image)

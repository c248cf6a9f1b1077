"""The bounded queue between a capture thread and its reader: newest frames, all audio up to a limit."""

from __future__ import annotations

import threading
from collections import deque

from edgeaff.capture.timeline import order_of
from edgeaff.spec import NANOSECONDS
from edgeaff.types import AudioChunk, VideoFrame


class Inbox:
    """Holds the newest frames and a few seconds of audio; drops the oldest when full.

    The writer never waits. Dropped units are counted.
    """

    def __init__(self, *, max_frames: int, max_audio_seconds: float) -> None:
        """Makes an empty inbox.

        Args:
            max_frames: frames kept; 1 is "always the newest".
            max_audio_seconds: audio kept.
        """
        self.changed = threading.Condition()  # LiveGroup replaces it by one that several inboxes share
        self.frames_replaced = 0
        self.samples_dropped = 0
        self._frames: deque[VideoFrame] = deque()
        self._chunks: deque[AudioChunk] = deque()
        self._max_frames = max_frames
        self._max_audio_ns = int(max_audio_seconds * NANOSECONDS)
        self._audio_ns = 0
        self._closed = False

    def put(self, unit: VideoFrame | AudioChunk) -> int:
        """Stores a unit and wakes the reader.

        Args:
            unit: the captured frame or chunk.

        Returns:
            The number of frames or samples dropped for it; after `close`, that of the unit itself.
        """
        with self.changed:
            if self._closed:
                return 1 if isinstance(unit, VideoFrame) else unit.samples.size
            lost = self._put_frame(unit) if isinstance(unit, VideoFrame) else self._put_chunk(unit)
            self.changed.notify_all()
            return lost

    def _put_frame(self, frame: VideoFrame) -> int:
        lost = 0
        while len(self._frames) >= self._max_frames:
            self._frames.popleft()
            lost += 1
        self._frames.append(frame)
        self.frames_replaced += lost
        return lost

    def _put_chunk(self, chunk: AudioChunk) -> int:
        self._chunks.append(chunk)
        self._audio_ns += _length_ns(chunk)
        lost = 0
        while self._audio_ns > self._max_audio_ns and len(self._chunks) > 1:
            oldest = self._chunks.popleft()
            self._audio_ns -= _length_ns(oldest)
            lost += oldest.samples.size
        self.samples_dropped += lost
        return lost

    def peek_order(self) -> tuple[int, bool] | None:
        """Returns the sort key of the unit that `pop` would give, None if there is none; call with `changed` held."""
        heads = [order_of(queue[0]) for queue in (self._frames, self._chunks) if queue]
        return min(heads, default=None)

    def pop(self) -> VideoFrame | AudioChunk:
        """Returns the earliest unit and removes it; call with `changed` held and `peek_order` not None."""
        if self._frames and (not self._chunks or order_of(self._frames[0]) < order_of(self._chunks[0])):
            return self._frames.popleft()
        chunk = self._chunks.popleft()
        self._audio_ns -= _length_ns(chunk)
        return chunk

    @property
    def closed(self) -> bool:
        """True once nothing more will come."""
        return self._closed

    def close(self) -> None:
        """Lets the reader end after the stored units."""
        with self.changed:
            self._closed = True
            self.changed.notify_all()

    def sizes(self) -> tuple[int, float]:
        """Returns the frames waiting and the seconds of audio waiting."""
        with self.changed:
            return len(self._frames), self._audio_ns / NANOSECONDS


def _length_ns(chunk: AudioChunk) -> int:
    return chunk.samples.size * NANOSECONDS // chunk.sample_rate_hz

"""Decoding of one track of a container, packet by packet, into frames or chunks whose times never step back."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from edgeaff.capture.downmix import ChannelCancellation, downmix_weights, to_mono
from edgeaff.capture.timeline import Timeline, to_ns
from edgeaff.forking import ProcessBound
from edgeaff.spec import NANOSECONDS
from edgeaff.types import AudioChunk, VideoFrame

MAX_CHUNK_SECONDS = 0.1  # well under Session's max_skew_seconds, so that order by pts is enough
_DEFAULT_FRAME_NS = NANOSECONDS // 25
# signs of the display matrix (a, b, c, d) -> (quarter turns counter-clockwise, first a mirror?)
_QUARTER_TURNS: dict[tuple[int, ...], tuple[int, bool]] = {
    (1, 0, 0, 1): (0, False),
    (0, -1, 1, 0): (1, False),
    (-1, 0, 0, -1): (2, False),
    (0, 1, -1, 0): (3, False),
    (-1, 0, 0, 1): (0, True),
    (1, 0, 0, -1): (2, True),
    (0, -1, -1, 0): (3, True),
    (0, 1, 1, 0): (1, True),
}


def orientation_of(matrix: np.ndarray) -> tuple[int, bool]:
    """Returns quarter turns counter-clockwise, and whether a mirror (left to right) comes first.

    Args:
        matrix: (9,) int32, as in MP4: x' = a x + c y, y' = b x + d y with a, b, c, d at 0, 1, 3, 4. One that is no
            quarter turn or mirror counts as none.
    """
    return _QUARTER_TURNS.get(tuple(int(np.sign(matrix[index])) for index in (0, 1, 3, 4)), (0, False))


class PictureMaker:
    """Turns the decoded PyAV frames of one track into upright RGB arrays."""

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # one for all: it keeps its tables
        self._rotation: int | None = None
        self._orientation = (0, False)

    def picture_of(self, frame: Any) -> np.ndarray:
        """Returns (H, W, 3) uint8 RGB, contiguous, with the display matrix applied.

        Args:
            frame: a decoded PyAV frame of any pixel format.
        """
        image = self._reformatter.reformat(frame, format="rgb24").to_ndarray()
        if frame.rotation != self._rotation:
            self._rotation, self._orientation = frame.rotation, self._orientation_of_frame(frame)
        turns, mirrored = self._orientation
        if mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, turns) if turns else image)

    def _orientation_of_frame(self, frame: Any) -> tuple[int, bool]:
        # Reading side_data ties a frame into a cycle that only the garbage collector undoes, so it is read once per
        # change and from a tiny copy (test_decoded_pictures_are_freed_without_the_garbage_collector).
        tiny: Any = type(self._reformatter)().reformat(frame, width=2, height=2, format="gray")
        try:
            matrices = display_matrices(tiny.side_data)
        except (
            ValueError
        ):  # PyAV's list stops at a kind it does not know (EXIF in a JPEG): the angle still comes through
            return round(frame.rotation / 90) % 4, False
        return orientation_of(np.frombuffer(matrices[0], dtype=np.int32)) if matrices else (0, False)


def display_matrices(side_data: Any) -> list[bytes]:
    """Returns the display matrices of a frame. PyAV's side_data is a list of entries up to 18, a mapping by kind from 19 on."""
    found = []
    for item in side_data:
        kind, data = (item.type, item) if hasattr(item, "type") else (item, side_data[item])
        if kind.name == "DISPLAYMATRIX":
            found.append(bytes(data))
    return found


def samples_of(frame: Any) -> np.ndarray:
    """Returns the samples of a decoded PyAV audio frame as (C, n), in the sample format of the file."""
    array = frame.to_ndarray()
    if frame.format.is_planar:
        return array
    return array.reshape(-1, frame.layout.nb_channels).T


class VideoClock:
    """Gives each frame a time: absent ones are filled in, none steps back. Counts what it repaired."""

    def __init__(self, frame_ns: int = _DEFAULT_FRAME_NS) -> None:
        self._last: int | None = None
        self._gap = frame_ns
        self.repaired = 0
        self.end_ns = 0

    def stamp(self, pts_ns: int | None, duration_ns: int | None) -> int:
        """Returns the time of the next frame.

        Args:
            pts_ns: what the container says, or None.
            duration_ns: how long the frame is shown, or None.

        Returns:
            pts_ns; previous + duration where it is None; previous + 1 ns where it does not come after the previous.
        """
        if pts_ns is None:
            self.repaired += 1
            pts_ns = self._last + self._gap if self._last is not None else 0
        elif self._last is not None and pts_ns <= self._last:
            self.repaired += 1
            pts_ns = self._last + 1
        if duration_ns:
            self._gap = duration_ns
        elif self._last is not None and pts_ns > self._last + 1:
            self._gap = pts_ns - self._last
        self._last = pts_ns
        self.end_ns = pts_ns + (duration_ns or self._gap)
        return pts_ns


class AudioClock:
    """Gives each chunk a time. While the container agrees to within its own rounding, samples are counted instead.

    Matroska rounds to 1 ms and MPEG to 11 us: counting gives the exact time back.
    """

    _COARSEST_NS = 2_000_000  # a time base coarser than 2 ms says nothing about single chunks, so it is taken as it is

    def __init__(self) -> None:
        self._anchor = 0
        self._count = 0
        self._rate = 0
        self._last: int | None = None
        self.repaired = 0

    @property
    def end_ns(self) -> int:
        """Time just after the last sample."""
        return self._anchor + (self._count * NANOSECONDS // self._rate if self._rate else 0)

    def stamp(self, pts_ns: int | None, *, count: int, rate_hz: int, tick_ns: int) -> int:
        """Returns the time of the next chunk's first sample.

        Args:
            pts_ns: what the container says, or None.
            count: samples in the chunk.
            rate_hz: their rate.
            tick_ns: length of the container's time unit.

        Returns:
            int nanoseconds, always after the previous chunk's.
        """
        expected = self.end_ns
        started = self._last is not None
        agrees = pts_ns is not None and abs(pts_ns - expected) <= min(tick_ns, self._COARSEST_NS)
        if pts_ns is None:
            self.repaired += 1
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


class TrackDecoder(ProcessBound):
    """Turns the packets of one track into frames or chunks with rising pts.

    Attributes:
        kind: "video" or "audio".
        index: position of the track in the container.
        bad_packets: packets that could not be decoded.
        frames: decoded pictures or audio frames.
    """

    def __init__(self, stream: Any, *, keep_unknown_start: bool = True) -> None:
        """Prepares the decoder.

        Args:
            stream: the track to decode.
            keep_unknown_start: give time 0 to pictures that come without pts before the first that has one; False
                drops them, as an RTSP server sends them at any time.
        """
        self.kind, self.index = str(stream.type), int(stream.index)  # outlive the container, as the counts do
        self._time_base: Fraction = stream.time_base  # frames drained from a decoder carry none
        self._decoder = stream.codec_context
        self._decoder.thread_count = 1  # threads make the pictures of a damaged file differ from run to run
        self._video_clock = VideoClock(_frame_ns(stream)) if stream.type == "video" else None
        self._pictures = PictureMaker()
        self._audio_clock = AudioClock()
        self._cancellation = ChannelCancellation()
        self._shift_ns: int | None = None
        self._start_is_known = keep_unknown_start
        self.bad_packets = self.frames = 0

    @property
    def repaired_pts(self) -> int:
        """Timestamps that were absent or stepped back."""
        return self._video_clock.repaired if self._video_clock else self._audio_clock.repaired

    @property
    def end_ns(self) -> int:
        """End of what was delivered, on the session timeline."""
        return self._video_clock.end_ns if self._video_clock else self._audio_clock.end_ns

    @property
    def channels_cancel(self) -> bool:
        """True where the mono sum of the channels is silent while they are not."""
        return self._cancellation.found

    def feed(self, packet: Any, shift_ns: int) -> Iterator[VideoFrame | AudioChunk]:
        """Yields what a packet completes.

        Args:
            packet: the next packet of the track.
            shift_ns: added to its raw times.
        """
        if self._shift_ns is not None and shift_ns != self._shift_ns:
            yield from self.drain()  # old pictures still wait in the decoder: they belong to the old epoch
        self._shift_ns = shift_ns
        yield from self._units(self._decode(packet))

    def drain(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields what still waits in the decoder, which then starts afresh."""
        import av

        try:
            frames = self._decoder.decode(None)
        except (av.error.FFmpegError, ValueError):
            frames = []
        self._decoder.flush_buffers()
        yield from self._units(frames)

    def _decode(self, packet: Any) -> list[Any]:
        import av

        try:
            return packet.decode()
        except (av.error.FFmpegError, ValueError):
            self.bad_packets += 1
            return []

    def _units(self, frames: list[Any]) -> Iterator[VideoFrame | AudioChunk]:
        import av

        for frame in frames:
            if not self._start_is_known and frame.pts is None:
                self.bad_packets += 1
                continue
            self._start_is_known = True
            try:
                if self._video_clock is not None:
                    yield self._picture(frame, self._video_clock)
                else:
                    yield from self._chunks(frame)
            except (av.error.FFmpegError, ValueError):  # a frame whose format changed into something unusable
                self.bad_packets += 1
            else:
                self.frames += 1

    def _picture(self, frame: Any, clock: VideoClock) -> VideoFrame:
        image = self._pictures.picture_of(frame)
        pts = self._raw_pts_ns(frame.pts if frame.pts is not None else frame.dts)
        duration = to_ns(frame.duration, self._time_base) if frame.duration else None
        return VideoFrame(clock.stamp(pts, duration), image)

    def _chunks(self, frame: Any) -> Iterator[AudioChunk]:
        channels = samples_of(frame)
        mono = to_mono(channels, downmix_weights([channel.name for channel in frame.layout.channels]))
        self._cancellation.add(channels, mono)
        pts, rate = self._raw_pts_ns(frame.pts), frame.sample_rate
        start = self._audio_clock.stamp(pts, count=mono.size, rate_hz=rate, tick_ns=to_ns(1, self._time_base))
        step = max(1, int(rate * MAX_CHUNK_SECONDS))
        for first in range(0, mono.size, step):
            yield AudioChunk(start + first * NANOSECONDS // rate, mono[first : first + step], rate)

    def _raw_pts_ns(self, ticks: int | None) -> int | None:
        return None if ticks is None else to_ns(ticks, self._time_base) + (self._shift_ns or 0)


class TrackReader(TrackDecoder):
    """Reads one track of an open container to its end.

    Attributes:
        error: why reading stopped before the end of the file, or None.
    """

    def __init__(self, container: Any, stream: Any, others: list[Any], timeline: Timeline) -> None:
        """Prepares the decoder.

        Args:
            container: an open PyAV container that nobody else reads.
            stream: the track to decode.
            others: further tracks whose packets the timeline must see.
            timeline: own one; readers of the same file reach the same shifts, as they see the same packets.
        """
        super().__init__(stream)
        self._container, self._streams, self._timeline = container, [stream, *others], timeline
        self.error: str | None = None

    @property
    def jumps(self) -> int:
        """Returns how often the container's time jumped back."""
        return self._timeline.jumps

    def __iter__(self) -> Generator[VideoFrame | AudioChunk, None, None]:
        """Yields frames or chunks with rising pts."""
        for packet in self._packets():
            shift = shift_of(self._timeline, packet)
            if packet.stream.index == self.index:
                yield from self.feed(packet, shift)
        if self.error is not None:
            yield from self.drain()

    def _packets(self) -> Iterator[Any]:
        import av

        try:
            yield from self._container.demux(self._streams)
        except (av.error.FFmpegError, OSError) as error:
            self.error = str(error.strerror or error)


def shift_of(timeline: Timeline, packet: Any) -> int:
    """Returns what a timeline says to add to the raw times of a packet, in nanoseconds."""
    base = packet.time_base
    return timeline.shift_ns(
        packet.stream.index,
        decode_ns=None if packet.dts is None else to_ns(packet.dts, base),
        present_ns=None if packet.pts is None else to_ns(packet.pts, base),
        duration_ns=to_ns(packet.duration or 0, base),
    )


def _frame_ns(stream: Any) -> int:
    rate: Fraction | None = stream.average_rate
    return int(NANOSECONDS / rate) if rate else _DEFAULT_FRAME_NS

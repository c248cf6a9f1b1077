"""Decoding of one track of a container, packet by packet, into frames or chunks whose times never step back."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from edgeaff.capture.downmix import ChannelCancellation, FullScale, downmix_weights, to_mono
from edgeaff.capture.file_clock import (
    NOMINAL_RATE_HZ,
    AudioClock,
    CodingOrder,
    VideoClock,
    declared_rate,
    has_no_times,
    stores_decoding_times,
)
from edgeaff.capture.image import ImageMaker
from edgeaff.capture.still import exif_orientation, lacks_end
from edgeaff.capture.timeline import Timeline, to_ns
from edgeaff.forking import ProcessBound
from edgeaff.spec import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, NANOSECONDS
from edgeaff.types import AudioChunk, VideoFrame, most_pixels

MAX_CHUNK_SECONDS = 0.1  # well under Session's max_skew_seconds, so that order by pts is enough
_EXIF_CODECS = frozenset({"mjpeg", "png", "webp", "tiff"})
_CHECKED_CODECS = _EXIF_CODECS | {
    "jpeg2000",
    "jpegls",
}  # each packet stands alone, and FFmpeg hides its damage unless asked


@dataclass(frozen=True, slots=True)
class Storage:
    """Properties of a track in its container.

    Attributes:
        no_times: it is a raw stream; times are nominal.
        decoding_times: times are in coding order.
        still: it is one image; its pixels are square, regardless of its declared density.
        orientation: quarter turns counter-clockwise, and whether a mirror comes first, where the header of the file declares it.
    """

    no_times: bool = False
    decoding_times: bool = False
    still: bool = False
    orientation: tuple[int, bool] | None = None


def storage_of(container: Any, orientation: tuple[int, bool] | None = None) -> Storage:
    """Returns the layout of the tracks of an open container.

    Args:
        container: of PyAV.
        orientation: see `Storage`.
    """
    name = container.format.name
    still = name == "image2" or name.endswith("_pipe") or orientation is not None
    return Storage(has_no_times(container) and not still, stores_decoding_times(container), still, orientation)


def samples_of(frame: Any) -> np.ndarray:
    """Returns the samples of a decoded PyAV audio frame as (C, n), in the sample format of the file."""
    array = frame.to_ndarray()
    if frame.format.is_planar:
        return array
    return array.reshape(-1, frame.layout.nb_channels).T


class TrackDecoder(ProcessBound):
    """Turns the packets of one track into frames or chunks with rising pts.

    Attributes:
        kind: "video" or "audio".
        index: position of the track in the container.
        bad_packets: packets that could not be decoded.
        damaged_frames: frames that were decoded with errors and are delivered as they came out.
        frames: decoded video or audio frames.
        nominal_rate: frames per second of the clock where the container has no times, else None; and whether the stream declares it.
    """

    def __init__(self, stream: Any, *, keep_unknown_start: bool = True, storage: Storage | None = None) -> None:
        """Prepares the decoder.

        Args:
            stream: the track to decode.
            keep_unknown_start: give time 0 to frames that come without pts before the first that has one; False
                drops them, as an RTSP server sends them at any time.
            storage: how the container stores it; None for presentation times.
        """
        self._storage = storage or Storage()
        self.kind, self.index = str(stream.type), int(stream.index)  # outlive the container, as the counts do
        self._time_base: Fraction = stream.time_base  # frames drained from a decoder carry none
        self._decoder = stream.codec_context
        self._decoder.thread_count = 1  # threads make the frames of a damaged file differ from run to run
        self._video_clock: VideoClock | None = None
        self._order: CodingOrder | None = None
        self.nominal_rate: tuple[float, bool] | None = None
        if stream.type == "video":
            self._prepare_video(stream)
        self._audio_clock = AudioClock()
        self._cancellation, self._scale = ChannelCancellation(), FullScale()
        self._shift_ns: int | None = None
        self._lacks_end = False
        self._start_is_known = keep_unknown_start
        self.bad_packets = self.damaged_frames = self.frames = 0

    def _prepare_video(self, stream: Any) -> None:
        storage, codec = self._storage, self._decoder.name
        if storage.no_times:
            declared = declared_rate(stream, raw=True)
            self.nominal_rate = (float(declared or NOMINAL_RATE_HZ), declared is not None)
        rate = self.nominal_rate[0] if self.nominal_rate else declared_rate(stream) or NOMINAL_RATE_HZ
        self._video_clock = VideoClock(int(NANOSECONDS / rate), nominal=storage.no_times)
        self._order = CodingOrder(decoding_times=storage.decoding_times)
        self._images = ImageMaker(storage.orientation)
        self._first_size = (self._decoder.width, self._decoder.height)
        self._first_aspect = None if storage.still else stream.sample_aspect_ratio
        self._look_for_exif = codec in _EXIF_CODECS and storage.orientation is None
        self._tolerant: Any = None
        self._checked = codec in _CHECKED_CODECS
        options = {"max_pixels": str(most_pixels())}
        self._decoder.options = {**options, "err_detect": "crccheck+explode"} if self._checked else options

    @property
    def repaired_pts(self) -> int:
        """Timestamps that were absent, repeated or stepped back."""
        return self._video_clock.repaired if self._video_clock else self._audio_clock.repaired

    @property
    def stalled_pts(self) -> int:
        """Timestamps of video frames that did not advance."""
        return self._video_clock.stalled if self._video_clock else 0

    @property
    def end_ns(self) -> int:
        """End of what was delivered, on the session timeline."""
        return self._video_clock.end_ns if self._video_clock else self._audio_clock.end_ns

    @property
    def channels_cancel(self) -> bool:
        """True where the mono sum of the channels is silent while they are not."""
        return self._cancellation.found

    @property
    def beyond_full_scale(self) -> bool:
        """True where most samples lie far outside [-1, 1]."""
        return self._scale.exceeded

    def feed(self, packet: Any, shift_ns: int) -> Iterator[VideoFrame | AudioChunk]:
        """Yields what a packet completes.

        Args:
            packet: the next packet of the track.
            shift_ns: added to its raw times.
        """
        if self._shift_ns is not None and shift_ns != self._shift_ns:
            yield from self.drain()  # old frames still wait in the decoder: they belong to the old epoch
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
        if self._order is not None:
            self._order.reset()

    def _decode(self, packet: Any) -> list[Any]:
        import av

        if self._order is not None:
            self._order.add(packet)
            if self._look_for_exif and packet.size:
                self._read_header(bytes(packet))
        try:
            frames = packet.decode()
            self.damaged_frames += len(frames) if self._lacks_end else 0
            return frames
        except (av.error.FFmpegError, ValueError):
            frames = self._decode_damaged(packet)
            self.damaged_frames += len(frames)
            self.bad_packets += not frames
            if self._order is not None and not frames:
                self._order.drop(packet)
            return frames

    def _read_header(self, data: bytes) -> None:
        self._look_for_exif = False
        self._images.declared = exif_orientation(data)
        self._lacks_end = self._storage.still and lacks_end(data)

    def _decode_damaged(self, packet: Any) -> list[Any]:
        """Returns FFmpeg's decoding of a packet that failed its checks: a frame with gray or torn parts, or nothing."""
        import av

        if self._order is None or not self._checked:
            return []
        if self._tolerant is None:
            self._tolerant = av.CodecContext.create(self._decoder.name, "r")
            self._tolerant.extradata, self._tolerant.thread_count = self._decoder.extradata, 1
            self._tolerant.options = {"max_pixels": str(most_pixels())}
        try:
            return self._tolerant.decode(packet)
        except (av.error.FFmpegError, ValueError):
            return []

    def _units(self, frames: list[Any]) -> Iterator[VideoFrame | AudioChunk]:
        import av

        for frame in frames:
            if not self._start_is_known and frame.pts is None:
                self.bad_packets += 1
                continue
            self._start_is_known = True
            try:
                yield from self._made(frame)
            except (av.error.FFmpegError, ValueError):  # a frame whose format changed into something unusable
                self.bad_packets += 1
            else:
                self.frames += 1

    def _made(self, frame: Any) -> Iterator[VideoFrame | AudioChunk]:
        if self._video_clock is not None:
            yield self._video_frame(frame, self._video_clock)
        else:
            yield from self._chunks(frame)

    def _video_frame(self, frame: Any, clock: VideoClock) -> VideoFrame:
        assert self._order is not None
        ticks = self._order.time_of(frame)
        image = self._images.image_of(frame, self._aspect(frame))
        self.damaged_frames += bool(frame.is_corrupt)
        duration = to_ns(frame.duration, self._time_base) if frame.duration else None
        return VideoFrame(clock.stamp(self._raw_pts_ns(ticks), duration), image)

    def _aspect(self, frame: Any) -> Any:
        """Returns the sample aspect ratio: the container's, or the coded stream's once the size of frames has changed."""
        if self._storage.still or (frame.width, frame.height) == self._first_size:
            return self._first_aspect
        return self._decoder.sample_aspect_ratio

    def _chunks(self, frame: Any) -> Iterator[AudioChunk]:
        rate = frame.sample_rate
        if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
            raise ValueError(f"audio of {rate} Hz")  # counted as a bad packet
        channels = samples_of(frame)
        mono = to_mono(channels, downmix_weights([channel.name for channel in frame.layout.channels]))
        self._cancellation.add(channels, mono)
        mono = self._scale.limited(mono)
        pts = self._raw_pts_ns(frame.pts)
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

    def __init__(
        self, container: Any, stream: Any, others: list[Any], timeline: Timeline, *, storage: Storage | None = None
    ) -> None:
        """Prepares the decoder.

        Args:
            container: an open PyAV container without other readers.
            stream: the track to decode.
            others: further tracks whose packets the timeline must see.
            timeline: own one; readers of the same file reach the same shifts, as they see the same packets.
            storage: see `TrackDecoder`.
        """
        super().__init__(stream, storage=storage)
        self._container, self._streams, self._timeline = container, [stream, *others], timeline
        self.error: str | None = None

    @property
    def jumps(self) -> int:
        """Returns the number of jumps back of the container's time."""
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
    """Returns a timeline's offset for the raw times of a packet, in nanoseconds."""
    base = packet.time_base
    return timeline.shift_ns(
        packet.stream.index,
        decode_ns=None if packet.dts is None else to_ns(packet.dts, base),
        present_ns=None if packet.pts is None else to_ns(packet.pts, base),
        duration_ns=to_ns(packet.duration or 0, base),
    )

"""Network streams (RTSP, MPEG-TS over UDP or TCP) through PyAV, with timeouts and reconnection."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from edgeaff.capture.clocks import JumpFilter, StreamClock
from edgeaff.capture.container import open_stream
from edgeaff.capture.live import LiveSource
from edgeaff.capture.timeline import Timeline, to_ns
from edgeaff.capture.track import TrackDecoder, shift_of
from edgeaff.errors import BackendUnavailableError, DeviceError
from edgeaff.naming import without_secrets
from edgeaff.spec import NANOSECONDS
from edgeaff.types import AudioChunk, VideoFrame

SETTLE_SECONDS = 0.3  # what was buffered while FFmpeg looked at the stream comes in one burst: wait it out
_HELD_FRAMES = 3
_OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp", "analyzeduration": "1000000"},
    "udp": {"analyzeduration": "1000000", "overrun_nonfatal": "1", "fifo_size": "50000"},
    "tcp": {"analyzeduration": "1000000"},
}


class NetworkStream(LiveSource):
    """Frames and audio of a network stream on the monotonic clock.

    Time: the stream's timestamps, re-based where they jump or wrap, plus one offset for both tracks that follows the
    smallest delay of arrival (`StreamClock`): the sender sets the offset between frames and audio. Frames without a
    timestamp at the start (RTSP sends them) are dropped and counted.
    """

    def __init__(
        self,
        uri: str,
        *,
        video: bool = True,
        audio: bool = True,
        open_seconds: float = 8.0,
        read_seconds: float = 2.0,
        options: dict[str, str] | None = None,
        **live: Any,
    ) -> None:
        """Prepares the stream; entering it opens the connection.

        Args:
            uri: rtsp://, udp:// or tcp:// address as FFmpeg takes it.
            video: deliver frames if there are any.
            audio: deliver audio if there is any.
            open_seconds: time limit for opening.
            read_seconds: silence after which the stream is lost and reopened.
            options: further options of FFmpeg.
            live: options of LiveSource.

        Raises:
            BackendUnavailableError: PyAV is not installed.
        """
        super().__init__(uri, connect_seconds=live.pop("connect_seconds", open_seconds + 2.0), **live)
        try:
            import av
        except ImportError as error:
            raise BackendUnavailableError(
                f"network streams need PyAV, got: {error}; run `pip install 'edgeaff[media]'`."
            ) from error
        self._av, self.uri = av, uri
        self.has_video, self.has_audio = video, audio
        self._timeouts = (open_seconds, read_seconds)
        self._options = {**_OPTIONS.get(uri.split(":", 1)[0].lower(), {}), **(options or {})}
        self._counts.update(bad_packets=0, repaired_pts=0, rebased_jumps=0)
        self._last_ns_of: dict[bool, int] = {}
        self._damaged = 0  # since it was opened
        self._doubted_ns: int | None = None

    @property
    def kind(self) -> str:
        """Source of its StatusEvents."""
        return "stream"

    def _open(self) -> Any:
        try:
            container = open_stream(self._av, self.uri, timeout=self._timeouts, options=self._options)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            reason = self._reason(error)
            raise DeviceError(
                f"{self.name} must be an open stream, got: {reason}; is it sending?"
            ) from None  # its text holds the URI
        kinds = {stream.type for stream in container.streams if stream.codec_context is not None}
        wanted = {kind for kind, asked in (("video", self.has_video), ("audio", self.has_audio)) if asked}
        if not wanted & kinds:
            container.close()
            raise DeviceError(
                f"{self.name} must carry what is asked for, got {', '.join(sorted(kinds)) or 'no track'}."
            )
        return container

    def _reason(self, error: Exception) -> str:
        return without_secrets(getattr(error, "strerror", None) or str(error), self.uri)

    def _read(self, device: Any) -> Iterator[VideoFrame | AudioChunk | None]:
        decoders = self._decoders(device)
        clock, held = StreamClock(), _Settling()
        for unit, arrival_ns in self._units(device, decoders):
            length = 0
            if isinstance(unit, AudioChunk):
                length = unit.samples.size * NANOSECONDS // unit.sample_rate_hz
            if clock.is_from_the_future(unit.pts_ns + length, arrival_ns):
                self._doubt(arrival_ns)
                continue
            self._doubted_ns = None
            clock.observe(unit.pts_ns + length, arrival_ns)
            for ready in held.add(unit, arrival_ns):
                yield self._on_our_clock(ready, clock.offset_ns or 0)
        for ready in held.rest():
            yield self._on_our_clock(ready, clock.offset_ns or 0)

    def _doubt(self, arrival_ns: int) -> None:
        """Counts a unit whose time cannot be right.

        Args:
            arrival_ns: when it came.

        Raises:
            DeviceError: nothing else has come for a second; the stream's clock must be learned again.
        """
        self._counts["bad_packets"] += 1
        self._damaged += 1
        self._doubted_ns = self._doubted_ns or arrival_ns
        if arrival_ns - self._doubted_ns > NANOSECONDS:
            raise DeviceError(f"{self.name} sends timestamps that jump; it is reopened.")

    def _decoders(self, container: Any) -> dict[int, TrackDecoder]:
        decoders: dict[int, TrackDecoder] = {}
        for kind, wanted in (("video", self.has_video), ("audio", self.has_audio)):
            stream = next((s for s in container.streams if s.type == kind and s.codec_context is not None), None)
            if wanted and stream is not None:
                decoders[stream.index] = TrackDecoder(stream, keep_unknown_start=False)
        return decoders

    def _units(
        self, container: Any, decoders: dict[int, TrackDecoder]
    ) -> Iterator[tuple[VideoFrame | AudioChunk, int]]:
        timeline, jumps = Timeline(start_ns=0, wraps_at_33_bits=True), JumpFilter()
        before, self._damaged, self._doubted_ns = dict(self._counts), 0, None
        try:
            for packet in container.demux([container.streams[index] for index in decoders]):
                arrival_ns = self._clock()
                decoder = decoders[packet.stream.index]
                damaged = jumps.is_damaged(
                    packet.stream.index, None if packet.dts is None else to_ns(packet.dts, packet.time_base)
                )
                self._damaged += damaged
                if not damaged:
                    for unit in decoder.feed(packet, shift_of(timeline, packet)):
                        yield unit, arrival_ns
                bad = self._damaged + sum(d.bad_packets for d in decoders.values())
                self._counts["bad_packets"] = before["bad_packets"] + bad
                self._counts["repaired_pts"] = before["repaired_pts"] + sum(d.repaired_pts for d in decoders.values())
                self._counts["rebased_jumps"] = before["rebased_jumps"] + timeline.jumps
        except (self._av.error.FFmpegError, OSError) as error:
            raise DeviceError(f"{self.name} stopped sending: {self._reason(error)}.") from None

    def _on_our_clock(self, unit: VideoFrame | AudioChunk, offset_ns: int) -> VideoFrame | AudioChunk:
        is_audio = isinstance(unit, AudioChunk)
        pts = max(unit.pts_ns + offset_ns, self._last_ns_of.get(is_audio, 0) + 1)
        self._last_ns_of[is_audio] = pts
        if isinstance(unit, AudioChunk):
            return AudioChunk(pts, unit.samples, unit.sample_rate_hz)
        return VideoFrame(pts, unit.image)

    def _shut(self, device: Any) -> None:
        device.close()


class _Settling:
    """Holds the opening burst until the stream's clock is known: all its audio, its last frames."""

    def __init__(self) -> None:
        self._until = time.monotonic() + SETTLE_SECONDS
        self._held: list[VideoFrame | AudioChunk] = []
        self._done = False

    def add(self, unit: VideoFrame | AudioChunk, arrival_ns: int) -> list[VideoFrame | AudioChunk]:
        if self._done:
            return [unit]
        self._held.append(unit)
        frames = [held for held in self._held if isinstance(held, VideoFrame)]
        if len(frames) > _HELD_FRAMES:
            self._held.remove(frames[0])
        return self.rest() if time.monotonic() >= self._until else []

    def rest(self) -> list[VideoFrame | AudioChunk]:
        self._done = True
        held, self._held = self._held, []
        return held

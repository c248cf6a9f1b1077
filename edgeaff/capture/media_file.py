"""Media files: pictures and sound of one file on one timeline, in the order of time."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeaff.capture.timeline import Timeline, order_of, to_ns
from edgeaff.capture.track import TrackReader
from edgeaff.closing import Closing
from edgeaff.errors import BackendUnavailableError, MediaError
from edgeaff.naming import public_name
from edgeaff.spec import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, NANOSECONDS
from edgeaff.types import AudioChunk, VideoFrame

EARLY_END_NS = 500_000_000
_HEADER_DECLARES_DURATION = frozenset({"mov", "matroska", "avi", "wav", "flac", "ogg", "asf"})
_TEXT_AS_PICTURES = frozenset({"tty", "bin", "xbin", "adf", "idf"})  # FFmpeg would draw any text file
_WRAPS_AT_33_BITS = frozenset({"mpegts", "mpeg"})


def open_container(av: Any, address: str, **options: Any) -> Any:
    """Returns an open container; bad bytes in its metadata are ignored by every PyAV (from 19 on without being asked to).

    Args:
        av: the module.
        address: what FFmpeg opens.
        options: of av.open.
    """
    if int(av.__version__.split(".")[0]) < 19:
        options["metadata_errors"] = "ignore"
    return av.open(address, **options)


class MediaFile(Closing):
    """A file source: yields VideoFrame and AudioChunk of the first video and the first audio track.

    Times: container timestamps minus the container's start time, one shift for both tracks, so offsets between them
    are kept. Steps back of more than 0.5 s are re-based (`edgeaff.capture.timeline`), absent times filled in. The order
    is that of `order_of`, each modality rises strictly, nothing is left out. Memory stays bounded however badly the
    file is interleaved: each track has a demuxer of its own.

    Pictures are upright (display matrix applied) RGB; sound is mono at the native rate (`edgeaff.capture.downmix`), in
    chunks of at most 0.1 s, int16 where the file has one int16 channel, else float32. NaN samples pass through. Cover
    art is not video. May be iterated again; each pass starts at the beginning and resets `counts` and `warnings`.

    Attributes:
        path: the file.
        has_video: a video track is there and asked for.
        has_audio: an audio track is there and asked for.
        duration_seconds: what the container says, None if it does not.
        warnings: what the last pass found wrong, one sentence each.
    """

    is_live = False

    def __init__(self, path: str | os.PathLike[str], *, video: bool = True, audio: bool = True) -> None:
        """Opens the file and looks at its tracks.

        Args:
            path: a regular file of any format that FFmpeg reads, still pictures included.
            video: deliver pictures if there are any.
            audio: deliver sound if there is any.

        Raises:
            BackendUnavailableError: PyAV is not installed.
            MediaError: the file is absent, empty, damaged, no media, or has no track of the kind asked for.
        """
        try:
            import av
        except ImportError as error:
            raise BackendUnavailableError(
                f"reading media files needs PyAV, got: {error}; run `pip install 'edgeaff[media]'`."
            ) from error
        self._av = av
        self.path = Path(path)
        self.warnings: list[str] = []
        self._readers: list[TrackReader] = []
        _require_regular_file(self.path)
        with self._open() as container:
            if container.format.name in _TEXT_AS_PICTURES:
                raise MediaError(_unreadable_message(self.path, "text"))
            tracks = {kind: _first_track(container, kind) for kind in ("video", "audio")}
            self._clock_indices = [index for index in tracks.values() if index is not None]
            self._video_index = tracks["video"] if video else None
            self._audio_index = tracks["audio"] if audio else None
            if self._video_index is None and self._audio_index is None:
                raise MediaError(_no_track_message(self.path, container, video=video, audio=audio))
            if self._audio_index is not None:
                rate = container.streams[self._audio_index].codec_context.sample_rate
                if rate and not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
                    raise MediaError(
                        f"{self.path} must have sound of {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, got {rate}; resample it, or "
                        "switch that modality off."
                    )
            self._start_ns = _start_ns(container)
            self._wraps = not _WRAPS_AT_33_BITS.isdisjoint(container.format.name.split(","))
            self._declared_end_ns = _declared_ends_ns(container, self._start_ns)
            self.duration_seconds = None if container.duration is None else container.duration / 1e6

    @property
    def has_video(self) -> bool:
        """True where pictures are delivered."""
        return self._video_index is not None

    @property
    def has_audio(self) -> bool:
        """True where sound is delivered."""
        return self._audio_index is not None

    @property
    def counts(self) -> dict[str, int]:
        """Returns what the current or last pass met: bad_packets, repaired_pts, rebased_jumps, frames, audio_frames."""
        readers = self._readers
        return {
            "bad_packets": sum(reader.bad_packets for reader in readers),
            "repaired_pts": sum(reader.repaired_pts for reader in readers),
            "rebased_jumps": max((reader.jumps for reader in readers), default=0),
            "frames": sum(reader.frames for reader in readers if reader.kind == "video"),
            "audio_frames": sum(reader.frames for reader in readers if reader.kind == "audio"),
        }

    def close(self) -> None:
        """Does nothing: a pass holds the file open only while it runs."""

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields everything in the order of `order_of`; MediaError if not one packet of the file can be decoded."""
        self.warnings.clear()
        self._readers = []
        containers, passes = [], []
        try:
            for index in (self._video_index, self._audio_index):
                if index is not None:
                    containers.append(self._open())
                    self._readers.append(self._reader(containers[-1], index))
            passes = [iter(reader) for reader in self._readers]
            yield from heapq.merge(*passes, key=order_of)
            self._conclude()
        finally:
            for running in passes:  # first: PyAV's generators touch their container when they end
                running.close()
            for container in containers:
                container.close()

    def _open(self) -> Any:
        try:
            return open_container(
                self._av, f"file:{self.path}", options={"protocol_whitelist": "file"}
            )  # the whitelist keeps playlists inside a file from reaching the network
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise MediaError(_unreadable_message(self.path, reason)) from error

    def _reader(self, container: Any, index: int) -> TrackReader:
        # both tracks make the clock even where only one is wanted: its times must not depend on what is switched off
        others = [container.streams[other] for other in self._clock_indices if other != index]
        timeline = Timeline(start_ns=self._start_ns, wraps_at_33_bits=self._wraps)
        return TrackReader(container, container.streams[index], others, timeline)

    def _conclude(self) -> None:
        name, counts = self.path.name, self.counts
        if not counts["frames"] and not counts["audio_frames"]:
            raise MediaError(
                f"{name} must hold at least one readable picture or sound, got none ({counts['bad_packets']} damaged "
                "packets); copy or record the file again."
            )
        if counts["bad_packets"]:
            self.warnings.append(f"{name}: {counts['bad_packets']} damaged packets were skipped.")
        for reader in self._readers:
            declared = self._declared_end_ns.get(reader.index)
            if reader.error is not None:
                self.warnings.append(f"{name}: reading of the {reader.kind} stopped early: {reader.error}.")
            elif declared is not None and reader.end_ns < declared - EARLY_END_NS:
                self.warnings.append(
                    f"{name}: the {reader.kind} ended early, at {reader.end_ns / NANOSECONDS:.2f} s of the "
                    f"{declared / NANOSECONDS:.2f} s that the file declares; it is cut off or damaged."
                )
            if reader.channels_cancel:
                self.warnings.append(
                    f"{name}: the audio channels cancel out in the mono sum; one of them is probably inverted."
                )


def _require_regular_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        name = public_name(path)  # a mistyped URI ends here too
        raise MediaError(f"{name} must be a readable media file, got: {error.strerror}; check the path.") from None
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(
            f"{path} must be a regular file, got a folder or device; pass a media file, or a camera: or mic: URI."
        )
    if status.st_size == 0:
        raise MediaError(f"{path} must be a media file, got an empty file (0 bytes); copy or record it again.")


def _unreadable_message(path: Path, reason: str) -> str:
    try:
        with path.open("rb") as stream:
            head = stream.read(12)
    except OSError as error:
        return f"{path} must be a readable media file, got: {error.strerror}; check its permissions."
    if head[4:8] == b"ftyp":
        return (
            f"{path} must be a complete media file, got an MP4 without its index (truncated before the end); "
            "copy it again, or repair it with a tool that rebuilds the index."
        )
    return f"{path} must be a media file, got data of no known format ({reason}); pass a video, sound or picture."


def _no_track_message(path: Path, container: Any, *, video: bool, audio: bool) -> str:
    wanted = " or ".join(kind for kind, asked in (("video", video), ("audio", audio)) if asked) or "any"
    found = ", ".join(sorted({stream.type for stream in container.streams})) or "no track at all"
    return f"{path} must have a {wanted} track, got {found}; pass another file, or switch that modality off."


def _first_track(container: Any, kind: str) -> int | None:
    for stream in container.streams:
        is_cover = kind == "video" and bool(stream.disposition & stream.disposition.attached_pic)
        if stream.type == kind and stream.codec_context is not None and not is_cover:
            return int(stream.index)
    return None


def _start_ns(container: Any) -> int:
    """Returns the container's start time, exact where a track starts there (FFmpeg rounds it to microseconds)."""
    if container.start_time is None:
        return 0
    start = container.start_time * 1000
    for stream in container.streams:
        if stream.type in ("video", "audio") and stream.start_time is not None:
            exact = to_ns(stream.start_time, stream.time_base)
            if abs(exact - start) <= 1000:
                return exact
    return start


def _declared_ends_ns(container: Any, start_ns: int) -> dict[int, int]:
    """Returns where the header says that each track ends; empty for formats whose duration is a guess."""
    if _HEADER_DECLARES_DURATION.isdisjoint(container.format.name.split(",")):
        return {}
    ends = {}
    for stream in container.streams:
        if stream.duration is not None:
            ends[stream.index] = to_ns((stream.start_time or 0) + stream.duration, stream.time_base) - start_ns
        elif len(container.streams) == 1 and container.duration is not None:
            ends[stream.index] = container.duration * 1000
    return ends

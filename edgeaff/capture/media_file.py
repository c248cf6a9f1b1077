"""Media files: the frames and the audio of one file on one timeline, in the order of time."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.capture.container import open_file, require_regular_file, too_large_message
from edgeaff.capture.heif import ANIMATION, HeifImage, read_heif
from edgeaff.capture.tiles import StillReader
from edgeaff.capture.timeline import Timeline, order_of, to_ns
from edgeaff.capture.track import TrackReader, storage_of
from edgeaff.capture.untaken import TakenFrameReader
from edgeaff.closing import Closing
from edgeaff.errors import BackendUnavailableError, MediaError
from edgeaff.naming import public_name
from edgeaff.parsing.boundary import reason_of
from edgeaff.spec import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, NANOSECONDS
from edgeaff.types import AudioChunk, VideoFrame, most_pixels

EARLY_END_NS = 500_000_000
STALLED_SHARE = 8  # one frame in this many without an advancing time is worth a warning
_HEADER_DECLARES_DURATION = frozenset({"mov", "matroska", "avi", "wav", "flac", "ogg", "asf"})
_WRAPS_AT_33_BITS = frozenset({"mpegts", "mpeg"})
_Reader = TrackReader | StillReader


class MediaFile(Closing):
    """A file source: yields VideoFrame and AudioChunk of the first video and the first audio track.

    Times: container timestamps minus the container's start time, one shift for both tracks, so offsets between them
    are kept. Steps back of more than 0.5 s are re-based (`edgeaff.capture.timeline`); times in coding order, absent times and
    times that do not advance are repaired (`edgeaff.capture.file_clock`). The order is that of `order_of`, times rise
    strictly per modality, and nothing is dropped. Each track has its own demuxer, so memory stays bounded for any interleaving.

    Images are upright (display matrix, EXIF and HEIF orientation) RGB with square pixels (sample aspect ratio), tiles joined.
    Audio is mono at the native rate (`edgeaff.capture.downmix`), in chunks of at most 0.1 s, int16 if the file has one int16
    channel, else float32. NaN samples pass through. Cover art is not video. No file that this one names is read.
    May be iterated again; each pass starts at the beginning and resets `counts` and `warnings`.

    Attributes:
        path: the file.
        has_video: there is a requested video track.
        has_audio: there is a requested audio track with a usable rate.
        duration_seconds: as the container states it, or None.
        warnings: problems of opening and of the last pass, one sentence each.
    """

    is_live = False

    def __init__(self, path: str | os.PathLike[str], *, video: bool = True, audio: bool = True) -> None:
        """Opens the file and reads its tracks.

        Args:
            path: a regular file of any format that FFmpeg reads, still images included.
            video: deliver frames if there are any.
            audio: deliver audio if there is any.

        Raises:
            BackendUnavailableError: PyAV is not installed.
            MediaError: the file is missing, empty, damaged, no media, or has no requested track.
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
        self._readers: list[_Reader] = []
        self._tick_of: Callable[[int], int] | None = None
        require_regular_file(self.path)
        _require_size(self.path)  # of a still image before FFmpeg looks at it, and so decodes it
        self._heif: HeifImage | None = None
        self._opening_warnings: list[str] = []
        with open_file(av, self.path) as container:
            tracks = {kind: _first_track(container, kind) for kind in ("video", "audio")}
            self._look_at_heif(container, tracks)
            self._clock_indices = [index for index in tracks.values() if index is not None]
            self._video_index = tracks["video"] if video else None
            self._audio_index = self._usable_audio(container, tracks["audio"]) if audio else None
            if self._video_index is None and self._audio_index is None:
                raise MediaError(_no_track_message(self.path, container, video=video, audio=audio))
            self._size_is_unknown = False
            if self._video_index is not None:
                stream = container.streams[self._video_index]
                self._size_is_unknown = (
                    not stream.codec_context.width
                )  # FFmpeg hides a size that is beyond its own limit
                _require_size(self.path, stream)
            self._start_ns = _start_ns(container)
            self._wraps = not _WRAPS_AT_33_BITS.isdisjoint(container.format.name.split(","))
            self._declared_end_ns = _declared_ends_ns(container, self._start_ns)
            self.duration_seconds = None if container.duration is None else container.duration / 1e6
        self.warnings += self._opening_warnings

    def _look_at_heif(self, container: Any, tracks: dict[str, int | None]) -> None:
        """Notes how the primary image of a HEIF file is put together, and makes its first tile the video track.

        Args:
            container: open.
            tracks: by kind, changed in place.

        Raises:
            MediaError: it is of a kind that cannot be put together.
        """
        self._heif = read_heif(self.path)
        if self._heif is None:
            return
        if self._heif.kind == ANIMATION:  # the still beside it is a track of one frame
            self._heif = None
            animated = (stream.index for stream in container.streams if stream.type == "video" and stream.frames > 1)
            tracks["video"] = next(animated, tracks["video"])
            return
        indices: dict[int, int] = {}
        for stream in container.streams:
            if stream.type == "video":
                indices.setdefault(stream.id, int(stream.index))
        if self._heif.kind or not self._heif.tiles or not set(self._heif.tiles) <= set(indices):
            what = (
                f"of type {self._heif.kind!r}"
                if self._heif.kind
                else f"of {len(self._heif.tiles)} tiles that FFmpeg does not show"
            )
            raise MediaError(
                f"{public_name(self.path)} must hold one coded image or a grid of tiles, got one {what}; convert it to JPEG or PNG."
            )
        tracks["video"] = indices[self._heif.tiles[0]]

    def _usable_audio(self, container: Any, index: int | None) -> int | None:
        """Returns the audio track, or None where its rate cannot be used beside video.

        Args:
            container: open.
            index: of the first audio track.

        Raises:
            MediaError: the file has nothing but audio of such a rate.
        """
        rate = None if index is None else container.streams[index].codec_context.sample_rate
        if not rate or LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
            return index
        problem = f"{public_name(self.path.name)} has audio of {rate} Hz, outside {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
        if self._video_index is None:
            raise MediaError(f"{problem}; resample it.")
        self._opening_warnings.append(f"{problem}; the audio is left out.")
        return None

    @property
    def has_video(self) -> bool:
        """True where frames are delivered."""
        return self._video_index is not None

    @property
    def has_audio(self) -> bool:
        """True where audio is delivered."""
        return self._audio_index is not None

    @property
    def counts(self) -> dict[str, int]:
        """Returns the counts of the last pass: bad_packets, repaired_pts, rebased_jumps, frames, damaged_frames, audio_frames."""
        readers = self._readers
        return {
            "bad_packets": sum(reader.bad_packets for reader in readers),
            "repaired_pts": sum(reader.repaired_pts for reader in readers),
            "rebased_jumps": max((reader.jumps for reader in readers), default=0),
            "damaged_frames": sum(reader.damaged_frames for reader in readers),
            "frames": sum(reader.frames for reader in readers if reader.kind == "video"),
            "audio_frames": sum(reader.frames for reader in readers if reader.kind == "audio"),
        }

    def frame_times_ns(self) -> np.ndarray:
        """Returns the pts_ns of every frame that a pass delivers, (frames,) int64 rising. Decodes the video track."""
        with MediaFile(self.path, audio=False) if self.has_video else self as source:
            times = [unit.pts_ns for unit in source if isinstance(unit, VideoFrame)]
        return np.array(times, dtype=np.int64)

    def read_for_ticks(self, tick_of: Callable[[int], int]) -> None:
        """Lets frames that no tick takes hold no image in the passes from now on: 1 x 1 pixel, the same pts_ns.

        Args:
            tick_of: tick that a frame of this pts_ns belongs to, as `PreprocessSpec.frame_tick`.
        """
        self._tick_of = tick_of

    def close(self) -> None:
        """Does nothing: a pass holds the file open only while it runs."""

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields everything in the order of `order_of`.

        Yields:
            Frames and chunks.

        Raises:
            MediaError: not one packet of the file can be decoded, or it does not fit into memory.
        """
        self.warnings[:] = self._opening_warnings
        self._readers = []
        containers, passes = [], []
        try:
            for index in (self._video_index, self._audio_index):
                if index is not None:
                    containers.append(open_file(self._av, self.path))
                    self._readers.append(self._reader(containers[-1], index))
            passes = [iter(reader) for reader in self._readers]
            yield from heapq.merge(*passes, key=order_of)
            self._conclude()
        except MediaError:
            raise
        except (
            Exception
        ) as error:  # of FFmpeg, on damage that no part above foresees; what the reader raises never comes here
            raise MediaError(
                f"{public_name(self.path)} must be a media file that can be read, got {reason_of(error)}; convert it."
            ) from error
        finally:
            for running in passes:  # first: PyAV's generators touch their container when they end
                running.close()
            for container in containers:
                container.close()

    def _reader(self, container: Any, index: int) -> _Reader:
        if self._heif is not None and index == self._video_index:
            return StillReader(container, self._heif)
        # both tracks make the clock even where only one is wanted: its times must not depend on what is switched off
        others = [container.streams[other] for other in self._clock_indices if other != index]
        timeline = Timeline(start_ns=self._start_ns, wraps_at_33_bits=self._wraps)
        stream, storage = container.streams[index], storage_of(container)
        if self._tick_of is not None and index == self._video_index:
            return TakenFrameReader(container, stream, others, timeline, storage=storage, tick_of=self._tick_of)
        return TrackReader(container, stream, others, timeline, storage=storage)

    def _conclude(self) -> None:
        name, counts = public_name(self.path.name), self.counts
        if not counts["frames"] and not counts["audio_frames"]:
            size = f"frames of at most {most_pixels():,} pixels, " if self._size_is_unknown else ""
            raise MediaError(
                f"{name} must hold {size}at least one readable frame or audio chunk, got none ({counts['bad_packets']} damaged "
                "packets); copy or record the file again."
            )
        if counts["bad_packets"]:
            self.warnings.append(f"{name}: {counts['bad_packets']} damaged packets were skipped.")
        if counts["damaged_frames"]:
            self.warnings.append(
                f"{name}: {counts['damaged_frames']} of {counts['frames']} frames are damaged and were used as far as they decode."
            )
        for reader in self._readers:
            self.warnings += _warnings_of(reader, name, self._declared_end_ns.get(reader.index))


def _warnings_of(reader: _Reader, name: str, declared_end_ns: int | None) -> list[str]:
    """Returns the problems that the pass of one track found.

    Args:
        reader: at its end.
        name: of the file.
        declared_end_ns: end of the track as the header declares it, or None.
    """
    found = []
    has_clock = reader.nominal_rate is None and reader.stalled_pts <= max(2, reader.frames // STALLED_SHARE)
    if reader.error is not None:
        found.append(f"{name}: reading of the {reader.kind} stopped early: {reader.error}.")
    elif has_clock and declared_end_ns is not None and reader.end_ns < declared_end_ns - EARLY_END_NS:
        found.append(
            f"{name}: the {reader.kind} ended early, at {reader.end_ns / NANOSECONDS:.2f} s of the "
            f"{declared_end_ns / NANOSECONDS:.2f} s that the file declares; it is cut off or damaged."
        )
    if reader.nominal_rate is not None:
        rate, declared = reader.nominal_rate
        how = "as the stream declares" if declared else "an assumption"
        found.append(
            f"{name} is a raw stream without times; its frames are taken at {rate:g} a second ({how}). Put it into a container "
            "with its own rate if that is wrong, for example MP4."
        )
    elif not has_clock:
        found.append(
            f"{name}: the times of {reader.stalled_pts} of {reader.frames} frames do not advance; a nominal clock takes their place."
        )
    if reader.channels_cancel:
        found.append(f"{name}: the audio channels cancel out in the mono sum; one of them is probably inverted.")
    if reader.beyond_full_scale:
        found.append(
            f"{name}: most audio samples lie far outside [-1, 1] and saturate; they are probably int16 values stored as float."
        )
    return found


def _require_size(path: Path, stream: Any = None) -> None:
    """Checks that frames are not too large for this machine.

    Args:
        path: of the file.
        stream: its video track; None looks at the header of a still image.

    Raises:
        MediaError: they are.
    """
    too_large = too_large_message(path, stream)
    if too_large:
        raise MediaError(too_large)


def _no_track_message(path: Path, container: Any, *, video: bool, audio: bool) -> str:
    wanted = " or ".join(kind for kind, asked in (("video", video), ("audio", audio)) if asked) or "any"
    found = ", ".join(sorted({stream.type for stream in container.streams})) or "no track at all"
    return (
        f"{public_name(path)} must have a {wanted} track, got {found}; pass another file, or switch that modality off."
    )


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
    """Returns where the header states that each track ends; empty for formats whose duration is a guess."""
    if _HEADER_DECLARES_DURATION.isdisjoint(container.format.name.split(",")):
        return {}
    ends = {}
    for stream in container.streams:
        if stream.duration is not None:
            ends[stream.index] = to_ns((stream.start_time or 0) + stream.duration, stream.time_base) - start_ns
        elif len(container.streams) == 1 and container.duration is not None:
            ends[stream.index] = container.duration * 1000
    return ends

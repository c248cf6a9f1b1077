"""Offset of the audio against the video, from simultaneous claps and flashes.

A lamp switched on with a clap, a clapperboard before a bright screen, or a clip that plays both. A flash is a frame that is
much brighter than the one before, a clap is the first loud millisecond after quiet. The frame knows the instant to half a
frame, so several pairs are needed; their median is reported.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeaff.cli.doctor.finding import FAIL, OK, WARN, Finding
from edgeaff.errors import ArgumentError
from edgeaff.types import AudioChunk, ClockTick, VideoFrame

if TYPE_CHECKING:
    from edgeaff.capture.group import LiveGroup
    from edgeaff.capture.source import SourceLike

LEAST_PAIRS = 3
_QUIET_SECONDS = 0.3  # after a flash or clap none is looked for
_PAIR_SECONDS = 0.45
_HOP_SECONDS = 0.001
_LEAST_RISE = 10.0  # gray levels of 255, mean of the frame
_LEAST_PEAK = 0.01  # of full scale
_TICK_MS, _SKEW_MS, _UNSTEADY_MS = 1000 / 30, 250.0, 25.0


@dataclass(frozen=True, slots=True)
class AvOffset:
    """Result of the measurement.

    Attributes:
        offset_ms: audio minus video, median over the pairs: positive where the audio is late. None below LEAST_PAIRS.
        spread_ms: standard deviation over the pairs, None likewise.
        half_frame_ms: what one frame leaves open.
        flashes: how many were seen.
        claps: how many were heard.
        pairs: how many met.
    """

    offset_ms: float | None
    spread_ms: float | None
    half_frame_ms: float
    flashes: int
    claps: int
    pairs: int


@dataclass
class Track:
    """Times in seconds and a level at each: brightness of a frame, or loudness of a millisecond."""

    times: list[float] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)

    def add(self, times: Sequence[float] | np.ndarray, levels: Sequence[float] | np.ndarray) -> None:
        """Appends levels at rising times."""
        self.times.extend(map(float, times))
        self.levels.extend(map(float, levels))


def brightness(frame: VideoFrame) -> float:
    """Returns the mean of every 8th pixel, 0 to 255."""
    return float(frame.image[::8, ::8].mean())


def loudness(chunk: AudioChunk) -> tuple[np.ndarray, np.ndarray]:
    """Returns start and peak (of full scale) of each millisecond of a chunk; an incomplete one at its end is left out."""
    scale = 32_768.0 if chunk.samples.dtype == np.int16 else 1.0
    hop = max(1, round(chunk.sample_rate_hz * _HOP_SECONDS))
    count = chunk.samples.size // hop
    peaks = np.abs(chunk.samples[: count * hop].astype(np.float32)).reshape(count, hop).max(axis=1) / scale
    return chunk.pts_ns / 1e9 + np.arange(count) * hop / chunk.sample_rate_hz, peaks


def flash_times(frames: Track) -> np.ndarray:
    """Returns the times of frames much brighter than the one before, seconds."""
    levels = np.array(frames.levels)
    rises = np.diff(levels, prepend=levels[:1])
    return _onsets(np.array(frames.times), rises, max(_LEAST_RISE, 0.5 * float(rises.max(initial=0.0))))


def clap_times(clip: Track) -> np.ndarray:
    """Returns the times of the first loud millisecond after quiet, seconds."""
    peaks = np.array(clip.levels)
    if not peaks.size:
        return peaks
    floor = 8 * float(np.median(peaks))
    return _onsets(np.array(clip.times), peaks, max(_LEAST_PEAK, floor, 0.3 * float(peaks.max())))


def _onsets(times: np.ndarray, levels: np.ndarray, threshold: float) -> np.ndarray:
    found: list[float] = []
    last = -np.inf  # of anything above the threshold: an onset comes after quiet
    for moment in times[levels >= threshold]:
        if moment - last > _QUIET_SECONDS:
            found.append(float(moment))
        last = moment
    return np.array(found)


def measure(units: Iterable[VideoFrame | AudioChunk | ClockTick]) -> AvOffset:
    """Returns the offset between the audio and the video of a source.

    Args:
        units: what a source yields; instants (int) are passed over.
    """
    frames, clip = Track(), Track()
    for unit in units:
        if isinstance(unit, VideoFrame):
            frames.add([unit.pts_ns / 1e9], [brightness(unit)])
        elif isinstance(unit, AudioChunk):
            clip.add(*loudness(unit))
    flashes, claps = flash_times(frames), clap_times(clip)
    half_frame_ms = 500 * float(np.median(np.diff(frames.times))) if len(frames.times) > 1 else 0.0
    differences = [float(claps[np.abs(claps - flash).argmin()] - flash) for flash in flashes] if claps.size else []
    pairs = np.array([difference for difference in differences if abs(difference) <= _PAIR_SECONDS]) * 1e3
    enough = pairs.size >= LEAST_PAIRS
    return AvOffset(
        round(float(np.median(pairs)), 1) if enough else None,
        round(float(pairs.std()), 1) if enough else None,
        round(half_frame_ms, 1),
        int(flashes.size),
        int(claps.size),
        int(pairs.size),
    )


def judge(found: AvOffset) -> Finding:
    """Returns the meaning of the offset for the model, whose steps are 33 ms apart."""
    data: dict[str, Any] = asdict(found)
    if found.offset_ms is None or found.spread_ms is None:
        text = (
            f"{found.flashes} flashes, {found.claps} claps, {found.pairs} together: at least {LEAST_PAIRS} are needed"
        )
        advice = (
            "clap near the microphone as a lamp goes on before the camera, once a second, and keep still otherwise."
        )
        return Finding("av_offset", FAIL, text, advice, data)
    offset, side = found.offset_ms, "late" if found.offset_ms > 0 else "early"
    text = (
        f"the audio is {abs(offset):.0f} ms {side} (+- {found.half_frame_ms:.0f} ms of the frame rate, spread "
        f"{found.spread_ms:.0f} ms, {found.pairs} pairs)"
    )
    if found.spread_ms > max(_UNSTEADY_MS, 1.5 * found.half_frame_ms):
        return Finding(
            "av_offset", WARN, text, "the offset is not steady: measure again with fewer echoes and more light.", data
        )
    if abs(offset) <= _TICK_MS + found.half_frame_ms:
        return Finding("av_offset", OK, text, "", data)
    advice = f"open the microphone as mic:NAME?latency={offset / 1e3:.3f}, or repair the clip."
    return Finding("av_offset", WARN if abs(offset) <= _SKEW_MS else FAIL, text, advice, data)


def parse_sources(arguments: Sequence[str]) -> tuple[str, str | None]:
    """Returns the URIs of video and audio; the audio is None where it is that of the video's file or stream.

    Args:
        arguments: video=URI and audio=URI, or one URI for both.

    Raises:
        ArgumentError: there is no frame, or one is named twice.
    """
    found: dict[str, str] = {}
    for argument in arguments:
        key, equals, uri = argument.partition("=")
        name, value = (key, uri) if equals and key in ("video", "audio") else ("video", argument)
        if name in found or not value:
            raise ArgumentError(f"--av-offset must name {name} once, got {' '.join(arguments)!r}; correct it.")
        found[name] = value
    if "video" not in found:
        raise ArgumentError(f"--av-offset must name the frame, got {' '.join(arguments)!r}; add video=camera:0.")
    return found["video"], found.get("audio")


def check_av_offset(video: SourceLike, audio: SourceLike | None, *, seconds: float = 10.0) -> list[Finding]:
    """Returns the offset between two sources, or in one file or stream.

    Args:
        video: path, URI or source of the frames.
        audio: path, URI or source of the audio, None for that of `video`.
        seconds: how long to listen to live sources; files are read whole.

    Raises:
        ArgumentError: seconds is out of range, or a modality is missing.
    """
    from edgeaff.capture.group import LiveGroup
    from edgeaff.capture.open import combine

    if not 2 <= seconds <= 600:
        raise ArgumentError(f"--seconds must be in [2, 600], got {seconds:g}; 10 give ten claps.")
    source = combine(video, audio)
    if not (source.has_video and source.has_audio):
        lack = "audio" if source.has_video else "video"
        raise ArgumentError(f"--av-offset must have video and audio, got no {lack}; add {lack}=URI.")
    with source:
        found = measure(_for_seconds(source, seconds) if isinstance(source, LiveGroup) else source)
    return [judge(found)]


def _for_seconds(source: LiveGroup, seconds: float) -> Iterable[VideoFrame | AudioChunk | ClockTick]:
    end = time.monotonic() + seconds
    for unit in source.inputs():
        yield unit
        if time.monotonic() >= end:
            return

"""From a path or URI to a source (`edgeaff.capture.uri` lists them), and from two of them to one."""

from __future__ import annotations

import os
import re
from typing import Any

from edgeaff.capture.group import LiveGroup, MergedSource
from edgeaff.capture.live import LiveSource
from edgeaff.capture.media_file import MediaFile
from edgeaff.capture.source import Source, SourceLike
from edgeaff.capture.uri import NETWORK, SourceUri, parse_uri
from edgeaff.errors import ArgumentError


def open_source(uri: str | os.PathLike[str], *, video: bool = True, audio: bool = True) -> Source:
    """Opens the source that a URI names.

    Args:
        uri: see the table of this module.
        video: deliver frames.
        audio: deliver audio.

    Returns:
        A Source. Devices start when it is entered as a context manager.

    Raises:
        ArgumentError: the URI is malformed, or cannot deliver the modality.
    """
    parsed = parse_uri(uri)
    if not (video or audio):
        raise ArgumentError("video or audio must be True, got neither; ask for at least one.")
    if parsed.scheme == "file":
        return MediaFile(parsed.target, video=video, audio=audio)
    return _open_live(parsed, video=video, audio=audio)


def _open_live(parsed: SourceUri, *, video: bool, audio: bool) -> Source:
    scheme, target, options = parsed.scheme, parsed.target, parsed.options
    if scheme in NETWORK:
        from edgeaff.capture.network import NetworkStream

        return NetworkStream(target, video=video, audio=audio)
    if scheme == "mic":
        _require(audio, scheme, "audio")
        from edgeaff.capture.microphone import Microphone

        rate = _number(options, "rate", int)
        return Microphone(target, sample_rate_hz=rate, latency_seconds=_number(options, "latency", float) or 0.0)
    if scheme == "paced":
        from edgeaff.capture.paced import PacedFile

        speed = _number(options, "speed", float)
        return PacedFile(
            target, video=video, audio=audio, speed=1.0 if speed is None else speed, loop=_switch(options, "loop")
        )
    if scheme == "replay":
        from edgeaff.recording.replay import ReplaySource

        return ReplaySource(target, video=video, audio=audio)
    if scheme == "push":
        from edgeaff.capture.push import PushAudio, PushVideo

        if video and audio:
            return LiveGroup([PushVideo(), PushAudio()])
        return PushVideo() if video else PushAudio()
    _require(video, scheme, "frames")
    from edgeaff.capture.camera import Camera

    if scheme == "gst":
        return Camera(pipeline=target)
    return Camera(target, fps=_number(options, "fps", float), size=_size(options), pixel_format=options.get("format"))


def _require(wanted: bool, scheme: str, what: str) -> None:
    if not wanted:
        raise ArgumentError(f"uri must give what is asked for, got {scheme}: which gives only {what}; swap the two.")


def _number(options: dict[str, str], name: str, kind: type[int] | type[float]) -> Any:
    if name not in options:
        return None
    try:
        return kind(options[name])
    except ValueError as error:
        raise ArgumentError(f"{name} must be a number, got {options[name]!r}; write for example {name}=30.") from error


def _switch(options: dict[str, str], name: str) -> bool:
    given = options.get(name, "0")
    if given not in ("0", "1"):
        raise ArgumentError(f"{name} must be 0 or 1, got {given!r}; write for example {name}=1.")
    return given == "1"


def _size(options: dict[str, str]) -> tuple[int, int] | None:
    if "size" not in options:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", options["size"])
    if match is None:
        raise ArgumentError(f"size must be WIDTHxHEIGHT, got {options['size']!r}; write for example size=640x480.")
    return int(match[1]), int(match[2])


def combine(video: SourceLike | None, audio: SourceLike | None) -> Source:
    """Returns one source for both modalities.

    Args:
        video: path, URI or source object of the frames; None for audio alone.
        audio: path, URI or source object of the audio; None for the audio of `video`, if any.

    Returns:
        A MediaFile, a MergedSource of two files, or a LiveGroup.

    Raises:
        ArgumentError: neither is given, or a file is to be mixed with a live source.
    """
    if video is None and audio is None:
        raise ArgumentError("video or audio must name a source, got neither; pass for example video='clip.mp4'.")
    if video is not None and audio is not None and video == audio:
        audio = None
    only_video = video is not None and audio is not None or (video is not None and _gives_frames_only(video))
    frame = None if video is None else _opened(video, video=True, audio=not only_video)
    samples = None if audio is None else _opened(audio, video=False, audio=True)
    given = [source for source in (frame, samples) if source is not None]
    if len(given) == 1 and (not given[0].is_live or isinstance(given[0], LiveGroup)):
        return given[0]
    if frame is not None and samples is not None and not frame.is_live and not samples.is_live:
        return MergedSource(frame, samples)
    parts: list[LiveSource | Source] = []
    for source in given:
        parts += source.sources if isinstance(source, LiveGroup) else (source,)
    return LiveGroup(parts)


def _gives_frames_only(video: SourceLike) -> bool:
    return isinstance(video, str) and parse_uri(video).scheme in ("camera", "gst")


def _opened(source: SourceLike, *, video: bool, audio: bool) -> Source:
    if isinstance(source, type):
        raise ArgumentError(f"source must be an object, got the class {source.__name__}; pass {source.__name__}().")
    if isinstance(source, (str, os.PathLike)) or not hasattr(source, "is_live"):
        return open_source(source, video=video, audio=audio)  # type: ignore[arg-type]  # checks what it is given
    return source

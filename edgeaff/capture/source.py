"""Where frames and samples come from: the protocol of a source, the URIs that name one, and how to open it.

| URI | source |
|---|---|
| `clip.mp4`, `file:clip.mp4` | media file (`MediaFile`) |
| `camera:0?fps=30&size=640x480`, `camera:/dev/video2` | camera |
| `mic:default`, `mic:USB` | microphone by name or part of it |
| `rtsp://...`, `udp://...`, `tcp://...` | network stream |
| `gst:PIPELINE` | camera behind a GStreamer pipeline that ends in `appsink` (needs an OpenCV with GStreamer) |
| `replay:session.eaffrec` | recording of a session |
| `push:` | whatever the program pushes |
"""

from __future__ import annotations

import difflib
import heapq
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import parse_qsl, unquote

from edgeaff.capture.media_file import MediaFile, order_of
from edgeaff.closing import Closing
from edgeaff.errors import ArgumentError
from edgeaff.naming import public_name
from edgeaff.types import AudioChunk, VideoFrame

if TYPE_CHECKING:
    from typing import Self

SCHEMES = ("file", "camera", "mic", "rtsp", "udp", "tcp", "gst", "replay", "push")
_NETWORK = ("rtsp", "udp", "tcp")
_OPTIONS = {
    "camera": ("fps", "size", "format"),
    "mic": ("rate", "latency"),
    "gst": (),
    "file": (),
    "replay": (),
    "push": (),
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)


@runtime_checkable
class Source(Protocol):
    """A context manager that yields VideoFrame and AudioChunk in the order of pts.

    Attributes:
        has_video: it delivers pictures.
        has_audio: it delivers sound.
        is_live: its time is the monotonic clock, and it does not wait for its reader.
        warnings: what was found wrong so far, one sentence each.
        duration_seconds: how long it is, None if unknown or endless.
    """

    @property
    def warnings(self) -> list[str]:
        """Returns what was found wrong so far."""

    @property
    def duration_seconds(self) -> float | None:
        """Returns the length, None if unknown or endless."""

    @property
    def has_video(self) -> bool:
        """True where pictures are delivered."""

    @property
    def has_audio(self) -> bool:
        """True where sound is delivered."""

    @property
    def is_live(self) -> bool:
        """True where time is the monotonic clock."""

    @property
    def counts(self) -> dict[str, int]:
        """Returns what was lost or repaired, by cause."""

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields pictures and sound in the order of pts."""

    def __enter__(self) -> Source:
        """Returns the source, started."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the source."""

    def close(self) -> None:
        """Stops the source and frees its device."""


@dataclass(frozen=True, slots=True)
class SourceUri:
    """A parsed URI. scheme: one of SCHEMES; target: what it names; options: the part after the question mark."""

    scheme: str
    target: str
    options: dict[str, str] = field(default_factory=dict)


def parse_uri(uri: str | os.PathLike[str]) -> SourceUri:
    """Returns the parts of a source URI; anything without a scheme is the path of a file.

    Args:
        uri: see the table of this module. A network address keeps its options, for FFmpeg reads them.

    Returns:
        SourceUri.

    Raises:
        ArgumentError: the scheme or an option is unknown, or the target is missing.
    """
    text = os.fspath(uri) if isinstance(uri, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text:
        given = repr(public_name(uri)) if isinstance(uri, (str, bytes)) else public_name(uri)
        raise ArgumentError(f"uri must be a path or a source URI, got {given}; pass for example 'clip.mp4'.")
    match = _SCHEME.fullmatch(text)
    if match is None or not isinstance(uri, str) or os.path.exists(text):
        return SourceUri("file", text)
    scheme, rest = match[1].lower(), match[2]
    if scheme not in SCHEMES:
        raise ArgumentError(_unknown_scheme_message(text, scheme))
    if scheme in _NETWORK:
        if not rest.startswith("//") or len(rest) < 3:
            raise ArgumentError(f"uri must be {scheme}://host:port, got {public_name(text)!r}; add the address.")
        return SourceUri(scheme, text)
    if scheme == "gst":
        return SourceUri(scheme, _target(text, rest))
    target, _, query = (rest, "", "") if scheme in ("file", "replay") else rest.partition("?")
    if scheme == "file" and target.startswith("//"):
        target = unquote(target[2:].removeprefix("localhost"))
    return SourceUri(scheme, target if scheme == "push" else _target(text, target), _options(text, scheme, query))


def _target(text: str, target: str) -> str:
    if not target:
        raise ArgumentError(f"uri must name something after the colon, got {public_name(text)!r}; see edgeaff.capture.source.")
    return target


def _unknown_scheme_message(text: str, scheme: str) -> str:
    close = difflib.get_close_matches(scheme, (*SCHEMES, "microphone", "webcam", "rtsps"), n=1, cutoff=0.6)
    synonyms = {"microphone": "mic", "webcam": "camera", "rtsps": "rtsp"}
    if scheme in ("http", "https", "ftp"):
        advice = "download the file and pass its path"
    elif close:
        advice = f"did you mean {synonyms.get(close[0], close[0])}:?"
    else:
        advice = f"for a file of that name pass file:{public_name(text)}"
    return f"uri must be a path or start with {', '.join(name + ':' for name in SCHEMES)}, got {public_name(text)!r}; {advice}."


def _options(text: str, scheme: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = _OPTIONS[scheme]
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {close[0]}?" if close else "leave it out."
            expected = f"one of {', '.join(known)}" if known else "absent"
            raise ArgumentError(f"options of {scheme}: must be {expected}, got {name!r} in {public_name(text)!r}; {advice}")
    return options


def open_source(uri: str | os.PathLike[str], *, video: bool = True, audio: bool = True) -> Source:
    """Opens what a URI names.

    Args:
        uri: see the table of this module.
        video: pictures are wanted.
        audio: sound is wanted.

    Returns:
        A Source. Devices start when it is entered as a context manager.

    Raises:
        ArgumentError: the URI is malformed, or cannot give what is wanted.
    """
    parsed = parse_uri(uri)
    if not (video or audio):
        raise ArgumentError("video or audio must be True, got neither; ask for at least one.")
    if parsed.scheme == "file":
        return MediaFile(parsed.target, video=video, audio=audio)
    return _open_live(parsed, video=video, audio=audio)


def _open_live(parsed: SourceUri, *, video: bool, audio: bool) -> Source:
    scheme, target, options = parsed.scheme, parsed.target, parsed.options
    if scheme in _NETWORK:
        from edgeaff.capture.network import NetworkStream

        return NetworkStream(target, video=video, audio=audio)
    if scheme == "mic":
        _require(audio, scheme, "sound")
        from edgeaff.capture.microphone import Microphone

        rate = _number(options, "rate", int)
        return Microphone(target, sample_rate_hz=rate, latency_seconds=_number(options, "latency", float) or 0.0)
    if scheme == "replay":
        from edgeaff.recording.replay import ReplaySource

        return ReplaySource(target, video=video, audio=audio)
    if scheme == "push":
        from edgeaff.capture.group import LiveGroup
        from edgeaff.capture.push import PushAudio, PushVideo

        parts: list[Any] = [part() for part, wanted in ((PushVideo, video), (PushAudio, audio)) if wanted]
        return LiveGroup(parts) if len(parts) > 1 else parts[0]
    _require(video, scheme, "pictures")
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


def _size(options: dict[str, str]) -> tuple[int, int] | None:
    if "size" not in options:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", options["size"])
    if match is None:
        raise ArgumentError(f"size must be WIDTHxHEIGHT, got {options['size']!r}; write for example size=640x480.")
    return int(match[1]), int(match[2])


class MergedSource(Closing):
    """Two sources that both start at 0 as one, for example the picture of one file with the sound of another."""

    is_live = False

    def __init__(self, video_source: Any, audio_source: Any) -> None:
        """Takes over both sources and closes them when it is closed.

        Args:
            video_source: gives the pictures; its own sound must be switched off.
            audio_source: gives the sound; its own pictures must be switched off.

        Raises:
            ArgumentError: a source is live, lacks its modality, or brings the other's too.
        """
        if video_source.is_live or audio_source.is_live:
            raise ArgumentError("video_source and audio_source must be files, got a live one; use Runtime for those.")
        if not video_source.has_video or video_source.has_audio:
            raise ArgumentError("video_source must give pictures only, got another kind; open it with audio=False.")
        if not audio_source.has_audio or audio_source.has_video:
            raise ArgumentError("audio_source must give sound only, got another kind; open it with video=False.")
        self._sources = (video_source, audio_source)
        self.has_video = self.has_audio = True

    @property
    def warnings(self) -> list[str]:
        """Returns the warnings of both."""
        return [warning for source in self._sources for warning in source.warnings]

    @property
    def counts(self) -> dict[str, int]:
        """Returns the counts of both, added."""
        video, audio = (source.counts for source in self._sources)
        return {name: video.get(name, 0) + audio.get(name, 0) for name in (*video, *audio)}

    @property
    def duration_seconds(self) -> float | None:
        """Returns the longer duration, None if one is unknown."""
        video, audio = (source.duration_seconds for source in self._sources)
        return None if video is None or audio is None else max(video, audio)

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields everything of both in the order of `media_file.order_of`."""
        yield from heapq.merge(*self._sources, key=order_of)

    def __enter__(self) -> Self:
        """Returns the source itself, with both parts entered."""
        for source in self._sources:
            source.__enter__()
        return self

    def close(self) -> None:
        """Closes both parts."""
        for source in self._sources:
            source.close()

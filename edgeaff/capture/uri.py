"""The URIs that name a source.

| URI | source |
|---|---|
| `clip.mp4`, `file:clip.mp4` | media file (`MediaFile`) |
| `camera:0?fps=30&size=640x480`, `camera:/dev/video2` | camera |
| `mic:default`, `mic:USB` | microphone by name or part of it |
| `rtsp://...`, `udp://...`, `tcp://...` | network stream |
| `gst:PIPELINE` | camera behind a GStreamer pipeline that ends in `appsink` (needs an OpenCV with GStreamer) |
| `paced:clip.mp4?loop=1&speed=2` | media file played in real time as a live source, for demonstrations and tests |
| `replay:session.eaffrec` | recording of a session |
| `push:` | input that the program pushes |
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from edgeaff.errors import ArgumentError
from edgeaff.naming import public_name

SCHEMES = ("file", "camera", "mic", "rtsp", "udp", "tcp", "gst", "paced", "replay", "push")
NETWORK = ("rtsp", "udp", "tcp")
_SYNONYMS = {"microphone": "mic", "webcam": "camera"}
_DOWNLOADS = frozenset(("http", "https", "ftp", "sftp"))
_STREAMS = frozenset(
    ("rtsps", "rtmp", "rtmps", "rtmpt", "srt", "rtp", "srtp", "rist", "mms", "mmsh", "whep", "webrtc", "onvif", "ndi")
)
_OPTIONS = {
    "camera": ("fps", "size", "format"),
    "mic": ("rate", "latency"),
    "gst": (),
    "paced": ("loop", "speed"),
    "file": (),
    "replay": (),
    "push": (),
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SourceUri:
    """A parsed URI. scheme: one of SCHEMES; target: what it names; options: the part after the question mark."""

    scheme: str
    target: str
    options: dict[str, str] = field(default_factory=dict)


def parse_uri(uri: str | os.PathLike[str]) -> SourceUri:
    """Returns the parts of a source URI; anything without a scheme is the path of a file.

    Args:
        uri: see the table of this module. A network address keeps its options, because FFmpeg reads them.

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
    if scheme in NETWORK:
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
        raise ArgumentError(
            f"uri must name something after the colon, got {public_name(text)!r}; see edgeaff.capture.uri."
        )
    return target


def _unknown_scheme_message(text: str, scheme: str) -> str:
    name = public_name(text)
    close = difflib.get_close_matches(scheme, (*SCHEMES, *_SYNONYMS), n=1, cutoff=0.6)
    if scheme in _DOWNLOADS:
        advice = (
            "a file: download it and pass its path; a stream: decode it in your program and push the frames (edgeaff.PushVideo), "
            "or relay it as rtsp:"
        )
    elif scheme in _STREAMS:
        advice = "relay the stream as rtsp:, udp: or tcp:, or decode it in your program and push the frames (edgeaff.PushVideo)"
    elif close:
        advice = f"did you mean {_SYNONYMS.get(close[0], close[0])}:?"
    else:
        advice = f"for a file of that name pass file:{name}"
    return f"uri must be a path or start with {', '.join(known + ':' for known in SCHEMES)}, got {name!r}; {advice}."


def _options(text: str, scheme: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = _OPTIONS[scheme]
    for name in options:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            advice = f"did you mean {close[0]}?" if close else "leave it out."
            expected = f"one of {', '.join(known)}" if known else "absent"
            raise ArgumentError(
                f"options of {scheme}: must be {expected}, got {name!r} in {public_name(text)!r}; {advice}"
            )
    return options

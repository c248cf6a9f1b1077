"""Opens one media file with FFmpeg, never another file that it names, and explains failures."""

from __future__ import annotations

import stat
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgeaff.capture.heif import boxes_of, brand_of
from edgeaff.capture.still import image_size
from edgeaff.errors import MediaError
from edgeaff.naming import public_name
from edgeaff.types import most_pixels

# What reads other files or addresses, runs scripts, or is a device. `image2` stays: with pattern_type "none" it reads its file alone.
_READS_OTHERS = frozenset(
    (
        "alsa",
        "avfoundation",
        "avisynth",
        "bktr",
        "concat",
        "concatf",
        "dash",
        "decklink",
        "dshow",
        "fbdev",
        "ffmetadata",
        "gdigrab",
        "hls",
        "iec61883",
        "imf",
        "jack",
        "kmsgrab",
        "lavfi",
        "libcdio",
        "ndi",
        "openal",
        "oss",
        "pulse",
        "rtp",
        "rtsp",
        "sap",
        "sdp",
        "sndio",
        "svg_pipe",
        "v4l2",
        "vapoursynth",
        "vfwcap",
        "video4linux2",
        "vobsub",
        "webm_dash_manifest",
        "x11grab",
        "xcbgrab",
    )
)
_TEXT_AS_IMAGES = frozenset(("tty", "bin", "xbin", "adf", "idf"))  # FFmpeg would draw any text file
_PLAYLIST_HEADS = (
    b"#extm3u",
    b"ffconcat",
    b"v=0",
    b"[playlist]",
    b"[reference]",
    b"<asx",
    b"<smil",
    b"<mpd",
    b"rtsptext",
)


def open_container(av: Any, address: str, options: dict[str, str], **more: Any) -> Any:
    """Returns an open container; bad bytes in its metadata are ignored by every PyAV (from 19 on without being asked to).

    Args:
        av: the module.
        address: what FFmpeg opens.
        options: of the demuxer. Decoders get theirs when they open: `options` of av.open crashes PyAV 15 where a stream (MPEG-PS) has
            no header.
        more: of av.open.
    """
    if int(av.__version__.split(".")[0]) < 19:
        more["metadata_errors"] = "ignore"
    return av.open(address, container_options=options, **more)


def open_stream(av: Any, uri: str, *, timeout: tuple[float, float], options: dict[str, str]) -> Any:
    """Returns an open container of a network stream, which can name no file of this machine and no other scheme.

    Args:
        av: the module.
        uri: rtsp:, udp: or tcp: address.
        timeout: seconds to open it, and to wait for data.
        options: of FFmpeg.
    """
    of_rtsp = ("rtsp", "rtp", "sdp") if uri.split(":", 1)[0].lower() == "rtsp" else ()
    guarded = {
        "protocol_whitelist": "rtsp,rtp,udp,tcp,tls",
        "format_whitelist": ",".join((_formats_that_read_themselves(av), *of_rtsp)),
    }
    return open_container(av, uri, {**guarded, **options}, timeout=timeout)


def open_file(av: Any, path: Path) -> Any:
    """Returns an open container that reads its file and nothing else, and no frame that is too large for the machine.

    Args:
        av: the module.
        path: a regular file.

    Raises:
        MediaError: it cannot be opened.
    """
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": _formats_that_read_themselves(av),
        "pattern_type": "none",
    }
    try:
        container = open_container(av, f"file:{path}", options)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(_unreadable_message(path, getattr(error, "strerror", None) or str(error))) from error
    except MemoryError as error:
        raise MediaError(
            f"{public_name(path)} must fit into memory, got a file that does not; shorten or scale it."
        ) from error
    if not _TEXT_AS_IMAGES.isdisjoint(container.format.name.split(",")):
        container.close()
        raise MediaError(_unreadable_message(path, "text"))
    return container


def require_regular_file(path: Path) -> None:
    """Checks what a media file must be before FFmpeg sees it.

    Args:
        path: of the file.

    Raises:
        MediaError: it is absent, no regular file, or empty.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(f"{public_name(path)} must be a readable media file, got: {reason}; check the path.") from None
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(
            f"{public_name(path)} must be a regular file, got a folder or device; pass a media file, or a camera: or mic: URI."
        )
    if status.st_size == 0:
        raise MediaError(
            f"{public_name(path)} must be a media file, got an empty file (0 bytes); copy or record it again."
        )


def too_large_message(path: Path, stream: Any = None) -> str | None:
    """Returns the reason why a file's frames are too large to be decoded, or None if they are not.

    Args:
        path: of the file; the header of a still image is read from it.
        stream: its video track, or None.
    """
    size = None if stream is None else (stream.codec_context.width, stream.codec_context.height)
    if not size or not size[0] * size[1]:
        try:
            with path.open("rb") as file:
                size = image_size(file.read(1 << 20))
        except OSError:
            return None
    if size is None or size[0] * size[1] <= most_pixels():
        return None
    return (
        f"{public_name(path)} must have frames of at most {most_pixels():,} pixels on this machine, got {size[0]} x {size[1]}; "
        "scale it down."
    )


@lru_cache(maxsize=1)
def _formats_that_read_themselves(av: Any) -> str:
    """Returns the names of FFmpeg's demuxers that read nothing but the file they are given, with commas."""
    names = []
    for name in sorted(av.formats_available):
        try:
            is_input = av.ContainerFormat(name, "r").is_input
        except (ValueError, LookupError):
            continue
        if is_input and _READS_OTHERS.isdisjoint(name.split(",")):
            names.append(name)
    return ",".join(names)


def _unreadable_message(path: Path, reason: str) -> str:
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
            if head[4:8] == b"ftyp":
                return _iso_message(path, head, list(boxes_of(stream)), path.stat().st_size, reason)
    except OSError as error:
        return f"{public_name(path)} must be a readable media file, got: {error.strerror}; check its permissions."
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(_PLAYLIST_HEADS) or (text.startswith(b"<?xml") and b"<mpd" in text):
        return f"{public_name(path)} must be a media file, got a playlist or a description of streams; pass the file that it names."
    return f"{public_name(path)} must be a media file, got data of no known format ({reason}); pass a video, audio or image file."


def _iso_message(path: Path, head: bytes, boxes: list[tuple[bytes, int, int]], size: int, reason: str) -> str:
    brand = brand_of(head)
    kinds = {kind for kind, _, _ in boxes}
    if brand is not None and b"moov" not in kinds:
        return (
            f"{public_name(path)} must be an image that this FFmpeg decodes, got a HEIF image of brand {brand.decode('latin-1')} "
            f"({reason}); convert it to JPEG or PNG."
        )
    if b"moov" not in kinds or (boxes and boxes[-1][2] > size):
        return (
            f"{public_name(path)} must be a complete media file, got an MP4 without its index (truncated before the end); "
            "copy it again, or repair it with a tool that rebuilds the index."
        )
    return (
        f"{public_name(path)} must be a media file that FFmpeg reads, got an MP4 that it does not ({reason}); record or convert it "
        "again."
    )

"""The video again, with the face box and the values drawn in; the audio is not copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.types import AffectEvent, VideoFrame

TIME_BASE = Fraction(1, 90_000)
VALENCE_COLOR, AROUSAL_COLOR, BOX_COLOR = (31, 111, 178), (200, 68, 44), (80, 200, 120)


def write_overlay(events: Sequence[AffectEvent], source: str, path: str) -> None:
    """Writes the video.

    Args:
        events: of one run, in order.
        source: the media file they came from, read again.
        path: MP4 to write.

    Raises:
        ArgumentError: the source is not a file with frames.
        BackendUnavailableError: OpenCV or PyAV is not installed.
    """
    try:
        import av
        import cv2
    except ImportError as error:
        raise BackendUnavailableError(
            f"--overlay needs OpenCV and PyAV, got: {error}; pip install edgeaff[live,media]."
        ) from error
    from edgeaff.capture.open import open_source
    from edgeaff.capture.uri import parse_uri

    if parse_uri(source).scheme != "file":
        raise ArgumentError(f"--overlay needs a file that can be read again, got {source}; record it first.")
    with open_source(source, audio=False) as media, av.open(f"file:{path}", "w") as container:
        stream: Any = None
        for unit, now in with_events(media, events):
            if stream is None:
                height, width = (size // 2 * 2 for size in unit.image.shape[:2])
                codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
                stream = container.add_stream(codec, rate=30, width=width, height=height, pix_fmt="yuv420p")
                stream.codec_context.time_base = TIME_BASE
                first_ns = unit.pts_ns
            image = draw(cv2, unit.image[:height, :width].copy(), now)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = round((unit.pts_ns - first_ns) * TIME_BASE.denominator / 10**9), TIME_BASE
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))


def with_events(media: Any, events: Sequence[AffectEvent]) -> Iterator[tuple[VideoFrame, list[AffectEvent]]]:
    """Yields each frame with the events of the newest tick at or before it (the first tick for frames before it)."""
    index = 0
    for unit in media:
        if not isinstance(unit, VideoFrame) or not events:
            continue
        while index + 1 < len(events) and events[index + 1].pts_ns <= unit.pts_ns + 17_000_000:
            index += 1
        now = [event for event in events[max(0, index - 15) : index + 1] if event.pts_ns == events[index].pts_ns]
        yield unit, now


def draw(cv2: Any, image: np.ndarray, events: Sequence[AffectEvent]) -> np.ndarray:
    """Returns the frame with boxes, and bars of valence and arousal from the center of each box's lower edge."""
    scale = max(0.4, image.shape[0] / 720)
    for event in events:
        text = event.status.value
        if event.valence is not None and event.arousal is not None:
            text += f" v {event.valence:+.2f} a {event.arousal:+.2f}"
        if event.face is None:
            origin = (10, int(30 * scale))
        else:
            x0, y0, x1, y1 = (int(round(value)) for value in event.face.box)
            cv2.rectangle(image, (x0, y0), (x1, y1), BOX_COLOR, max(1, int(2 * scale)))
            origin = (x0, max(int(18 * scale), y0 - int(8 * scale)))
            for row, (value, color) in enumerate(((event.valence, VALENCE_COLOR), (event.arousal, AROUSAL_COLOR))):
                if value is not None:
                    top, middle = y1 + int((6 + 10 * row) * scale), (x0 + x1) // 2
                    tip = middle + int(value * (x1 - x0) / 2)
                    cv2.rectangle(image, (min(middle, tip), top), (max(middle, tip), top + int(8 * scale)), color, -1)
        cv2.putText(
            image,
            text,
            origin,
            cv2.FONT_HERSHEY_SIMPLEX,
            0.6 * scale,
            (255, 255, 255),
            max(1, int(2 * scale)),
            cv2.LINE_AA,
        )
    return image

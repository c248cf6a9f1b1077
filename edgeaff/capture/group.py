"""Several live sources read as one."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgeaff.capture.health import SourceHealth
from edgeaff.capture.live import LiveSource, take_from, units_of
from edgeaff.capture.source import MergedSource, open_source, parse_uri
from edgeaff.closing import Closing
from edgeaff.errors import ArgumentError
from edgeaff.types import AudioChunk, VideoFrame

if TYPE_CHECKING:
    from typing import Self


def combine(video: Any, audio: Any) -> Any:
    """Returns one source for both modalities.

    Args:
        video: path, URI or source object of the pictures; None for sound alone.
        audio: path, URI or source object of the sound; None for that of `video`, where it has any.

    Returns:
        A MediaFile, a MergedSource of two files, or a LiveGroup.

    Raises:
        ArgumentError: neither is given, or a file is to be mixed with a live source.
    """
    if video is None and audio is None:
        raise ArgumentError("video or audio must name a source, got neither; pass for example video='clip.mp4'.")
    if video is not None and audio is not None and video == audio:
        audio = None
    only_video = video is not None and audio is not None or (video is not None and _gives_pictures_only(video))
    picture = None if video is None else _opened(video, video=True, audio=not only_video)
    sound = None if audio is None else _opened(audio, video=False, audio=True)
    given = [source for source in (picture, sound) if source is not None]
    if all(not source.is_live for source in given):
        return given[0] if len(given) == 1 else MergedSource(picture, sound)
    parts: list[Any] = []
    for source in given:
        parts += source.sources if isinstance(source, LiveGroup) else (source,)
    return given[0] if len(given) == 1 and isinstance(given[0], LiveGroup) else LiveGroup(parts)


def _gives_pictures_only(video: Any) -> bool:
    return isinstance(video, str) and parse_uri(video).scheme in ("camera", "gst")


def _opened(source: Any, *, video: bool, audio: bool) -> Any:
    if isinstance(source, type):
        raise ArgumentError(f"source must be an object, got the class {source.__name__}; pass {source.__name__}().")
    return source if hasattr(source, "is_live") else open_source(source, video=video, audio=audio)


class LiveGroup(Closing):
    """Several live sources as one; what is earliest in any inbox comes first. It never waits for one of them."""

    is_live = True
    duration_seconds: float | None = None

    def __init__(self, sources: Sequence[LiveSource]) -> None:
        """Takes over sources that are not started yet.

        Args:
            sources: at most one with pictures and one with sound.

        Raises:
            ArgumentError: a source is not live, or two bring the same modality.
        """
        for source in sources:
            if not isinstance(source, LiveSource):
                raise ArgumentError(
                    f"sources must be live, got {type(source).__name__}; a file cannot be mixed with a device, play it "
                    "with PacedFile."
                )
        for kind in ("has_video", "has_audio"):
            if sum(getattr(source, kind) for source in sources) > 1:
                raise ArgumentError(f"sources must bring each modality once, got two with {kind}; switch one off.")
        self.sources = tuple(sources)
        shared = threading.Condition()
        for source in self.sources:
            source.inbox.changed = shared

    @property
    def has_video(self) -> bool:
        """True where one of them gives pictures."""
        return any(source.has_video for source in self.sources)

    @property
    def has_audio(self) -> bool:
        """True where one of them gives sound."""
        return any(source.has_audio for source in self.sources)

    @property
    def warnings(self) -> list[str]:
        """Returns the warnings of all."""
        return [warning for source in self.sources for warning in source.warnings]

    @property
    def counts(self) -> dict[str, int]:
        """Returns the counts of all, added."""
        total: dict[str, int] = {}
        for source in self.sources:
            for cause, count in source.counts.items():
                total[cause] = total.get(cause, 0) + count
        return total

    def health(self) -> dict[str, SourceHealth]:
        """Returns the health of each by name."""
        return {source.name: source.health() for source in self.sources}

    def now_ns(self) -> int | None:
        """Returns the present instant on the timeline: the earliest that any source knows of."""
        known = [now for source in self.sources if (now := source.now_ns()) is not None]
        return min(known, default=None)

    def take(self, timeout_seconds: float | None = None) -> VideoFrame | AudioChunk | None:
        """Returns the earliest unit that waits, or None after the timeout or when all have ended."""
        return take_from(self.sources, timeout_seconds)

    @property
    def ended(self) -> bool:
        """True once all have ended."""
        return all(source.ended for source in self.sources)

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields units until all have ended."""
        yield from units_of(self)

    def inputs(self, *, idle_seconds: float = 1 / 30) -> Iterator[VideoFrame | AudioChunk | int]:
        """Yields what a Session is to be given: units, and while nothing comes the present instant, for `advance`.

        Args:
            idle_seconds: how long to wait for a unit before the instant is given; one tick, so that ticks go on.
        """
        while not self.ended:
            unit = self.take(idle_seconds)
            if unit is not None:
                yield unit
                continue
            self.health()
            now = self.now_ns()
            if now is not None and not self.ended:
                yield now

    def __enter__(self) -> Self:
        """Returns the group, all sources started; if one fails the others are closed again."""
        with contextlib.ExitStack() as started:
            for source in self.sources:
                started.enter_context(source)
            started.pop_all()
        return self

    def close(self) -> None:
        """Closes all, within half a second together."""
        for source in self.sources:
            source.end()
        deadline = time.monotonic() + 0.5
        for source in self.sources:
            source.join(deadline)

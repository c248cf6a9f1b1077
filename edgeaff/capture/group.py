"""Several sources read as one: two files merged by time, or a group of live sources."""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from edgeaff.capture.health import SourceHealth
from edgeaff.capture.live import LiveSource, take_from, units_of
from edgeaff.capture.source import Source
from edgeaff.capture.timeline import order_of
from edgeaff.closing import Closing
from edgeaff.errors import ArgumentError
from edgeaff.spec import JUMP_NS
from edgeaff.types import AudioChunk, ClockTick, VideoFrame

if TYPE_CHECKING:
    from typing import Self


class MergedSource(Closing):
    """Two sources that both start at 0 as one, for example the frames of one file with the audio of another."""

    is_live = False

    def __init__(self, video_source: Source, audio_source: Source) -> None:
        """Takes over both sources and closes them when it is closed.

        Args:
            video_source: gives the frames; its own audio must be switched off.
            audio_source: gives the audio; its own frames must be switched off.

        Raises:
            ArgumentError: a source is live, lacks its modality, or brings the other's too.
        """
        if video_source.is_live or audio_source.is_live:
            raise ArgumentError("video_source and audio_source must be files, got a live one; use Runtime for those.")
        if not video_source.has_video or video_source.has_audio:
            raise ArgumentError("video_source must give frames only, got another kind; open it with audio=False.")
        if not audio_source.has_audio or audio_source.has_video:
            raise ArgumentError("audio_source must give audio only, got another kind; open it with video=False.")
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
        """Yields everything of both in the order of `timeline.order_of`."""
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


class LiveGroup(Closing):
    """Several live sources as one; the earliest unit of any inbox comes first. It never waits for one of them.

    Attributes:
        reached_ns: time of the last event, set by the reader; None before that.
    """

    is_live = True
    duration_seconds: float | None = None
    reached_ns: int | None = None

    def __init__(self, sources: Sequence[LiveSource | Source]) -> None:
        """Takes over sources that are not started yet.

        Args:
            sources: at most one with frames and one with audio.

        Raises:
            ArgumentError: a source is not live, or two bring the same modality.
        """
        live = [source for source in sources if isinstance(source, LiveSource)]
        for source in sources:
            if not isinstance(source, LiveSource):
                raise ArgumentError(
                    f"sources must be live, got {type(source).__name__}; a file cannot be mixed with a device, play it "
                    "with PacedFile."
                )
        for kind in ("has_video", "has_audio"):
            if sum(getattr(source, kind) for source in live) > 1:
                raise ArgumentError(f"sources must bring each modality once, got two with {kind}; switch one off.")
        self.sources = tuple(live)
        shared = threading.Condition()
        for source in self.sources:
            source.inbox.changed = shared

    @property
    def has_video(self) -> bool:
        """True where one of them gives frames."""
        return any(source.has_video for source in self.sources)

    @property
    def has_audio(self) -> bool:
        """True where one of them gives audio."""
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
        """Returns the present instant: the earliest of all sources, or that of the session if clocks differ."""
        known = [now for source in self.sources if (now := source.now_ns()) is not None]
        if not known or self.reached_ns is None or max(known) - min(known) <= JUMP_NS:
            return min(known, default=None)
        reached_ns = self.reached_ns
        return min(known, key=lambda now: abs(now - reached_ns))

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

    def inputs(self, *, idle_seconds: float = 1 / 30) -> Iterator[VideoFrame | AudioChunk | ClockTick]:
        """Yields the input of a Session: units, and while nothing arrives the present instant, for `advance`.

        Args:
            idle_seconds: how long to wait for a unit before the instant is given; one tick, so that ticks continue.
        """
        while not self.ended:
            unit = self.take(idle_seconds)
            if unit is not None:
                yield unit
                continue
            self.health()
            now = self.now_ns()
            if now is not None and not self.ended:
                yield ClockTick(now)

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

"""Several live sources read as one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType

from edgeaff.capture.health import SourceHealth
from edgeaff.capture.live import LiveSource, take_from
from edgeaff.errors import ArgumentError
from edgeaff.types import AudioChunk, VideoFrame


class LiveGroup:
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
        while not self.ended:
            unit = self.take(0.25)
            if unit is not None:
                yield unit
            else:
                self.health()

    def __enter__(self) -> LiveGroup:
        """Returns the group, all sources started; if one fails the others are closed again."""
        with contextlib.ExitStack() as started:
            for source in self.sources:
                started.enter_context(source)
            started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes all."""
        self.close()

    def close(self) -> None:
        """Closes all."""
        for source in self.sources:
            source.close()

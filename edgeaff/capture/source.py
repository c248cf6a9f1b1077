"""The protocol of a source: an object that yields video frames and audio chunks. `edgeaff.capture.open` opens one from a path or URI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, runtime_checkable

from edgeaff.types import AudioChunk, VideoFrame


@runtime_checkable
class Source(Protocol):
    """A context manager that yields VideoFrame and AudioChunk in the order of pts.

    Attributes:
        has_video: it delivers frames.
        has_audio: it delivers audio.
        is_live: it uses the monotonic clock and does not wait for its reader.
        warnings: problems so far, one sentence each.
        duration_seconds: its length, None if unknown or endless.
    """

    @property
    def warnings(self) -> list[str]:
        """Returns the problems found so far."""

    @property
    def duration_seconds(self) -> float | None:
        """Returns the length, None if unknown or endless."""

    @property
    def has_video(self) -> bool:
        """True where frames are delivered."""

    @property
    def has_audio(self) -> bool:
        """True where audio is delivered."""

    @property
    def is_live(self) -> bool:
        """True where time is the monotonic clock."""

    @property
    def counts(self) -> dict[str, int]:
        """Returns the counts of lost and repaired units, by cause."""

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields frames and audio in the order of pts."""

    def __enter__(self) -> Source:
        """Returns the source, started."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the source."""

    def close(self) -> None:
        """Stops the source and frees its device."""


SourceLike = str | os.PathLike[str] | Source  # a path, a URI or a source

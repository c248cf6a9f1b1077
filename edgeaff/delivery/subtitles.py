"""A sink that writes WebVTT subtitles: what any video player can show beside the clip."""

from __future__ import annotations

import os

from edgeaff.delivery.files import _FileSink
from edgeaff.errors import ArgumentError
from edgeaff.spec import MILLISECOND
from edgeaff.types import AffectEvent


class WebVttSink(_FileSink):
    """Writes a cue every `cue_seconds` with the values of its first event, appended and flushed when the cue is over."""

    def __init__(
        self, path: str | os.PathLike[str], *, cue_seconds: float = 0.5, origin_ns: int | None = 0
    ) -> None:
        """Opens the file.

        Args:
            path: what to write; the folder must exist.
            cue_seconds: length of a cue.
            origin_ns: pts of the video's start: 0 for a file; None takes the first event's, for live sources.

        Raises:
            ArgumentError: cue_seconds is not positive.
        """
        if not cue_seconds > 0:
            raise ArgumentError(f"cue_seconds must be positive, got {cue_seconds}; 0.5 reads well.")
        super().__init__(path)
        self._cue_ns, self._origin_ns = int(cue_seconds * 1e9), origin_ns
        self._cues: dict[int, tuple[int, str]] = {}  # track -> start and text of the cue that is open
        self._end_ns = 0
        self._file.write("WEBVTT\n\n")

    def write(self, event: AffectEvent) -> None:
        """Takes one event. OSError if the disk refuses."""
        if self._origin_ns is None:
            self._origin_ns = event.pts_ns
        now = max(0, event.pts_ns - self._origin_ns)
        self._end_ns = max(self._end_ns, now)
        track = 0 if event.face is None else event.face.track_id
        if any(now - start >= self._cue_ns for start, _ in self._cues.values()):
            self._flush(now)
        self._cues.setdefault(track, (now, cue_text(event)))

    def close(self) -> None:
        """Writes the last cue and closes the file."""
        if not self._file.closed:
            self._flush(self._end_ns + 33 * MILLISECOND)
        super().close()

    def _flush(self, end_ns: int) -> None:
        cues = [f"{timestamp(start)} --> {timestamp(end_ns)}\n{text}\n\n" for start, text in self._cues.values()]
        self._file.write("".join(cues))
        self._cues.clear()


def timestamp(pts_ns: int) -> str:
    """Returns nanoseconds as WebVTT writes times: 01:02:03.456."""
    seconds, rest = divmod(pts_ns // MILLISECOND, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


def cue_text(event: AffectEvent) -> str:
    """Returns one line: values with sign, or the status where there is none."""
    if event.valence is None and event.arousal is None:
        return event.status.value.replace("_", " ").lower()
    parts = [
        f"{name} {value:+.2f}"
        for name, value in (("valence", event.valence), ("arousal", event.arousal))
        if value is not None
    ]
    return "  ".join(parts)

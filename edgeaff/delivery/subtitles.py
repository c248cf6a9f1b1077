"""A sink that writes WebVTT subtitles: what any video player can show beside the clip."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from edgeaff.delivery.files import FileSink
from edgeaff.errors import ArgumentError
from edgeaff.spec import MILLISECOND, NANOSECONDS
from edgeaff.types import AffectEvent

_CUE_END = re.compile(rb"--> (\d+):(\d\d):(\d\d)\.(\d{3})")


class WebVttSink(FileSink):
    """Writes a cue every `cue_seconds` with the values of its first event, appended and flushed when the cue has ended.

    Cues must not go back in time: appended live subtitles begin where the last cue that is there ends.
    """

    _HEAD = b"WEBVTT\n\n"
    _ENDS = b"\n\n"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        cue_seconds: float = 0.5,
        origin_ns: int | None = 0,
        append: bool | None = None,
        **options: Any,
    ) -> None:
        """Opens the file.

        Args:
            path: what to write; the folder must exist.
            cue_seconds: length of a cue.
            origin_ns: pts of the video's start: 0 for a file; None takes the first event's, for live sources.
            append: keep what is there; None for live sources only.
            options: of FileSink.

        Raises:
            ArgumentError: cue_seconds is not positive, or the file cannot be written.
        """
        if not cue_seconds > 0:
            raise ArgumentError(f"cue_seconds must be positive, got {cue_seconds}; 0.5 reads well.")
        live = origin_ns is None
        super().__init__(path, append=live if append is None else append, **options)
        self._cue_ns, self._origin_ns = int(cue_seconds * 1e9), origin_ns
        self._cues: dict[int, tuple[int, str]] = {}  # track -> start and text of the cue that is open
        self._begin_ns = self._last_cue_end_ns() if live else 0
        self._end_ns = self._begin_ns

    def write(self, event: AffectEvent) -> None:
        """Takes one event. OSError if the disk refuses."""
        if self._origin_ns is None:
            self._origin_ns = event.pts_ns - self._begin_ns
        now = event.pts_ns - self._origin_ns
        if now < self._end_ns - NANOSECONDS:  # a clock was set back: cues go on from where they were
            now = self._end_ns + 33 * MILLISECOND
            self._origin_ns = event.pts_ns - now
            self._flush(now)
        now = max(0, now)
        self._end_ns = max(self._end_ns, now)
        row = self.as_row(event)
        track = 0 if event.face is None else event.face.track_id
        if any(now - start >= self._cue_ns for start, _ in self._cues.values()):
            self._flush(now)
        self._cues.setdefault(track, (now, cue_text(row)))

    def close(self) -> None:
        """Writes the last cue and closes the file."""
        if not self._file.closed:
            self._flush(self._end_ns + 33 * MILLISECOND)
        super().close()

    def _last_cue_end_ns(self) -> int:
        ends = _CUE_END.findall(self._file.tail())
        if not ends:
            return 0
        hours, minutes, seconds, milliseconds = map(int, ends[-1])
        return ((hours * 60 + minutes) * 60 + seconds) * 1000 * MILLISECOND + milliseconds * MILLISECOND

    def _flush(self, end_ns: int) -> None:
        cues = [f"{timestamp(start)} --> {timestamp(end_ns)}\n{text}\n\n" for start, text in self._cues.values()]
        self._file.write("".join(cues))
        self._cues.clear()


def timestamp(pts_ns: int) -> str:
    """Returns nanoseconds as WebVTT writes times: 01:02:03.456."""
    seconds, rest = divmod(pts_ns // MILLISECOND, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{rest:03d}"


def cue_text(row: Mapping[str, Any]) -> str:
    """Returns one line: values with sign, or the status where there is none. row: the fields of an event."""
    parts = [f"{name} {row[name]:+.2f}" for name in ("valence", "arousal") if row[name] is not None]
    return "  ".join(parts) or row["status"].replace("_", " ").lower()

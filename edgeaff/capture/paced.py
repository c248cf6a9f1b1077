"""A media file played in real time as if it were a camera and a microphone: for demonstrations and soak tests."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

from edgeaff.capture.live import LiveSource
from edgeaff.capture.media_file import MediaFile
from edgeaff.errors import ArgumentError
from edgeaff.spec import NANOSECONDS
from edgeaff.types import AudioChunk, VideoFrame


class PacedFile(LiveSource):
    """Delivers each frame at its time and each chunk of audio at the time of its last sample."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        video: bool = True,
        audio: bool = True,
        speed: float = 1.0,
        loop: bool = False,
        **live: Any,
    ) -> None:
        """Opens the file and reads its tracks.

        Args:
            path: media file.
            video: deliver frames if there are any.
            audio: deliver audio if there is any.
            speed: factor over real time; times on the clock are scaled, sample rates are not.
            loop: restart at the end, without a gap in time.
            live: options of LiveSource.

        Raises:
            ArgumentError: speed is not positive and finite.
        """
        if not 0 < speed < math.inf:
            raise ArgumentError(f"speed must be positive and finite, got {speed}; 1 is real time.")
        super().__init__(f"paced {os.fspath(path)}", reconnect=False, **live)
        self._file = MediaFile(path, video=video, audio=audio)
        self.has_video, self.has_audio = self._file.has_video, self._file.has_audio
        self._speed, self._loop = speed, loop

    def _open(self) -> MediaFile:
        return self._file

    def _read(self, device: MediaFile) -> Iterator[VideoFrame | AudioChunk | None]:
        base = self._clock()
        while True:
            end, frame_ns, step_ns = 0, None, 0
            for unit in device:
                length = 0
                if isinstance(unit, AudioChunk):
                    length = unit.samples.size * NANOSECONDS // unit.sample_rate_hz
                    end = max(end, unit.pts_ns + length)
                else:  # the last frame is shown for as long as the one before
                    step_ns = step_ns if frame_ns is None else unit.pts_ns - frame_ns
                    frame_ns = unit.pts_ns
                    end = max(end, unit.pts_ns + step_ns)
                due = base + int((unit.pts_ns + length) / self._speed)
                if self._stop.wait(max(0, due - self._clock()) / NANOSECONDS):
                    return
                start = base + int(unit.pts_ns / self._speed)
                if isinstance(unit, AudioChunk):
                    yield AudioChunk(start, unit.samples, unit.sample_rate_hz)
                else:
                    yield VideoFrame(start, unit.image)
            if not (self._loop and end):  # a file without a length would be read again at once
                return
            base += int(end / self._speed)

    def _shut(self, device: MediaFile) -> None:
        device.close()

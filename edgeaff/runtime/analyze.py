"""analyze: reads a file and returns a table of events; lossless and deterministic."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeaff.awaiting import call_plain
from edgeaff.delivery.provenance import provenance
from edgeaff.delivery.table import AffectTable
from edgeaff.errors import ArgumentError
from edgeaff.runtime.runtime import Runtime
from edgeaff.types import AffectEvent


def analyze(
    path: str | os.PathLike[str],
    *,
    audio: str | os.PathLike[str] | None = None,
    progress: Callable[[AffectEvent], None] | None = None,
    **options: Any,
) -> AffectTable:
    """Returns the events of a media file, one per tick and face.

    Args:
        path: video or audio file in any format that FFmpeg reads.
        audio: separate file with the audio; both start at the same time.
        progress: plain function, called with every event.
        options: bundle, key, minimum_version, backend, max_faces, active_speaker, detector_stride, smoothing, staleness_seconds as
            in Runtime.

    Raises:
        ArgumentError: path or audio is no path.
        MediaError: the file cannot be used.
    """
    events = []
    with Runtime(
        video=_as_path("path", path), audio=None if audio is None else _as_path("audio", audio), **options
    ) as runtime:
        for event in runtime:
            events.append(event)
            if progress is not None:
                call_plain("progress", progress, event)
        return AffectTable(
            events,
            runtime.warnings,
            source=os.fspath(path),
            metadata=provenance(runtime.bundle, backend=runtime.health().backend["name"]),
        )


def _as_path(name: str, path: Any) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ArgumentError(f"{name} must be the path of a media file, got {path!r}; pass for example 'clip.mp4'.")
    return Path(path)

"""Replays a session file: the same calls, with the recorded crops and LLDs in place of detection and analysis.

A file may be damaged or hostile: every error that a call, an option or an array in it causes is a MediaError.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgeaff.closing import Closing
from edgeaff.errors import MediaError
from edgeaff.parsing.boundary import boundary, shown
from edgeaff.recording.calls import SessionCalls
from edgeaff.recording.format import Call, Record, Recording, array_of, faces_of
from edgeaff.spec import HIGHEST_RATE_HZ
from edgeaff.types import AffectEvent, AudioChunk, TrackedFace, VideoFrame

MOST_SWAPS = 1000
FREE_AUDIO_SECONDS = 60  # of a call, beyond what its recorded rows account for
_ROWS_PER_SECOND = 100
_NO_FRAME = np.zeros((1, 1, 3), np.uint8)


class ReplayTap:
    """Gives a session the crops and LLDs of a recording; stands where its detector and LLD stream were."""

    def __init__(self) -> None:
        self._faces: deque[Record] = deque()
        self._rows: deque[Record] = deque()

    def load(self, call: Call) -> None:
        """Makes ready what was noted inside a call.

        Args:
            call: the call that will be made next.
        """
        self._faces, self._rows = deque(call.faces), deque(call.rows)

    def faces(
        self, pts_ns: int, find: Callable[[], list[tuple[TrackedFace, np.ndarray, int]]]
    ) -> list[tuple[TrackedFace, np.ndarray, int]]:
        """Returns the recorded faces of the frame at pts_ns.

        Raises:
            MediaError: the session asks for another frame than was recorded: it is another version or other options.
        """
        del find
        if not self._faces or self._faces[0].head.get("pts_ns") != pts_ns:
            raise MediaError(
                f"the recording must hold the faces of the frame at {pts_ns} ns here, got none; replay it with the "
                "edgeaff and the options that recorded it."
            )
        return faces_of(self._faces.popleft())

    def rows(self, pop: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the recorded rows; what the stream computed of the silence it was given is discarded.

        Raises:
            MediaError: none are recorded here.
        """
        pop()
        if not self._rows:
            raise MediaError(
                "the recording must hold LLD rows here, got none; replay it with the edgeaff and the options that "
                "recorded it."
            )
        return array_of(self._rows.popleft())


def replay(
    recording: Recording,
    make_session: Callable[[ReplayTap | None, dict[str, Any]], SessionCalls],
    *,
    recompute: bool = False,
) -> Iterator[tuple[AffectEvent, dict[str, Any] | None]]:
    """Makes the recorded calls on a session. A cut recording is replayed up to there; `recording.cut` then names the place.

    Args:
        recording: the session file.
        make_session: makes the session from a tap (None with recompute) and the options of the header.
        recompute: detect and analyze again from the raw frames and audio, which the recording must hold.

    Yields:
        Each event with the latency_ms and dropped_since_last that it was delivered with, and the recorded event as a
        dict, None where none was recorded (or fewer).

    Raises:
        MediaError: the recording does not hold what is needed, or holds what no session takes.
    """
    if recompute and not recording.is_raw:
        raise MediaError(f"{recording.path} must hold raw media to recompute it, got crops and LLDs only; record raw.")
    tap, swaps = None if recompute else ReplayTap(), 0
    with boundary(MediaError, f"{recording.path} must hold calls that a session takes", "record again."):
        session = make_session(tap, recording.session_options)
        for call in recording.calls():
            swaps += call.name == "swap_backend"
            if swaps > MOST_SWAPS:
                raise MediaError(
                    f"{recording.path} must swap backends at most {MOST_SWAPS} times, got more; record again."
                )
            if tap is not None:
                tap.load(call)
            for index, event in enumerate(_make_call(session, call, recompute)):
                recorded = call.events[index].head if index < len(call.events) else None
                yield _as_delivered(event, recorded), recorded


def _as_delivered(event: AffectEvent, recorded: dict[str, Any] | None) -> AffectEvent:
    """Returns an event with what only its delivery knew.

    Raises:
        MediaError: the recorded event is none.
    """
    if recorded is None:
        return event
    latency_ms, dropped = recorded.get("latency_ms"), recorded.get("dropped_since_last")
    if latency_ms is not None and not (type(latency_ms) in (int, float) and math.isfinite(latency_ms)):
        raise MediaError(f"the recording must hold latency_ms as a number, got {shown(latency_ms)}; record again.")
    if dropped is not None and type(dropped) is not int:
        raise MediaError(f"the recording must hold dropped_since_last as an int, got {shown(dropped)}; record again.")
    return dataclasses.replace(event, latency_ms=latency_ms, dropped_since_last=dropped)


def first_difference(
    recording: Recording, make_session: Callable[[ReplayTap | None, dict[str, Any]], SessionCalls]
) -> str:
    """Returns the first difference between a replay and the events that were recorded, empty if there is none.

    A cut recording is never equal: where nothing else differs, the place of the cut is returned.

    Args:
        recording: the session file, recorded with its events.
        make_session: as for `replay`.
    """
    count = 0
    for event, recorded in replay(recording, make_session):
        count += 1
        now = event.to_dict()
        if recorded is None:
            return f"event {event.seq} came, none was recorded"
        for name, value in now.items():
            if value != recorded.get(name):
                return f"event {event.seq}: {name} is {value!r}, recorded was {shown(recorded.get(name))}"
    total = sum(len(call.events) for call in recording.calls())
    if count != total:
        return f"{count} events came, {total} were recorded"
    return f"{recording.cut}; the {count} events before are equal" if recording.cut else ""


def _make_call(session: SessionCalls, call: Call, recompute: bool) -> list[AffectEvent]:
    """Returns the events of a call, recomputed.

    Raises:
        MediaError: it is no call of a session.
    """
    head = call.record.head
    if call.name == "push_frame":
        image = array_of(call.record) if recompute else _NO_FRAME
        return list(session.push_frame(image, pts_ns=_whole(head, "pts_ns")))
    if call.name == "push_audio":
        samples = array_of(call.record) if recompute else np.zeros(_sample_count(call), np.int16)
        return list(
            session.push_audio(samples, pts_ns=_whole(head, "pts_ns"), sample_rate_hz=_whole(head, "sample_rate_hz"))
        )
    if call.name == "push_face":
        faces = [(face, crop) for face, crop, _ in faces_of(call.record)]
        return list(session.push_face(faces, pts_ns=_whole(head, "pts_ns")))
    if call.name == "push_lld":
        return list(session.push_lld(array_of(call.record), pts_ns=_whole(head, "pts_ns")))
    if call.name == "advance":
        return list(session.advance(_whole(head, "pts_ns")))
    if call.name == "swap_backend":
        session.swap_backend(str(head.get("backend")))
        return []
    if call.name == "degrade":
        session.degrade(_whole(head, "step"))
        return []
    if call.name in ("finish", "reset"):
        return list(getattr(session, call.name)() or [])
    raise MediaError(
        f"the recording must hold calls of Session, got {shown(call.name)}; it comes from a newer edgeaff."
    )


def _whole(head: dict[str, Any], name: str) -> int:
    """Returns a whole number of a call.

    Raises:
        MediaError: it is none.
    """
    value = head.get(name)
    if type(value) is not int:
        raise MediaError(f"the recording must hold {name} as an int, got {shown(value)}; record again.")
    return value


def _sample_count(call: Call) -> int:
    """Returns the number of samples a call had: as many as its rows account for, and a minute more where they were held back.

    Raises:
        MediaError: it contains more.
    """
    count, rate_hz = _whole(call.record.head, "count"), _whole(call.record.head, "sample_rate_hz")
    rows = sum(row.head["shape"][0] for row in call.rows if _has_rows(row))
    most = min(max(rate_hz, 0), HIGHEST_RATE_HZ) * (FREE_AUDIO_SECONDS + rows // _ROWS_PER_SECOND)
    if not 0 <= count <= most:
        raise MediaError(
            f"the recording must hold the rows of its samples, got {count} samples and {rows} rows; record again."
        )
    return count


def _has_rows(record: Record) -> bool:
    shape = record.head.get("shape")
    return (
        isinstance(shape, list)
        and len(shape) == 2
        and type(shape[0]) is int
        and shape[0] * 4 * 65 == _body_size(record)
    )


def _body_size(record: Record) -> int:
    return len(record.stored) if record.unpacked is None else record.unpacked


class ReplaySource(Closing):
    """The raw frames and audio of a recording as a source, in the order in which the session got them."""

    is_live = False
    duration_seconds: float | None = None

    def __init__(self, path: str | os.PathLike[str], *, video: bool = True, audio: bool = True) -> None:
        """Opens the recording.

        Args:
            path: session file recorded raw.
            video: deliver frames.
            audio: deliver audio.

        Raises:
            MediaError: the file is no session file, or holds crops and LLDs only.
        """
        self.recording = Recording(path)
        if not self.recording.is_raw:
            raise MediaError(
                f"{path} must hold raw media to be a source, got crops and LLDs only; `edgeaff replay` replays it."
            )
        self.has_video, self.has_audio = video, audio
        self.warnings: list[str] = []
        self.counts: dict[str, int] = {}

    def __iter__(self) -> Iterator[VideoFrame | AudioChunk]:
        """Yields frames and audio; where the recording is cut, `warnings` reports it."""
        with boundary(MediaError, f"{self.recording.path} must hold raw media", "record again."):
            for call in self.recording.calls():
                head = call.record.head
                if call.name == "push_frame" and self.has_video:
                    yield VideoFrame(_whole(head, "pts_ns"), array_of(call.record))
                elif call.name == "push_audio" and self.has_audio:
                    yield AudioChunk(_whole(head, "pts_ns"), array_of(call.record), _whole(head, "sample_rate_hz"))
        if self.recording.cut:
            self.warnings.append(f"{self.recording.path}: {self.recording.cut}; it was read up to there.")

    def close(self) -> None:
        """Does nothing: a pass holds the file open only while it runs."""

"""Replays a session file: the same calls, with the recorded crops and LLDs in place of detection and analysis."""

from __future__ import annotations

import dataclasses
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from edgeaff.closing import Closing
from edgeaff.errors import MediaError
from edgeaff.recording.format import Call, Record, Recording, array_of, faces_of
from edgeaff.types import AffectEvent, AudioChunk, TrackedFace, VideoFrame

_NO_PICTURE = np.zeros((1, 1, 3), np.uint8)


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
        if not self._faces or self._faces[0].head["pts_ns"] != pts_ns:
            raise MediaError(
                f"the recording must hold the faces of the frame at {pts_ns} ns here, got none; replay it with the "
                "edgeaff and the options that recorded it."
            )
        return faces_of(self._faces.popleft())

    def rows(self, pop: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the recorded rows; what the stream computed of the silence it was given is thrown away.

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
    recording: Recording, make_session: Callable[[ReplayTap | None, dict[str, Any]], Any], *, recompute: bool = False
) -> Iterator[tuple[AffectEvent, dict[str, Any] | None]]:
    """Makes the recorded calls on a session.

    Args:
        recording: the session file.
        make_session: makes the session from a tap (None with recompute) and the options of the header.
        recompute: detect and analyse again from the raw pictures and sound, which the recording must hold.

    Yields:
        Each event with the latency_ms and dropped_since_last that it was delivered with, and the recorded event as a
        dict, None where none was recorded (or fewer).

    Raises:
        MediaError: recompute is asked of a recording without raw media.
    """
    if recompute and not recording.is_raw:
        raise MediaError(f"{recording.path} must hold raw media to recompute it, got crops and LLDs only; record raw.")
    tap = None if recompute else ReplayTap()
    session = make_session(tap, recording.header.get("session", {}))
    for call in recording.calls():
        if tap is not None:
            tap.load(call)
        events = _make_call(session, call, recompute)
        for index, event in enumerate(events):
            recorded = call.events[index].head if index < len(call.events) else None
            if recorded is not None:
                event = dataclasses.replace(
                    event,
                    latency_ms=recorded["latency_ms"],
                    dropped_since_last=recorded["dropped_since_last"],
                )
            yield event, recorded


def first_difference(recording: Recording, make_session: Callable[[ReplayTap | None, dict[str, Any]], Any]) -> str:
    """Returns the first difference between a replay and the events that were recorded, empty if there is none.

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
                return f"event {event.seq}: {name} is {value!r}, recorded was {recorded.get(name)!r}"
    total = sum(len(call.events) for call in recording.calls())
    return "" if count == total else f"{count} events came, {total} were recorded"


def _make_call(session: Any, call: Call, recompute: bool) -> list[AffectEvent]:
    head = call.head
    if call.name == "push_frame":
        image = array_of(call) if recompute else _NO_PICTURE
        return list(session.push_frame(image, pts_ns=head["pts_ns"]))
    if call.name == "push_audio":
        samples = array_of(call) if recompute else np.zeros(head["count"], np.int16)
        return list(session.push_audio(samples, pts_ns=head["pts_ns"], sample_rate_hz=head["sample_rate_hz"]))
    if call.name == "push_face":
        faces = [(face, crop) for face, crop, _ in faces_of(Record("F", head, call.body))]
        return list(session.push_face(faces, pts_ns=head["pts_ns"]))
    if call.name == "push_lld":
        return list(session.push_lld(array_of(call), pts_ns=head["pts_ns"]))
    if call.name == "advance":
        return list(session.advance(head["pts_ns"]))
    if call.name == "swap_backend":
        session.swap_backend(head["backend"])
        return []
    if call.name == "degrade":
        session.degrade(head["step"])
        return []
    if call.name in ("finish", "reset"):
        return list(getattr(session, call.name)() or [])
    raise MediaError(f"the recording must hold calls of Session, got {call.name!r}; it comes from a newer edgeaff.")


class ReplaySource(Closing):
    """The raw pictures and sound of a recording as a source, in the order in which the session got them."""

    is_live = False
    duration_seconds: float | None = None

    def __init__(self, path: str | os.PathLike[str], *, video: bool = True, audio: bool = True) -> None:
        """Opens the recording.

        Args:
            path: session file recorded raw.
            video: deliver pictures.
            audio: deliver sound.

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
        """Yields pictures and sound."""
        for call in self.recording.calls():
            if call.name == "push_frame" and self.has_video:
                yield VideoFrame(call.head["pts_ns"], array_of(call))
            elif call.name == "push_audio" and self.has_audio:
                yield AudioChunk(call.head["pts_ns"], array_of(call), call.head["sample_rate_hz"])

    def close(self) -> None:
        """Does nothing: a pass holds the file open only while it runs."""

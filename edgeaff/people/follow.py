"""Follows the events of a session subject by subject: values against what is usual, and what changed."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

from edgeaff.errors import ArgumentError
from edgeaff.forking import ProcessBound
from edgeaff.ops.people import ChangeDetector, UsualValue
from edgeaff.people.baseline import Baseline, as_baseline
from edgeaff.types import DIMENSIONS, EVENT_SCHEMA, AffectEvent, ChangeEvent, Status

MOST_SUBJECTS = 64  # remembered; who was not seen for longest goes first
MOST_CHANGES = 4096  # that nobody has taken
_SETTLING = (Status.WARMUP, Status.STALE)


class Follower:
    """Adds to events what is relative to their subject, and collects changes. The same events give the same bytes.

    Args:
        model_id: of the bundle whose values these are.
        several: whether events of several faces come; else all are of one subject, on any track.
        relative: state valence_relative and arousal_relative.
        changes: look for changes.
        baseline: what is usual for the one subject so far.
    """

    def __init__(
        self, model_id: str, *, several: bool, relative: bool, changes: bool, baseline: Baseline | None = None
    ) -> None:
        self._model_id, self._several = model_id, several
        self._relative, self._look = relative, changes
        self._imported = baseline
        self.reset()

    def reset(self) -> None:
        """Starts again, from the baseline that was given."""
        self._usual: OrderedDict[int | None, tuple[UsualValue, UsualValue]] = OrderedDict()
        self._detectors: OrderedDict[int | None, tuple[ChangeDetector, ChangeDetector]] = OrderedDict()
        self._changes: list[ChangeEvent] = []
        if self._imported is not None:
            self._usual[None] = UsualValue(self._imported.valence), UsualValue(self._imported.arousal)

    def follow(self, events: list[AffectEvent]) -> list[AffectEvent]:
        """Returns the events with their relative values."""
        return [self._one(event) for event in events] if self._relative or self._look else events

    def take_changes(self) -> list[ChangeEvent]:
        """Returns the changes found since the last call."""
        taken, self._changes = self._changes, []
        return taken

    def baseline(self, track_id: int | None = None) -> Baseline:
        """Returns the baseline of a subject.

        Args:
            track_id: of a face with several faces; else None.

        Raises:
            ArgumentError: relative values were not asked for, or there is no such subject.
        """
        if not self._relative:
            raise ArgumentError("baseline must be asked for when the session is made, got none; pass baseline=True.")
        found = self._usual.get(track_id)
        if found is None and (self._several or track_id is not None):
            raise ArgumentError(
                f"track_id must be one of {list(self._usual)}, got {track_id}; take it from `AffectEvent.face`."
            )
        valence, arousal = (UsualValue(), UsualValue()) if found is None else found
        return Baseline(self._model_id, tuple(valence.weights), tuple(arousal.weights))

    def _one(self, event: AffectEvent) -> AffectEvent:
        if self._several and event.face is None:
            return dataclasses.replace(event, schema=EVENT_SCHEMA) if self._relative else event
        key = event.face.track_id if self._several and event.face is not None else None
        values = (event.valence, event.arousal)
        if self._look and event.status not in _SETTLING:
            self._look_for_changes(key, event, values)
        if not self._relative:
            return event
        relative: list[float | None] = []
        for usual, value in zip(self._subject(self._usual, key, UsualValue), values, strict=True):
            relative.append(None if value is None else usual.relative(value))
            if value is not None and event.status not in _SETTLING:
                usual.push(value)
        return dataclasses.replace(
            event, schema=EVENT_SCHEMA, valence_relative=relative[0], arousal_relative=relative[1]
        )

    def _look_for_changes(self, key: int | None, event: AffectEvent, values: tuple[float | None, float | None]) -> None:
        track_id = None if event.face is None else event.face.track_id
        detectors = self._subject(self._detectors, key, ChangeDetector)
        for what, detector, value in zip(DIMENSIONS, detectors, values, strict=True):
            found = None if value is None else detector.push(event.pts_ns, value)
            if found is not None and len(self._changes) < MOST_CHANGES:
                delay_ms = round((event.pts_ns - found.began_ns) / 1e6, 3)
                self._changes.append(
                    ChangeEvent(track_id, event.pts_ns, what, found.before, found.after, found.sureness, delay_ms)
                )

    @staticmethod
    def _subject(of: OrderedDict[int | None, tuple[Any, Any]], key: int | None, make: type) -> tuple[Any, Any]:
        if key in of:
            of.move_to_end(key)
        else:
            of[key] = (make(), make())
            if len(of) > MOST_SUBJECTS:
                of.popitem(last=False)
        return of[key]


class Following(ProcessBound):
    """What a Session states of the subjects that it follows."""

    _follower: Follower

    def take_changes(self) -> list[ChangeEvent]:
        """Returns the changes found since the last call, in order; none unless the session was made with changes=True."""
        self._require_own_process()
        return self._follower.take_changes()

    def baseline(self, track_id: int | None = None) -> Baseline:
        """Returns the baseline of a subject so far, for an application that may keep it and give it to a later Session.

        Args:
            track_id: of the face, where max_faces is above 1.

        Raises:
            ArgumentError: the session was not made with a baseline, or knows no such face.
        """
        self._require_own_process()
        return self._follower.baseline(track_id)


def follower_of(baseline: Any, changes: bool, *, model_id: str, max_faces: int) -> Follower:
    """Returns the follower that the options of a Session ask for. baseline, model_id, max_faces: see `as_baseline`."""
    relative, imported = as_baseline(baseline, model_id=model_id, max_faces=max_faces)
    return Follower(model_id, several=max_faces > 1, relative=relative, changes=changes, baseline=imported)

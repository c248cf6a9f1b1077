"""Identity over a session: a face that comes back gets its subject again, or a new one where that is not sure. In memory only.

The affect descriptor does not tell people apart (docs/people.md), so this has its own, made for one camera and one day: the
colors of the inner crop, 6 x 6 cells. With m the mean color of the crop and the cells less m scaled to length 1,

    signature = (cells - m) / |cells - m|,  4 m / sum(m)
    exemplar  = mean of 5 signatures, every third tick

A subject keeps its last 8 exemplars, one a second. A new track is compared once, with its first exemplar: it is the subject out of view
that is nearest, if nearer than 0.6 and than 0.8 of the distance to any other subject, in view or not. Otherwise it is a new subject.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from edgeaff.preprocess import FaceInput, TickInput
from edgeaff.spec import NANOSECONDS

CROP_PX, INNER, CELLS, CELL_PX = 96, slice(12, 84), 6, 12
COLOR_WEIGHT = 4.0
EVERY_TICKS, SIGNATURES = 3, 5
EXEMPLARS, EXEMPLAR_NS = 8, NANOSECONDS
FARTHEST, CLEARER = 0.6, 0.8
AWAY_NS = 3 * NANOSECONDS // 10  # a subject is out of view after so long
MOST_SUBJECTS = 32


def signature(crop: np.ndarray) -> np.ndarray:
    """Returns the (111,) float64 signature of a crop. crop: (96, 96, 3) uint8 RGB."""
    cells = crop[INNER, INNER].reshape(CELLS, CELL_PX, CELLS, CELL_PX, 3).sum(axis=(1, 3), dtype=np.int64)
    mean = cells.sum(axis=(0, 1)) / CELLS**2
    layout = (cells - mean).ravel()
    length = float(np.sqrt(layout @ layout))
    color = COLOR_WEIGHT * mean / max(float(mean.sum()), 1.0)
    return np.concatenate((layout / max(length, 1.0), color))


@dataclass(slots=True)
class _Subject:
    exemplars: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=EXEMPLARS))
    newest_ns: int = 0  # of its exemplars
    seen_ns: int = 0

    def distance(self, exemplar: np.ndarray) -> float:
        """Returns the distance of the nearest exemplar."""
        return min(float(np.linalg.norm(exemplar - one)) for one in self.exemplars)


class Identities:
    """Names the faces of each tick by subject: the id of the first track that was it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets everybody."""
        self._subject_of: dict[int, int] = {}  # by track
        self._subjects: dict[int, _Subject] = {}
        self._signatures: dict[int, list[np.ndarray]] = {}
        self._ticks = 0

    def push(self, tick: TickInput) -> TickInput:
        """Returns the tick with the subject of each face as its track id.

        Args:
            tick: the next one, as the tracker names its faces.
        """
        for face in tick.faces:
            self._look(face, tick.pts_ns)
        self._ticks += 1
        seen = {one.face.track_id for one in tick.faces}
        self._signatures = {track_id: found for track_id, found in self._signatures.items() if track_id in seen}
        return replace(tick, faces=tuple(self._named(face, tick.pts_ns) for face in tick.faces)) if tick.faces else tick

    def _named(self, face: FaceInput, pts_ns: int) -> FaceInput:
        subject_id = self._subject_of.get(face.face.track_id, face.face.track_id)
        if subject_id in self._subjects:
            self._subjects[subject_id].seen_ns = pts_ns
        if subject_id == face.face.track_id:
            return face
        return replace(face, face=replace(face.face, track_id=subject_id))

    def _look(self, face: FaceInput, pts_ns: int) -> None:
        track_id = face.face.track_id
        known = self._subjects.get(self._subject_of.get(track_id, -1))
        if face.crop.shape[:2] != (CROP_PX, CROP_PX):
            return
        if self._ticks % EVERY_TICKS or (known is not None and pts_ns - known.newest_ns < EXEMPLAR_NS):
            return
        signatures = self._signatures.setdefault(track_id, [])
        signatures.append(signature(face.crop))
        if len(signatures) < SIGNATURES:
            return
        exemplar = np.mean(signatures, axis=0)
        signatures.clear()
        if known is None:
            subject_id = self._recognize(exemplar, pts_ns)
            self._subject_of[track_id] = track_id if subject_id is None else subject_id
            known = self._subjects.setdefault(self._subject_of[track_id], _Subject())
        known.exemplars.append(exemplar)
        known.newest_ns = known.seen_ns = pts_ns
        self._bound()

    def _recognize(self, exemplar: np.ndarray, pts_ns: int) -> int | None:
        """Returns the subject out of view that this is, None where none is near or two are."""
        ranked = sorted((one.distance(exemplar), subject_id) for subject_id, one in self._subjects.items())
        if not ranked or ranked[0][0] >= FARTHEST:
            return None
        distance, subject_id = ranked[0]
        is_clear = len(ranked) == 1 or distance < CLEARER * ranked[1][0]
        return subject_id if is_clear and pts_ns - self._subjects[subject_id].seen_ns > AWAY_NS else None

    def _bound(self) -> None:
        if len(self._subjects) > MOST_SUBJECTS:
            oldest = min(self._subjects, key=lambda subject_id: (self._subjects[subject_id].seen_ns, subject_id))
            del self._subjects[oldest]
            self._subject_of = {track: subject for track, subject in self._subject_of.items() if subject != oldest}

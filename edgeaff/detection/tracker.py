"""FaceTracker: gives faces an identity over time, between and through detections.

A track predicts its box with constant velocity, is matched to detections by overlap and distance (cheapest pairing),
and lives on for a while without any. All times are `pts_ns`; frame counts play no part, so the detector may run on
every frame or every n-th. Same inputs, same tracks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeaff.detection.assignment import assign
from edgeaff.detection.boxes import pair_iou
from edgeaff.errors import ArgumentError
from edgeaff.types import FaceBox, FaceDetection, TrackedFace

NANOSECONDS = 1_000_000_000
CONFIRMING_HITS = 3
CONFIRMING_SCORE = 0.8  # one detection at least; there our detector's validation has 0.2 false boxes per 100 views
CONFIRMING_SECONDS = 0.3  # two hits this far apart confirm as well: slow cameras
INSTANT_SCORE = 0.85  # a detection this strong is usable at once, until the detector runs again
MEMORY_SECONDS = 0.25  # a track that searches miss is remembered this much longer than it is usable
GATE_DISTANCE = 0.7  # farthest match, in box sizes, where boxes do not overlap
GATE_GROWTH = 0.6  # widening of the gate, in box sizes per second without detection
VELOCITY_GAIN = 0.35
COAST_SECONDS = 0.2  # a box moves on without detections for this long, then stands still
PRIMARY_HYSTERESIS = 1.3
AGE_LIMIT_SECONDS = 3.0
CUT_LEVELS = 26.0
THUMBNAIL_SIZE, SAMPLES_PER_CELL = 32, 4
TICK_SECONDS = 1 / 30


@dataclass(slots=True)
class _Track:
    """centre, size: last measured box (pixels); velocity: pixels per second; smooth: (4,) centre and size shown."""

    track_id: int
    first_pts_ns: int
    detected_pts_ns: int
    centre: np.ndarray
    size: np.ndarray
    score: float
    smooth: np.ndarray
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    hits: int = 1
    peak: float = 0.0
    confirmed: bool = False

    def predict(self, pts_ns: int, limit_seconds: float = math.inf) -> np.ndarray:
        """Returns the box (4,) expected at a time, moving for at most limit_seconds since the last detection."""
        elapsed = min((pts_ns - self.detected_pts_ns) / NANOSECONDS, limit_seconds)
        centre = self.centre + self.velocity * elapsed
        return np.concatenate([centre - self.size / 2, centre + self.size / 2])


class FaceTracker:
    """Follows faces. Not thread-safe.

    Attributes:
        cuts: shot cuts seen so far.
    """

    def __init__(self, *, max_faces: int, staleness_seconds: float = 0.5) -> None:
        """Starts without tracks.

        Args:
            max_faces: most faces given back by `update`; all faces are followed.
            staleness_seconds: a confirmed track counts for this long after its last detection.

        Raises:
            ArgumentError: max_faces is below 1 or staleness_seconds not positive.
        """
        if max_faces < 1:
            raise ArgumentError(
                f"max_faces must be at least 1, got {max_faces}; pass 1 to follow the primary face only."
            )
        if not staleness_seconds > 0:
            raise ArgumentError(
                f"staleness_seconds must be positive, got {staleness_seconds}; pass 0.5, the usual value."
            )
        self.cuts = 0
        self._max_faces = max_faces
        self._staleness_ns = round(staleness_seconds * NANOSECONDS)
        self.reset()

    def reset(self) -> None:
        """Forgets all tracks; identities count on."""
        self._tracks: list[_Track] = []
        self._next_id = getattr(self, "_next_id", 0)
        self._primary_id: int | None = None
        self._thumbnail: np.ndarray | None = None
        self._pts_ns: int | None = None
        self._searched_pts_ns: int | None = None

    def detected_pts_ns(self, track_id: int) -> int:
        """Returns when a track was last detected.

        Raises:
            ArgumentError: there is no such track now.
        """
        for track in self._tracks:
            if track.track_id == track_id:
                return track.detected_pts_ns
        known = [track.track_id for track in self._tracks]
        raise ArgumentError(f"track_id must be one of {known}, got {track_id}; ask right after `update`.")

    def update(
        self, pts_ns: int, image: np.ndarray | None, detections: list[FaceDetection] | None
    ) -> list[TrackedFace]:
        """Returns the usable faces of one more frame, the primary one first, then by weight (area x age).

        Usable is what was detected at most `staleness_seconds` ago and is confirmed, or was strong the last time that
        the detector ran.

        Args:
            pts_ns: time of the frame, later than that of the call before.
            image: (H, W, 3) uint8 RGB, to notice shot cuts; None where there is no picture.
            detections: what the detector found on this frame; None when it did not run on it.

        Raises:
            ArgumentError: pts_ns does not grow.
        """
        if self._pts_ns is not None and pts_ns <= self._pts_ns:
            raise ArgumentError(f"pts_ns must be above {self._pts_ns}, got {pts_ns}; drop frames that do not move on.")
        self._pts_ns = pts_ns
        if image is not None and self._is_cut(image):
            self.cuts += 1
            self._tracks = []
        if detections is not None:
            self._searched_pts_ns = pts_ns
            self._match(pts_ns, detections)
            oldest = pts_ns - self._staleness_ns - round(MEMORY_SECONDS * NANOSECONDS)
            self._tracks = [track for track in self._tracks if track.detected_pts_ns >= oldest]
        usable = [track for track in self._tracks if self._is_usable(track, pts_ns)]
        return [self._show(track, pts_ns) for track in self._rank(usable, pts_ns)[: self._max_faces]]

    def _is_usable(self, track: _Track, pts_ns: int) -> bool:
        if pts_ns - track.detected_pts_ns > self._staleness_ns:
            return False
        return track.confirmed or (track.score >= INSTANT_SCORE and track.detected_pts_ns == self._searched_pts_ns)

    def _is_cut(self, image: np.ndarray) -> bool:
        """Returns whether the frame differs from the one before, brightness removed: a lamp switched on is no cut."""
        thumbnail = make_thumbnail(image)
        thumbnail -= thumbnail.mean()
        before, self._thumbnail = self._thumbnail, thumbnail
        return before is not None and float(np.abs(thumbnail - before).mean()) > CUT_LEVELS

    def _match(self, pts_ns: int, detections: list[FaceDetection]) -> None:
        boxes = np.array([found.box for found in detections], float).reshape(-1, 4)
        free = set(range(len(detections)))
        for group in ([t for t in self._tracks if t.confirmed], [t for t in self._tracks if not t.confirmed]):
            rest = sorted(free)
            for row, column in self._pair(group, boxes[rest], pts_ns):
                self._correct(group[row], boxes[rest[column]], detections[rest[column]].score, pts_ns)
                free.discard(rest[column])
        for index in sorted(free):
            self._tracks.append(self._start(boxes[index], detections[index].score, pts_ns))

    def _pair(self, tracks: list[_Track], boxes: np.ndarray, pts_ns: int) -> list[tuple[int, int]]:
        """Returns (track, box) pairs inside the gate; cost = distance in sizes + lost overlap + change of size."""
        if not tracks or not len(boxes):
            return []
        expected = np.array([track.predict(pts_ns) for track in tracks])
        overlap = pair_iou(expected, boxes)
        size_a = np.sqrt(np.prod(expected[:, 2:] - expected[:, :2], axis=1))[:, None]
        size_b = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))[None]
        offset = (expected[:, None, :2] + expected[:, None, 2:] - boxes[None, :, :2] - boxes[None, :, 2:]) / 2
        distance = np.linalg.norm(offset, axis=2) / np.minimum(size_a, size_b)
        change = np.abs(np.log(size_a / size_b))
        unseen = np.array([(pts_ns - track.detected_pts_ns) / NANOSECONDS for track in tracks])[:, None]
        far = distance > GATE_DISTANCE + GATE_GROWTH * unseen
        barred = (far & (overlap < 0.1)) | (change > math.log(2.0))
        cost = np.where(barred, 1e6, distance + (1 - overlap) + change)
        return [(row, column) for row, column in assign(cost) if not barred[row, column]]

    def _start(self, box: np.ndarray, score: float, pts_ns: int) -> _Track:
        centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        shown = np.concatenate([centre, size])
        track = _Track(self._next_id, pts_ns, pts_ns, centre, size, score, shown, peak=score)
        self._next_id += 1
        return track

    def _correct(self, track: _Track, box: np.ndarray, score: float, pts_ns: int) -> None:
        elapsed = (pts_ns - track.detected_pts_ns) / NANOSECONDS
        centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        residual = centre - (track.centre + track.velocity * elapsed)
        gain = 1 - (1 - VELOCITY_GAIN) ** max(elapsed / TICK_SECONDS, 1.0)
        if track.hits == 1:
            gain = 0.7  # nothing is known of the velocity yet
        track.velocity = track.velocity + gain * residual / elapsed
        track.hits += 1
        waited = (pts_ns - track.first_pts_ns) / NANOSECONDS
        track.peak = max(track.peak, score)
        lasting = track.hits >= CONFIRMING_HITS or waited >= CONFIRMING_SECONDS
        track.confirmed = track.confirmed or (lasting and track.peak >= CONFIRMING_SCORE)
        measured = np.concatenate([centre, size])
        track.smooth = self._smooth(track.smooth, measured, elapsed) if track.confirmed else measured
        track.centre, track.size, track.score, track.detected_pts_ns = centre, size, score, pts_ns

    @staticmethod
    def _smooth(shown: np.ndarray, measured: np.ndarray, elapsed: float) -> np.ndarray:
        """Returns the box shown: follows at once what moves or grows, averages what only trembles."""
        scale = np.sqrt(np.prod(measured[2:]))
        moved = np.linalg.norm(measured[:2] - shown[:2]) / scale
        grown = np.abs(measured[2:] - shown[2:]).max() / scale
        weights = []
        for change in (moved, grown):
            still = min(0.3 + 8 * max(change - 0.01, 0.0), 1.0)
            weights += [1 - (1 - still) ** max(elapsed / TICK_SECONDS, 1.0)] * 2
        return shown + np.array(weights) * (measured - shown)

    def _weight(self, track: _Track, pts_ns: int) -> float:
        age = min((pts_ns - track.first_pts_ns) / NANOSECONDS, AGE_LIMIT_SECONDS)
        return float(np.prod(track.size)) * (0.5 + age)

    def _rank(self, tracks: list[_Track], pts_ns: int) -> list[_Track]:
        ranked = sorted(tracks, key=lambda track: (-self._weight(track, pts_ns), track.track_id))
        if not ranked:
            return ranked
        held = next((track for track in ranked if track.track_id == self._primary_id), None)
        best = ranked[0]
        if held is not None and self._weight(best, pts_ns) <= PRIMARY_HYSTERESIS * self._weight(held, pts_ns):
            best = held
        self._primary_id = best.track_id
        return [best, *(track for track in ranked if track is not best)]

    def _show(self, track: _Track, pts_ns: int) -> TrackedFace:
        elapsed = min((pts_ns - track.detected_pts_ns) / NANOSECONDS, COAST_SECONDS)
        centre = track.smooth[:2] + track.velocity * elapsed
        half = track.smooth[2:] / 2
        box = FaceBox(*(float(value) for value in (*(centre - half), *(centre + half))))
        return TrackedFace(track.track_id, box, track.score)


def make_thumbnail(image: np.ndarray) -> np.ndarray:
    """Returns a (32, 32) float32 grey view of a picture, each cell the mean of 4 x 4 points of it.

    Args:
        image: (H, W, 3) uint8 RGB of any size.
    """
    side = THUMBNAIL_SIZE * SAMPLES_PER_CELL
    rows = ((np.arange(side) + 0.5) * image.shape[0] / side).astype(np.intp)
    columns = ((np.arange(side) + 0.5) * image.shape[1] / side).astype(np.intp)
    points: Any = image[rows[:, None], columns[None]].astype(np.float32)
    grey = points @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey.reshape(THUMBNAIL_SIZE, SAMPLES_PER_CELL, THUMBNAIL_SIZE, SAMPLES_PER_CELL).mean((1, 3))

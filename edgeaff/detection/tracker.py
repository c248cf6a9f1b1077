"""FaceTracker: gives faces an identity over time, between and through detections.

A track predicts its box with constant velocity, is matched to detections by overlap and distance (cheapest pairing),
and lives on for a while without any. All times are `pts_ns`; frame counts play no part, so the detector may run on
every frame or every n-th. Same inputs, same tracks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeaff.detection.assignment import assign
from edgeaff.errors import ArgumentError
from edgeaff.ops.thumbnail import gray_thumbnail
from edgeaff.spec import NANOSECONDS
from edgeaff.types import FaceBox, FaceDetection, TrackedFace

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
CUT_LEVELS = 26  # of gray, mean over the cells
GRAY_SCALE = 16_000  # of the sums behind a thumbnail, per level of gray
TICK_SECONDS = 1 / 30
LEAST_STEP_SECONDS = (
    0.01  # floor under a time step that divides: frames may come 1 ns apart, detections tremble by pixels
)
LEAST_SIDE = 1e-3  # pixels; so that a box without extent, of a foreign detector, divides nothing by zero
BARRED = 1e6  # cost of a pair outside the gate
Pair = tuple[float, float]


@dataclass(slots=True)
class _Track:
    """center, size: last measured box (pixels); velocity: pixels per second; smooth: center and size shown.

    Pairs of Python floats, not arrays: a track is a handful of numbers, and NumPy's cost per call is many times theirs.
    """

    track_id: int
    first_pts_ns: int
    detected_pts_ns: int
    center: Pair
    size: Pair
    score: float
    smooth: tuple[Pair, Pair]
    velocity: Pair = (0.0, 0.0)
    hits: int = 1
    peak: float = 0.0
    confirmed: bool = False

    def predict(self, pts_ns: int) -> Pair:
        """Returns the center expected at a time."""
        return _moved(self.center, self.velocity, (pts_ns - self.detected_pts_ns) / NANOSECONDS)


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
            image: (H, W, 3) uint8 RGB, to notice shot cuts; None where there is no image.
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
        sums = np.rint(gray_thumbnail(image).astype(np.float64) * GRAY_SCALE).astype(
            np.int64
        )  # exact: whole numbers below 2^22
        before, self._thumbnail = self._thumbnail, sums
        if before is None:
            return False
        change, cells = sums - before, sums.size
        return int(np.abs(cells * change - change.sum()).sum()) > CUT_LEVELS * cells * cells * GRAY_SCALE

    def _match(self, pts_ns: int, detections: list[FaceDetection]) -> None:
        boxes = [_center_and_size(found.box) for found in detections]
        free = set(range(len(detections)))
        for group in ([t for t in self._tracks if t.confirmed], [t for t in self._tracks if not t.confirmed]):
            rest = sorted(free)
            for row, column in self._pair(group, [boxes[index] for index in rest], pts_ns):
                self._correct(group[row], boxes[rest[column]], detections[rest[column]].score, pts_ns)
                free.discard(rest[column])
        for index in sorted(free):
            self._tracks.append(self._start(boxes[index], detections[index].score, pts_ns))

    def _pair(self, tracks: list[_Track], boxes: list[tuple[Pair, Pair]], pts_ns: int) -> list[tuple[int, int]]:
        """Returns (track, box) pairs inside the gate."""
        if not tracks or not boxes:
            return []
        costs = [[_cost(track, box, pts_ns) for box in boxes] for track in tracks]
        if len(tracks) == 1 and len(boxes) == 1:  # the usual case
            return [(0, 0)] if costs[0][0] is not None else []
        cost = np.array([[BARRED if value is None else value for value in row] for row in costs])
        return [(row, column) for row, column in assign(cost) if costs[row][column] is not None]

    def _start(self, box: tuple[Pair, Pair], score: float, pts_ns: int) -> _Track:
        track = _Track(self._next_id, pts_ns, pts_ns, *box, score, box, peak=score)
        self._next_id += 1
        return track

    def _correct(self, track: _Track, box: tuple[Pair, Pair], score: float, pts_ns: int) -> None:
        elapsed = (pts_ns - track.detected_pts_ns) / NANOSECONDS
        center, size = box
        expected = _moved(track.center, track.velocity, elapsed)
        gain = 1 - (1 - VELOCITY_GAIN) ** max(elapsed / TICK_SECONDS, 1.0)
        if track.hits == 1:
            gain = 0.7  # nothing is known of the velocity yet
        residual = (center[0] - expected[0], center[1] - expected[1])
        track.velocity = _moved(track.velocity, residual, gain / max(elapsed, LEAST_STEP_SECONDS))
        track.hits += 1
        waited = (pts_ns - track.first_pts_ns) / NANOSECONDS
        track.peak = max(track.peak, score)
        lasting = track.hits >= CONFIRMING_HITS or waited >= CONFIRMING_SECONDS
        track.confirmed = track.confirmed or (lasting and track.peak >= CONFIRMING_SCORE)
        track.smooth = self._smooth(track.smooth, box, elapsed) if track.confirmed else box
        track.center, track.size, track.score, track.detected_pts_ns = center, size, score, pts_ns

    @staticmethod
    def _smooth(shown: tuple[Pair, Pair], measured: tuple[Pair, Pair], elapsed: float) -> tuple[Pair, Pair]:
        """Returns the box shown: follows at once what moves or grows, averages what only trembles."""
        scale = math.sqrt(measured[1][0] * measured[1][1])
        (dx, dy), (dw, dh) = ((new[0] - old[0], new[1] - old[1]) for old, new in zip(shown, measured, strict=True))
        weights = []
        for change in (math.sqrt(dx * dx + dy * dy) / scale, max(abs(dw), abs(dh)) / scale):
            still = min(0.3 + 8 * max(change - 0.01, 0.0), 1.0)
            weights.append(1 - (1 - still) ** max(elapsed / TICK_SECONDS, 1.0))
        return _moved(shown[0], (dx, dy), weights[0]), _moved(shown[1], (dw, dh), weights[1])

    def _weight(self, track: _Track, pts_ns: int) -> float:
        age = min((pts_ns - track.first_pts_ns) / NANOSECONDS, AGE_LIMIT_SECONDS)
        return track.size[0] * track.size[1] * (0.5 + age)

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
        x, y = _moved(track.smooth[0], track.velocity, elapsed)
        width, height = track.smooth[1]
        box = FaceBox(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return TrackedFace(track.track_id, box, track.score)


def _moved(start: Pair, direction: Pair, amount: float) -> Pair:
    return start[0] + direction[0] * amount, start[1] + direction[1] * amount


def _center_and_size(box: FaceBox) -> tuple[Pair, Pair]:
    x0, y0, x1, y1 = (float(value) for value in box)
    return ((x0 + x1) / 2, (y0 + y1) / 2), (max(x1 - x0, LEAST_SIDE), max(y1 - y0, LEAST_SIDE))


def _cost(track: _Track, box: tuple[Pair, Pair], pts_ns: int) -> float | None:
    """Returns distance in sizes + lost overlap + change of size between track and box; None outside the gate."""
    expected, (center, size) = track.predict(pts_ns), box
    size_a, size_b = math.sqrt(track.size[0] * track.size[1]), math.sqrt(size[0] * size[1])
    dx, dy = expected[0] - center[0], expected[1] - center[1]
    distance = math.sqrt(dx * dx + dy * dy) / min(size_a, size_b)
    change = abs(math.log(size_a / size_b))
    overlap = _overlap((expected, track.size), box)
    unseen = (pts_ns - track.detected_pts_ns) / NANOSECONDS
    far = distance > GATE_DISTANCE + GATE_GROWTH * unseen
    if (far and overlap < 0.1) or change > math.log(2.0):
        return None
    return distance + (1 - overlap) + change


def _overlap(a: tuple[Pair, Pair], b: tuple[Pair, Pair]) -> float:
    """Returns the intersection over union of two boxes given by center and size."""
    inter = 1.0
    for axis in (0, 1):
        end = min(a[0][axis] + a[1][axis] / 2, b[0][axis] + b[1][axis] / 2)
        start = max(a[0][axis] - a[1][axis] / 2, b[0][axis] - b[1][axis] / 2)
        inter *= max(end - start, 0.0)
    return inter / max(a[1][0] * a[1][1] + b[1][0] * b[1][1] - inter, 1e-9)

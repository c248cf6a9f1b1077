"""Face tracker and assignment of the native core and their Python twins: equal bytes after every call."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeaff.detection import assignment, tracker
from edgeaff.ops import core
from edgeaff.types import FaceBox, FaceDetection


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1), st.sampled_from([1.0, 1e6]))
def test_assignments_agree(rows: int, columns: int, seed: int, barred: float) -> None:
    rng = np.random.default_rng(seed)
    cost = np.where(rng.random((rows, columns)) < 0.3, barred, rng.integers(0, 9, (rows, columns)) / 4)
    assert core.assign(cost) == assignment.assign(cost)


IMAGES = [np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8) for seed in range(3)]
IMAGES.append(np.clip(IMAGES[0].astype(int) + 40, 0, 255).astype(np.uint8))
face = st.tuples(
    st.integers(0, 4),
    st.floats(-30, 30),
    st.floats(-30, 30),
    st.floats(0.6, 1.6),
    st.sampled_from([0.61, 0.79, 0.84, 0.99]),
)
frame = st.tuples(
    st.sampled_from([1, 10_000_000, 33_333_333, 133_000_000, 400_000_000]),
    st.one_of(st.none(), st.lists(face, max_size=5)),
    st.one_of(st.none(), st.sampled_from([0, 0, 0, 1, 2, 3])),
)


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 4),
    st.sampled_from([0.1, 0.5]),
    st.integers(-(10**17), 10**17),
    st.lists(frame, min_size=1, max_size=50),
)
def test_face_trackers_agree(max_faces: int, staleness: float, start_ns: int, frames: list) -> None:
    twin = tracker.FaceTracker(max_faces=max_faces, staleness_seconds=staleness)
    ours = core.FaceTracker(max_faces=max_faces, staleness_seconds=staleness)
    pts_ns = start_ns
    for step_ns, found, image in frames:
        pts_ns += step_ns
        detections = None
        if found is not None:
            places = [(100 + 90 * slot + dx, 120 + dy, 80 * scale, score) for slot, dx, dy, scale, score in found]
            detections = [
                FaceDetection(FaceBox(x - s / 2, y - s / 2, x + s / 2, y + s / 2), score) for x, y, s, score in places
            ]
        shown = None if image is None else IMAGES[image]
        expected = twin.update(pts_ns, shown, detections)
        assert ours.update(pts_ns, shown, detections) == expected
        assert [ours.detected_pts_ns(one.track_id) for one in expected] == [
            twin.detected_pts_ns(one.track_id) for one in expected
        ]
    assert ours.cuts == twin.cuts

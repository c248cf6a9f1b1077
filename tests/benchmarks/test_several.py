"""Four runtimes in one process stay apart and share the processor; one runtime with four faces keeps them apart."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import edgeaff
from benchmarks.several import describe_faces, quadrant, run_four, together, variants
from edgeaff.bench.latency_media import make_media, pts_ns
from edgeaff.types import AffectEvent, FaceBox, TrackedFace


def test_four_runtimes_in_one_process(tmp_path: Path) -> None:
    shares = run_four(tmp_path, make_media(), seconds=3.0)
    assert [share.ticks_missing for share in shares] == [0, 0, 0, 0]  # the first images may be lost where all is slow
    assert all(share.first_seq == 0 and 60 <= share.events <= 96 for share in shares)
    assert all(share.in_place == 1.0 and share.replayed_equal for share in shares)
    used = [share.cpu_share for share in shares]
    assert min(used) / max(used) > 0.5  # measured 0.98; a short run on a busy machine


def test_four_faces_keep_four_tracks_in_their_places() -> None:
    media = make_media()
    session = edgeaff.Session(audio=False, max_faces=4)
    events: list[AffectEvent] = []
    for tick in range(60):
        events += session.push_frame(together(variants(media.image(tick))), pts_ns=pts_ns(tick))
    found = describe_faces(events + session.finish())
    assert found["tracks"] == 4 and found["places_per_track"] == 1
    assert found["ticks_with_four_faces"] >= 58


def test_values_of_a_face_do_not_depend_on_the_other_faces() -> None:
    """Four known faces in one session, and each in its own session."""
    rng = np.random.default_rng(0)
    crops = [np.clip(rng.normal(60 * index, 30, (96, 96, 3)), 0, 255).astype(np.uint8) for index in range(4)]
    samples = make_media(2.0)

    def run(indices: list[int]) -> list[AffectEvent]:
        session = edgeaff.Session(max_faces=len(indices))
        events: list[AffectEvent] = []
        for tick in range(45):
            box = FaceBox(0.0, 0.0, 50.0, 50.0)
            faces = [(TrackedFace(index + 1, box, 0.9), np.roll(crops[index], tick, axis=0)) for index in indices]
            events += session.push_audio(samples.audio(tick), pts_ns=pts_ns(tick), sample_rate_hz=16_000)
            events += session.push_face(faces, pts_ns=pts_ns(tick))
        return events + session.finish()

    four = run([0, 1, 2, 3])
    for index in range(4):
        alone = [event for event in run([index]) if event.face is not None]
        among = [event for event in four if event.face is not None and event.face.track_id == index + 1]
        assert len(alone) == len(among) >= 44
        for one, other in zip(alone, among, strict=True):
            assert one.pts_ns == other.pts_ns and one.status is other.status
            for name in ("valence_raw", "arousal_raw"):
                assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-5)  # measured 0.0 to 3e-7
    differing = {round(event.valence_raw or 0.0, 4) for event in four[-4:]}
    assert len(differing) == 4


def test_places_are_what_they_are_called() -> None:
    image = np.full((480, 640, 3), 7, np.uint8)
    for place in range(4):
        canvas = quadrant(image, place)
        assert canvas[240 + 480 * (place // 2), 320 + 640 * (place % 2), 0] == 7 and (canvas == 7).mean() == 0.25
    parts = [np.full_like(image, value) for value in range(4)]
    assert [int(together(parts)[240 + 480 * (place // 2), 320 + 640 * (place % 2), 0]) for place in range(4)] == [
        0,
        1,
        2,
        3,
    ]
    assert len({variant.tobytes() for variant in variants(np.arange(24, dtype=np.uint8).reshape(2, 4, 3))}) == 4


def test_faces_that_swap_places_would_be_seen() -> None:
    face = TrackedFace(1, FaceBox(0, 0, 100, 100), 1.0)
    moved = TrackedFace(1, FaceBox(700, 0, 800, 100), 1.0)
    from ..test_types import EVENT

    events = [dataclasses.replace(EVENT, face=face), dataclasses.replace(EVENT, face=moved, pts_ns=EVENT.pts_ns + 1)]
    assert describe_faces(events)["places_per_track"] == 2


def test_committed_result_is_fair_and_separate(root: Path) -> None:
    result = json.loads((root / "benchmarks/results/several.json").read_text())
    runtimes = result["four_runtimes"]["runtimes"]
    assert len(runtimes) == 4 and result["four_runtimes"]["fairness"] > 0.8
    assert all(row["ticks_missing"] == 0 and row["in_place"] == 1.0 and row["replayed_equal"] for row in runtimes)
    faces = result["four_faces"]
    assert faces["tracks"] == 4 and faces["places_per_track"] == 1
    assert faces["ticks_with_four_faces"] >= faces["ticks"] - 2

"""`edgeaff.Session` and its readable twin, driven with the same random calls: equal events, byte for byte, and equal counts."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgeaff
from edgeaff import reference
from edgeaff.bundle import ModelBundle
from edgeaff.types import FaceBox, FaceDetection, TrackedFace

pytestmark = [pytest.mark.needs_native, pytest.mark.needs_onnx]
SECOND = 10**9
IMAGES = [np.random.default_rng(seed).integers(0, 256, (60 + 20 * seed, 80, 3), dtype=np.uint8) for seed in range(3)]
TONE = (np.sin(np.arange(48_000) / 16) * 8_000).astype(np.int16) * (np.arange(48_000) % 12_000 < 9_000)
ROWS = np.random.default_rng(5).normal(0, 3, (40, 65)).astype(np.float32)
CROPS = [np.random.default_rng(9 + seed).integers(0, 256, (96, 96, 3), dtype=np.uint8) for seed in range(3)]


class Noting:
    """A tap that notes what goes through it, and gives it on."""

    def __init__(self) -> None:
        self.noted: list[tuple[Any, ...]] = []

    def faces(self, pts_ns: int, find: Callable[[], list[Any]]) -> list[Any]:
        found = find()
        self.noted.append((pts_ns, [(face, crop.tobytes(), detected) for face, crop, detected in found]))
        return found

    def rows(self, pop: Callable[[], np.ndarray]) -> np.ndarray:
        rows = pop()
        self.noted.append((rows.shape, rows.tobytes()))
        return rows


class Wanderers:
    """A detector in Python: two faces that move, and sometimes no box at all."""

    id = "edgeaff-ssd"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image: np.ndarray) -> list[FaceDetection]:
        self.calls += 1
        x = float(self.calls % 7)
        width = np.nan if self.calls % 11 == 0 else 30.0
        found = [
            FaceDetection(FaceBox(x, 4.0, x + width, 44.0), 0.9),
            FaceDetection(FaceBox(45.0, 8.0 + x, 70.0, 40.0), 1.0),
        ]
        return found[: self.calls % 5]


class Pair:
    """Both sessions; every call goes to both."""

    def __init__(self, *, tap: bool, detector: bool, **options: Any) -> None:
        self.taps = [Noting() if tap else None for _ in range(2)]
        self.sessions = [
            kind(shipped(), tap=one, detector=Wanderers() if detector else None, **options)
            for kind, one in zip((edgeaff.Session, reference.Session), self.taps, strict=True)
        ]

    def call(self, name: str, *given: Any, **named: Any) -> None:
        ours, twins = ([text_of(one) for one in getattr(session, name)(*given, **named)] for session in self.sessions)
        assert ours == twins

    def both(self, name: str, *given: Any) -> None:
        for session in self.sessions:
            getattr(session, name)(*given)

    def compare(self) -> None:
        ours, twin = self.sessions
        assert dataclasses.asdict(ours.counts) == dataclasses.asdict(twin.counts)
        assert ours.warnings == twin.warnings
        noted, expected = (tap and tap.noted for tap in self.taps)
        assert noted == expected


def text_of(event: edgeaff.AffectEvent) -> str:
    return json.dumps(event.to_dict())


@functools.cache
def shipped() -> ModelBundle:
    return ModelBundle.load()


jump = st.sampled_from(
    [0] * 8 + [300_000_000, -100_000_000, -700_000_000, 3 * SECOND, 11 * SECOND, -12 * SECOND, 500 * SECOND]
)
call = st.tuples(
    st.sampled_from(
        ["frame", "frame", "audio", "audio", "audio", "float", "faces", "rows", "advance", "degrade", "reset", "swap"]
    ),
    st.integers(0, 2),
    st.integers(-15_000_000, 40_000_000),
    jump,
)
options = st.fixed_dictionaries(
    {
        "declared": st.sampled_from([(True, True), (True, True), (True, False), (False, True)]),
        "live": st.booleans(),
        "max_faces": st.sampled_from([1, 1, 3]),
        "detector_stride": st.sampled_from([None, 1, 3]),
        "tap": st.booleans(),
        "detector": st.booleans(),
        "smoothing": st.sampled_from([None, (0, 0), (1.5, 0.1)]),
        "staleness_seconds": st.sampled_from([0.5, 0.1]),
        "max_skew_seconds": st.sampled_from([0.25, 0, 1.0]),
    }
)


def drive(pair: Pair, calls: Sequence[tuple[str, int, int, int]], declared: tuple[bool, bool]) -> None:
    """Makes the calls that the declared modalities allow, then ends the data."""
    video = audio = 0
    for what, which, moved_ns, jump_ns in calls:
        if what in ("frame", "faces") and declared[0]:
            video += 33_333_333 + moved_ns + jump_ns
            if what == "frame":
                image = IMAGES[which] if moved_ns % 2 else IMAGES[which][::-1, ::2]
                pair.call("push_frame", image, pts_ns=video)
            else:
                people = [
                    (TrackedFace(n, FaceBox(9 + n, 8.0, 70.5 + n, 77.0), 0.9), CROPS[n]) for n in range(which + 1)
                ]
                pair.call("push_face", people, pts_ns=video)
        elif what in ("audio", "float") and declared[1]:
            rate = (16_000, 48_000, 16_000)[which]
            samples = TONE[: rate // 20] if what == "audio" else (TONE[: rate // 20] / 32_768).astype(np.float32)
            if which == 2 and what == "float":
                samples[5] = np.nan
            audio += moved_ns // 2 + jump_ns
            pair.call("push_audio", samples, pts_ns=audio, sample_rate_hz=rate)
            audio += 50_000_000
        elif what == "rows" and declared[1]:
            pair.call("push_lld", ROWS[: 5 + which], pts_ns=audio)
            audio += (5 + which) * 10_000_000
        elif what == "advance":
            pair.call("advance", max(video, audio) + moved_ns + jump_ns)
        elif what == "degrade":
            pair.both("degrade", which)
        elif what == "reset":
            pair.both("reset")
        elif what == "swap":
            pair.both("swap_backend", ("native", "onnxruntime", "native")[which])
    pair.call("finish")


def run(chosen: dict[str, Any], calls: Sequence[tuple[str, int, int, int]]) -> None:
    declared = chosen["declared"]
    named = {name: value for name, value in chosen.items() if name != "declared"}
    pair = Pair(video=declared[0], audio=declared[1], **named)
    drive(pair, calls, declared)
    pair.compare()


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(options, st.lists(call, min_size=5, max_size=40))
def test_sessions_agree_on_random_calls(chosen: dict[str, Any], calls: list[Any]) -> None:
    run(chosen, calls)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(options, st.lists(call, min_size=5, max_size=60))
def test_sessions_agree_on_many_random_calls(chosen: dict[str, Any], calls: list[Any]) -> None:
    run(chosen, calls)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(8))
def test_sessions_agree_on_long_runs_of_random_calls(seed: int) -> None:
    """Eight times ten runs of 250 calls, 20,000 in all: tracks live, the normalizer learns, rings wrap around."""
    rng = np.random.default_rng(seed)
    kinds = ("frame", "audio", "frame", "audio", "float", "faces", "rows", "advance", "degrade")
    shares = np.array([30, 30, 15, 15, 4, 2, 1, 2.5, 0.5]) / 100
    for _ in range(10):
        calls = [
            (str(rng.choice(kinds, p=shares)), int(rng.integers(3)), int(rng.integers(-9_000_000, 12_000_000)), 0)
            for _ in range(250)
        ]
        for at in rng.integers(0, 250, 3):
            calls[at] = (*calls[at][:3], int(rng.choice([400_000_000, -600_000_000, 2 * SECOND, 20 * SECOND])))
        chosen = {
            "declared": ((True, True), (True, True), (True, False), (False, True))[int(rng.integers(4))],
            "max_faces": int(rng.choice([1, 3])),
            "live": bool(rng.random() < 0.7),
            "tap": bool(rng.random() < 0.3),
            "detector": bool(rng.random() < 0.5),
        }
        run(chosen, calls)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.needs_shared
@pytest.mark.needs_media
@pytest.mark.parametrize("faces", [1, 3])
def test_sessions_agree_on_every_clip(faces: int) -> None:
    from edgeaff.capture.media_file import MediaFile
    from edgeaff.types import VideoFrame
    from tests.conftest import SHARED

    clips = sorted((SHARED / "data" / "media" / "av").iterdir())
    for clip in [one for one in clips if one.suffix in (".mpg", ".mp4", ".webm", ".avi", ".mkv", ".mov")]:
        pair = Pair(tap=False, detector=False, live=False, max_faces=faces)
        for item in MediaFile(clip):
            if isinstance(item, VideoFrame):
                pair.call("push_frame", item.image, pts_ns=item.pts_ns)
            else:
                pair.call("push_audio", item.samples, pts_ns=item.pts_ns, sample_rate_hz=item.sample_rate_hz)
        pair.call("finish")
        pair.compare()

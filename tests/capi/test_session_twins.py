"""The session of libedgeaff and `edgeaff.Session`, driven with the same random calls: equal events bit for bit, equal counts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgeaff
from edgeaff.bundle import ModelBundle
from edgeaff.types import FaceBox, TrackedFace
from tests.capi.library import NUMBERS, Library

pytestmark = [pytest.mark.slow, pytest.mark.needs_native, pytest.mark.needs_onnx]
SECOND = 10**9
KEYS = ("seq", "pts_ns", "status", *NUMBERS, "face")
IMAGES = [np.random.default_rng(seed).integers(0, 256, (60 + 20 * seed, 80, 3), dtype=np.uint8) for seed in range(3)]
TONE = (np.sin(np.arange(48_000) / 16) * 8_000).astype(np.int16) * (np.arange(48_000) % 12_000 < 9_000)
ROWS = np.random.default_rng(5).normal(0, 3, (40, 65)).astype(np.float32)
CROPS = [np.random.default_rng(9 + seed).integers(0, 256, (96, 96, 3), dtype=np.uint8) for seed in range(3)]


class Pair:
    """Both sessions; every call goes to both."""

    def __init__(self, library: Library, bundle: ModelBundle, model: Any, **options: Any) -> None:
        whole = {name: int(options[name]) for name in ("video", "audio", "live", "max_faces")}
        detector_stride = options.get("detector_stride") or 0
        self.ours = library.session(
            model, library.options(event_room=1 << 16, detector_stride=detector_stride, **whole)
        )
        self.twin = edgeaff.Session(bundle, **options)

    def call(self, name: str, *given: Any, **named: Any) -> None:
        expected = [
            {key: row[key] for key in KEYS}
            for row in (event.to_dict() for event in getattr(self.twin, name)(*given, **named))
        ]
        assert getattr(self.ours, name)(*given, **named) == expected

    def both(self, name: str, *given: Any) -> None:
        for session in (self.ours, self.twin):
            getattr(session, name)(*given)

    def close(self) -> None:
        found, expected = self.ours.counts, dataclasses.asdict(self.twin.counts)
        assert expected == {name: value for name, value in found.items() if name != "events_lost"}
        self.ours.close()


@pytest.fixture(scope="module")
def bundle(bundle_path: Path) -> ModelBundle:
    return ModelBundle.load(bundle_path)


@pytest.fixture(scope="module")
def model(library: Library, bundle_path: Path) -> Any:
    return library.open(bundle_path)


jump = st.sampled_from(
    [0] * 8 + [300_000_000, -100_000_000, -700_000_000, 3 * SECOND, 11 * SECOND, -12 * SECOND, 500 * SECOND]
)
call = st.tuples(
    st.sampled_from(
        ["frame", "frame", "audio", "audio", "audio", "float", "faces", "rows", "advance", "degrade", "reset"]
    ),
    st.integers(0, 2),
    st.integers(-15_000_000, 40_000_000),
    jump,
)


def drive(pair: Pair, calls: list[tuple[str, int, int, int]], *, declared: tuple[bool, bool], several: bool) -> None:
    """Makes the calls that the declared modalities allow, then ends the data."""
    video = audio = 0
    for what, which, moved_ns, jump_ns in calls:
        if what in ("frame", "faces") and declared[0]:
            video += 33_333_333 + moved_ns + jump_ns
            if what == "frame":
                pair.call("push_frame", IMAGES[which], pts_ns=video)
            else:
                people = [
                    (TrackedFace(n, FaceBox(9.0 + n, 8.0, 70.5 + n, 77.0), 0.9), CROPS[n])
                    for n in range(which + several)
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
    pair.call("finish")


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from([(True, True), (True, True), (True, False), (False, True)]),
    st.booleans(),
    st.sampled_from([1, 1, 3]),
    st.sampled_from([None, 1, 3]),
    st.lists(call, min_size=1, max_size=60),
)
def test_sessions_agree_on_random_calls(
    library: Library,
    bundle: ModelBundle,
    model: Any,
    declared: tuple[bool, bool],
    live: bool,
    faces: int,
    stride: int | None,
    calls: list,
) -> None:
    video, audio = declared
    pair = Pair(library, bundle, model, video=video, audio=audio, live=live, max_faces=faces, detector_stride=stride)
    try:
        drive(pair, calls, declared=declared, several=faces > 1)
    finally:
        pair.close()


@pytest.mark.parametrize("seed", range(8))
def test_sessions_agree_on_long_runs_of_random_calls(
    library: Library, bundle: ModelBundle, model: Any, seed: int
) -> None:
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
        declared = ((True, True), (True, True), (True, False), (False, True))[int(rng.integers(4))]
        faces, live = int(rng.choice([1, 3])), bool(rng.random() < 0.7)
        pair = Pair(library, bundle, model, video=declared[0], audio=declared[1], live=live, max_faces=faces)
        try:
            drive(pair, calls, declared=declared, several=faces > 1)
        finally:
            pair.close()


@pytest.mark.needs_shared
@pytest.mark.needs_media
def test_events_of_a_real_clip_are_equal_bit_for_bit(library: Library, bundle: ModelBundle, model: Any) -> None:
    from edgeaff.capture.media_file import MediaFile
    from edgeaff.types import VideoFrame
    from tests.conftest import SHARED

    pair = Pair(library, bundle, model, video=True, audio=True, live=False, max_faces=1)
    for item in MediaFile(SHARED / "data" / "media" / "av" / "grid_bbaf2n.mpg"):
        if isinstance(item, VideoFrame):
            pair.call("push_frame", item.image, pts_ns=item.pts_ns)
        else:
            pair.call("push_audio", item.samples, pts_ns=item.pts_ns, sample_rate_hz=item.sample_rate_hz)
    pair.call("finish")
    pair.close()


@pytest.mark.parametrize("pixels", ["bgr", "gray"])
def test_pixel_formats_give_the_events_of_rgb(library: Library, model: Any, pixels: str) -> None:
    gray = [
        np.ascontiguousarray(np.random.default_rng(seed).integers(0, 256, (96, 128), dtype=np.uint8))
        for seed in range(8)
    ]
    images = {"rgb": [np.repeat(one[:, :, None], 3, 2) for one in gray], "gray": gray}
    images["bgr"] = [np.ascontiguousarray(one[:, :, ::-1]) for one in images["rgb"]]
    found = {}
    for name in ("rgb", pixels):
        session = library.session(model, library.options(audio=0))
        found[name] = [
            session.push_frame(image, pts_ns=n * SECOND // 30, pixels=name) for n, image in enumerate(images[name])
        ]
        session.close()
    assert found["rgb"] == found[pixels]

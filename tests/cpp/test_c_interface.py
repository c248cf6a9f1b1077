"""edgeaff.h under the address, undefined-behavior and thread sanitizers, and on aarch64 under qemu.

c_streams runs sessions in several threads over one model; c_doors gives every function damaged bundles and odd arguments.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.backends.native_face import FACE_NETS
from edgeaff.bench.latency_media import make_media, portrait_path
from edgeaff.bundle import ModelBundle, pack_arrays
from edgeaff.parsing.archives import read_npz
from tests.capi.library import Event, as_dict
from tests.cpp.programs import AARCH64, EMULATOR, THREADS, UNDEFINED, build, run
from tests.fuzz.bundles import make_npz, pack
from tests.fuzz.mutate import json_bytes, mutate, mutate_value
from tests.packed_bundle import packed_bundle

pytestmark = [pytest.mark.needs_native, pytest.mark.needs_onnx]
FRAMES, CHUNK, SECOND = 24, 533, 10**9
BUNDLES = int(os.environ.get("EDGEAFF_C_BUNDLES", "40"))
CALLS = int(os.environ.get("EDGEAFF_C_CALLS", "2000"))
SEED = int(os.environ.get("EDGEAFF_C_SEED", "0"))
EXACT = ("seq", "pts_ns", "status", "video_age_ms", "audio_age_ms", "face")
CLOSE = (
    "valence",
    "arousal",
    "valence_raw",
    "arousal_raw",
    "valence_std",
    "arousal_std",
    "video_coverage",
    "audio_coverage",
)


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that libedgeaff runs."""
    path = tmp_path_factory.mktemp("bundle") / "edge.eaff"
    bundle = packed_bundle()
    ModelBundle.save(path, bundle.manifest, bundle.members)
    return path


@dataclasses.dataclass(frozen=True)
class Stream:
    """Frames (T, H, W, 3) uint8 RGB and samples int16 at 16 kHz, CHUNK for each frame."""

    frames: np.ndarray
    samples: np.ndarray

    def data(self) -> bytes:
        """Returns the bytes that c_streams reads."""
        count, height, width, _ = self.frames.shape
        return np.array([width, height, count, CHUNK], "<i4").tobytes() + self.frames.tobytes() + self.samples.tobytes()

    def events(self, bundle: Path) -> list[dict[str, Any]]:
        """Returns the events of `edgeaff.Session`."""
        session, events = edgeaff.Session(bundle, live=False), []
        for index, frame in enumerate(self.frames):
            events += session.push_frame(frame, pts_ns=index * SECOND // 30)
            first = index * CHUNK
            samples = self.samples[first : first + CHUNK]
            events += session.push_audio(samples, pts_ns=first * SECOND // 16_000, sample_rate_hz=16_000)
        return [event.to_dict() for event in events + session.finish()]


@pytest.fixture(scope="module")
def stream() -> Stream:
    media = make_media(2.0)
    frames = np.stack([np.ascontiguousarray(media.image(tick)[::2, ::2]) for tick in range(FRAMES)])
    samples = np.concatenate([np.asarray(media.audio(tick))[:CHUNK] for tick in range(FRAMES)]).astype("<i2")
    return Stream(frames, samples[: FRAMES * CHUNK])


def assert_events(programs: Path, stream: Stream, bundle: Path, *runner: str, tolerance: float = 0.0) -> None:
    """Holds the events of four threads against those of Python's Session."""
    data = run(*runner, str(programs / "c_streams"), str(bundle), "4", data=stream.data())
    found = [as_dict(event) for event in (Event * (len(data) // len(bytes(Event())))).from_buffer_copy(data)]
    expected = stream.events(bundle)
    assert len(found) == len(expected) >= FRAMES
    assert portrait_path() is None or any(event["face"] for event in expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert {name: ours[name] for name in EXACT} == {name: theirs[name] for name in EXACT}
        for name in CLOSE:
            if tolerance == 0.0 or theirs[name] is None:
                assert ours[name] == theirs[name], name
            else:
                assert abs(ours[name] - theirs[name]) <= tolerance, name


def light_parts(bundle: ModelBundle) -> dict[str, bytes]:
    """Returns manifest and members of a bundle as libedgeaff loads it: the graphs that it only names are empty."""
    members = {name: data for name, data in bundle.members.items() if name != "golden.npz"}
    arrays = read_npz(members[FACE_NETS], most_unpacked=1 << 24)
    meta = json.loads(arrays["meta"].tobytes())
    for role in ("detector", "encoder"):
        meta[role]["sha256"] = hashlib.sha256(b"").hexdigest()
    members[FACE_NETS] = pack_arrays(arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
    members |= {name: b"" for name in members if name.endswith(".onnx")}
    return {**members, "manifest.json": json.dumps(bundle.manifest.to_dict()).encode()}


def damaged(parts: dict[str, bytes], rng: Random) -> bytes:
    """Returns a bundle with right checksums and one member changed, or with any bytes changed."""
    members = dict(parts)
    name = rng.choice(("manifest.json", "manifest.json", "step.npz", FACE_NETS, "speech.npz", ""))
    if name == "manifest.json":
        members[name] = json_bytes(rng, mutate_value(rng, json.loads(members[name])))
    elif name in members:
        members[name] = make_npz(rng, members[name])
    whole = pack(members)
    return whole if name else mutate(rng, [whole])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_sanitizers_find_nothing_behind_the_c_interface(stream: Stream, bundle_path: Path) -> None:
    programs = build("sanitize", UNDEFINED)
    assert_events(programs, stream, bundle_path)
    parts, rng = light_parts(ModelBundle.load(bundle_path)), Random(SEED)
    bundles = [pack(parts), *(damaged(parts, rng) for _ in range(BUNDLES))]
    data = b"".join(np.int64(len(one)).tobytes() + one for one in bundles)
    counts = run(str(programs / "c_doors"), str(bundle_path), str(SEED), str(CALLS), data=data).split()
    seen, opened, taken, refused = map(int, counts)
    assert seen == len(bundles) and 1 <= opened < seen
    assert taken > CALLS // 4 and refused > CALLS // 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_threads_share_nothing_but_the_model(stream: Stream, bundle_path: Path) -> None:
    assert_events(build("threads", THREADS), stream, bundle_path)


@pytest.mark.system
@pytest.mark.timeout(1800)
def test_aarch64_gives_the_events_of_this_processor(stream: Stream, bundle_path: Path) -> None:
    programs = build("aarch64", AARCH64)
    for processor in ("max", "cortex-a72"):  # with and without dot products
        assert_events(programs, stream, bundle_path, *EMULATOR, "-cpu", processor, tolerance=1e-6)

"""Rows of scaling: what a tick costs as the window, the faces, the streams, the detector's stride, the threads or the hours grow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.bench.interleave import interleave
from edgeaff.bench.latency_engines import make_session
from edgeaff.bench.latency_media import FPS, RATE_HZ, Media, pts_ns
from edgeaff.bundle import ModelBundle
from edgeaff.features.face import normalize
from edgeaff.machine import resident_mib
from edgeaff.ops.cross_modal_attention import cross_modal_attention
from edgeaff.session import Session
from edgeaff.types import FaceBox, TrackedFace

WINDOWS = (25, 50, 100, 200, 400)
FACES = (1, 2, 4)
STREAMS = (1, 2, 4)
STRIDES = (1, 2, 3, 5)
THREADS = (1, 2)
SIZE, HEADS = 512, 4
HOUR_PARTS = 10


def run(bundle: ModelBundle, media: Media, *, rounds: int, hours: float) -> list[dict[str, Any]]:
    """Returns rows of `scaling`, `value`, and what was measured.

    Args:
        bundle: of the `edge` preset.
        media: images and audio.
        rounds: timings per row.
        hours: length of the run in simulated time, back to back; 0 leaves it out.
    """
    rows = [*window_rows(rounds), *thread_rows(bundle, rounds)]
    rows += session_rows("faces", {n: face_push(bundle, media, n) for n in FACES}, rounds)
    ticks = int(np.lcm.reduce(STRIDES))  # per timing, so that each has its share of searches
    streams = {n: stream_push(bundle, media, n) for n in STREAMS}
    rows += session_rows("streams", streams, max(2, rounds // ticks), calls=ticks)
    strides: dict[int, Callable[[], Any]] = {
        n: Camera(make_session(bundle, media, backend="native", detector_stride=n), media) for n in STRIDES
    }
    rows += session_rows("detector stride", strides, max(2, rounds // ticks), calls=ticks)
    return rows + (hour_rows(bundle, media, hours) if hours else [])


def window_rows(rounds: int) -> list[dict[str, Any]]:
    """Returns the cost of the attention op of the paper's size against T: one new query (streaming) and T queries (window)."""
    rng = np.random.default_rng(0)
    calls: dict[str, Callable[[], Any]] = {}
    for ticks in WINDOWS:
        query, keys = rng.standard_normal((1, ticks, SIZE)), rng.standard_normal((1, ticks, 2 * SIZE))
        query, keys = query.astype(np.float32), keys.astype(np.float32)
        calls[f"newest row|{ticks}"] = _attention(np.ascontiguousarray(query[:, -1:]), keys)
        calls[f"whole window|{ticks}"] = _attention(query, keys)
    return [
        {"scaling": f"T, attention, {name.split('|')[0]}", "value": int(name.split("|")[1]), **timing.row()}
        for name, timing in interleave(calls, rounds=rounds).items()
    ]


def _attention(query: np.ndarray, keys: np.ndarray) -> Callable[[], Any]:
    return lambda: cross_modal_attention(query, keys, query, keys, 0.5, 0.5, num_heads=HEADS)


def thread_rows(bundle: ModelBundle, rounds: int) -> list[dict[str, Any]]:
    """Returns the cost of the face encoder against threads."""
    face = normalize(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))[None]
    model = bundle.graph_bytes("face_encoder")
    calls = {str(n): _graph_call(load_graph(model, threads=n), face) for n in THREADS}
    times = interleave(calls, rounds=rounds)
    return [{"scaling": "threads, face encoder", "value": int(name), **timing.row()} for name, timing in times.items()]


def _graph_call(graph: Any, face: np.ndarray) -> Callable[[], Any]:
    return lambda: graph.run({"face": face})


def session_rows(
    scaling: str, pushes: dict[int, Callable[[], Any]], rounds: int, calls: int = 1
) -> list[dict[str, Any]]:
    """Returns the cost of one tick (of all streams, of all faces) against a number. calls: ticks per timing."""
    times = interleave({str(value): call for value, call in pushes.items()}, rounds=rounds, calls=calls)
    return [{"scaling": scaling, "value": int(name), **timing.row()} for name, timing in times.items()]


class Camera:
    """Pushes one tick of the made media into a session at each call."""

    def __init__(self, session: Session, media: Media) -> None:
        self._session, self._media, self._tick = session, media, 0
        session.push_frame(media.image(0), pts_ns=0)

    def __call__(self) -> None:
        """Pushes the audio before the next image, and the image."""
        tick = self._tick
        self._session.push_audio(self._media.audio(tick), pts_ns=pts_ns(tick), sample_rate_hz=RATE_HZ)
        self._session.push_frame(self._media.image(tick + 1), pts_ns=pts_ns(tick + 1))
        self._tick += 1


def stream_push(bundle: ModelBundle, media: Media, count: int) -> Callable[[], Any]:
    """Returns one tick of each of several sessions."""
    cameras = [Camera(make_session(bundle, media, backend="native"), media) for _ in range(count)]

    def call() -> None:
        for camera in cameras:
            camera()

    return call


def face_push(bundle: ModelBundle, media: Media, count: int) -> Callable[[], Any]:
    """Returns one tick of a session with several known faces: crops in, one event per face out."""
    session = Session(bundle, backend="native", max_faces=count)
    rng = np.random.default_rng(count)
    faces = [
        (TrackedFace(number, FaceBox(0, 0, 96, 96), 0.9), rng.integers(0, 256, (96, 96, 3), dtype=np.uint8))
        for number in range(count)
    ]
    tick = 0

    def call() -> None:
        nonlocal tick
        session.push_audio(media.audio(tick), pts_ns=pts_ns(tick), sample_rate_hz=RATE_HZ)
        session.push_face(faces, pts_ns=pts_ns(tick))
        tick += 1

    return call


def hour_rows(bundle: ModelBundle, media: Media, hours: float) -> list[dict[str, Any]]:
    """Returns cost and memory of ten consecutive parts of a long run through a whole session, as the shipped bundle runs."""
    camera = Camera(make_session(bundle, media, backend="native"), media)
    ticks = max(1, round(hours * 3600 * FPS / HOUR_PARTS))
    for _ in range(FPS * 5):
        camera()
    rows = []
    for part in range(1, HOUR_PARTS + 1):
        cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
        for _ in range(ticks):
            camera()
        wall_ns, cpu_ns = time.perf_counter_ns() - start, time.process_time_ns() - cpu_start
        rows.append(
            {
                "scaling": "hours of running",
                "value": round(part * hours / HOUR_PARTS, 4),
                "n": ticks,
                "cpu_mean_us": round(cpu_ns / ticks / 1e3, 2),
                "cpu_share": round(cpu_ns / wall_ns, 3),
                "rss_mib": round(resident_mib(), 1),
            }
        )
    return rows

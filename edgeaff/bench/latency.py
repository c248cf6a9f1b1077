"""What one tick of the `edge` preset costs, stage by stage and as a whole, with its peers in the same rounds.

Pipelines are a Session over made pictures with a face and a made voice, 30 a second; every stage runs on every picture. The engines
differ in the model alone; detector, face encoder (ONNX Runtime) and LLDs (native) are the same. `back_to_back`: the next
picture on completion of the last. `camera`: a picture every 1/30 s of real time; one that comes while the last is at work
replaces the one that waits, which is dropped; latency is the time from a picture's arrival to its value.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.bench.interleave import Timing, interleave, ratio
from edgeaff.bench.latency_media import FPS, GivenFace, Media, make_media, pts_ns
from edgeaff.bench.latency_process import measure_install, measure_process
from edgeaff.bench.lld import RATE_HZ
from edgeaff.bench.machine import describe_machine, describe_run, load_average
from edgeaff.bundle import ModelBundle
from edgeaff.detection.detector import load_detector
from edgeaff.features.face import FaceEncoder
from edgeaff.features.lld import LldStream
from edgeaff.inference import WINDOW_TICKS, Predictor, WindowPredictor, load_predictor
from edgeaff.preprocess import Preprocessor, parts_from_bundle
from edgeaff.session import Session
from edgeaff.types import AffectEvent

WARMUP_TICKS = WINDOW_TICKS + 20
BLOCK_TICKS = 32
LEAST_CPU_SHARE = 0.9
SAME_VALUE = 1e-3
OURS = "edgeaff"
BARS = {"cpu_ms_per_tick": 5.0, "ticks_per_second": 200.0, "import_seconds": 0.2,
        "import_session_seconds": 0.2, "rss_mib": 250.0, "installed_mb": 160.0,
        "vs_torch_naive": 15.0, "vs_onnxruntime_window": 3.0}  # fmt: skip
"""What the project asks of `edge`; the last two are least ratios of CPU time, ticks_per_second a least rate."""
Calls = dict[str, Callable[[], Any]]


def run(*, ticks: int = 1_024, rounds: int = 300, camera_seconds: float = 10.0, peers: bool = True) -> dict[str, Any]:
    """Returns what `--json` writes.

    Args:
        ticks: per engine, back to back, after the warm-up.
        rounds: timings per stage.
        camera_seconds: real time per engine in camera mode.
        peers: whether window recomputation in torch and ONNX Runtime takes part where installed (exporting takes 10 s).

    Returns:
        machine, run, media, stages, pipelines, process, ratios, bars, left_out.
    """
    bundle, media = ModelBundle.load(), make_media()
    machine = describe_machine()
    process, install = measure_process(), measure_install()  # first: alone on the machine
    predictors, left_out = make_predictors(bundle, peers=peers)
    stages, model_ratios, missing = measure_stages(bundle, media, predictors, rounds)
    sessions = {name: open_session(bundle, media, predictor) for name, predictor in predictors.items()}
    difference = warm_up(sessions, media)
    times, events = back_to_back(sessions, media, ticks)
    pipelines = [pipeline_row(name, time_, events[name]) for name, time_ in times.items()]
    pipelines += [camera_row(bundle, media, name, predictor, camera_seconds) for name, predictor in predictors.items()]
    ratios = {f"vs_{name}": speedup(times[name], times[OURS]) for name in times if name != OURS}
    return {
        "run": describe_run(Path(__file__).parent),
        "machine": {**machine, "load_average_after": load_average()},
        "bundle": bundle.manifest["model_id"],
        "media": f"{media.kind}, {media.images[0].shape[1]} x {media.images[0].shape[0]}; voice {RATE_HZ} Hz",
        "stages": stages,
        "pipelines": pipelines,
        "process": {**process, **install},
        "difference_first_100_ticks": difference,
        "cpu_ratios": ratios,
        "cpu_ratios_of_the_model_alone": model_ratios,
        "bars": judge(pipelines[0], process | install, ratios),
        "left_out": {**left_out, **missing},
    }


def make_predictors(bundle: ModelBundle, *, peers: bool) -> tuple[dict[str, Predictor], dict[str, str]]:
    """Returns the engines that can be measured here, ours first, and why others are not."""
    predictors = {OURS: load_predictor(bundle, "native")}
    left_out = {
        "paper preset": "no bundle of it ships",
        "torch.compile, OpenVINO window, OpenCV DNN, TensorRT": "not part of this benchmark; see benchmarks/kernels.py",
        "share of the roof, error to fp32": "see benchmarks/kernels.py",
        "device power": "not read",
        "face stages and LLDs in torch eager": "the bundle holds them as ONNX graphs and native code; all engines share them",
    }
    needed = {"torch_naive": ("torch", "onnx"), "onnxruntime_window": ("torch", "onnx", "onnxscript")}
    usable = [name for name, packages in needed.items() if peers and all(map(find_spec, packages))]
    for name in needed.keys() - set(usable):
        left_out[name] = f"needs {', '.join(needed[name])} (extra export)" if peers else "switched off"
    if usable:
        from edgeaff.bench import latency_peers

        edge = latency_peers.load_edge(bundle)
        if "onnxruntime_window" in usable:
            predictors["onnxruntime_window"] = WindowPredictor(latency_peers.onnxruntime_window(edge))
        predictors["torch_naive"] = WindowPredictor(latency_peers.TorchWindow(edge))
    return predictors, left_out


# --- stages -------------------------------------------------------------------------------------------------------------------


def measure_stages(
    bundle: ModelBundle, media: Media, predictors: dict[str, Predictor], rounds: int
) -> tuple[list[dict[str, Any]], dict[str, float | None], dict[str, str]]:
    """Returns one row per stage and engine, all interleaved on one thread; windows against the native step; what is missing."""
    image, detector = media.image(0), _detector(bundle, media)
    encoder_graph = bundle.graph_bytes("face_encoder")
    encoder = FaceEncoder(load_graph(encoder_graph), bundle.spec)
    box = detector.detect(image)[0].box
    crop = encoder.crop(image, box)
    descriptor = encoder.encode_crops([crop])[0]
    calls: Calls = {
        "detector|onnxruntime": lambda: detector.detect(image),
        "crop|native": lambda: encoder.crop(image, box),
        "face encoder|onnxruntime": lambda: encoder.encode_crops([crop]),
        "LLDs of one video frame|native": _lld_call(media),
        "normalise and sync|numpy": _sync_call(bundle, media),
    }
    steps = {"native": load_predictor(bundle, "native"), "onnxruntime": load_predictor(bundle, "onnxruntime")}
    missing = {}
    if find_spec("openvino") is None or find_spec("onnx") is None:
        missing["stages on openvino"] = "needs openvino and onnx (extra openvino)"
    else:
        steps["openvino"] = load_predictor(bundle, "openvino")
        other = FaceEncoder(load_graph(encoder_graph, backend="openvino"), bundle.spec)
        calls["face encoder|openvino"] = lambda: other.encode_crops([crop])
    calls |= {f"step|{name}": _step_call(step, descriptor) for name, step in steps.items()}
    calls |= {
        f"window of 100 ticks|{name}": _step_call(predictor, descriptor)
        for name, predictor in predictors.items()
        if isinstance(predictor, WindowPredictor)
    }
    rows, times = [], interleave(calls, rounds=rounds)
    for name, timing in times.items():
        stage, engine = name.split("|")
        rows.append({"preset": "edge", "stage": stage, "engine": engine, "threads": 1, **timing.row()})
    ratios = {
        f"vs_{name}": speedup(times[f"window of 100 ticks|{name}"], times["step|native"])
        for name in predictors
        if f"window of 100 ticks|{name}" in times
    }
    return rows, ratios, missing


def _detector(bundle: ModelBundle, media: Media) -> Any:
    detector = load_detector("ssd", bundle=bundle)
    return detector if media.kind == "portrait" else GivenFace(detector)


def _lld_call(media: Media) -> Callable[[], Any]:
    stream, tick = LldStream(sample_rate_hz=RATE_HZ), 0

    def call() -> Any:
        nonlocal tick
        stream.push(media.sound(tick))
        tick += 1
        return stream.pop()

    return call


def _sync_call(bundle: ModelBundle, media: Media) -> Callable[[], Any]:
    """Returns a call that takes the LLD rows of one frame and gives its tick: clock, timeline, normaliser."""
    stream = LldStream(sample_rate_hz=RATE_HZ)
    stream.push(media.samples)
    held = stream.pop()
    preprocessor = Preprocessor(parts_from_bundle(bundle, video=False), video=False)
    tick = 0

    def call() -> Any:
        nonlocal tick
        start, end = tick * 100 // FPS, (tick + 1) * 100 // FPS
        tick += 1
        rows = np.take(held, np.arange(start, end), axis=0, mode="wrap")
        return preprocessor.push_lld(rows, pts_ns=start * 10_000_000)

    return call


def _step_call(predictor: Predictor, descriptor: np.ndarray) -> Callable[[], Any]:
    audio = np.random.default_rng(1).standard_normal(65).astype(np.float32)
    state = predictor.initial_state()
    for _ in range(WINDOW_TICKS):
        _, state = predictor.step(state, descriptor, audio)
    return lambda: predictor.step(state, descriptor, audio)


# --- pipelines ----------------------------------------------------------------------------------------------------------------


def open_session(bundle: ModelBundle, media: Media, predictor: Predictor) -> Session:
    """Returns a session whose model is the given predictor, with the first picture in it."""
    session = Session(bundle, backend="native", detector_stride=1, detector=_detector(bundle, media))
    session._predictor = predictor
    session.reset()
    session.push_frame(media.image(0), pts_ns=0)  # so that every tick has a picture
    return session


def push(session: Session, media: Media, tick: int) -> list[AffectEvent]:
    """Returns the events that the sound before a picture and the picture complete."""
    events = session.push_audio(media.sound(tick), pts_ns=pts_ns(tick), sample_rate_hz=RATE_HZ)
    return events + session.push_frame(media.image(tick + 1), pts_ns=pts_ns(tick + 1))


def warm_up(sessions: dict[str, Session], media: Media) -> float:
    """Returns the largest difference of any engine's values from ours over the first 100 ticks, after filling all windows.

    Raises:
        AssertionError: the engines do not compute the same, or a picture's face was not found.
    """
    values: dict[str, list[tuple[float, float]]] = {}
    for name, session in sessions.items():
        events = [event for tick in range(WARMUP_TICKS) for event in push(session, media, tick)]
        values[name] = [
            (event.valence_raw, event.arousal_raw)
            for event in events[:WINDOW_TICKS]
            if event.valence_raw is not None and event.arousal_raw is not None
        ]
        if not any(event.face is not None for event in events[-10:]):
            raise AssertionError(
                "the pictures must show a face that is found, got none; the encoder would not be measured"
            )
    ours = np.array(values[OURS])
    worst = max(float(np.abs(np.array(other) - ours).max()) for other in values.values())
    if worst > SAME_VALUE:
        raise AssertionError(f"all engines must give the same values, got {worst:.1e} apart")
    return float(f"{worst:.1e}")


def back_to_back(sessions: dict[str, Session], media: Media, ticks: int) -> tuple[dict[str, Timing], dict[str, int]]:
    """Returns the times per picture of each engine, in turn for a block of ticks each, and the events that came out."""
    wall = {name: np.empty(ticks) for name in sessions}
    cpu = {name: np.empty(ticks) for name in sessions}
    events = dict.fromkeys(sessions, 0)
    gc.collect()
    for block in range(0, ticks, BLOCK_TICKS):
        for name, session in sessions.items():
            for index in range(block, min(block + BLOCK_TICKS, ticks)):
                cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
                events[name] += len(push(session, media, WARMUP_TICKS + index))
                wall[name][index] = (time.perf_counter_ns() - start) / 1e3
                cpu[name][index] = (time.process_time_ns() - cpu_start) / 1e3
    return {name: Timing(wall[name], cpu[name]) for name in sessions}, events


def pipeline_row(name: str, timing: Timing, events: int) -> dict[str, Any]:
    """Returns the back-to-back row of one engine. events: how many values came out."""
    wall, cpu = timing.wall_us / 1e3, timing.cpu_us / 1e3
    return {
        **_pipeline_head(name, "back_to_back"),
        "n": events,
        "fps": round(events / wall.sum() * 1e3, 1),
        "min_ms": round(float(wall.min()), 3),
        **_percentiles(wall),
        "cpu_ms": round(float(cpu.sum() / events), 3),
        "cpu_p50_ms": round(float(np.median(cpu)), 3),
        "cpu_share": round(float(cpu.sum() / wall.sum()), 3),
    }


def camera_row(bundle: ModelBundle, media: Media, name: str, predictor: Predictor, seconds: float) -> dict[str, Any]:
    """Returns the camera row of one engine: arrivals in real time, late pictures dropped. latency: arrival to value."""
    session = open_session(bundle, media, predictor)
    for tick in range(WARMUP_TICKS):
        push(session, media, tick)
    last = round(seconds * FPS)
    latencies: list[float] = []
    tick = taken = 0
    cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
    while tick < last:
        time.sleep(max(0.0, (start + pts_ns(tick) - time.perf_counter_ns()) / 1e9))
        newest = min(last - 1, (time.perf_counter_ns() - start) * FPS // 1_000_000_000)
        number, first = WARMUP_TICKS + newest, WARMUP_TICKS + tick
        events = [
            event
            for missed in range(first, number)
            for event in session.push_audio(media.sound(missed), pts_ns=pts_ns(missed), sample_rate_hz=RATE_HZ)
        ]
        events += push(session, media, number)
        now = time.perf_counter_ns() - start + pts_ns(WARMUP_TICKS + 1)
        latencies += [(now - event.pts_ns) / 1e6 for event in events]
        taken += 1
        tick = newest + 1
    wall_ns, cpu_ns = time.perf_counter_ns() - start, time.process_time_ns() - cpu_start
    return {
        **_pipeline_head(name, "camera"),
        "n": len(latencies),
        "fps": round(taken / max(wall_ns / 1e9, last / FPS), 1),
        "min_ms": round(min(latencies), 3),
        **_percentiles(np.array(latencies)),
        "cpu_ms": round(cpu_ns / 1e6 / len(latencies), 3),
        "cpu_share": round(cpu_ns / wall_ns, 3),
        "dropped_percent": round(100 * (last - taken) / last, 2),
    }


def _pipeline_head(name: str, mode: str) -> dict[str, Any]:
    return {"preset": "edge", "engine": name, "precision": "float32", "threads": 1, "stride": 1, "mode": mode}


def _percentiles(milliseconds: np.ndarray) -> dict[str, float]:
    return {f"p{share}_ms": round(float(np.percentile(milliseconds, share)), 3) for share in (50, 90, 99)}


def speedup(slower: Timing, faster: Timing) -> float | None:
    """Returns the ratio of CPU times, or None where one of them did not get its processor."""
    shares = [timing.cpu_us.sum() / timing.wall_us.sum() for timing in (slower, faster)]
    return ratio(slower, faster) if min(shares) >= LEAST_CPU_SHARE else None


def judge(row: dict[str, Any], process: dict[str, Any], ratios: dict[str, float | None]) -> dict[str, dict[str, Any]]:
    """Compares with the bars.

    Args:
        row: ours, back to back.
        process: of `measure_process` and `measure_install`.
        ratios: of CPU times by name, None where there is none.

    Returns:
        Per bar what is asked, what was measured and whether it holds; None where it was not measured.
    """
    measured = {
        "cpu_ms_per_tick": row["cpu_ms"],
        "ticks_per_second": row["fps"],
        **{name: process[name] for name in BARS if name in process},
        **ratios,
    }
    rows = {}
    for name, bar in BARS.items():
        value = measured.get(name)
        at_least = name == "ticks_per_second" or name.startswith("vs_")
        met = None if value is None else bool(value >= bar if at_least else value <= bar)
        rows[name] = {"bar": bar, "measured": value, "met": met}
    return rows

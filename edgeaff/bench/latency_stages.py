"""Rows of single stages: each stage of a tick on every installed engine, in the same rounds, with its error and its share of the roof."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.backends.engines import import_onnxruntime
from edgeaff.bench.interleave import Timing, interleave
from edgeaff.bench.latency_calls import (
    Feeds,
    compiled_call,
    detect_call,
    graph_maker,
    lld_call,
    opencv_call,
    opensmile_call,
    step_call,
    sync_call,
    torch_call,
    window_call,
)
from edgeaff.bench.latency_engines import float_detector, precision_name
from edgeaff.bench.latency_media import Media
from edgeaff.bench.onnx_tools import TorchGraph, count_macs, float_graph
from edgeaff.bundle import ModelBundle
from edgeaff.detection.boxes import fit_letterbox
from edgeaff.detection.detector import load_detector
from edgeaff.detection.ssd import place_planes
from edgeaff.errors import BundleError, EdgeaffError
from edgeaff.features.face import FaceEncoder, normalize
from edgeaff.inference import WINDOW_TICKS, load_predictor, replay
from edgeaff.machine import resident_mib

WINDOW = "window of 100 ticks"
YUNET_FILES = ("yunet_n_dynamic.onnx", "yunet.onnx", "face_detection_yunet_2023mar.onnx")
SAME_STEP = 1e-3


@dataclass
class Stage:
    """One stage on one engine.

    Attributes:
        stage: name of the stage.
        engine: the backend it.
        call: does it once and returns its result, an array where its error is of interest.
        precision: "fp32", "int8" or "-" where there is no network.
        macs: multiply-accumulates of one call, 0 where unknown.
        rss_mib: memory that making it added.
    """

    stage: str
    engine: str
    call: Callable[[], Any]
    precision: str = "-"
    macs: int = 0
    rss_mib: float = 0.0


class StageList:
    """Stages that could be made, and why others could not."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self.left_out: dict[str, str] = {}

    def add(
        self, stage: str, engine: str, make: Callable[[], Callable[[], Any]], precision: str = "-", macs: int = 0
    ) -> None:
        """Makes one and calls it once; an engine that refuses is left out and named."""
        before = resident_mib()
        try:
            call = make()
            call()
        except (
            EdgeaffError,
            ImportError,
            RuntimeError,
            ValueError,
            ArithmeticError,
            LookupError,
            AttributeError,
        ) as error:
            self.left_out[f"{stage} on {engine}"] = (
                str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            )
            return
        self.stages.append(Stage(stage, engine, call, precision, macs, round(resident_mib() - before, 1)))


def edge_stages(bundle: ModelBundle, media: Media, *, peers: bool, compile_peer: bool) -> StageList:
    """Returns the stages of the `edge` preset on one thread."""
    found = StageList()
    image = media.image(0)
    own = load_detector("ssd", bundle=bundle)
    face = own.detect(image)
    encoder = FaceEncoder(load_graph(bundle.graph_bytes("face_encoder")), bundle.spec)
    box = face[0].box if face else (260.0, 130.0, 420.0, 330.0)
    crop = encoder.crop(image, box)
    found.add("detector with letterbox and decoding", "edgeaff", lambda: lambda: own.detect(image), "int8")
    found.add("crop", "edgeaff", lambda: lambda: encoder.crop(image, box))
    feeds = {
        "face_detector": {"image": place_planes(image, fit_letterbox(image.shape[1], image.shape[0], long_side=320))},
        "face_encoder": {"face": normalize(crop)[None]},
    }
    add_networks(found, bundle, feeds, threads=1, peers=peers, compile_peer=compile_peer)
    if peers:
        _add_other_detectors(found, bundle, media, image)
    found.add("LLDs of one video frame", "edgeaff", lambda: lld_call(media))
    if peers:
        found.add("LLDs of one video frame", "opensmile, last 2 s again", lambda: opensmile_call(media))
    found.add("normalize and sync", "edgeaff", lambda: sync_call(bundle, media))
    descriptor = encoder.encode_crops([crop])[0]
    for backend in ("native", "onnxruntime", *(("openvino",) if peers else ())):
        found.add("step", backend, lambda name=backend: step_call(load_predictor(bundle, name), descriptor), "fp32")  # type: ignore[misc]
    if peers:
        _add_windows(found, bundle)
    return found


def add_networks(
    found: StageList, bundle: ModelBundle, feeds: dict[str, Feeds], *, threads: int, peers: bool, compile_peer: bool
) -> None:
    """Adds the graphs of a bundle by role, as shipped and, in float32, on every installed engine."""
    for role, inputs in feeds.items():
        model, stage = bundle.graph_bytes(role), role.replace("_", " ")
        shipped = precision_name(bundle) if role == "face_encoder" else "int8"
        counted = find_spec("onnx") is not None
        plain = float_graph(model) if counted else None
        macs = count_macs(plain, {name: value.shape for name, value in inputs.items()}) if plain else 0
        found.add(stage, "onnxruntime", graph_maker(model, "onnxruntime", inputs, threads), shipped, macs)
        if not peers or plain is None:
            continue
        if shipped != "fp32":
            found.add(stage, "onnxruntime", graph_maker(plain, "onnxruntime", inputs, threads), "fp32", macs)
            found.add(stage, "openvino", graph_maker(model, "openvino", inputs, threads), shipped, macs)
        found.add(stage, "openvino", graph_maker(plain, "openvino", inputs, threads), "fp32", macs)
        for backend in device_backends():
            precision = "fp16" if backend == "tensorrt" else "fp32"
            found.add(stage, backend, graph_maker(plain, backend, inputs, threads), precision, macs)
        found.add(stage, "opencv dnn", functools.partial(opencv_call, plain, inputs, threads), "fp32", macs)
        found.add(stage, "torch eager", functools.partial(torch_call, plain, inputs, threads), "fp32", macs)
        if compile_peer:
            found.add(stage, "torch.compile", functools.partial(compiled_call, plain, inputs, threads), "fp32", macs)


def device_backends() -> list[str]:
    """Returns our backends on a GPU that can run here; their engines are built when they are first loaded."""
    found = []
    if "CUDAExecutionProvider" in import_onnxruntime().get_available_providers():
        found.append("onnxruntime-cuda")
    if find_spec("tensorrt") is not None or find_spec("tensorrt_rtx") is not None:
        found += ["tensorrt:fp32", "tensorrt"]
    return found


def _add_other_detectors(found: StageList, bundle: ModelBundle, media: Media, image: np.ndarray) -> None:
    stage = "detector with letterbox and decoding"
    if find_spec("onnx") is not None:
        plain = float_graph(bundle.graph_bytes("face_detector"))
        found.add(
            stage, "onnxruntime", lambda: detect_call(float_detector(bundle, media, load_graph(plain)), image), "fp32"
        )
        if find_spec("torch") is not None:
            found.add(
                stage,
                "torch eager",
                lambda: detect_call(float_detector(bundle, media, TorchGraph(plain)), image),
                "fp32",
            )
    folder = Path(os.environ.get("EDGEAFF_SHARED", "../shared")) / "data" / "weights"
    path = next((path for name in YUNET_FILES for path in sorted(folder.rglob(name))), None)
    if path is None:
        found.left_out["YuNet"] = "no weights in $EDGEAFF_SHARED/data/weights"
    else:
        found.add(stage, f"YuNet ({path.stem})", lambda: detect_call(load_detector(f"yunet:{path}"), image), "fp32")


def _add_windows(found: StageList, bundle: ModelBundle) -> None:
    """Adds the whole window of `edge` on every installed engine, checked against the step.

    Raises:
        BundleError: an engine's newest row is not what the step gives after the same 100 ticks.
    """
    if any(find_spec(name) is None for name in ("torch", "onnx", "onnxscript")):
        found.left_out[WINDOW] = "needs torch, onnx and onnxscript (extra export)"
        return
    from edgeaff.bench import latency_peers as peer

    system = peer.edge_system(bundle.graph_bytes("affect_step"))
    model = peer.window_onnx(system)
    feeds = drawn_window(peer.window_shapes(system))
    graphs: dict[str, Callable[[], Any]] = {
        "onnxruntime": lambda: load_graph(model),
        "openvino": lambda: load_graph(model, backend="openvino"),
        "torch eager": lambda: peer.TorchWindow(system),
    }
    for name, make in graphs.items():
        found.add(WINDOW, name, lambda made=make: window_call(made(), feeds), "fp32")  # type: ignore[misc]
    present = np.ones((1, WINDOW_TICKS, 2), np.float32)
    expected = replay(load_predictor(bundle, "native"), feeds["video"], feeds["audio"], present)[0, -1]
    for stage in found.stages:
        if stage.stage != WINDOW:
            continue
        difference = float(np.abs(stage.call()["values"][0, -1] - expected).max())
        if not difference <= SAME_STEP:
            raise BundleError(
                f"{stage.engine} must give the values of the step, got {difference:.1e} apart; see latency_peers.py."
            )


def drawn_window(shapes: dict[str, tuple[int, ...]]) -> Feeds:
    """Returns inputs of a window graph: everything is there, features are noise."""
    rng = np.random.default_rng(2)
    return {
        name: np.ones(shape, bool) if name.endswith("mask") else rng.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def paper_stages(bundle: ModelBundle, *, threads: int, peers: bool) -> StageList:
    """Returns the stages of the `paper` preset; its weights are fabricated, so no error means anything but arithmetic."""
    found = StageList()
    feeds = {"face_encoder": {"face": np.random.default_rng(0).uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32)}}
    add_networks(found, bundle, feeds, threads=threads, peers=peers, compile_peer=False)
    descriptor = np.abs(np.random.default_rng(3).standard_normal(4096)).astype(np.float32)
    precision = precision_name(bundle)
    for backend in ("native", "onnxruntime"):
        predictor = functools.partial(load_predictor, bundle, backend, threads=threads)
        found.add("step", backend, lambda made=predictor: step_call(made(), descriptor, 4096), precision)  # type: ignore[misc]
    if bundle.has_graph("affect_window"):
        window = load_graph(bundle.graph_bytes("affect_window"), threads=threads)
        shapes = {name: tuple(size or 1 for size in shape) for name, shape in window.inputs.items()}
        found.add(WINDOW, "onnxruntime", lambda: window_call(window, drawn_window(shapes)), precision)
    if peers and find_spec("torch") is not None:
        from edgeaff.bench import latency_peers as peer
        from edgeaff.export.paper import fabricated_system

        def make() -> Callable[[], Any]:
            system = fabricated_system()
            return window_call(peer.TorchWindow(system), drawn_window(peer.window_shapes(system)))

        found.add(WINDOW, "torch eager", make, "fp32")
    return found


# --- measuring ------------------------------------------------------------------------------------------------------------------


def measure(
    found: StageList, *, preset: str, threads: int, rounds: int, seconds: float, roofs: dict[str, float]
) -> list[dict[str, Any]]:
    """Returns a row per stage, all in the same rounds.

    Args:
        found: the stages.
        preset: for the rows.
        threads: for the rows.
        rounds: timings per stage.
        seconds: after them no new round begins.
        roofs: GFLOP/s (GOP/s for int8) by precision, of as many threads.
    """
    calls = {f"{s.stage}|{s.engine}|{s.precision}": s.call for s in found.stages}
    times = interleave(calls, rounds=rounds, seconds=seconds)
    return [
        {
            "preset": preset,
            "stage": stage.stage,
            "engine": stage.engine,
            "precision": stage.precision,
            "threads": threads,
            **timing.row(),
            "jitter_us": round(float(np.percentile(timing.wall_us, 99) - np.median(timing.wall_us)), 2),
            "mmac": round(stage.macs / 1e6, 2) if stage.macs else None,
            "roof_percent": roof_percent(stage, timing, roofs),
            "rss_mib": stage.rss_mib,
            "error_to_fp32": error_to_fp32(stage, found.stages),
        }
        for stage, timing in zip(found.stages, times.values(), strict=True)
    ]


def roof_percent(stage: Stage, timing: Timing, roofs: dict[str, float]) -> float | None:
    """Returns the share of the measured roof that the best call reached; None where work or roof is not known."""
    roof = roofs.get(stage.precision)
    if not stage.macs or not roof:
        return None
    return round(100 * 2 * stage.macs / (float(timing.wall_us.min()) * 1e3) / roof, 1)


def error_to_fp32(stage: Stage, stages: list[Stage]) -> float | None:
    """Returns the relative L2 difference from ONNX Runtime's float32; None where there is no such row."""
    same = (s for s in stages if s.stage == stage.stage and s.engine == "onnxruntime" and s.precision == "fp32")
    base = next(same, None)
    if base is None or base is stage:
        return None
    theirs, mine = base.call(), stage.call()
    if not isinstance(theirs, dict) or not isinstance(mine, dict):
        return None
    pairs = [(mine[name], theirs[name]) for name in theirs if name in mine]
    apart = sum(float(np.square(a - b).sum()) for a, b in pairs)
    return float(f"{np.sqrt(apart / sum(float(np.square(b).sum()) for _, b in pairs)):.1e}")

"""Calls of the stages on each engine: functions that return a call to repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.bench.latency_media import FPS, RATE_HZ, Media
from edgeaff.bench.onnx_tools import TorchGraph
from edgeaff.bundle import ModelBundle
from edgeaff.errors import BackendUnavailableError
from edgeaff.features.lld import LldStream
from edgeaff.inference import WINDOW_TICKS, Predictor
from edgeaff.preprocess import Preprocessor, parts_from_bundle

Feeds = dict[str, np.ndarray]


def graph_maker(model: bytes, backend: str, feeds: Feeds, threads: int) -> Callable[[], Callable[[], Any]]:
    """Returns a function that calls a graph on one of our backends."""

    def make() -> Callable[[], Any]:
        graph = load_graph(model, backend=backend, threads=threads)
        return lambda: graph.run(feeds)

    return make


def torch_call(model: bytes, feeds: Feeds, threads: int) -> Callable[[], Any]:
    """Returns a call of a float32 graph in torch eager."""
    import torch

    graph = TorchGraph(model)

    def call() -> Any:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return graph.run(feeds)

    return call


def compiled_call(model: bytes, feeds: Feeds, threads: int) -> Callable[[], Any]:
    """Returns a call of a float32 graph of one input through torch.compile; compiling takes its time here."""
    import torch

    graph = TorchGraph(model)
    torch.set_num_threads(threads)
    (name,) = graph.inputs
    traced = torch.fx.symbolic_trace(lambda x: graph.module(x))  # one flat graph: nothing of ours is left to guard
    module: Any = torch.compile(traced, dynamic=False)
    fed = torch.from_numpy(feeds[name])

    def call() -> Any:
        with torch.inference_mode():
            found = module(fed)
        return dict(
            zip(graph.outputs, (one.numpy() for one in (found if isinstance(found, tuple) else (found,))), strict=True)
        )

    call()
    return call


def opencv_call(model: bytes, feeds: Feeds, threads: int) -> Callable[[], Any]:
    """Returns a call of a float32 graph of one input in OpenCV's DNN module.

    Raises:
        BackendUnavailableError: OpenCV does not know the graph's operators.
    """
    import cv2

    try:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
    except cv2.error as error:
        raise BackendUnavailableError(f"OpenCV must read the graph, got: {error}; leave this peer out.") from error
    name, blob = next(iter(feeds.items()))

    def call() -> Any:
        cv2.setNumThreads(threads)
        net.setInput(blob, name)
        return net.forward(net.getUnconnectedOutLayersNames())

    return call


def detect_call(detector: Any, image: np.ndarray) -> Callable[[], Any]:
    """Returns a call of a whole detector."""
    return lambda: detector.detect(image)


# --- audio and model ------------------------------------------------------------------------------------------------------------


def lld_call(media: Media) -> Callable[[], Any]:
    """Returns a call that gives our LLD stream the audio of one frame."""
    stream, tick = LldStream(sample_rate_hz=RATE_HZ), 0

    def call() -> Any:
        nonlocal tick
        stream.push(media.audio(tick))
        tick += 1
        stream.pop()

    return call


def opensmile_call(media: Media) -> Callable[[], Any]:
    """Returns a call that gives openSMILE the last two seconds: it has no stream in Python."""
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.LowLevelDescriptors)
    audio = media.samples[: 2 * RATE_HZ].astype(np.float32) / 32_768
    return lambda: smile.process_signal(audio, RATE_HZ)


def sync_call(bundle: ModelBundle, media: Media) -> Callable[[], Any]:
    """Returns a call that takes the LLD rows of one frame and gives its tick: clock, timeline, normalizer."""
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
        preprocessor.push_lld(rows, pts_ns=start * 10_000_000)

    return call


def step_call(predictor: Predictor, descriptor: np.ndarray, audio_size: int = 65) -> Callable[[], Any]:
    """Returns a call that makes one step with a full window behind it; every engine sees the same past."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((WINDOW_TICKS, audio_size)).astype(np.float32)
    state = predictor.initial_state()
    for row in rows[1:]:
        _, state = predictor.step(state, descriptor, row)

    def call() -> Any:
        prediction, _ = predictor.step(state, descriptor, rows[0])
        return {"values": np.array([prediction.valence, prediction.arousal], np.float32)}

    return call


def window_call(graph: Any, feeds: Feeds) -> Callable[[], Any]:
    """Returns a call that runs a window graph."""
    return lambda: graph.run(feeds)

"""The engines of the latency benchmark: whole pipelines over the same images and audio, each stated in words."""

from __future__ import annotations

import dataclasses
import functools
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backend_choice import choose_backend
from edgeaff.backends import load_graph
from edgeaff.bench.latency_media import RATE_HZ, GivenFace, Media, pts_ns
from edgeaff.bench.onnx_tools import TorchGraph, float_graph, is_int8
from edgeaff.bundle import ModelBundle
from edgeaff.detection.detector import FaceDetector
from edgeaff.detection.ssd import SsdDetector
from edgeaff.features.face import FaceEncoder
from edgeaff.inference import WindowPredictor
from edgeaff.session import Session
from edgeaff.types import AffectEvent

OURS = "edgeaff"
SHARED = "Letterbox, crop, tracker, clock and normalizer are edgeaff's own."
WORDS = {
    "edgeaff": "The shipped bundle: one step per tick, with keys and values of the last 100 ticks kept.",
    "edgeaff, stride 1": "The shipped bundle, with the detector on every frame.",
    "onnxruntime_window": "ONNX Runtime float32 for every network on every frame; keeps descriptors and LLDs, recomputes the window of 100 "
    f"ticks per tick. {SHARED}",
    "torch_cached": "torch eager float32 for every network on every frame; keeps descriptors and LLDs, recomputes the window of 100 "
    f"ticks per tick. {SHARED}",
    "torch_naive": "torch eager float32, nothing kept between ticks: detector on the frame, face "
    "encoder on all 100 crops of the window, LLDs of the window's audio recomputed (by our extractor), window model. "
    f"{SHARED}",
}
FABRICATED = "Weights of VGG and transformer FABRICATED."
PAPER_WORDS = {
    "edgeaff": f"The `paper` preset in 8 bits: every stage on every frame; descriptors, projections and the first layer's products are "
    f"kept per tick, and the newest row of the window is computed. {FABRICATED}",
    "edgeaff, stride 5": "The same, with detector and transformer on every fifth frame; face encoder on every frame; values are "
    "held between.",
    **{name: f"{WORDS[name]} {FABRICATED}" for name in ("onnxruntime_window", "torch_cached", "torch_naive")},
}
TORCH_PEERS = ("torch_cached", "torch_naive")
PEERS = ("onnxruntime_window", *TORCH_PEERS)


@dataclass
class Engine:
    """One pipeline.

    Attributes:
        preset: "edge" or "paper".
        name: of the engine.
        precision: "int8" where the face encoder computes with 8 bits, else "fp32".
        threads: of every network.
        stride: of the detector (and of the transformer in `paper`); 1 = every stage on every frame.
        words: what it does.
        session: takes images and audio.
        block: ticks per turn, back to back.
        backends: what runs the model and the face encoder, where that is not stated by the name.
        before: work of a tick outside of the session.
        next_tick: that it has not been given yet.
        first_value_ms: of image and audio before its first value with status OK; None before the warm-up.
    """

    preset: str
    name: str
    precision: str
    threads: int
    stride: int
    words: str
    session: Session
    block: int = 32
    backends: dict[str, str] = field(default_factory=dict)
    before: Callable[[int], Any] | None = None
    next_tick: int = 0
    first_value_ms: float | None = None

    @property
    def key(self) -> str:
        """Names the engine among those of its preset."""
        return self.name if self.stride == 1 and self.name != OURS else f"{self.name}, stride {self.stride}"

    @property
    def slow(self) -> bool:
        """True if a tick takes so long that windows are filled without it."""
        return hasattr(self.session._predictor, "filling")

    def fill(self, on: bool) -> None:
        """Switches computing the window off and on, where that takes long."""
        if self.slow:
            self.session._predictor.filling = on  # type: ignore[attr-defined]

    def push_newest(self, media: Media, tick: int) -> list[AffectEvent]:
        """Returns the events of `push`; where a tick takes long, only the newest of them is computed."""
        if not self.slow:
            return self.push(media, tick)
        self.fill(True)
        events = self.push(media, tick)
        if self.before is not None:
            self.before(tick)
        self.session._predictor.compute(self.session._nobody.state)  # type: ignore[attr-defined]
        return events

    def start(self, media: Media) -> None:
        """Begins again with the first image in."""
        self.session.reset()
        self.session.push_frame(media.image(0), pts_ns=0)  # so that every tick has an image
        self.next_tick = 0

    def push(self, media: Media, tick: int) -> list[AffectEvent]:
        """Returns the events that the audio before an image and the image complete."""
        return self.push_taken(media.take(tick), tick)

    def push_taken(self, taken: tuple[np.ndarray, np.ndarray], tick: int) -> list[AffectEvent]:
        """Returns the events that audio and image complete. taken: of `Media.take`."""
        if self.before is not None and not self.session._predictor.filling:  # type: ignore[attr-defined]
            self.before(tick)
        self.next_tick = tick + 1
        events = self.session.push_audio(taken[0], pts_ns=pts_ns(tick), sample_rate_hz=RATE_HZ)
        return events + self.session.push_frame(taken[1], pts_ns=pts_ns(tick + 1))

    def use_threads(self) -> None:
        """Gives torch as many threads as the engine has."""
        if self.name in TORCH_PEERS:
            import torch

            torch.set_num_threads(self.threads)


def float_detector(bundle: ModelBundle, media: Media, graph: Any) -> FaceDetector:
    """Returns the bundle's detector over another graph of it."""
    facts = bundle.manifest.detector
    detector = SsdDetector(graph, score_threshold=facts.score_threshold, input_long_side=facts.input_long_side)
    return detector if media.kind == "portrait" else GivenFace(detector)


def precision_name(bundle: ModelBundle) -> str:
    """Returns "int8" where the face encoder of a bundle computes with 8 bits; the manifest's word where onnx is not installed."""
    if find_spec("onnx") is None:
        return bundle.manifest.precisions.get("face_encoder", "fp32")
    return "int8" if is_int8(bundle.graph_bytes("face_encoder")) else "fp32"


def make_session(bundle: ModelBundle, media: Media, *, detector: FaceDetector | None = None, **options: Any) -> Session:
    """Returns a session over the made media. options: of Session."""
    if detector is None and media.kind != "portrait":
        from edgeaff.detection.detector import load_detector

        detector = GivenFace(load_detector("ssd", bundle=bundle))
    return Session(bundle, detector=detector, **options)


def with_parts(session: Session, predictor: Any, encoder: FaceEncoder) -> Session:
    """Returns the session with another model and face encoder."""
    session._predictor = predictor
    session._preprocessor.parts = dataclasses.replace(session._preprocessor.parts, encoder=encoder)
    session.reset()
    return session


def ours(
    bundle: ModelBundle,
    media: Media,
    stride: int,
    words: str,
    *,
    threads: int = 1,
    backends: tuple[str, str] | None = None,
) -> Engine:
    """Returns edgeaff with a detector stride; in the `paper` preset the transformer has it too.

    Args:
        bundle: the backend.
        media: images and audio.
        stride: n; 1 = every stage on every frame.
        words: what it does.
        threads: of every network.
        backends: of the model and of the face encoder; None = those that the bundle names.
    """
    preset = bundle.manifest.preset
    options: dict[str, Any] = {"stride": stride, "threads": threads} if preset == "paper" else {}
    if backends is not None:
        options |= {"backend": backends[0], "face_backend": backends[1]}
    session = make_session(bundle, media, detector_stride=stride, **options)
    encoder = session._preprocessor.parts.encoder
    assert isinstance(encoder, FaceEncoder)
    named = {"model": session.backend, "face encoder": encoder.graph.backend}
    return Engine(
        preset, OURS, precision_name(bundle), threads, stride, words, session, 32 if preset == "edge" else 8, named
    )


def edge_engines(bundle: ModelBundle, media: Media, *, peers: bool) -> tuple[list[Engine], dict[str, str]]:
    """Returns the engines of the `edge` preset that can run here, the shipped arrangement first, and why others cannot."""
    shipped = bundle.manifest.detector.stride
    engines = [ours(bundle, media, shipped, WORDS["edgeaff"])]
    if shipped > 1:
        engines.append(ours(bundle, media, 1, WORDS["edgeaff, stride 1"]))
    missing = missing_packages()
    if not peers or missing:
        return engines, dict.fromkeys(
            PEERS, f"needs {', '.join(missing)} (extra export)" if missing else "switched off"
        )
    from edgeaff.bench.latency_peers import edge_system
    from edgeaff.export.from_onnx import require_same

    edge = edge_system(bundle.graph_bytes("affect_step"))
    require_same(edge, bundle.arrays("golden.npz"))
    return engines + peer_engines(bundle, media, edge, threads=1), {}


def missing_packages() -> list[str]:
    """Returns the packages that the peers need and that are not installed."""
    return [name for name in ("torch", "onnx", "onnxscript") if find_spec(name) is None]


def peer_engines(bundle: ModelBundle, media: Media, system: Any, *, threads: int) -> list[Engine]:
    """Returns the arrangements that edgeaff is compared with, the same in every preset. See edgeaff/bench/latency_peers.py.

    Args:
        bundle: its face networks run in float32.
        media: images and audio.
        system: the model of its windows, a torch module.
        threads: of every network.
    """
    from edgeaff.bench import latency_peers as peer

    preset, spec = bundle.manifest.preset, bundle.spec
    words, long = (WORDS, False) if preset == "edge" else (PAPER_WORDS, True)
    detector, encoder = (float_graph(bundle.graph_bytes(role)) for role in ("face_detector", "face_encoder"))
    in_torch = TorchGraph(encoder)
    predict = peer.LazyWindow if long else WindowPredictor
    window = peer.TorchWindow(system)
    whole = peer.WholeWindow(in_torch.module, window.module, spec.crop_size_px, spec.audio_vector_size)
    parts: dict[str, tuple[Any, Any, FaceEncoder]] = {
        "onnxruntime_window": (
            load_graph(detector, threads=threads),
            predict(peer.onnxruntime_window(system, threads=threads)),
            FaceEncoder(load_graph(encoder, threads=threads), spec),
        ),
        "torch_cached": (TorchGraph(detector), predict(window), FaceEncoder(in_torch, spec)),
        "torch_naive": (TorchGraph(detector), whole, peer.CropKeeper(in_torch, spec)),
    }
    engines = []
    for name, (graph, predictor, described) in parts.items():
        base = make_session(bundle, media, detector=float_detector(bundle, media, graph), detector_stride=1)
        session = with_parts(base, predictor, described)
        engine = Engine(preset, name, "fp32", threads, 1, words[name], session, block=4 if long else 32)
        if name == "torch_naive":
            engine.block = 1 if long else 2
            engine.before = functools.partial(peer.extract_window, media, more=spec.audio_context_steps - 1)
        engines.append(engine)
    return engines


def paper_engines(
    media: Media, *, threads: int, bundle_path: Path | None, peers: bool
) -> tuple[list[Engine], dict[str, str]]:
    """Returns the engines of the `paper` preset with fabricated weights, or why there are none.

    Args:
        media: images and audio.
        threads: of every network.
        bundle_path: an 8-bit bundle made by `python -m edgeaff.export.paper`; None makes one, which takes half a minute.
        peers: whether other arrangements take part.
    """
    missing = missing_packages()
    if missing:
        return [], {"paper preset": f"needs {', '.join(missing)} (extra export): its weights are made up on the spot"}
    from edgeaff.export import paper

    parts = paper.PaperParts(paper.fabricated_encoder(), paper.fabricated_system())
    with tempfile.TemporaryDirectory() as folder:
        path = bundle_path
        if path is None:
            path = Path(folder) / "paper_int8.eaff"
            logging.disable(logging.WARNING)  # the quantizer warns on the root logger
            try:
                paper.assemble_paper(parts, path, precision="int8", faces=paper.drawn_faces())
            finally:
                logging.disable(logging.NOTSET)
        bundle = ModelBundle.load(path)
    choice = choose_backend(bundle, threads=threads)
    backends = (choice.backend, choice.face_backend)
    engines = [
        ours(bundle, media, 1, PAPER_WORDS["edgeaff"], threads=threads, backends=backends),
        ours(bundle, media, 5, PAPER_WORDS["edgeaff, stride 5"], threads=threads, backends=backends),
    ]
    if not peers:
        return engines, dict.fromkeys((f"paper: {name}" for name in PEERS), "switched off")
    return engines + peer_engines(bundle, media, parts.system, threads=threads), {}

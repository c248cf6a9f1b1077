"""The engines of the latency benchmark: whole pipelines over the same pictures and sound, each said in words."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.bench.latency_media import GivenFace, Media, pts_ns
from edgeaff.bench.lld import RATE_HZ
from edgeaff.bench.onnx_tools import TorchGraph, float_graph, is_int8
from edgeaff.bundle import ModelBundle
from edgeaff.detection.detector import FaceDetector
from edgeaff.detection.ssd import SsdDetector
from edgeaff.features.face import FaceEncoder
from edgeaff.inference import WindowPredictor
from edgeaff.session import Session
from edgeaff.types import AffectEvent

OURS = "edgeaff"
SHARED = "Letterbox, crop, tracker, clock and normaliser are edgeaff's own."
WORDS = {
    "edgeaff": "The bundle as it ships: one step per tick, with keys and values of the last 100 ticks kept.",
    "edgeaff, stride 1": "The bundle as it ships, with the detector on every frame.",
    "onnxruntime_window": "ONNX Runtime float32 for every network on every frame; descriptors and LLDs kept, the window of 100 "
    f"ticks again per tick. {SHARED}",
    "torch_cached": "torch eager float32 for every network on every frame; descriptors and LLDs kept, the window of 100 ticks "
    f"again per tick. {SHARED}",
    "torch_naive": "torch eager float32, nothing kept between ticks, as in the paper's training code: detector on the frame, face "
    "encoder on all 100 crops of the window, LLDs of the window's sound again (by our extractor), window model. "
    f"{SHARED}",
}  # fmt: skip
PAPER_WORDS = {
    "edgeaff": "The `paper` preset in 8 bits, weights of VGG and transformer FABRICATED: every stage on every frame, the newest row "
    "of the window only.",
    "edgeaff, stride 5": "The same, with detector and transformer on every fifth frame; face encoder on every frame; values are "
    "held between.",
    "torch_naive": "torch eager float32: detector, VGG on the new crop (descriptors kept: all 100 again would take seconds), and "
    f"the whole window with its 100 x 4096 projections per tick. FABRICATED weights. {SHARED}",
}  # fmt: skip


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
        session: takes pictures and sound.
        block: ticks per turn, back to back.
        before: work of a tick outside of the session.
        values: (valence_raw, arousal_raw) of the first 100 ticks' last events.
    """

    preset: str
    name: str
    precision: str
    threads: int
    stride: int
    words: str
    session: Session
    block: int = 32
    before: Callable[[int], Any] | None = None
    values: list[tuple[float, float]] = field(default_factory=list)

    @property
    def key(self) -> str:
        """Names the engine among those of its preset."""
        return self.name if self.stride == 1 and self.name != OURS else f"{self.name}, stride {self.stride}"

    @property
    def slow(self) -> bool:
        """Whether computing a tick takes so long that windows are filled without it."""
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
        """Begins anew with the first picture in."""
        self.session.reset()
        self.session.push_frame(media.image(0), pts_ns=0)  # so that every tick has a picture

    def push(self, media: Media, tick: int) -> list[AffectEvent]:
        """Returns the events that the sound before a picture and the picture complete."""
        return self.push_taken(media.take(tick), tick)

    def push_taken(self, taken: tuple[np.ndarray, np.ndarray], tick: int) -> list[AffectEvent]:
        """Returns the events that sound and picture complete. taken: of `Media.take`."""
        if self.before is not None and not self.session._predictor.filling:  # type: ignore[attr-defined]
            self.before(tick)
        events = self.session.push_audio(taken[0], pts_ns=pts_ns(tick), sample_rate_hz=RATE_HZ)
        return events + self.session.push_frame(taken[1], pts_ns=pts_ns(tick + 1))

    def use_threads(self) -> None:
        """Gives torch as many threads as the engine has."""
        if self.name.startswith("torch"):
            import torch

            torch.set_num_threads(self.threads)


def float_detector(bundle: ModelBundle, media: Media, graph: Any) -> FaceDetector:
    """Returns the bundle's detector over another graph of it."""
    facts = bundle.manifest["detector"]
    detector = SsdDetector(
        graph, score_threshold=facts["score_threshold"], input_long_side=facts.get("input_long_side", 320)
    )
    return detector if media.kind == "portrait" else GivenFace(detector)


def precision_name(bundle: ModelBundle) -> str:
    """Returns "int8" where the face encoder of a bundle computes with 8 bits; the manifest's word where onnx is not installed."""
    if find_spec("onnx") is None:
        return str(bundle.manifest.get("precisions", {}).get("face_encoder", "fp32"))
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


def ours(bundle: ModelBundle, media: Media, stride: int, words: str, *, threads: int = 1) -> Engine:
    """Returns edgeaff with a detector stride; in the `paper` preset the transformer has it too."""
    preset = str(bundle.manifest["preset"])
    backend = "native" if preset == "edge" else "default"
    options: dict[str, Any] = {"stride": stride, "threads": threads} if preset == "paper" else {}
    session = make_session(bundle, media, backend=backend, detector_stride=stride, **options)
    return Engine(
        preset, OURS, precision_name(bundle), threads, stride, words, session, block=32 if preset == "edge" else 8
    )


def edge_engines(bundle: ModelBundle, media: Media, *, peers: bool) -> tuple[list[Engine], dict[str, str]]:
    """Returns the engines of the `edge` preset that can run here, the shipped arrangement first, and why others cannot."""
    shipped = int(bundle.manifest["detector"].get("stride", 1))
    engines = [ours(bundle, media, shipped, WORDS["edgeaff"])]
    if shipped > 1:
        engines.append(ours(bundle, media, 1, WORDS["edgeaff, stride 1"]))
    names = ("onnxruntime_window", "torch_cached", "torch_naive")
    missing = [name for name in ("torch", "onnx", "onnxscript") if find_spec(name) is None]
    if not peers or missing:
        return engines, dict.fromkeys(
            names, f"needs {', '.join(missing)} (extra export)" if missing else "switched off"
        )
    from edgeaff.bench import latency_peers as peer
    from edgeaff.export.from_onnx import read_step, require_same

    edge = read_step(bundle.graph_bytes("affect_step"))
    require_same(edge, bundle.arrays("golden.npz"))
    detector, encoder = (float_graph(bundle.graph_bytes(role)) for role in ("face_detector", "face_encoder"))
    in_torch, spec = TorchGraph(encoder), bundle.spec
    window = peer.TorchWindow(edge)
    whole = peer.WholeWindow(in_torch.module, window.module, spec.crop_size_px, spec.audio_vector_size)
    parts: dict[str, tuple[Any, Any, FaceEncoder]] = {
        "onnxruntime_window": (
            load_graph(detector),
            WindowPredictor(peer.onnxruntime_window(edge)),
            FaceEncoder(load_graph(encoder), spec),
        ),
        "torch_cached": (TorchGraph(detector), WindowPredictor(window), FaceEncoder(in_torch, spec)),
        "torch_naive": (TorchGraph(detector), whole, peer.CropKeeper(in_torch, spec)),
    }  # fmt: skip
    for name, (graph, predictor, described) in parts.items():
        base = make_session(
            bundle, media, detector=float_detector(bundle, media, graph), backend="native", detector_stride=1
        )
        engine = Engine("edge", name, "fp32", 1, 1, WORDS[name], with_parts(base, predictor, described))
        if name == "torch_naive":
            engine.block, engine.before = 2, lambda tick: peer.extract_window(media, tick)
        engines.append(engine)
    return engines, {}


def paper_engines(
    media: Media, *, threads: int, bundle_path: Path | None, peers: bool
) -> tuple[list[Engine], dict[str, str]]:
    """Returns the engines of the `paper` preset with fabricated weights, or why there are none.

    Args:
        media: pictures and sound.
        threads: of every network.
        bundle_path: an 8-bit bundle made by `python -m edgeaff.export.paper`; None makes one, which takes half a minute.
        peers: whether torch takes part.
    """
    missing = [name for name in ("torch", "onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        return [], {"paper preset": f"needs {', '.join(missing)} (extra export): its weights are made up on the spot"}
    from edgeaff.bench import latency_peers as peer
    from edgeaff.export import paper

    parts = paper.PaperParts(paper.fabricated_encoder(), paper.fabricated_system())
    with tempfile.TemporaryDirectory() as folder:
        path = bundle_path
        if path is None:
            path = Path(folder) / "paper_int8.eaff"
            logging.disable(logging.WARNING)  # the quantiser warns on the root logger
            try:
                paper.assemble_paper(parts, path, precision="int8", faces=paper.drawn_faces())
            finally:
                logging.disable(logging.NOTSET)
        bundle = ModelBundle.load(path)
    engines = [
        ours(bundle, media, 1, PAPER_WORDS["edgeaff"], threads=threads),
        ours(bundle, media, 5, PAPER_WORDS["edgeaff, stride 5"], threads=threads),
    ]
    if not peers:
        return engines, {"paper: torch_naive": "switched off"}
    graph = TorchGraph(float_graph(bundle.graph_bytes("face_detector")))
    base = make_session(bundle, media, detector=float_detector(bundle, media, graph), detector_stride=1)
    encoder = FaceEncoder(peer.TorchEncoder(parts.encoder), bundle.spec)
    session = with_parts(base, peer.LazyWindow(peer.TorchWindow(parts.system)), encoder)
    engines.append(Engine("paper", "torch_naive", "fp32", threads, 1, PAPER_WORDS["torch_naive"], session, block=4))
    return engines, {}

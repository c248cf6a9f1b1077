"""Automatic choice of the backend (`backend="auto"`): a short trial of each, after its self-test."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np

from edgeaff.backend_swap import require_same_descriptors
from edgeaff.backends.face import encoder_backend, load_face_graph
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError
from edgeaff.golden import LOAD_SECONDS, self_test
from edgeaff.inference import load_predictor

CANDIDATES = (
    "native",
    "onnxruntime",
    "openvino",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
)  # none that is built for minutes
TRIAL_TICKS, TRIAL_FACES = 40, 15
WARMUP = 5
WORTH_A_CHANGE = 0.9  # of the default's time; below that the gain is noise
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """Result of a trial.

    Attributes:
        backend: the chosen one for the model, as Session takes it.
        face_backend: the chosen one for the face encoder; that of `backend` where the bundle has no face encoder.
        reason: why, one sentence.
        milliseconds: per candidate that ran: a tick of the model, median.
        left_out: per other candidate why it did not run.
    """

    backend: str
    face_backend: str
    reason: str
    milliseconds: dict[str, float]
    left_out: dict[str, str]


def choose_backend(bundle: ModelBundle, *, threads: int = 1, stride: int = 1) -> Choice:
    """Returns the backends that are fastest here, for ticks of the golden sequences and for a face; about a second for each candidate.

    Model and face encoder are chosen apart: one engine may be best at large convolutions, another at small products. One that gives
    other numbers than the bundle promises is left out. The bundle's default stays unless another is a tenth faster.

    Args:
        bundle: with golden sequences.
        threads: most threads of one run of a graph.
        stride: as the session will have it.

    Raises:
        BundleError: no candidate gives the numbers that the bundle promises.
    """
    milliseconds: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for backend in CANDIDATES:
        try:
            milliseconds[backend] = _tick_trial(bundle, backend, threads=threads, stride=stride)
        except (ArgumentError, BackendUnavailableError, BundleError) as error:
            left_out[backend] = str(error)
    if not milliseconds:
        raise BundleError(f"{bundle.path} must run on one of {', '.join(CANDIDATES)}, got {left_out}; export it again.")
    chosen = _fastest(milliseconds, bundle.manifest.default_backend)
    faces = _face_trials(bundle, threads=threads)
    default = encoder_backend(bundle, chosen)
    face_chosen = _fastest(faces, default) if faces else default
    reason = (
        f"{chosen} for a tick on {threads} threads: {_listed(milliseconds)}; {face_chosen} for a face: {_listed(faces)}; "
        f"not tried: {', '.join(left_out) or 'none'}"
    )
    logger.info("backend auto: %s", reason)
    return Choice(chosen, face_chosen, reason, milliseconds, left_out)


def _fastest(milliseconds: dict[str, float], default: str) -> str:
    """Returns the candidate with the least time; the default where the gain is noise."""
    fastest = min(milliseconds, key=milliseconds.__getitem__)
    if default in milliseconds and milliseconds[fastest] > WORTH_A_CHANGE * milliseconds[default]:
        return default
    return fastest


def _listed(milliseconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f} ms" for name, value in milliseconds.items()) or "none"


def _tick_trial(bundle: ModelBundle, backend: str, *, threads: int, stride: int) -> float:
    """Returns the median milliseconds of a tick of the model, after checking the numbers."""
    predictor = load_predictor(bundle, backend, threads=threads, stride=stride)
    golden = bundle.golden()
    self_test(bundle, predictor, seconds=LOAD_SECONDS / 2)
    state, times = predictor.initial_state(), []
    for tick in range(min(TRIAL_TICKS, golden["video"].shape[1])):
        start = time.perf_counter()
        _, state = predictor.step(state, golden["video"][0, tick], golden["audio"][0, tick])
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times[WARMUP:]))


def _face_trials(bundle: ModelBundle, *, threads: int) -> dict[str, float]:
    """Returns the median milliseconds of a face by backend, of those whose descriptors are the same as ONNX Runtime's."""
    found: dict[str, float] = {}
    if not bundle.has_graph("face_encoder"):
        return found
    size, served = bundle.spec.crop_size_px, None
    face = {"face": np.zeros((1, 3, size, size), np.float32)}
    for backend in CANDIDATES:  # the first that runs is what the others are compared with
        try:
            graph = load_face_graph(bundle, "face_encoder", backend=backend, threads=threads)
            require_same_descriptors(served or graph, graph, size)
        except (ArgumentError, BackendUnavailableError, BundleError) as error:
            logger.debug("face encoder not on %s: %s", backend, error)
            continue
        served = served or graph
        times = []
        for _ in range(TRIAL_FACES):
            start = time.perf_counter()
            graph.run(face)
            times.append(time.perf_counter() - start)
        found[backend] = 1e3 * float(np.median(times[WARMUP:]))
    return found

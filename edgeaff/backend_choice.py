"""Which backend computes, where that is left to a measurement (`backend="auto"`), and whether it still says what its bundle promises."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np

from edgeaff.backend_swap import encoder_backend, golden_sequences, require_agreement, require_same_descriptors
from edgeaff.backends import load_graph
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError
from edgeaff.inference import Predictor, graph_bytes, load_predictor
from edgeaff.types import MODALITIES

CANDIDATES = (
    "native",
    "onnxruntime",
    "openvino",
    "onnxruntime-cuda",
    "onnxruntime-tensorrt",
)  # none that is built for minutes
FACE_CANDIDATES = tuple(name for name in CANDIDATES if name != "native")  # the first is what the others are compared with
TRIAL_TICKS, TRIAL_FACES = 40, 15
WARMUP = 5
WORTH_A_CHANGE = 0.9  # of the default's time; below that the gain is noise
LOAD_TESTS = ("refuse", "warn", "off")
LOAD_TEST_SECONDS = 0.5
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a trial chose.

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
    chosen = _fastest(milliseconds, str(bundle.manifest["default_backend"]))
    faces = _face_trials(bundle, threads=threads)
    face_chosen = _fastest(faces, encoder_backend(chosen)) if faces else encoder_backend(chosen)
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
    require_promise(bundle, getattr(predictor, "every_tick", predictor), seconds=LOAD_TEST_SECONDS / 2)
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
    for backend in FACE_CANDIDATES:
        try:
            graph = load_graph(graph_bytes(bundle, "face_encoder", backend), backend=backend, threads=threads)
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


def require_promise(
    bundle: ModelBundle, predictor: Predictor, *, seconds: float = LOAD_TEST_SECONDS
) -> dict[str, float]:
    """Returns how a predictor agrees with the golden outputs, over as many of their ticks as fit into a time.

    Too little agreement is refused (`edgeaff.backend_swap.require_agreement`).

    Args:
        bundle: with golden sequences.
        predictor: what is tested.
        seconds: about how long it may take; ten ticks of each sequence in any case.

    Returns:
        ticks, max_abs_difference, ccc_valence, ccc_arousal.
    """
    golden = golden_sequences(bundle)
    made, promised = [], []
    deadline = time.perf_counter() + seconds
    states = [predictor.initial_state() for _ in golden["video"]]
    for tick in range(golden["video"].shape[1]):
        if tick >= 10 and time.perf_counter() > deadline:
            break
        for row, state in enumerate(states):
            video, audio = (
                golden[name][row, tick] if golden["present"][row, tick, column] > 0.5 else None
                for column, name in enumerate(MODALITIES)
            )
            prediction, states[row] = predictor.step(state, video, audio)
            made.append((prediction.valence, prediction.arousal))
            promised.append(golden["values"][row, tick])
    return {**require_agreement(predictor, np.array(made), np.array(promised)), "ticks": float(len(made))}


def check_at_load(bundle: ModelBundle, predictor: Predictor, policy: str) -> list[str]:
    """Returns what is wrong, at most one sentence, after the test that a policy asks for.

    Args:
        bundle: what was loaded.
        predictor: what computes it.
        policy: "refuse": what is wrong is an error; "warn": it is returned and logged; "off": nothing is tested.

    Raises:
        ArgumentError: the policy is unknown.
        BundleError: something is wrong and the policy is "refuse".
    """
    if policy not in LOAD_TESTS:
        raise ArgumentError(f"load_test must be one of {', '.join(LOAD_TESTS)}, got {policy!r}; choose one of them.")
    if policy == "off":
        return []
    try:
        found = require_promise(bundle, predictor)
    except BundleError as error:
        if policy == "refuse":
            raise
        logger.warning("%s", error)
        return [str(error)]
    logger.debug("%s keeps what %s promises: %s", predictor.backend, bundle.path, found)
    return []

"""Which backend computes, where that is left to a measurement (`backend="auto"`), and whether it still says what its bundle promises."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError
from edgeaff.handover import GOLDEN, LEAST_CCC, encoder_backend
from edgeaff.inference import Predictor, graph_bytes, load_predictor
from edgeaff.measures import ccc

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
LOAD_TESTS = ("refuse", "warn", "off")
LOAD_TEST_SECONDS = 0.5
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """What a trial chose.

    Attributes:
        backend: the chosen one, as Session takes it.
        reason: why, one sentence.
        milliseconds: per candidate that ran: a tick of the model and one face together, median.
        left_out: per other candidate why it did not run.
    """

    backend: str
    reason: str
    milliseconds: dict[str, float]
    left_out: dict[str, str]


def choose_backend(bundle: ModelBundle, *, threads: int = 1, stride: int = 1) -> Choice:
    """Returns the backend that is fastest here over ticks of the golden sequences; well under a second for each candidate.

    One that gives other numbers than the bundle promises is left out. The bundle's default stays unless another is a tenth faster.

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
            milliseconds[backend] = _trial(bundle, backend, threads=threads, stride=stride)
        except (ArgumentError, BackendUnavailableError, BundleError) as error:
            left_out[backend] = str(error)
    if not milliseconds:
        raise BundleError(f"{bundle.path} must run on one of {', '.join(CANDIDATES)}, got {left_out}; export it again.")
    fastest = min(milliseconds, key=milliseconds.__getitem__)
    default = str(bundle.manifest["default_backend"])
    if default in milliseconds and milliseconds[fastest] > WORTH_A_CHANGE * milliseconds[default]:
        fastest = default
    times = ", ".join(f"{name} {value:.2f} ms" for name, value in milliseconds.items())
    reason = (
        f"{fastest} for a tick and a face on {threads} threads: {times}; not tried: {', '.join(left_out) or 'none'}"
    )
    logger.info("backend auto: %s", reason)
    return Choice(fastest, reason, milliseconds, left_out)


def _trial(bundle: ModelBundle, backend: str, *, threads: int, stride: int) -> float:
    """Returns the median milliseconds of a tick and a face, after checking the numbers."""
    predictor = load_predictor(bundle, backend, threads=threads, stride=stride)
    golden = bundle.arrays(GOLDEN)
    require_promise(bundle, getattr(predictor, "every_tick", predictor), seconds=LOAD_TEST_SECONDS / 2)
    state, times = predictor.initial_state(), []
    for tick in range(min(TRIAL_TICKS, golden["video"].shape[1])):
        start = time.perf_counter()
        _, state = predictor.step(state, golden["video"][0, tick], golden["audio"][0, tick])
        times.append(time.perf_counter() - start)
    total = float(np.median(times[WARMUP:]))
    if bundle.has_graph("face_encoder"):
        name = encoder_backend(backend)
        graph = load_graph(graph_bytes(bundle, "face_encoder", name), backend=name, threads=threads)
        face = {"face": np.zeros((1, 3, bundle.spec.crop_size_px, bundle.spec.crop_size_px), np.float32)}
        faces = []
        for _ in range(TRIAL_FACES):
            start = time.perf_counter()
            graph.run(face)
            faces.append(time.perf_counter() - start)
        total += float(np.median(faces[WARMUP:]))
    return 1e3 * total


def require_promise(
    bundle: ModelBundle, predictor: Predictor, *, seconds: float = LOAD_TEST_SECONDS
) -> dict[str, float]:
    """Returns how a predictor agrees with the golden outputs, over as many of their ticks as fit into a time.

    Args:
        bundle: with golden sequences.
        predictor: what is tested.
        seconds: about how long it may take; ten ticks of each sequence in any case.

    Returns:
        ticks, max_abs_difference, ccc_valence, ccc_arousal.

    Raises:
        BundleError: there is nothing to replay, or the agreement is below the floor of the precision (LEAST_CCC).
    """
    if GOLDEN not in bundle.members:
        raise BundleError(f"{bundle.path} must hold {GOLDEN} to be tested, got none; export it again.")
    golden = bundle.arrays(GOLDEN)
    made, promised = [], []
    deadline = time.perf_counter() + seconds
    states = [predictor.initial_state() for _ in golden["video"]]
    for tick in range(golden["video"].shape[1]):
        if tick >= 10 and time.perf_counter() > deadline:
            break
        for row, state in enumerate(states):
            video, audio = (
                golden[name][row, tick] if golden["present"][row, tick, column] > 0.5 else None
                for column, name in enumerate(("video", "audio"))
            )
            prediction, states[row] = predictor.step(state, video, audio)
            made.append((prediction.valence, prediction.arousal))
            promised.append(golden["values"][row, tick])
    values, reference = np.array(made), np.array(promised)
    found = {
        f"ccc_{name}": ccc(values[:, column], reference[:, column])
        for column, name in enumerate(("valence", "arousal"))
    }
    found |= {"ticks": float(len(values)), "max_abs_difference": float(np.abs(values - reference).max())}
    least = LEAST_CCC[predictor.precision]
    for name in ("valence", "arousal"):
        if not found[f"ccc_{name}"] >= least:
            raise BundleError(
                f"{predictor.backend} {predictor.precision}: CCC of {name} with the golden outputs must be at least {least}, got "
                f"{found[f'ccc_{name}']:.6f}; use another backend, or export the bundle again."
            )
    return found


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

"""Hands a running stream from one backend to another between two ticks, so that its values continue.

```
prepare(bundle, "tensorrt")        any thread: load or build the engine, replay the golden sequences      -> PreparedBackend
session.swap_backend(candidate)    between two ticks: the state goes over, the next tick is the new engine's
```
A state that both graphs hold under the same names and shapes is handed over unchanged. One that they do not share (the rings
of the native step, whose values are folded with the output layer) is recomputed from the inputs that it depends on: W - 1 past ticks for
each layer of attention between a token and the output, 297 in the default bundle, not the last 100 alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeaff.backends import Graph, Progress
from edgeaff.backends.face import encoder_backend, load_face_graph
from edgeaff.bundle import ModelBundle
from edgeaff.errors import BundleError
from edgeaff.golden import self_test
from edgeaff.inference import Predictor, load_predictor, precision_of

LEAST_COSINE = {
    "int8": 0.95,
    "other": 0.995,
}  # of face descriptors, old against new; float32 engines reach 0.9999999, int8 0.984
TickPair = tuple[np.ndarray | None, np.ndarray | None]  # (D,) descriptor and (A,) audio vector of a tick; None = absent


@dataclass(frozen=True)
class PreparedBackend:
    """A backend that has passed its self-test and waits to take over.

    Attributes:
        backend: name as `Session.swap_backend` takes it.
        bundle: what it was made from.
        predictor: the loaded model.
        encoder: graph of the face encoder that goes with it, or None where the bundle has none.
        figures: ccc_valence, ccc_arousal, max_abs_difference of the self-test, seconds that preparing took.
    """

    backend: str
    bundle: ModelBundle
    predictor: Predictor
    encoder: Graph | None
    figures: dict[str, float]


def prepare(
    bundle: ModelBundle,
    backend: str,
    *,
    threads: int = 1,
    stride: int = 1,
    progress: Progress | None = None,
    predictor: Predictor | None = None,
) -> PreparedBackend:
    """Returns a backend that is ready to take over; takes as long as its engine takes to load or build, on any thread.

    Args:
        bundle: with golden sequences.
        backend: as in `edgeaff.inference.load_predictor`.
        threads: most threads of one run of a graph.
        stride: as the session has it.
        progress: called while an engine is built.
        predictor: one that is loaded already, for example of a custom engine.

    Raises:
        ArgumentError: the backend is unknown.
        BackendUnavailableError: it is not installed, or has no device here.
        BundleError: it fails its self-test.
    """
    start = time.perf_counter()
    if predictor is None:
        predictor = load_predictor(bundle, backend, threads=threads, stride=stride, progress=progress)
    figures = self_test(bundle, predictor).figures()
    encoder = None
    if bundle.has_graph("face_encoder"):
        name = encoder_backend(bundle, backend)
        encoder = load_face_graph(bundle, "face_encoder", backend=name, threads=threads, progress=progress)
    figures["seconds"] = round(time.perf_counter() - start, 3)
    return PreparedBackend(backend, bundle, predictor, encoder, figures)


def transfer_state(old: Predictor, new: Predictor, state: Any, history: Sequence[TickPair]) -> Any:
    """Returns the state with which a new predictor continues.

    Args:
        old: what served until now.
        new: what serves from now on.
        state: the state of `old`.
        history: inputs of the last ticks, the newest last: all since the start of the stream, or at least `memory_ticks`.

    Returns:
        A state of `new` after the same ticks.
    """
    if old.state_layout == new.state_layout:
        if isinstance(state, dict):  # what lies on a device comes to the host: any backend reads that
            return {name: np.asarray(value) for name, value in state.items()}
        return state
    made = new.initial_state()
    for video, audio in history:
        _, made = new.step(made, video, audio)
    return made


def require_same_descriptors(served: Graph, candidate: Graph, crop_size_px: int) -> float:
    """Returns the lowest cosine between descriptors of two face encoders, over made frames.

    Args:
        served: the graph that serves.
        candidate: the graph that is to take over.
        crop_size_px: side of a crop.

    Raises:
        BundleError: it is below LEAST_COSINE, that of int8 where one of them is.
    """
    least = LEAST_COSINE["int8" if "int8" in (precision_of(served), precision_of(candidate)) else "other"]
    rows, columns = np.mgrid[0:crop_size_px, 0:crop_size_px].astype(np.float32) * (np.pi / crop_size_px)
    lowest = 1.0
    for wave in (1, 2, 3):
        face = np.stack([np.sin(wave * rows) * np.cos((wave + shift) * columns) for shift in range(3)])[None]
        first, second = (
            np.asarray(graph.run({"face": face.astype(np.float32)})["descriptor"], np.float64)[0]
            for graph in (served, candidate)
        )
        lowest = min(lowest, float(first @ second / max(np.linalg.norm(first) * np.linalg.norm(second), 1e-30)))
    if not lowest >= least:
        raise BundleError(
            f"the face encoder on {candidate.backend} must give descriptors with a cosine of at least {least} to those "
            f"of {served.backend}, got {lowest:.6f}; it is not used here."
        )
    return lowest

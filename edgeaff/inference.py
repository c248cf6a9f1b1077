"""Predictors over a backend: one tick in, valence and arousal out, with explicit state; coverage, uncertainty and smoothing."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from edgeaff.backends import GRAPH_BACKENDS, NEXT, STATE, Graph, Progress, load_graph
from edgeaff.bundle import PACKED, ModelBundle
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.manifest import check_uncertainty
from edgeaff.parsing.boundary import boundary
from edgeaff.types import DIMENSIONS, MODALITIES

if TYPE_CHECKING:
    from edgeaff.backends.native_window import NativeWindow

WINDOW_TICKS = 100  # Paper: section 4.3, sequences of 100 frames.
PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "int8": "int8"}
NORMAL_95 = 1.959964
MOST_STATE_FLOATS, MOST_WIDTH = 1 << 26, 1 << 20
OVERSHOOT = 1e-3  # what 8 bits and rounding add to a linear output is cut off; more is a model that misbehaves
MOST_STD = 2.0  # no error of a value in [-1, 1] is larger
MOST = 256  # threads of a run; ticks from one computed value to the next
Append = Callable[[Any, "np.ndarray | None", "np.ndarray | None"], Any]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Valence and arousal in [-1, 1] of one tick, with the standard deviations of their errors where the model states them."""

    valence: float
    arousal: float
    valence_std: float | None = None
    arousal_std: float | None = None


def value_in_range(value: float) -> float | None:
    """Returns a value cut to [-1, 1]; None if it is no number, or further out than rounding explains."""
    return max(-1.0, min(1.0, value)) if abs(value) <= 1 + OVERSHOOT else None


def std_in_range(std: float) -> float | None:
    """Returns a standard deviation; None if it is no number in [0, 2]."""
    return std if 0 <= std <= MOST_STD else None


class Predictor(Protocol):
    """Turns the inputs of one tick into a prediction. The state is a value: it may be kept, copied and handed in again.

    Attributes:
        backend: the backend.
        precision: fp32, fp16, bf16 or int8.
        state_layout: what a state looks like; predictors with equal layouts read each other's states.
        memory_ticks: most past ticks that a state depends on.
    """

    backend: str
    precision: str
    state_layout: Hashable
    memory_ticks: int

    @property
    def every_tick(self) -> Predictor:
        """The predictor that computes a value at every tick: itself, unless a stride holds values in between."""
        return self

    def initial_state(self) -> Any:
        """Returns the state before the first tick."""
        ...

    def advance(self, state: Any, video: np.ndarray | None, audio: np.ndarray | None) -> tuple[Prediction, Any]:
        """Returns the result of `step`, and may change the given state, which is not used again: for one stream."""
        return self.step(state, video, audio)

    def copy_state(self, state: Any) -> Any:
        """Returns a state that `advance` on the given one leaves unchanged."""
        return state

    def step(self, state: Any, video: np.ndarray | None, audio: np.ndarray | None) -> tuple[Prediction, Any]:
        """Returns the prediction of a tick and the state after it. video: (D,), audio: (A,), float32; None = absent."""
        ...


class StreamingPredictor(Predictor):
    """The `edge` model: a step graph with key/value state; nothing is computed twice, nothing looks ahead."""

    def __init__(self, graph: Graph, *, precision: str | None = None) -> None:
        self._graph = graph
        self.backend = graph.backend
        self.precision = precision_of(graph) if precision is None else precision
        self._state_names = [name for name in graph.inputs if name.startswith(STATE)]
        missing = [name for name in ("video", "audio", "present", *self._state_names) if name not in graph.inputs]
        missing += [NEXT + name for name in self._state_names if NEXT + name not in graph.outputs]
        missing += [] if "values" in graph.outputs else ["values"]
        if missing or not self._state_names:
            raise BundleError(
                "a step graph must have video, audio, present and state_* inputs, and values and next_state_* outputs, got none "
                f"named {missing}; export it again."
            )
        self._absent = {name: np.zeros((1, width_of(graph, name)), np.float32) for name in MODALITIES}
        for name in self._state_names:
            if math.prod(size or 1 for size in graph.inputs[name]) > MOST_STATE_FLOATS:
                raise BundleError(
                    f"{name} must have at most {MOST_STATE_FLOATS} numbers, got shape {graph.inputs[name]}; export a smaller model."
                )
        self.state_layout: Hashable = tuple((name, graph.inputs[name]) for name in sorted(self._state_names))
        self.memory_ticks = int(getattr(graph, "memory_ticks", 0)) or self._count_memory_ticks()
        self._states_std = "std" in graph.outputs
        self._advance_state: Callable[..., tuple[float, float, float, float]] | None = getattr(
            graph, "advance_state", None
        )

    def _count_memory_ticks(self) -> int:
        """Returns (layers + 1) * (W - 1): a key of layer n has seen W - 1 ticks before it, each of which saw W - 1 before that."""
        layers = sum(name.startswith(f"{STATE}video_") for name in self._state_names)
        shapes = [self._graph.inputs[name] for name in self._state_names]
        kept = max((shape[1] or 0 for shape in shapes if len(shape) > 1), default=0)
        return (layers + 1) * kept

    def initial_state(self) -> dict[str, np.ndarray]:
        """Returns the empty state: zeros, which the graph reads as no past."""
        return {
            name: np.zeros([size or 1 for size in self._graph.inputs[name]], np.float32) for name in self._state_names
        }

    def step(
        self, state: dict[str, np.ndarray], video: np.ndarray | None, audio: np.ndarray | None
    ) -> tuple[Prediction, dict[str, np.ndarray]]:
        """Returns the prediction of a tick and the state after it. video: (D,), audio: (A,), float32; None = absent."""
        outputs = self._graph.run(self.feeds(state, video, audio))
        values, std = outputs["values"][0], outputs.get("std")
        stated = () if std is None or video is None else (float(std[0, 0]), float(std[0, 1]))
        return Prediction(float(values[0]), float(values[1]), *stated), self.following(outputs)

    def advance(
        self, state: dict[str, np.ndarray], video: np.ndarray | None, audio: np.ndarray | None
    ) -> tuple[Prediction, dict[str, np.ndarray]]:
        """Returns the result of `step`; on the native step the given state becomes the next one, without a copy."""
        if self._advance_state is None:
            return self.step(state, video, audio)
        valence, arousal, valence_std, arousal_std = self._advance_state(state[self._state_names[0]], video, audio)
        if self._states_std and video is not None:
            return Prediction(valence, arousal, valence_std, arousal_std), state
        return Prediction(valence, arousal), state

    def copy_state(self, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns a state that `advance` on the given one leaves unchanged."""
        return state if self._advance_state is None else {name: array.copy() for name, array in state.items()}

    def feeds(
        self, state: dict[str, np.ndarray], video: np.ndarray | None, audio: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Returns the inputs of the graph for a tick."""
        return {
            **state,
            "video": self._absent["video"] if video is None else video[None],
            "audio": self._absent["audio"] if audio is None else audio[None],
            "present": np.array([[video is not None, audio is not None]], np.float32),
        }

    def following(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the state after a tick from the outputs of the graph."""
        return {name: outputs[NEXT + name] for name in self._state_names}


class StridedPredictor(Predictor):
    """Computes every n-th tick and holds its value in between, when a tick only enters the window (`affect_append`).

    Args:
        step: predictor of the whole step.
        append: (state, video, audio) -> the state after a tick, without its value.
        stride: n; a value is at most n - 1 ticks old.
    """

    def __init__(self, step: Predictor, append: Append, stride: int) -> None:
        self._step, self._append, self._stride = step, append, stride
        self.backend, self.precision = step.backend, step.precision
        self.memory_ticks = step.memory_ticks + stride
        self.state_layout: Hashable = ("held", stride, step.state_layout)

    @property
    def every_tick(self) -> Predictor:
        """The predictor that computes."""
        return self._step

    def initial_state(self) -> tuple[int, Prediction, Any]:
        """Returns the empty state: the first tick is computed."""
        return 0, Prediction(0.0, 0.0), self._step.initial_state()

    def step(
        self, state: tuple[int, Prediction, Any], video: np.ndarray | None, audio: np.ndarray | None
    ) -> tuple[Prediction, tuple[int, Prediction, Any]]:
        """Returns the prediction of a tick and the state after it. video: (D,), audio: (A,), float32; None = absent."""
        position, held, window = state
        if position == 0:
            held, window = self._step.step(window, video, audio)
        else:
            window = self._append(window, video, audio)
        return held, ((position + 1) % self._stride, held, window)


class NativeWindowPredictor(Predictor):
    """The `paper` model as a native step in 8 bits: the newest row of the window; its state is the rows of the ticks before."""

    def __init__(self, window: NativeWindow) -> None:
        self._window = window
        self.backend, self.memory_ticks = window.backend, window.memory_ticks
        self.precision = PRECISIONS[window.precision]
        self.state_layout: Hashable = ("rows of the native window", window.ticks)

    def initial_state(self) -> tuple[np.ndarray, ...]:
        """Returns the empty window."""
        return ()

    def step(self, state: Any, video: np.ndarray | None, audio: np.ndarray | None) -> tuple[Prediction, Any]:
        """Returns the prediction of a tick and the state after it. video: (D,), audio: (A,), float32; None = absent."""
        values, state = self._window.step(state, video, audio)
        return Prediction(float(values[0]), float(values[1])), state


class WindowPredictor(Predictor):
    """The `paper` model: the whole window of 100 ticks again at each tick; its newest row is the value.

    Choice: ticks missing at the start are masked; the paper evaluates whole sequences only.
    """

    def __init__(self, graph: Graph, *, precision: str | None = None) -> None:
        self._graph = graph
        self.backend = graph.backend
        self.precision = precision_of(graph) if precision is None else precision
        self.memory_ticks = WINDOW_TICKS
        missing = [name for name in ("video", "audio", "video_mask", "audio_mask") if name not in graph.inputs]
        if missing:
            raise BundleError(
                f"a window graph must have video, audio and their masks, got none named {missing}; export it again."
            )
        if "values" not in graph.outputs:
            raise BundleError(
                f"a window graph must have the output values, got {', '.join(graph.outputs)}; export again."
            )
        self._sizes = {name: width_of(graph, name) for name in MODALITIES}
        self.state_layout: Hashable = ("window", *self._sizes.values())  # the inputs themselves

    def initial_state(self) -> tuple[tuple[np.ndarray | None, np.ndarray | None], ...]:
        """Returns the empty window."""
        return ()

    def step(self, state: Any, video: np.ndarray | None, audio: np.ndarray | None) -> tuple[Prediction, Any]:
        """Returns the prediction of a tick and the window after it. video: (D,), audio: (A,), float32; None = absent."""
        state = (*state, (video, audio))[-WINDOW_TICKS:]
        feeds: dict[str, np.ndarray] = {}
        for index, name in enumerate(MODALITIES):
            rows = np.zeros((1, WINDOW_TICKS, self._sizes[name]), np.float32)
            mask = np.zeros((1, WINDOW_TICKS), bool)
            for position, tick in enumerate(state, WINDOW_TICKS - len(state)):
                if tick[index] is not None:
                    rows[0, position] = tick[index]
                    mask[0, position] = True
            feeds[name], feeds[f"{name}_mask"] = rows, mask
        values = self._graph.run(feeds)["values"][0, -1]
        return Prediction(float(values[0]), float(values[1])), state


def width_of(graph: Graph, name: str) -> int:
    """Returns the size of the last axis of an input: of a descriptor or an audio vector.

    Raises:
        BundleError: it is not stated, or none that a model of ours has.
    """
    shape = graph.inputs[name]
    if len(shape) < 2 or not isinstance(shape[-1], int) or not 1 <= shape[-1] <= MOST_WIDTH:
        raise BundleError(f"input {name} must state a size in [1, {MOST_WIDTH}], got shape {shape}; export it again.")
    return shape[-1]


def try_tick(predictor: Predictor, video: np.ndarray | None, audio: np.ndarray | None) -> None:
    """Runs one tick from the empty state, so that a model that does not fit its preprocessing is refused when it is loaded.

    Args:
        predictor: what is tried; its values are not judged.
        video: (D,) float32 descriptor, None where video is off.
        audio: (A,) float32 audio vector, None where audio is off.
    """
    with boundary(BundleError, f"{predictor.backend} must run a tick of this bundle", "export the bundle again."):
        _, state = predictor.step(predictor.initial_state(), video, audio)
        predictor.step(state, video, audio)


def precision_of(graph: Graph) -> str:
    """Returns the precision that a graph states: fp32, fp16, bf16 or int8; fp32 if it states none."""
    stated = getattr(graph, "precision", "float32")
    return PRECISIONS.get(stated, stated)


@dataclass(slots=True)
class Coverage:
    """Share of the last 100 ticks in which a modality was there; ticks before the first count as absent."""

    _ticks: deque[bool] = field(default_factory=lambda: deque([False] * WINDOW_TICKS, WINDOW_TICKS))
    _count: int = 0

    def push(self, present: bool) -> float:
        """Returns the coverage with this tick counted."""
        self._count += present - self._ticks[0]
        self._ticks.append(present)
        return self._count / WINDOW_TICKS

    def copy(self) -> Coverage:
        """Returns an independent copy."""
        return Coverage(deque(self._ticks, WINDOW_TICKS), self._count)


class Uncertainty:
    """Standard deviation of the expected error: by coverage, from the table of the bundle; of a face by what the model states.

    A model with a spread states the standard deviation for the current face; then the table is for audio alone.

    A table that breaks a rule of `edgeaff.manifest.check_uncertainty` is a BundleError.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        check_uncertainty(table)
        self._video = np.asarray(table["video_coverage"], float)
        self._audio = np.asarray(table["audio_coverage"], float)
        self._valence = np.asarray(table["valence_std"], float)
        self._arousal = np.asarray(table["arousal_std"], float)
        self._half_68 = {
            name: np.asarray(table[f"{name}_half_68"], float) for name in DIMENSIONS if f"{name}_half_68" in table
        }
        self._face_half_68 = table.get("face_half_68_of_std")
        self.abstain_above_std = float(table["abstain_above_std"])
        self.audio_only_valence_max_std = float(table["audio_only_valence_max_std"])
        self._known: dict[tuple[float, float], tuple[float, float]] = {}  # 101 x 101 coverages at most

    def std(
        self, video_coverage: float, audio_coverage: float, face: tuple[float, float] | None = None
    ) -> tuple[float, float]:
        """Returns (valence_std, arousal_std).

        Args:
            video_coverage: of an event; 0 for None.
            audio_coverage: likewise.
            face: what the model states for the current face; None without a face or a spread.
        """
        if face is not None:
            return face
        key = (video_coverage, audio_coverage)
        found = self._known.get(key)
        if found is None:
            found = (self._interpolate(self._valence, *key), self._interpolate(self._arousal, *key))
            self._known[key] = found
        return found

    def half_widths(
        self,
        video_coverage: float,
        audio_coverage: float,
        *,
        percent: int = 95,
        stated: tuple[float, float] | None = None,
    ) -> tuple[float, float]:
        """Returns the half-widths of the intervals (valence, arousal) that hold this many per cent of the cases.

        Errors are not normal: with a face they have long tails (value +- std holds about 77 %), valence from audio alone has none
        (52 %). So 68 % has its own table; 95 % is 1.96 std by the way the std was made.

        Args:
            video_coverage: of an event; 0 for None.
            audio_coverage: likewise.
            percent: 68 or 95.
            stated: valence_std and arousal_std of an event with a face, from a model that states them; None for the table's.

        Raises:
            ArgumentError: percent is another number, or the bundle has no table for it.
        """
        if percent == 95:
            valence, arousal = stated or self.std(video_coverage, audio_coverage)
            return NORMAL_95 * valence, NORMAL_95 * arousal
        if percent != 68 or len(self._half_68) < len(DIMENSIONS):
            there = "68 or 95" if self._half_68 else "95 with this bundle"
            raise ArgumentError(
                f"percent must be {there}, got {percent!r}; choose another, or calibrate the bundle again."
            )
        if stated is not None and self._face_half_68 is not None:
            return self._face_half_68["valence"] * stated[0], self._face_half_68["arousal"] * stated[1]
        valence, arousal = (
            self._interpolate(self._half_68[name], video_coverage, audio_coverage) for name in DIMENSIONS
        )
        return valence, arousal

    def _interpolate(self, grid: np.ndarray, video: float, audio: float) -> float:
        along_audio = [float(np.interp(audio, self._audio, row)) for row in grid]
        return float(np.interp(video, self._video, along_audio))


def load_predictor(
    bundle: ModelBundle,
    backend: str = "default",
    *,
    threads: int = 1,
    stride: int = 1,
    progress: Progress | None = None,
) -> Predictor:
    """Returns the predictor of a bundle.

    Args:
        bundle: holds `affect_step` (streaming) or `affect_window`, and `step.npz` for the native step.
        backend: "default" (the bundle's), "onnxruntime", "openvino", "native" or "tensorrt" (also "tensorrt:fp32", "tensorrt:int8").
        threads: most threads of one run of a graph.
        stride: compute every n-th tick and hold the value in between; needs `affect_append` in the bundle where it is not 1.
        progress: called while an engine is built.

    Raises:
        ArgumentError: an argument is unknown or out of range, or the bundle has nothing for it.
        BundleError: the bundle's default is unknown, or its model cannot be loaded.
    """
    chosen = bundle.manifest.default_backend if backend == "default" else backend
    known = (*GRAPH_BACKENDS, "native")
    if chosen not in known and backend == "default":
        raise BundleError(f"default_backend must be in {', '.join(known)}, got {chosen!r}; export {bundle!r} again.")
    if chosen not in known:
        raise ArgumentError(
            f"backend must be one of default, {', '.join(known)}, or auto where a session begins, got {chosen!r}; choose one of them."
        )
    for name, number in (("threads", threads), ("stride", stride)):
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST:
            raise ArgumentError(f"{name} must be an int in [1, {MOST}], got {number!r}; 1 is the default.")
    if stride > 1 and not bundle.has_graph("affect_append"):
        raise ArgumentError(f"stride must be 1 for {bundle!r}, got {stride}; it has no graph affect_append.")
    if chosen == "native":
        if PACKED not in bundle.members:
            raise ArgumentError(
                f"backend must be onnxruntime or openvino for {bundle!r}, got 'native'; it has no packed step (step.npz)."
            )
        return _load_native(bundle.arrays(PACKED), threads=threads, stride=stride)

    def load(role: str) -> Graph:
        return load_graph(graph_bytes(bundle, role, chosen), backend=chosen, threads=threads, progress=progress)

    if not bundle.has_graph("affect_step"):
        return WindowPredictor(load("affect_window"), precision=stated_precision(bundle, "affect_window"))
    step = StreamingPredictor(load("affect_step"), precision=stated_precision(bundle, "affect_step"))
    if stride == 1:
        return step
    append = load("affect_append")
    return StridedPredictor(
        step, lambda state, video, audio: step.following(append.run(step.feeds(state, video, audio))), stride
    )


def _load_native(arrays: dict[str, np.ndarray], *, threads: int, stride: int) -> Predictor:
    """Returns the native form of packed weights: the step of `edge`, or the window of `paper`."""
    from edgeaff.backends.native import NativeStep
    from edgeaff.backends.native_window import NativeWindow, is_window

    if not is_window(arrays):
        return StreamingPredictor(NativeStep(arrays))
    window = NativeWindow(arrays, threads=threads)
    step = NativeWindowPredictor(window)
    return step if stride == 1 else StridedPredictor(step, window.append, stride)


def stated_precision(bundle: ModelBundle, role: str) -> str | None:
    """Returns the precision that a bundle states for a graph, None for fp32: then what runs it decides."""
    stated = bundle.precision(role)
    return None if stated == "fp32" else stated


def graph_bytes(bundle: ModelBundle, role: str, backend: str) -> bytes:
    """Returns the file of a role of the model that a backend runs: the GPU's int8 is its own file, `ROLE_gpu_int8`."""
    return bundle.graph_bytes(f"{role}_gpu_int8" if backend == "tensorrt:int8" else role)


def replay(predictor: Predictor, video: np.ndarray, audio: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Returns a predictor's output on whole sequences, each from an empty state.

    Args:
        predictor: from `load_predictor`.
        video: (S, T, D) float32 descriptors.
        audio: (S, T, A) float32 normalized audio vectors.
        present: (S, T, 2) 0 or 1: video, audio; what is absent is not looked at.

    Returns:
        (S, T, 2) float32 valence and arousal.
    """
    values = np.empty((*present.shape[:2], 2), np.float32)
    for row, sequence in enumerate(present > 0.5):
        state = predictor.initial_state()
        for tick, (has_video, has_audio) in enumerate(sequence):
            prediction, state = predictor.step(
                state, video[row, tick] if has_video else None, audio[row, tick] if has_audio else None
            )
            values[row, tick] = prediction.valence, prediction.arousal
    return values

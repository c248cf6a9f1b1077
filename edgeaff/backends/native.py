"""The `edge` step in one native call: packed weights (`step.npz`), keys and values of the last ticks in rings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeaff.errors import BundleError
from edgeaff.ops import native
from edgeaff.parsing.boundary import Refused, boundary, shown
from edgeaff.parsing.json_text import parse_json

ARCHITECTURE = "edgeaff-edge-1"  # of the model whose weights are packed
FORMAT = 1
PRECISIONS = ("float32", "bfloat16", "int8")
MOST_META_BYTES = 1 << 16
MOST_STATE_FLOATS = 1 << 26
SIZES = {  # of every packed model: lowest and highest value; csrc/include/edgeaff/{affect_step,window_step}.h have the same limits
    "video_size": (1, 1 << 15),
    "audio_size": (1, 1 << 15),
    "size": (16, 1 << 13),
    "num_heads": (1, 1 << 9),
    "ffn_size": (16, 1 << 15),
    "layers": (0, 64),
}
STEP_SIZES = {**SIZES, "band": (1, 1 << 14), "spread_size": (0, 1 << 15)}
UNSTATED = {"spread_size": 0}  # sizes that weights of an older edgeaff do not state
_STATE = "state_rings"


def read_meta(
    arrays: Mapping[str, np.ndarray], *, architecture: str, sizes: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    """Returns the description that packed weights carry: format, architecture, precision, sizes.

    Args:
        arrays: of `step.npz`.
        architecture: the one that is loaded.
        sizes: lowest and highest value of every size.

    Raises:
        BundleError: the description is missing, or of another format or architecture.
        Refused: it is no bounded JSON, or a size is out of its range.
    """
    if "meta" not in arrays:
        raise BundleError(
            f"step.npz must hold a `meta` entry of JSON text, got {shown(', '.join(sorted(arrays)[:3]))}...; pack the weights again."
        )
    meta = parse_json(arrays["meta"].tobytes(), most_bytes=MOST_META_BYTES)
    for name, wanted in (("format", FORMAT), ("architecture", architecture)):
        if type(meta.get(name)) is not type(wanted) or meta[name] != wanted:
            raise BundleError(
                f"step.npz must have {name} {wanted}, got {shown(meta.get(name))}; pack the weights again with this edgeaff."
            )
    meta = {**UNSTATED, **meta}
    for name, (low, high) in sizes.items():
        value = meta.get(name)
        if type(value) is not int or not low <= value <= high:
            raise Refused(f"{name} {shown(value)} outside of [{low}, {high}]")
    if meta.get("precision") not in PRECISIONS:
        raise Refused(f"precision {shown(meta.get('precision'))}, none of {', '.join(PRECISIONS)}")
    return meta


def load_packed(
    arrays: Mapping[str, np.ndarray], model: str, *, architecture: str, sizes: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, Any], Any]:
    """Returns the description of packed weights, and the native model that holds a copy of them.

    Args:
        arrays: of step.npz.
        model: class in the compiled module.
        architecture: the one that the class runs.
        sizes: lowest and highest value of every size.

    Raises:
        BundleError: they are of another format, incomplete, out of range or not finite.
    """
    with boundary(BundleError, "step.npz must hold whole packed weights", "pack the weights again with this edgeaff."):
        meta = read_meta(arrays, architecture=architecture, sizes=sizes)
        held = {name: _plain(name, array) for name, array in arrays.items() if name != "meta"}
        return meta, getattr(native(), model)({name: meta[name] for name in sizes}, held)


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """Returns an array as the native side reads it: contiguous and in native byte order.

    Raises:
        Refused: a number is not finite.
    """
    array = np.require(array, array.dtype.newbyteorder("="), ["C", "A"])
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Refused(f"{shown(name)} with values that are not finite")
    return array


def check_vector(name: str, array: np.ndarray | None, size: int | None) -> None:
    """Checks an input of a tick: the native side reads what it is given.

    Args:
        name: of the input.
        array: (size,) float32, or None where it is absent.
        size: of the packed model.

    Raises:
        BundleError: it has another size or type.
    """
    if array is not None and (array.shape != (size,) or array.dtype != np.float32):
        raise BundleError(
            f"{name} must be float32 of shape {(size,)}, got {array.dtype} of {array.shape}; "
            "feed what the bundle's preprocessing makes."
        )


class NativeStep:
    """A step graph (see `edgeaff.backends.Graph`) without a graph engine; its one state is a flat array.

    Attributes:
        backend: "native".
        precision: of the packed weights: float32, bfloat16 or int8.
        memory_ticks: most past ticks that a state depends on.
        inputs: name -> shape.
        outputs: names in order.
    """

    backend = "native"

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        """Copies the packed weights.

        Args:
            arrays: what `edgeaff.export.pack_step` made.

        Raises:
            BundleError: they are of another format, or incomplete.
        """
        meta, self._model = load_packed(arrays, "StepModel", architecture=ARCHITECTURE, sizes=STEP_SIZES)
        if self._model.state_floats > MOST_STATE_FLOATS:
            raise BundleError(
                f"step.npz must need a state of at most {MOST_STATE_FLOATS} numbers, got {self._model.state_floats}; "
                "export a smaller model."
            )
        self.precision: str = meta["precision"]
        self.memory_ticks: int = (meta["layers"] + 1) * (meta["band"] - 1)
        self.inputs: dict[str, tuple[int | None, ...]] = {
            "video": (1, meta["video_size"]),
            "audio": (1, meta["audio_size"]),
            "present": (1, 2),
            _STATE: (self._model.state_floats,),
        }
        stated = ("values", "std") if meta["spread_size"] else ("values",)
        self.outputs: tuple[str, ...] = (*stated, f"next_{_STATE}")

    def initial_state(self) -> np.ndarray:
        """Returns the state before the first tick: zeros, float32."""
        return np.zeros(self.inputs[_STATE], np.float32)  # type: ignore[arg-type]

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs of one tick by name; the state fed in is left unchanged.

        Args:
            feeds: video (1, D), audio (1, A), present (1, 2) of 0 or 1, and the state; float32.

        Returns:
            values (1, 2) in [-1, 1], std (1, 2) where the weights hold a spread (0 without a face), and the state after the tick.
        """
        present = feeds["present"][0]
        video = feeds["video"][0] if present[0] > 0.5 else None
        audio = feeds["audio"][0] if present[1] > 0.5 else None
        values, state = self._step(feeds[_STATE], video, audio, copy=True)
        stated = {"values": values[None, :2], "std": values[None, 2:]}
        return {name: stated.get(name, state) for name in self.outputs}

    def advance(self, state: np.ndarray, video: np.ndarray | None, audio: np.ndarray | None) -> np.ndarray:
        """Returns the values of a tick and changes the state in place: the fastest form, for one stream.

        Args:
            state: from `initial_state`; changed.
            video: (D,) float32 descriptor, or None.
            audio: (A,) float32 normalized audio vector, or None.

        Returns:
            (2,) float32: valence, arousal in [-1, 1].
        """
        return self._step(state, video, audio, copy=False)[0][:2]

    def advance_state(
        self, state: np.ndarray, video: np.ndarray | None, audio: np.ndarray | None
    ) -> tuple[float, float, float, float]:
        """Returns valence, arousal and the standard deviations of their errors, and changes the state in place.

        Args:
            state: from `initial_state`, or a copy of one; changed.
            video: (D,) float32 descriptor, or None.
            audio: (A,) float32 normalized audio vector, or None.
        """
        for name, array in (("video", video), ("audio", audio)):
            check_vector(name, array, self.inputs[name][1])
        values: tuple[float, float, float, float] = self._model.advance(state, video, audio)
        return values

    def _step(
        self, state: np.ndarray, video: np.ndarray | None, audio: np.ndarray | None, *, copy: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns values and state after checking sizes: the native side reads what it is given.

        Raises:
            BundleError: an input has another size or type than the packed model.
        """
        for name, array in (("video", video), ("audio", audio)):
            check_vector(name, array, self.inputs[name][1])
        writable = copy or state.flags.writeable
        if (
            state.shape != self.inputs[_STATE]
            or state.dtype != np.float32
            or not state.flags.c_contiguous
            or not writable
        ):
            raise BundleError(
                f"state must be contiguous, writable float32 of shape {self.inputs[_STATE]}, got {state.dtype} of {state.shape}; "
                "start from initial_state()."
            )
        return self._model.step(state, video, audio, copy)

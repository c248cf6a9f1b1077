"""The speech gate: audio counts as evidence only while somebody speaks. Small and causal, on the existing LLDs.

Each column is compressed and scaled, x = clip((asinh(k lld) - mean) / std, -4, 4). With a(t) = 1 - exp(-step / t), per column:

    short += a(0.25 s) (x - short)            slow += a(1.5 s) (x - slow)
    rough += a(1.5 s) (|x - short| - rough)   swing += a(1.5 s) (|short - slow| - swing)

so that `rough` is the fluctuation from step to step and `swing` that from syllable to syllable. A network with one hidden layer
of these four times 65 numbers gives the odds of speech. The gate opens where they exceed `open_above`, and closes after they have
stayed below `close_below` for `hold_steps`. What is at or below `least_rms` is silence. Everything is float64 in a fixed order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeaff.errors import BundleError
from edgeaff.lld_names import NAMES
from edgeaff.ops import native
from edgeaff.spec import LLD_SIZE

SHORT_SECONDS, SLOW_SECONDS = 0.25, 1.5
LARGEST = 4.0
MOST_HIDDEN = 256
RMS_COLUMN = NAMES.index("pcm_RMSenergy_sma")
STATISTICS = 4
RULES = ("open_above", "close_below", "hold_steps", "least_rms")


def compress(lld: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns LLDs on the scale of the gate: (..., 65) in, float64 in [-4, 4] out."""
    scaled = (np.arcsinh(lld * weights["factor"]) - weights["mean"]) / weights["std"]
    return np.asarray(np.clip(scaled, -LARGEST, LARGEST))


def check_weights(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the weights of a gate in float64.

    Args:
        arrays: of `speech.npz`: factor, mean, std (65,), hidden (260, H), hidden_bias (H,), out (H,), out_bias (1,), rules (4,).

    Raises:
        BundleError: one is missing, of another shape, or not finite.
    """
    hidden = int(np.asarray(arrays["hidden_bias"]).size) if "hidden_bias" in arrays else 0
    shapes: dict[str, tuple[int, ...]] = {
        "factor": (LLD_SIZE,),
        "mean": (LLD_SIZE,),
        "std": (LLD_SIZE,),
        "hidden": (STATISTICS * LLD_SIZE, hidden),
        "hidden_bias": (hidden,),
        "out": (hidden,),
        "out_bias": (1,),
        "rules": (len(RULES),),
    }
    found = {}
    for name, shape in shapes.items():
        array = arrays.get(name)
        usable = array is not None and array.shape == shape and array.dtype.kind == "f" and 1 <= hidden <= MOST_HIDDEN
        if array is None or not usable or not np.isfinite(array).all() or (name == "std" and array.min() <= 0):
            raise BundleError(
                f"speech.npz must hold {name} as finite numbers of shape {shape}, got "
                f"{None if array is None else array.shape}; export the bundle again."
            )
        found[name] = np.asarray(array, np.float64)
    return found


class SpeechGate:
    """Decides step by step whether somebody speaks.

    Args:
        arrays: of `speech.npz`, see `check_weights`.
        step_seconds: time between two steps.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], *, step_seconds: float = 1 / 30) -> None:
        self._weights, self._step_seconds = check_weights(arrays), step_seconds
        rules = dict(zip(RULES, self._weights["rules"].tolist(), strict=True))
        self._open_above, self._close_below = rules["open_above"], rules["close_below"]
        self._hold_steps, self._least_rms = int(rules["hold_steps"]), rules["least_rms"]
        self._short_gain, self._slow_gain = (1 - np.exp(-step_seconds / t) for t in (SHORT_SECONDS, SLOW_SECONDS))
        self.reset()

    def reset(self) -> None:
        """Goes back to before the first step."""
        self._state = np.zeros((STATISTICS, LLD_SIZE))
        self._quiet_steps = self._hold_steps + 1

    def odds(self, lld: np.ndarray) -> float:
        """Returns the log odds of speech after one more step. lld: (65,), not normalized."""
        weights, (short, slow, rough, swing) = self._weights, self._state
        x = compress(lld, weights)
        short += self._short_gain * (x - short)
        slow += self._slow_gain * (x - slow)
        rough += self._slow_gain * (np.abs(x - short) - rough)
        swing += self._slow_gain * (np.abs(short - slow) - swing)
        hidden = np.maximum(self._state.reshape(-1) @ weights["hidden"] + weights["hidden_bias"], 0.0)
        return float(hidden @ weights["out"] + weights["out_bias"][0])

    def push(self, lld: np.ndarray) -> bool:
        """Returns whether somebody speaks at this step, or did within the hold. lld: (65,), not normalized."""
        odds = self.odds(lld)
        is_open = self._quiet_steps <= self._hold_steps
        loud = lld[RMS_COLUMN] > self._least_rms
        if loud and odds > (self._close_below if is_open else self._open_above):
            self._quiet_steps = 0
        else:
            self._quiet_steps = min(self._quiet_steps + 1, self._hold_steps + 1)
        return self._quiet_steps <= self._hold_steps


def native_gate(gate: Any) -> Any:
    """Returns the compiled form of a gate, without a past; None for one of another kind."""
    return native().SpeechGate(gate._weights, gate._step_seconds) if type(gate) is SpeechGate else None

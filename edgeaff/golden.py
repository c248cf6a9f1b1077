"""Agreement with the golden outputs of a bundle, for certificates, the self-test at load, engines and swaps.

A bundle carries golden sequences: inputs of the model, and the outputs of the trained system for them. Any predictor of the bundle
must reproduce these outputs within the floor of its precision (`LEAST_CCC`), on every device.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.inference import Predictor
from edgeaff.measures import ccc
from edgeaff.types import DIMENSIONS, MODALITIES

LEAST_CCC = {"fp32": 0.9999, "fp16": 0.999, "bf16": 0.995, "int8": 0.995}
POLICIES = ("refuse", "warn", "off")  # of the test at load
LOAD_SECONDS = 0.5  # that the test at load may take
LEAST_TICKS = 10  # of each sequence, however long they take
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of outputs with reference outputs, over all ticks.

    Attributes:
        ccc_valence: concordance correlation coefficient of valence.
        ccc_arousal: the same of arousal.
        max_abs_difference: largest difference of any value, or of a standard deviation where the model states them.
        ticks: number of ticks compared.
    """

    ccc_valence: float
    ccc_arousal: float
    max_abs_difference: float
    ticks: int

    @classmethod
    def of(cls, values: np.ndarray, reference: np.ndarray) -> Agreement:
        """Returns the agreement of (..., 2) valence and arousal with a reference of the same shape."""
        values, reference = np.asarray(values), np.asarray(reference)
        return cls(
            ccc_valence=ccc(values[..., 0], reference[..., 0]),
            ccc_arousal=ccc(values[..., 1], reference[..., 1]),
            max_abs_difference=float(np.abs(values - reference).max()),
            ticks=values[..., 0].size,
        )

    def figures(self, prefix: str = "ccc_") -> dict[str, float]:
        """Returns the CCC of both dimensions, named with a prefix, and max_abs_difference, for JSON."""
        return {
            f"{prefix}valence": self.ccc_valence,
            f"{prefix}arousal": self.ccc_arousal,
            "max_abs_difference": self.max_abs_difference,
        }

    def require(self, precision: str, *, name: str) -> None:
        """Checks the agreement against the floor of a precision.

        Args:
            precision: fp32, fp16, bf16 or int8: a key of LEAST_CCC.
            name: the backend, for the message.

        Raises:
            BundleError: valence or arousal agree less than the floor, or their agreement is not a number.
        """
        least = LEAST_CCC[precision]
        for dimension, found in zip(DIMENSIONS, (self.ccc_valence, self.ccc_arousal), strict=True):
            if not found >= least:
                raise BundleError(
                    f"{name} {precision}: CCC of {dimension} with the golden outputs must be at least {least}, got {found:.6f}; "
                    "it is not used here: use another backend, or export the bundle again."
                )


def require_parity(certificate: Mapping[str, Any]) -> None:
    """Checks a certificate against the floor of its precision.

    Args:
        certificate: backend, precision, ccc_reference_valence, ccc_reference_arousal; other keys are ignored.

    Raises:
        BundleError: valence or arousal agree less than the floor.
    """
    ccc_valence, ccc_arousal = (certificate[f"ccc_reference_{name}"] for name in DIMENSIONS)
    Agreement(ccc_valence, ccc_arousal, math.nan, 0).require(certificate["precision"], name=certificate["backend"])


def compare(bundle: ModelBundle, predictor: Predictor, *, seconds: float = math.inf) -> Agreement:
    """Returns the agreement of a predictor with the golden outputs; a strided one is compared at every tick.

    Args:
        bundle: holds golden sequences.
        predictor: the one to compare; every sequence starts from its initial state.
        seconds: time limit; at least ten ticks of each sequence are compared.

    Raises:
        BundleError: the bundle has no golden sequences, or a value is not finite.
    """
    golden, predictor = bundle.golden(), predictor.every_tick
    deadline = time.perf_counter() + seconds
    states = [predictor.initial_state() for _ in golden["video"]]
    values = np.empty_like(golden["values"])
    stds = np.zeros_like(golden["std"]) if "std" in golden else None
    ticks = 0
    for tick in range(values.shape[1]):
        if tick >= LEAST_TICKS and time.perf_counter() > deadline:
            break
        for row, state in enumerate(states):
            video, audio = (
                golden[name][row, tick] if golden["present"][row, tick, column] > 0.5 else None
                for column, name in enumerate(MODALITIES)
            )
            prediction, states[row] = predictor.step(state, video, audio)
            values[row, tick] = prediction.valence, prediction.arousal
            if stds is not None and video is not None:
                stated = (prediction.valence_std, prediction.arousal_std)
                stds[row, tick] = [math.nan if std is None else std for std in stated]
        ticks += 1
    if not np.isfinite(values[:, :ticks]).all():
        raise BundleError(f"{predictor.backend} computed NaN or infinity; it is not used.")
    found = Agreement.of(values[:, :ticks], golden["values"][:, :ticks])
    if stds is None:
        return found
    # NaN (a predictor that states none) is no agreement either.
    apart = float(np.abs(stds[:, :ticks] - golden["std"][:, :ticks]).max())
    return replace(found, max_abs_difference=apart if math.isnan(apart) else max(found.max_abs_difference, apart))


def self_test(bundle: ModelBundle, predictor: Predictor, *, seconds: float = math.inf) -> Agreement:
    """Returns the agreement of a predictor with the golden outputs, which must reach the floor of its precision.

    Args:
        bundle: holds golden sequences.
        predictor: the one to test.
        seconds: time limit; at least ten ticks of each sequence are compared.

    Raises:
        BundleError: the bundle has no golden sequences, a value is not finite, or the agreement is below the floor.
    """
    found = compare(bundle, predictor, seconds=seconds)
    found.require(predictor.every_tick.precision, name=predictor.backend)
    return found


def check_at_load(bundle: ModelBundle, predictor: Predictor, policy: str) -> list[str]:
    """Returns at most one warning after the self-test that a policy asks for.

    Args:
        bundle: the bundle that was loaded.
        predictor: its loaded model.
        policy: "refuse": a failed test is an error; "warn": it is returned and logged; "off": no test is made.

    Raises:
        ArgumentError: the policy is unknown.
        BundleError: the test failed and the policy is "refuse".
    """
    if policy not in POLICIES:
        raise ArgumentError(f"self_test must be one of {', '.join(POLICIES)}, got {policy!r}; choose one of them.")
    if policy == "off":
        return []
    try:
        found = self_test(bundle, predictor, seconds=LOAD_SECONDS)
    except BundleError as error:
        if policy == "refuse":
            raise
        logger.warning("%s", error)
        return [str(error)]
    logger.debug("%s passed the self-test of %s: %s", predictor.backend, bundle.path, found)
    return []

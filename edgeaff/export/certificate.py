"""Certificates: a backend replays the golden sequences of a bundle, and what it gives is compared with the reference.

The golden sequences carry the outputs of the trained torch system, so a certificate needs no torch and can be made on the
device itself: `edgeaff models verify`. The bundle carries those that were made when it was assembled.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError
from edgeaff.inference import load_predictor, replay
from edgeaff.measures import ccc

BACKENDS = ("onnxruntime", "native", "openvino")
GOLDEN = "golden.npz"
PACKED = "step.npz"
PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}
LEAST_CCC = {"fp32": 0.9999, "fp16": 0.999, "bf16": 0.995, "int8": 0.995}
_PACKAGES = {"onnxruntime": ("onnxruntime",), "openvino": ("openvino", "onnx"), "native": ()}


def certify(bundle: ModelBundle, backend: str) -> dict[str, Any]:
    """Returns the certificate of a backend for a bundle; it is not judged here, see `require_parity`.

    Args:
        bundle: holds golden.npz.
        backend: onnxruntime, native or openvino.

    Returns:
        backend, precision, toolchain versions, ccc_reference_valence, ccc_reference_arousal, max_abs_difference,
        sequences, ticks, date (UTC day). CCC over the ticks of all sequences together.

    Raises:
        ArgumentError: the backend is unknown, or the bundle has nothing to replay.
    """
    if backend not in BACKENDS:
        raise ArgumentError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}; choose one of them.")
    if GOLDEN not in bundle.members:
        raise ArgumentError(f"{bundle.path} must hold {GOLDEN} to be replayed, got none; export the bundle with it.")
    golden = bundle.arrays(GOLDEN)
    values = replay(load_predictor(bundle, backend), golden["video"], golden["audio"], golden["present"])
    return {
        "backend": backend,
        "precision": precision_of(bundle, backend),
        "versions": versions(backend),
        **agreement(values, golden["values"]),
        "sequences": values.shape[0],
        "ticks": values.shape[0] * values.shape[1],
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def agreement(values: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    """Returns how near (S, T, 2) values are to those of the reference: CCC of each dimension and the largest difference."""
    return {
        "ccc_reference_valence": ccc(values[..., 0], reference[..., 0]),
        "ccc_reference_arousal": ccc(values[..., 1], reference[..., 1]),
        "max_abs_difference": float(np.abs(values - reference).max()),
    }


def certify_available(
    bundle: ModelBundle, backends: Sequence[str] = BACKENDS
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Returns the certificates of the backends that are installed, and for each other one why there is none.

    Args:
        bundle: holds golden.npz.
        backends: which to try; native is left out where the bundle has no packed step.
    """
    certificates, absent = [], {}
    for backend in backends:
        if backend == "native" and PACKED not in bundle.members:
            absent[backend] = f"the bundle has no packed step ({PACKED})"
            continue
        try:
            certificates.append(certify(bundle, backend))
        except BackendUnavailableError as error:
            absent[backend] = str(error)
    return certificates, absent


def require_parity(certificate: dict[str, Any]) -> None:
    """Refuses a certificate below the floor of its precision (LEAST_CCC).

    Args:
        certificate: from `certify`.

    Raises:
        BundleError: valence or arousal agree less with the reference.
    """
    least = LEAST_CCC[certificate["precision"]]
    for name in ("valence", "arousal"):
        found = certificate[f"ccc_reference_{name}"]
        if not found >= least:
            raise BundleError(
                f"{certificate['backend']} {certificate['precision']}: CCC of {name} with the reference must be at least "
                f"{least}, got {found:.6f}; do not use this backend here, or export the bundle again."
            )


def precision_of(bundle: ModelBundle, backend: str) -> str:
    """Returns the precision in which a backend runs the model of a bundle: fp32, bf16 or int8."""
    if backend != "native":
        return "fp32"
    from edgeaff.backends.native import NativeStep

    return PRECISIONS[NativeStep(bundle.arrays(PACKED)).precision]


def versions(backend: str) -> dict[str, str]:
    """Returns what a backend consists of here: versions of edgeaff, NumPy and its packages, and the processor's kind."""
    found = {name: _version(name) for name in ("edgeaff", "numpy", *_PACKAGES[backend])}
    found["machine"] = platform.machine()
    if backend == "native":
        from edgeaff.ops import build_info

        build = build_info()
        found.update(compiler=str(build["compiler"]), instruction_set=str(build["instruction_set_used"]))
    return found


def describe(certificate: dict[str, Any]) -> str:
    """Returns a certificate as one line."""
    return (
        f"{certificate['backend']} {certificate['precision']}: CCC with the reference "
        f"valence {certificate['ccc_reference_valence']:.8f}, arousal {certificate['ccc_reference_arousal']:.8f}; "
        f"largest difference {certificate['max_abs_difference']:.1e} "
        f"({certificate['sequences']} sequences, {certificate['ticks']} ticks)"
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not a package"

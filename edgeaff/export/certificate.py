"""Certificates: a backend replays the golden sequences of a bundle, and its outputs are compared with the reference.

The golden sequences carry the outputs of the trained torch system, so a certificate needs no torch and can be made on the
device itself: `edgeaff models verify`. The bundle carries those that were made when it was assembled.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from edgeaff.bundle import GOLDEN, PACKED, ModelBundle
from edgeaff.errors import ArgumentError, BackendUnavailableError, BundleError
from edgeaff.golden import LEAST_CCC, compare
from edgeaff.inference import load_predictor
from edgeaff.types import DIMENSIONS

BACKENDS = ("onnxruntime", "native", "openvino")
MOST_LABEL_LOSS, LEAST_SPEED_UP = 0.01, 1.8  # of an 8-bit face encoder
_PACKAGES = {"onnxruntime": ("onnxruntime",), "openvino": ("openvino", "onnx"), "native": ()}


def certify(bundle: ModelBundle, backend: str) -> dict[str, Any]:
    """Returns the certificate of a backend for a bundle; it is not judged here, see `edgeaff.golden.require_parity`.

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
    found = compare(bundle, load_predictor(bundle, backend))
    sequences = len(bundle.golden()["values"])
    return {
        "backend": backend,
        "precision": precision_of(bundle, backend),
        "versions": versions(backend),
        **found.figures("ccc_reference_"),
        "sequences": sequences,
        "ticks": found.ticks,
        "date": datetime.now(timezone.utc).date().isoformat(),
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


def precision_of(bundle: ModelBundle, backend: str) -> str:
    """Returns the precision in which a backend runs the model of a bundle: fp32, fp16, bf16 or int8."""
    if backend != "native":
        return bundle.precision("affect_step" if bundle.has_graph("affect_step") else "affect_window")
    return load_predictor(bundle, "native").precision


def versions(backend: str) -> dict[str, str]:
    """Returns the toolchain of a backend here: versions of edgeaff, NumPy and its packages, and the processor's kind."""
    found = {name: _version(name) for name in ("edgeaff", "numpy", *_PACKAGES[backend])}
    found["machine"] = platform.machine()
    if backend == "native":
        from edgeaff.ops import build_info

        build = build_info()
        found.update(compiler=str(build["compiler"]), instruction_set=str(build["instruction_set_used"]))
    return found


def require_bar(figures: Mapping[str, Any]) -> None:
    """Refuses an 8-bit encoder that is too far from the float32 one, or not worth it.

    Args:
        figures: what `python -m recipes.face_encoder.quantize` measured.

    Raises:
        BundleError: a figure misses its bar.
    """
    for name in DIMENSIONS:
        if not figures[f"ccc_reference_{name}"] >= LEAST_CCC["int8"]:
            raise BundleError(
                f"ccc_reference_{name} must be at least {LEAST_CCC['int8']}, got {figures[f'ccc_reference_{name}']}; keep float32."
            )
        if not figures[f"ccc_label_loss_{name}"] <= MOST_LABEL_LOSS:
            raise BundleError(
                f"ccc_label_loss_{name} must be at most {MOST_LABEL_LOSS}, got {figures[f'ccc_label_loss_{name}']}; "
                "keep float32."
            )
    if not figures["speed_up"] >= LEAST_SPEED_UP:
        raise BundleError(f"speed_up must be at least {LEAST_SPEED_UP}, got {figures['speed_up']}; keep float32.")


def encoder_certificate(figures: dict[str, Any]) -> dict[str, Any]:
    """Returns the certificate of an 8-bit face encoder: its affect heads against those on the float32 one, and against labels.

    Args:
        figures: of `python -m recipes.face_encoder.quantize`, measured on the FER+ test part.
    """
    names = [f"{kind}_{dimension}" for kind in ("ccc_reference", "ccc_label_loss") for dimension in DIMENSIONS]
    labels = {
        f"ccc_label_{when}_{dimension}": round(figures[f"ccc_label_{dimension}"] + before, 4)
        for dimension in DIMENSIONS
        for when, before in (("before", figures[f"ccc_label_loss_{dimension}"]), ("after", 0.0))
    }
    return {
        "graph": "face_encoder",
        "backend": "onnxruntime",
        "precision": "int8",
        "versions": versions("onnxruntime"),
        **{name: figures[name] for name in (*names, "max_abs_difference", "faces")},
        **labels,
        "labels": "FER+ test part, valence and arousal expected from the votes",
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def describe(certificate: Mapping[str, Any]) -> str:
    """Returns a certificate as one line."""
    if certificate.get("graph") == "face_nets":
        return describe_networks(certificate)
    of_encoder = certificate.get("graph") == "face_encoder"
    sequences = "" if of_encoder else f"{certificate['sequences']} sequences, {certificate['ticks']} ticks"
    size = f"{certificate['faces']} faces" if of_encoder else sequences
    losses = [certificate.get(f"ccc_label_loss_{name}") for name in DIMENSIONS]
    labels = "" if None in losses else f"; CCC with labels lost: {losses[0]:+.4f}, {losses[1]:+.4f}"
    return (
        f"{'face encoder ' if of_encoder else ''}{certificate['backend']} {certificate['precision']}: CCC with "
        f"the reference valence {certificate['ccc_reference_valence']:.8f}, arousal "
        f"{certificate['ccc_reference_arousal']:.8f}; largest difference {certificate['max_abs_difference']:.1e}{labels} "
        f"({size})"
    )


def describe_networks(certificate: Mapping[str, Any]) -> str:
    """Returns the certificate of packed face networks as one line."""
    parts = [
        f"{name} {certificate[f'{name}_bytes_differing']} of {certificate[f'{name}_bytes_compared']} bytes differ, error to float32 "
        f"{certificate[f'{name}_error_to_float32']:.4f} ({certificate[f'{name}_images']} images)"
        for name in ("detector", "encoder")
    ]
    return f"face networks native int8 against ONNX Runtime: {'; '.join(parts)}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not a package"

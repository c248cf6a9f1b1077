"""Measures how each backend and precision agrees with the torch system that a bundle was exported from.

The torch system is made again from the step graph (`edgeaff.export.from_onnx`) and must give the stored outputs of the golden
sequences first. Inputs: the golden sequences, and sequences drawn here (`draw_sequences`). Neither has labels of its ticks, so the
columns of label loss stay null: no corpus with annotated sequences of faces and voices comes with edgeaff.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.backends.native import NativeStep
from edgeaff.bundle import ModelBundle
from edgeaff.errors import BackendUnavailableError
from edgeaff.export.certificate import PACKED, agreement
from edgeaff.export.from_onnx import read_step, reference_values, require_same
from edgeaff.export.pack_step import pack_step
from edgeaff.inference import Predictor, StreamingPredictor, load_predictor, replay
from edgeaff.training.qdq import quantise_dynamic

MODALITIES = {"audio_video": (1.0, 1.0), "audio": (0.0, 1.0), "video": (1.0, 0.0)}  # what is kept of (video, audio)
CASES = (
    ("onnxruntime", "fp32", "audio_video"),
    ("onnxruntime", "int8", "audio_video"),
    ("onnxruntime", "fp32", "audio"),
    ("onnxruntime", "fp32", "video"),
    ("openvino", "fp32", "audio_video"),
    ("native", "fp32", "audio_video"),
    ("native", "int8", "audio_video"),
)
NO_LABELS = "null: neither the golden nor the drawn sequences have labels of their ticks"
INPUTS = ("video", "audio", "present")
HOLD_TICKS = {"video": (10, 45), "audio": (3, 12)}
NOISE = 0.05

Arrays = dict[str, np.ndarray]


def draw_sequences(golden: Arrays, *, count: int, ticks: int, seed: int = 0) -> Arrays:
    """Returns sequences that wander between the descriptors and audio vectors of the golden ones.

    Every 10 to 45 ticks (audio: 3 to 12) another measured row is drawn, in between lies a straight line, and noise of 5 % of each
    column's deviation is added. Every second sequence has gaps: runs of 5 to 60 ticks without video, without audio, or both.

    Args:
        golden: video (S, T, D), audio (S, T, A), present (S, T, 2).
        count: sequences to draw.
        ticks: length of each.
        seed: of the drawing.

    Returns:
        video (count, ticks, D), audio (count, ticks, A), present (count, ticks, 2), float32; zeros where absent.
    """
    rng = np.random.default_rng(seed)
    present = np.stack([_presence(rng, ticks, gaps=bool(row % 2)) for row in range(count)])
    drawn = {"present": present}
    for column, name in enumerate(("video", "audio")):
        measured = golden[name][golden["present"][..., column] > 0.5]
        rows = np.stack([_wander(rng, measured, ticks, HOLD_TICKS[name]) for _ in range(count)])
        drawn[name] = (rows * present[..., column, None]).astype(np.float32)
    return drawn


def _wander(rng: np.random.Generator, measured: np.ndarray, ticks: int, hold: tuple[int, int]) -> np.ndarray:
    """Returns (ticks, width) rows on lines between randomly drawn measured rows, with noise."""
    knots = np.concatenate([[0], np.cumsum(rng.integers(*hold, size=ticks // hold[0] + 2))])
    rows = measured[rng.integers(len(measured), size=len(knots))]
    position = np.interp(np.arange(ticks), knots, np.arange(len(knots)))
    before = position.astype(int)
    share = (position - before)[:, None]
    line = (1.0 - share) * rows[before] + share * rows[before + 1]
    return line + NOISE * measured.std(axis=0) * rng.standard_normal(line.shape)


def _presence(rng: np.random.Generator, ticks: int, *, gaps: bool) -> np.ndarray:
    """Returns (ticks, 2) float32: 1 where video, audio are there."""
    present = np.ones((ticks, 2), np.float32)
    for _ in range(ticks // 60 if gaps else 0):
        start = int(rng.integers(ticks))
        kept = ((0.0, 1.0), (1.0, 0.0), (0.0, 0.0))[rng.integers(3)]
        present[start : start + int(rng.integers(5, 61))] *= np.array(kept, np.float32)
    return present


def with_modalities(inputs: Arrays, kept: tuple[float, float]) -> Arrays:
    """Returns inputs of which only some modalities are left.

    Args:
        inputs: video, audio, present.
        kept: (video, audio), 1 = as it is, 0 = absent at every tick.
    """
    changed = {"present": inputs["present"] * np.array(kept, np.float32)}
    return changed | {name: inputs[name] * np.float32(keep) for name, keep in zip(INPUTS, kept, strict=False)}


def make_predictor(bundle: ModelBundle, edge: Any, backend: str, precision: str) -> Predictor:
    """Returns the predictor of a case.

    Args:
        bundle: the bundle.
        edge: its torch system.
        backend: onnxruntime, openvino or native.
        precision: fp32; int8 = native: the system's weights packed again; else the graph quantised dynamically.
    """
    if precision == "fp32":
        if backend == "native":
            return load_predictor(bundle, backend)
        return StreamingPredictor(load_graph(bundle.graph_bytes("affect_step"), backend=backend))
    if backend != "native":
        return StreamingPredictor(load_graph(quantise_dynamic(bundle.graph_bytes("affect_step")), backend=backend))
    weights = {name: value.numpy() for name, value in edge.state_dict().items()}
    return StreamingPredictor(NativeStep(pack_step(weights, num_heads=edge.config.num_heads, precision=precision)))


def compare(
    bundle: ModelBundle,
    *,
    count: int = 12,
    ticks: int = 300,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Returns the rows of benchmarks/parity.py and what they were measured on.

    Args:
        bundle: with the step graph, golden sequences and, for the native row, packed weights.
        count: sequences to draw beside the golden ones.
        ticks: length of each.
        seed: of the drawing.
        say: told one line per row.
    """
    golden = bundle.arrays("golden.npz")
    edge = read_step(bundle.graph_bytes("affect_step"))
    rebuilt = require_same(edge, golden)
    sets = [{name: golden[name] for name in INPUTS}]
    sets.append(draw_sequences(golden, count=count, ticks=ticks, seed=seed))
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for backend, precision, modalities in CASES:
        if backend == "native" and precision == "fp32" and PACKED not in bundle.members:
            left_out[f"{backend} {precision}"] = f"the bundle has no packed step ({PACKED})"
            continue
        try:
            predictor = make_predictor(bundle, edge, backend, precision)
        except BackendUnavailableError as error:
            left_out[f"{backend} {precision}"] = str(error)
            continue
        case = {
            "model": bundle.manifest["preset"],
            "backend": backend,
            "precision": precision,
            "modalities": modalities,
        }
        kept = [with_modalities(inputs, MODALITIES[modalities]) for inputs in sets]
        rows.append({**case, **_measure(predictor, edge, kept)})
        say(describe(rows[-1]))
    return {"rows": rows, "left_out": left_out, "data": _data(sets, seed, rebuilt)}


def _measure(predictor: Predictor, edge: Any, sets: list[Arrays]) -> dict[str, Any]:
    """Returns the figures of one row, over all ticks of all sets together."""
    arrays = [[inputs[name] for name in INPUTS] for inputs in sets]
    values = np.concatenate([replay(predictor, *inputs).reshape(1, -1, 2) for inputs in arrays], axis=1)
    reference = np.concatenate([reference_values(edge, *inputs).reshape(1, -1, 2) for inputs in arrays], axis=1)
    labels = {"ccc_label_loss_valence": None, "ccc_label_loss_arousal": None}
    return {**agreement(values, reference), **labels, "ticks": values.shape[1]}


def _data(sets: list[Arrays], seed: int, rebuilt: float) -> dict[str, Any]:
    """Returns what the rows were measured on."""
    sizes = [inputs["present"].shape[:2] for inputs in sets]
    return {
        "reference": "torch system made again from affect_step.onnx",
        "reference_to_golden_max_abs_difference": rebuilt,
        "golden": {"sequences": sizes[0][0], "ticks_each": sizes[0][1], "origin": "the bundle's golden.npz"},
        "drawn": {"sequences": sizes[1][0], "ticks_each": sizes[1][1], "seed": seed, "origin": "draw_sequences"},
        "labels": NO_LABELS,
    }


def describe(row: dict[str, Any]) -> str:
    """Returns a row as one line."""
    return (
        f"{row['model']:5s} {row['backend']:12s} {row['precision']:5s} {row['modalities']:12s} "
        f"{row['ccc_reference_valence']:.8f} {row['ccc_reference_arousal']:.8f} {row['max_abs_difference']:.1e}"
    )

"""Measures how each backend and precision agrees with the torch system that a bundle was exported from.

The torch system of `edge` is recomputed from the step graph (`edgeaff.export.from_onnx`) and must give the stored outputs of the
golden sequences first. Inputs: the golden sequences, sequences drawn here (`draw_sequences`), and tracks of a corpus with labels, where
there are some: then the rows say how much CCC with the labels an export loses. `paper`: `benchmarks.parity_paper`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.backends.native import NativeStep
from edgeaff.bundle import GOLDEN, PACKED, ModelBundle
from edgeaff.errors import BackendUnavailableError
from edgeaff.export.from_onnx import read_step, reference_values, require_same
from edgeaff.export.pack_step import pack_step
from edgeaff.export.qdq import quantize_dynamic
from edgeaff.golden import Agreement
from edgeaff.inference import Predictor, StreamingPredictor, load_predictor, replay
from edgeaff.measures import ccc
from edgeaff.training.features.cache import Features
from edgeaff.types import DIMENSIONS, MODALITIES

KEPT = {"audio_video": (1.0, 1.0), "audio": (0.0, 1.0), "video": (1.0, 0.0)}  # what is kept of (video, audio)
CASES = (
    ("onnxruntime", "fp32", "audio_video"),
    ("onnxruntime", "int8", "audio_video"),
    ("onnxruntime", "fp32", "audio"),
    ("onnxruntime", "fp32", "video"),
    ("openvino", "fp32", "audio_video"),
    ("native", "fp32", "audio_video"),
    ("native", "int8", "audio_video"),
)
NO_LABELS = "null: neither the golden nor the drawn sequences have labels of their ticks, and no corpus was at hand"
INPUTS = ("video", "audio", "present")
HOLD_TICKS = {"video": (10, 45), "audio": (3, 12)}
NOISE = 0.05

Arrays = dict[str, np.ndarray]
Case = tuple[str, str, str]


@dataclass(frozen=True)
class Subject:
    """A model whose exports are compared.

    Attributes:
        model: its preset.
        reference: (video, audio, present), (S, T, ...) each, -> (S, T, 2) of the torch system.
        make: (backend, precision) -> what is compared with it.
    """

    model: str
    reference: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    make: Callable[[str, str], Predictor]


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
    for column, name in enumerate(MODALITIES):
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
        kept: (video, audio), 1 = unchanged, 0 = absent at every tick.
    """
    changed = {"present": inputs["present"] * np.array(kept, np.float32)}
    return changed | {name: inputs[name] * np.float32(keep) for name, keep in zip(INPUTS, kept, strict=False)}


def labeled_set(track: Features, ticks: int) -> Arrays:
    """Returns the first ticks of a track as one sequence with labels: arrays (1, T, ...), labels -5 where there are none."""
    present = np.asarray(track.present[:ticks], np.float32)
    return {
        "video": np.asarray(track.video[:ticks] * present[:, :1], np.float32)[None],
        "audio": np.asarray(track.audio[:ticks] * present[:, 1:], np.float32)[None],
        "present": present[None],
        "labels": np.asarray(track.labels[:ticks], np.float32)[None],
    }


def edge_subject(bundle: ModelBundle) -> tuple[Subject, float]:
    """Returns the streaming model of a bundle, and the largest difference of its torch system to the golden outputs."""
    edge = read_step(bundle.graph_bytes("affect_step"))
    rebuilt = require_same(edge, bundle.arrays(GOLDEN))

    def make(backend: str, precision: str) -> Predictor:
        """Returns the predictor; int8 = native: the weights packed again; else the graph quantized dynamically.

        Raises:
            BackendUnavailableError: the bundle has no packed step.
        """
        if backend == "native" and precision == "fp32":
            if PACKED not in bundle.members:
                raise BackendUnavailableError(f"native must have {PACKED} in the bundle, got none; pack the step.")
            return load_predictor(bundle, backend)
        if backend == "native":
            weights = {name: value.numpy() for name, value in edge.state_dict().items()}
            packed = pack_step(weights, num_heads=edge.config.num_heads, precision=precision)
            return StreamingPredictor(NativeStep(packed))
        model = bundle.graph_bytes("affect_step")
        return StreamingPredictor(
            load_graph(model if precision == "fp32" else quantize_dynamic(model), backend=backend)
        )

    def reference(video: np.ndarray, audio: np.ndarray, present: np.ndarray) -> np.ndarray:
        return reference_values(edge, video, audio, present)

    return Subject(bundle.manifest.preset, reference, make), rebuilt


def compare(
    bundle: ModelBundle,
    *,
    count: int = 12,
    ticks: int = 300,
    seed: int = 0,
    tracks: Sequence[Features] = (),
    corpus: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Returns the rows of benchmarks/parity.py for a bundle of preset `edge`, and what they were measured on.

    Args:
        bundle: with the step graph, golden sequences and, for the native row, packed weights.
        count: sequences to draw beside the golden ones.
        ticks: length of each, and of each track.
        seed: of the drawing.
        tracks: with labels; features made with this very bundle.
        corpus: where the tracks are from, in words.
        say: reported one line per row.
    """
    golden = bundle.arrays(GOLDEN)
    subject, rebuilt = edge_subject(bundle)
    drawn = draw_sequences(golden, count=count, ticks=ticks, seed=seed)
    sets = [{name: golden[name] for name in INPUTS}, drawn, *(labeled_set(track, ticks) for track in tracks)]
    rows, left_out = measure_rows(subject, CASES, sets, say=say)
    data = {
        "reference": "torch system made again from affect_step.onnx",
        "reference_to_golden_max_abs_difference": rebuilt,
        "golden": {"sequences": len(golden["video"]), "ticks_each": golden["video"].shape[1], "origin": GOLDEN},
        "drawn": {"sequences": count, "ticks_each": ticks, "seed": seed, "origin": "draw_sequences"},
        **describe_tracks(tracks, ticks, corpus),
    }
    return {"rows": rows, "left_out": left_out, "data": data}


def describe_tracks(tracks: Sequence[Features], ticks: int, corpus: str | None) -> dict[str, Any]:
    """Returns the source of the rows' labels: `labels` and, where there are some, `tracks`."""
    if not tracks:
        return {"labels": NO_LABELS}
    lengths = [min(ticks, len(track.labels)) for track in tracks]
    return {
        "tracks": {"count": len(tracks), "ticks": sum(lengths), "split": "valid", "origin": corpus},
        "labels": "annotated ticks of the tracks",
    }


def measure_rows(
    subject: Subject, cases: Sequence[Case], sets: Sequence[Arrays], *, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Returns a row per case, and for each that cannot be run here why.

    Args:
        subject: the model.
        cases: (backend, precision, modalities).
        sets: inputs, each with `labels` or without.
        say: reported one line per row.
    """
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    references: dict[str, list[np.ndarray]] = {}
    for backend, precision, modalities in cases:
        try:
            predictor = subject.make(backend, precision)
        except BackendUnavailableError as error:
            left_out[f"{backend} {precision}"] = str(error)
            continue
        kept = [with_modalities(inputs, KEPT[modalities]) for inputs in sets]
        arrays = [[inputs[name] for name in INPUTS] for inputs in kept]
        if modalities not in references:
            references[modalities] = [subject.reference(*inputs) for inputs in arrays]
        values = [replay(predictor, *inputs) for inputs in arrays]
        case = {"model": subject.model, "backend": backend, "precision": precision, "modalities": modalities}
        rows.append({**case, **_figures(values, references[modalities], sets)})
        say(describe(rows[-1]))
    return rows, left_out


def _figures(values: Sequence[np.ndarray], reference: Sequence[np.ndarray], sets: Sequence[Arrays]) -> dict[str, Any]:
    """Returns the figures of one row, over all ticks of all sets together; those of labels over the annotated ticks."""
    export, torch_system = (
        np.concatenate([one.reshape(1, -1, 2) for one in kind], axis=1) for kind in (values, reference)
    )
    found: dict[str, Any] = {**Agreement.of(export, torch_system).figures("ccc_reference_"), "ticks": export.shape[1]}
    labeled = [index for index, inputs in enumerate(sets) if "labels" in inputs]
    for column, name in enumerate(DIMENSIONS):
        found[f"ccc_label_{name}"] = found[f"ccc_label_loss_{name}"] = None
        if not labeled:
            continue
        labels = np.concatenate([sets[index]["labels"].reshape(-1, 2) for index in labeled])
        there = (np.abs(labels) <= 1).all(axis=1)
        before, after = (
            ccc(np.concatenate([kind[index].reshape(-1, 2) for index in labeled])[there, column], labels[there, column])
            for kind in (reference, values)
        )
        found |= {f"ccc_label_{name}": after, f"ccc_label_loss_{name}": before - after}
    return found


def describe(row: dict[str, Any]) -> str:
    """Returns a row as one line."""
    losses = [row[f"ccc_label_loss_{name}"] for name in DIMENSIONS]
    lost = "-" if None in losses else f"{losses[0]:+.5f} {losses[1]:+.5f}"
    return (
        f"{row['model']:5s} {row['backend']:12s} {row['precision']:5s} {row['modalities']:12s} "
        f"{row['ccc_reference_valence']:.8f} {row['ccc_reference_arousal']:.8f} {row['max_abs_difference']:.1e} {lost}"
    )

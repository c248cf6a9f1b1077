"""Writes what the bundle is assembled from: weights, golden windows, the tail's part of the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeaff.bundle import GOLDEN
from edgeaff.training.models.edge import Edge, save_weights
from recipes.default_bundle.data import Batch

PROVENANCE = (
    "Tail trained by the edgeaff developers on a pseudo audio-visual corpus: descriptors of FER-2013 photographs with "
    "soft valence/arousal from the FER+ votes (expectation of circumplex anchors), and LLDs (own extractor) of EmoDB, "
    "CREMA-D (182 clips, voice votes), JL-Corpus (469 clips) and EmoGator (767 bursts), joined along random "
    "trajectories. Labels are circumplex projections of acted or voted emotion categories, not human ratings of "
    "valence and arousal over time."
)


def golden_windows(edge: Edge, batch: Batch) -> dict[str, np.ndarray]:
    """Returns inputs and reference outputs.

    Args:
        edge: the trained system.
        batch: N sequences of T ticks.

    Returns:
        video (N, T, Dv), audio (N, T, Da), present (N, T, 2), values (N, T, 2); std (N, T, 2) where the system states it, 0 without
        a face.
    """
    video, audio, present = (torch.from_numpy(array) for array in (batch.video, batch.audio, batch.present))
    with torch.no_grad():
        values = edge(video, audio, present).clamp(-1, 1)
        std = None if edge.spread is None else edge.spread(video, values) * (present[..., :1] > 0.5)
    named = {"video": batch.video, "audio": batch.audio, "present": batch.present, "values": values.numpy()}
    return named if std is None else named | {"std": std.numpy()}


def write_all(edge: Edge, folder: Path, *, golden: Batch, manifest: dict[str, Any], also: str = "") -> None:
    """Writes edge_weights.safetensors, golden.npz and tail.json; `python -m edgeaff.export.to_onnx` makes the graph of them.

    Args:
        edge: the trained system.
        folder: made where it is missing.
        golden: a small batch.
        manifest: statistics, uncertainty, accuracy; provenance and fusion weights are added.
        also: more of the provenance.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(edge, folder / "edge_weights.safetensors")
    np.savez_compressed(folder / GOLDEN, **golden_windows(edge, golden))
    part = {
        **manifest,
        "provenance": PROVENANCE + also,
        "fusion": {"alpha": edge.cross.alpha.item(), "beta": edge.cross.beta.item()},
        "parameters": sum(parameter.numel() for parameter in edge.parameters()),
    }
    (folder / "tail.json").write_text(json.dumps(part, indent=1) + "\n")

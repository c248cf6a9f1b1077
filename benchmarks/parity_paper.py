"""The rows of the parity benchmark for the `paper` preset: a tail trained on 4096 values per face of a synthetic corpus.

No VGGFace weights ship, so the 4096 values are those of `recipes.paper_tail`: a fixed random projection of the default encoder's
descriptor. The reference is the whole window in torch at every tick; the exports are the step that Session runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.parity_rows import Subject, describe_tracks, labeled_set, measure_rows
from edgeaff.backends import load_graph
from edgeaff.backends.onnx_edit import to_half
from edgeaff.bundle import ModelBundle
from edgeaff.export.qdq import quantize_dynamic
from edgeaff.export.window_step import export_window_step, window_values
from edgeaff.inference import WINDOW_TICKS, Predictor, StreamingPredictor
from edgeaff.training.models.transformer import AudioVideoTransformer
from recipes.paper_tail import DESCRIPTOR_SIZE, ENCODER_ID, extract_features, tail_parts, train_tail

CASES = (
    ("onnxruntime", "fp32", "audio_video"),
    ("onnxruntime", "fp16", "audio_video"),
    ("onnxruntime", "int8", "audio_video"),
    ("onnxruntime", "fp32", "audio"),
    ("onnxruntime", "fp32", "video"),
    ("openvino", "fp32", "audio_video"),
)


def compare_paper(
    corpus: Path,
    work: Path,
    *,
    most: int = 6,
    ticks: int = 150,
    origin: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Returns the rows for `paper` and what they were measured on; extracts features and trains the tail unless that is done.

    Args:
        corpus: in the layout of Aff-Wild2.
        work: folder of features and training run.
        most: validation tracks to compare on.
        ticks: of each, the first.
        origin: where the corpus is from, in words.
        say: reported one line per row.
    """
    parts = tail_parts(ModelBundle.load())
    features = extract_features(corpus, work / "features", parts, encoder_id=ENCODER_ID, size=DESCRIPTOR_SIZE)
    best = train_tail(features, work / "run")
    system = read_tail(work / "run" / "best.safetensors")
    chosen = [track for track in features if track.split == "valid" and len(track.labels) >= ticks][:most]
    rows, left_out = measure_rows(
        paper_subject(system), CASES, [labeled_set(track, ticks) for track in chosen], say=say
    )
    data = {
        "reference": "the whole window in torch at every tick, its newest row",
        "tail": f"transformer_av, trained on the corpus (train split); mean CCC on the valid split {best:.3f}",
        "descriptors": ENCODER_ID,
        **describe_tracks(chosen, ticks, origin),
    }
    return {"rows": rows, "left_out": left_out, "data": data}


def read_tail(path: Path) -> AudioVideoTransformer:
    """Returns the system of a training run's `best.safetensors`, in evaluation mode."""
    from safetensors.torch import load_file

    system = AudioVideoTransformer()
    system.load_state_dict(load_file(path))
    return system.eval()


def paper_subject(system: AudioVideoTransformer) -> Subject:
    """Returns the windowed system and its exported steps."""
    step, _ = export_window_step(system, parity_ticks=3)
    forms = {"fp32": lambda: step, "fp16": lambda: to_half(step), "int8": lambda: quantize_dynamic(step)}

    def make(backend: str, precision: str) -> Predictor:
        return StreamingPredictor(load_graph(forms[precision](), backend=backend), precision=precision)

    def reference(video: np.ndarray, audio: np.ndarray, present: np.ndarray) -> np.ndarray:
        return np.stack([_newest_rows(system, *inputs) for inputs in zip(video, audio, present, strict=True)])

    return Subject("paper", reference, make)


@torch.no_grad()
def _newest_rows(system: AudioVideoTransformer, *inputs: np.ndarray) -> np.ndarray:
    """Returns (T, 2): at each tick the newest row of the window that ends there. inputs: (T, D), (T, A), (T, 2)."""
    rows: Sequence[Any] = [
        tuple(torch.from_numpy(array[tick : tick + 1]) for array in inputs) for tick in range(len(inputs[0]))
    ]
    windows = (list(rows[max(0, tick + 1 - WINDOW_TICKS) : tick + 1]) for tick in range(len(rows)))
    return torch.cat([window_values(system, window, WINDOW_TICKS) for window in windows]).numpy()

"""The face encoder with 8-bit weights and activations for the CPU, and what that costs and gains.

`python -m recipes.face_encoder.quantize face_encoder.onnx heads.npz FERPLUS OUTPUT.onnx --json FIGURES.json` calibrates on faces of the
training part, measures on the test part, and writes nothing that is below the bar: CCC with the float32 encoder at least 0.995, a
loss of CCC with the labels of at most 0.01, and at least 1.8 times its speed on one core in the same run.

Choice: convolutions and the additions between them are quantized (`edgeaff.export.qdq`). The pooled end stays float32, and the front
works on whole numbers: an 8-bit variance is 0 for faces with little contrast.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeaff.export.certificate import require_bar
from edgeaff.export.face_graphs import exact_front, front_names
from edgeaff.export.qdq import quantize_static
from edgeaff.features.face import normalize
from edgeaff.machine import stamp
from edgeaff.measures import ccc
from edgeaff.types import DIMENSIONS
from recipes.face_encoder.augment import plain
from recipes.face_encoder.data import read_split
from recipes.face_encoder.evaluate import affect_of, encoder_of, session_of

QUANTIZED = ("Conv", "Relu", "Clip", "Add")
CALIBRATION_FACES = 200
logger = logging.getLogger(__name__)


def quantize_face_encoder(model: bytes, crops: np.ndarray) -> bytes:
    """Returns the encoder with static 8-bit quantization behind an exact front (`edgeaff.export.face_graphs`).

    Args:
        model: `face_encoder.onnx`, float32.
        crops: (N, 96, 96, 3) uint8 RGB faces to calibrate the ranges of the activations on.

    Returns:
        ONNX with QDQ nodes; input and output as before, float32.
    """
    feeds = ({"face": normalize(face[None])} for face in crops)
    return exact_front(quantize_static(model, feeds, op_types=QUANTIZED, left_float=front_names(model)))


def measure_speed(models: Mapping[str, bytes], face: np.ndarray, *, rounds: int) -> dict[str, float]:
    """Returns the median milliseconds of one face on one core by name, measured in turns, and "speed_up" of the second.

    Args:
        models: two graphs by name.
        face: (1, 3, 96, 96) float32.
        rounds: runs of each that count; a quarter more before them do not. The speed-up is the median of the ratios.
    """
    sessions = {name: session_of(model) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds + rounds // 4):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {"face": face})
            times[name].append(1e3 * (time.perf_counter() - start))
    counted = {name: np.array(values[rounds // 4 :]) for name, values in times.items()}
    first, second = counted.values()
    medians = {f"{name}_ms": round(float(np.median(values)), 3) for name, values in counted.items()}
    return {**medians, "speed_up": round(float(np.median(first / second)), 2)}


def measure_agreement(
    model: bytes, quantized: bytes, heads: Mapping[str, np.ndarray], crops: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Returns CCC of the affect heads on both encoders, with each other and with labels.

    Args:
        model: float32 encoder.
        quantized: 8-bit encoder.
        heads: linear heads as the exporter writes them.
        crops: (N, 96, 96) uint8 faces.
        labels: (N, 2) valence, arousal.
    """
    reference, export = (affect_of(encoder_of(session_of(one))(crops), heads) for one in (model, quantized))
    found = {}
    for column, name in enumerate(DIMENSIONS):
        before, after = (ccc(values[:, column], labels[:, column]) for values in (reference, export))
        found[f"ccc_reference_{name}"] = round(ccc(export[:, column], reference[:, column]), 6)
        found[f"ccc_label_{name}"] = round(after, 4)
        found[f"ccc_label_loss_{name}"] = round(before - after, 4)
    found["max_abs_difference"] = round(float(np.abs(export - reference).max()), 4)
    return found


def main() -> None:
    """Quantizes, measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="face_encoder.onnx")
    parser.add_argument("heads", type=Path, help="heads.npz beside it")
    parser.add_argument("faces", type=Path, help="the FER+ folder")
    parser.add_argument("output", type=Path)
    parser.add_argument("--json", type=Path, help="where the figures go")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = options.model.read_bytes()
    images = read_split(options.faces, "train").images
    picked = np.random.default_rng(0).choice(len(images), CALIBRATION_FACES, replace=False)
    crops = np.stack([np.repeat(plain(images[index])[..., None], 3, axis=2) for index in picked])
    quantized = quantize_face_encoder(model, crops)
    test = read_split(options.faces, "test")
    with np.load(options.heads, allow_pickle=False) as archive:
        heads = {name: archive[name] for name in ("affect_weight", "affect_bias")}
    figures = measure_agreement(model, quantized, heads, np.stack([plain(one) for one in test.images]), test.affect)
    figures |= measure_speed({"fp32": model, "int8": quantized}, normalize(crops[:1]), rounds=400)
    figures |= {"faces": len(test), "bytes_fp32": len(model), "bytes_int8": len(quantized)}
    sums = {f"sha256_{name}": hashlib.sha256(data).hexdigest() for name, data in (("fp32", model), ("int8", quantized))}
    logger.info("%s", json.dumps(figures, indent=1))
    require_bar(figures)
    options.output.write_bytes(quantized)
    if options.json:
        options.json.write_text(json.dumps({**stamp(), **figures, **sums}, indent=1) + "\n")


if __name__ == "__main__":
    main()

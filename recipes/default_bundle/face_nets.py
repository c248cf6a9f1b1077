"""Makes the face graphs of a finished bundle exact, measures its 8-bit encoder again and packs both for the native networks.

    python -m recipes.default_bundle.face_nets IN.eaff OUT.eaff --ferplus FOLDER --faces FOLDER --cache FOLDER
        [--json ENCODER.json] [--detector-json DETECTOR.json]

For bundles whose float32 encoder is gone. The detector is validated as its export does it (`recipes.face_detector.validate`). The
encoder's reference is itself without any rounding (weights as they are stored, a front of real numbers); the affect heads are least
squares on descriptors of the training part. The figures take the place of the bundle's certificate for its encoder, and fall under
the same bar (`edgeaff.export.certificate.require_bar`).
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends.onnx_edit import load, without_quantization
from edgeaff.bundle import ModelBundle
from edgeaff.export.certificate import encoder_certificate, require_bar
from edgeaff.export.face_graphs import exact_front
from edgeaff.export.pack_face import pack_bundle
from edgeaff.features.face import normalize
from edgeaff.machine import stamp
from recipes.face_detector.validate import validate_file
from recipes.face_encoder.augment import plain
from recipes.face_encoder.data import read_split
from recipes.face_encoder.evaluate import encoder_of, session_of
from recipes.face_encoder.quantize import measure_agreement, measure_speed

HEAD_FACES, CERTIFIED_FACES = 6000, 80
logger = logging.getLogger(__name__)


def float_encoder(model: bytes) -> bytes:
    """Returns an 8-bit encoder with the exact front as float32 graph without any rounding."""
    parsed = load(without_quantization(model))
    for node in parsed.graph.node:
        if node.op_type == "Round":
            node.op_type = "Identity"
    return bytes(parsed.SerializeToString())


def fit_heads(model: bytes, faces: np.ndarray, affect: np.ndarray) -> dict[str, np.ndarray]:
    """Returns linear heads from descriptors to valence and arousal, as the exporter of the encoder writes them.

    Args:
        model: float32 encoder.
        faces: (N, 96, 96) uint8.
        affect: (N, 2) labels.
    """
    descriptors = encoder_of(session_of(model))(faces)
    design = np.c_[descriptors, np.ones(len(faces))].astype(np.float64)
    solution = np.linalg.lstsq(design, affect.astype(np.float64), rcond=None)[0]
    return {"affect_weight": solution[:-1].T.astype(np.float32), "affect_bias": solution[-1].astype(np.float32)}


def measure(encoder: bytes, ferplus: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Returns the figures of an 8-bit encoder on FER+, and faces of the test part, (80, 96, 96, 3) uint8.

    Args:
        encoder: with the exact front.
        ferplus: the FER+ folder.
    """
    train, test = read_split(ferplus, "train"), read_split(ferplus, "test")
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(train.images), HEAD_FACES, replace=False)
    wide = float_encoder(encoder)
    heads = fit_heads(wide, np.stack([plain(train.images[index]) for index in chosen]), train.affect[chosen])
    faces = np.stack([plain(image) for image in test.images])
    figures: dict[str, Any] = measure_agreement(wide, encoder, heads, faces, test.affect)
    crops = np.repeat(faces[rng.choice(len(faces), CERTIFIED_FACES, replace=False), ..., None], 3, axis=3)
    figures |= measure_speed({"fp32": wide, "int8": encoder}, normalize(crops[:1]), rounds=400)
    return figures | {"faces": len(test), "bytes_fp32": len(wide), "bytes_int8": len(encoder)}, crops


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--ferplus", type=Path, required=True, help="the FER+ folder")
    parser.add_argument(
        "--faces", type=Path, required=True, help="folder of images and labels of the detector's training"
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder of decoded images")
    parser.add_argument("--json", type=Path, help="where the figures of the encoder go")
    parser.add_argument(
        "--detector-json", type=Path, help="card of the detector; what was measured again is replaced in it"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    bundle = ModelBundle.load(options.bundle)
    figures, crops = measure(exact_front(bundle.graph_bytes("face_encoder")), options.ferplus)
    logger.info("%s", json.dumps(figures, indent=1))
    require_bar(figures)
    made, certificate = pack_bundle(bundle, list(crops))
    logger.info("%s", json.dumps(certificate, indent=1))
    others = [one for one in made.manifest.certificates if one.get("graph") != "face_encoder"]
    validation = validate_file(made.graph_bytes("face_detector"), options.faces, options.cache)
    detector = replace(made.manifest.detector, card={**made.manifest.detector.card, "validation": validation})
    manifest = replace(
        made.manifest, certificates=(*others[:-1], encoder_certificate(figures), others[-1]), detector=detector
    )
    ModelBundle.save(options.output, manifest, made.members)
    if options.json:
        options.json.write_text(json.dumps({**stamp(), **figures}, indent=1) + "\n")
    if options.detector_json:
        known = json.loads(options.detector_json.read_text())
        again = {name: detector.card[name] for name in ("sha256", "bytes", "validation")}
        options.detector_json.write_text(json.dumps({**known, **stamp(), **again}, indent=1) + "\n")


if __name__ == "__main__":
    main()

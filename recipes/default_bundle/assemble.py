"""Puts trained parts together as one bundle: `python -m recipes.default_bundle.assemble --parts FOLDER --output edge.eaff`.

The folder holds what the three trainings wrote:

| file | from |
|---|---|
| `face_detector.onnx`, `face_detector.json` | recipes.face_detector (id, threshold, validation figures) |
| `face_encoder.onnx`, `face_encoder.json` | recipes.face_encoder (crop margin, figures) |
| `face_encoder.int8.onnx`, `face_encoder.int8.json` (optional) | recipes.face_encoder.quantize: taken if its figures pass the bar |
| `affect_step.onnx`, `golden.npz`, `tail.json` | recipes.default_bundle (statistics, uncertainty, accuracy, provenance) |
| `step.npz` (optional) | edgeaff.export.pack_step |
| `speech.npz` (optional) | recipes.speech_gate |

The 8-bit face graphs are packed for the native networks (`face_nets.npz`) where they have the form that these take; else the
bundle runs them on ONNX Runtime. `--encoder fp32` keeps the float32 encoder in any case. `--certify` replays the golden sequences on
onnxruntime, native and openvino and puts their certificates into the manifest; a backend that is missing or disagrees with the
reference is an error, and nothing is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends.native_face import FACE_NETS
from edgeaff.bundle import GOLDEN, PACKED, SPEECH, ModelBundle, pack_arrays
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.export.certificate import BACKENDS, certify, describe, encoder_certificate, require_bar
from edgeaff.export.pack_face import certify_face, drawn_crops, drawn_images, pack_face, require_equal
from edgeaff.export.paper import INTENDED_USE
from edgeaff.golden import require_parity
from edgeaff.manifest import DetectorFacts, Manifest
from edgeaff.spec import PreprocessSpec
from edgeaff.types import DIMENSIONS

logger = logging.getLogger(__name__)
GRAPHS = ("face_detector", "face_encoder", "affect_step")
# Choice: the detector looks at every second frame and the tracker predicts between. Measured on twelve clips: the center is no
# further off than with every frame (median 0.30 % of the face, 95 % within 0.97 %), and no second with a face is lost.
DETECTOR_STRIDE = 2
LICENSES = {
    "code": "Apache-2.0",
    "weights": "Apache-2.0",
    "data": "trained on FER+ (labels MIT; FER-2013 pixels without stated license), EmoDB, CREMA-D (ODbL), JL-Corpus, EmoGator and the "
    "face images listed in docs/face_detector_card.md; none of their pixels or recordings are included",
}


def assemble(
    parts: Path,
    output: Path,
    *,
    model_id: str,
    certified: Sequence[str] = (),
    encoder_precision: str = "int8",
    parity: Path | None = None,
    crops: Path | None = None,
) -> None:
    """Writes the bundle.

    Args:
        parts: folder with the files of the table above.
        output: bundle to write.
        model_id: name and version of the model.
        certified: backends whose certificates go into the manifest.
        encoder_precision: "int8", where the parts hold one, or "fp32".
        parity: result of benchmarks/parity.py with the same step, whose label CCC go into the certificates.
        crops: faces for the certificate of the packed networks, .npy (N, 96, 96, 3) uint8; drawn images are compared in any case.

    Raises:
        ArgumentError: a file is missing.
        BackendUnavailableError: a backend to certify is not installed.
        BundleError: a backend to certify, the 8-bit encoder or the packed networks disagree with their reference.
    """
    members = {f"{name}.onnx": read(parts / f"{name}.onnx") for name in GRAPHS}
    members[GOLDEN] = read(parts / GOLDEN)
    for name in (PACKED, SPEECH):
        if (parts / name).exists():
            members[name] = read(parts / name)
    detector, encoder, tail = (
        unstamped(json.loads(read(parts / f"{name}.json"))) for name in ("face_detector", "face_encoder", "tail")
    )
    spec = PreprocessSpec(
        **{**tail.get("spec", {}), "detector_id": detector["id"], "crop_margin": encoder["crop_margin"]}
    )
    default_backend = "native" if PACKED in members else "onnxruntime"  # Choice: the fastest that the bundle serves
    manifest = make_manifest(spec, model_id, detector, encoder, tail, default_backend=default_backend)
    figures = read_int8_encoder(parts, members) if encoder_precision == "int8" else None
    if figures is not None:
        manifest = replace(manifest, precisions={"face_encoder": "int8"})
    packed = pack_networks(members, spec.crop_size_px)
    if certified:
        made = certificates(ModelBundle(output, manifest, members), certified)
        if parity is not None:
            add_labels(made, json.loads(read(parity)), members["affect_step.onnx"])
        made += [] if figures is None else [encoder_certificate(figures)]
        made += [certify_networks(packed, members, crops)] if packed is not None and "native" in certified else []
        manifest = replace(manifest, certificates=tuple(made))
    ModelBundle.save(output, manifest, members)


def pack_networks(members: dict[str, bytes], crop_size_px: int) -> dict[str, np.ndarray] | None:
    """Returns the packed face networks after adding them to the members, None where the graphs have another form.

    Args:
        members: of the bundle; `face_nets.npz` is added.
        crop_size_px: side of the encoder's input.
    """
    try:
        packed = pack_face(members["face_detector.onnx"], members["face_encoder.onnx"], crop_size_px=crop_size_px)
    except ArgumentError as error:
        logger.warning("face graphs are not packed: %s", error)
        return None
    members[FACE_NETS] = pack_arrays(packed)
    return packed


def certify_networks(packed: dict[str, np.ndarray], members: dict[str, bytes], crops: Path | None) -> dict[str, Any]:
    """Returns the certificate of packed face networks, whose bytes equal those of the graphs.

    Args:
        packed: from `pack_networks`.
        members: with the graphs.
        crops: .npy of faces, or None.
    """
    faces = [] if crops is None else list(np.load(crops, allow_pickle=False))
    faces += drawn_crops()
    made = certify_face(packed, members["face_detector.onnx"], members["face_encoder.onnx"], faces, drawn_images(faces))
    require_equal(made)
    return made


def add_labels(certificates: Sequence[dict[str, Any]], parity: dict[str, Any], step: bytes) -> None:
    """Puts label CCC before and after export into the certificates, from the rows of benchmarks/parity.py.

    Args:
        certificates: changed.
        parity: the JSON.
        step: `affect_step.onnx` of the bundle.

    Raises:
        BundleError: the rows are of another step, or have no labels.
    """
    edge, found = parity["presets"]["edge"], hashlib.sha256(step).hexdigest()
    if edge["bundle"].get("affect_step_sha256") != found or "tracks" not in edge["data"]:
        raise BundleError(
            f"parity must hold rows with labels for the step with sha256 {found}, got {edge['bundle']} and labels "
            f"{edge['data']['labels']!r}; run benchmarks/parity.py with this step and a corpus."
        )
    rows = {
        (row["backend"], row["precision"]): row
        for row in parity["rows"]
        if row["model"] == "edge" and row["modalities"] == "audio_video"
    }
    for certificate in certificates:
        row = rows.get((certificate["backend"], certificate["precision"]))
        if row is None:
            continue
        for name in DIMENSIONS:
            after, lost = row[f"ccc_label_{name}"], row[f"ccc_label_loss_{name}"]
            certificate |= {
                f"ccc_label_before_{name}": after + lost,
                f"ccc_label_after_{name}": after,
                f"ccc_label_loss_{name}": lost,
            }
        certificate["labels"] = edge["data"]["tracks"]["origin"]


def read_int8_encoder(parts: Path, members: dict[str, bytes]) -> dict[str, Any] | None:
    """Returns the figures of the 8-bit encoder, after putting it in the place of the float32 one; None if there is none.

    Args:
        parts: folder with the parts.
        members: of the bundle; `face_encoder.onnx` is replaced.

    Returns:
        What `recipes.face_encoder.quantize` measured on these very two files.

    Raises:
        BundleError: the figures miss the bar, or are those of other files.
    """
    path = parts / "face_encoder.int8.onnx"
    if not path.is_file():
        return None
    figures: dict[str, Any] = json.loads(read(path.with_suffix(".json")))
    for key, data in (("sha256_fp32", members["face_encoder.onnx"]), ("sha256_int8", path.read_bytes())):
        found = hashlib.sha256(data).hexdigest()
        if figures[key] != found:
            raise BundleError(
                f"{key} of face_encoder.int8.json must be that of the encoder beside it, {found}, got {figures[key]}; run "
                "python -m recipes.face_encoder.quantize on it again."
            )
    require_bar(figures)
    members["face_encoder.onnx"] = path.read_bytes()
    return figures


def certificates(bundle: ModelBundle, backends: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the certificates of these backends, each at or above the floor of its precision.

    Raises:
        BackendUnavailableError: one is not installed.
        BundleError: one disagrees with the reference.
    """
    made = [certify(bundle, backend) for backend in backends]
    for certificate in made:
        require_parity(certificate)
    return made


def unstamped(part: dict[str, Any]) -> dict[str, Any]:
    """Returns a part's figures without where and when they were measured, which a device has no use for."""
    return {name: value for name, value in part.items() if name not in ("run", "machine")}


def make_manifest(
    spec: PreprocessSpec,
    model_id: str,
    detector: dict[str, Any],
    encoder: dict[str, Any],
    tail: dict[str, Any],
    *,
    default_backend: str,
) -> Manifest:
    """Returns the manifest from what the three trainings state."""
    return Manifest(
        model_id=model_id,
        preset="edge",
        spec=spec,
        detector=DetectorFacts.from_dict({"stride": DETECTOR_STRIDE, **detector}),
        face_encoder=encoder,
        statistics=tail["statistics"],
        graphs={name: f"{name}.onnx" for name in GRAPHS},
        uncertainty=tail["uncertainty"],
        smoothing=tail.get("smoothing", {"valence_seconds": 0.3, "arousal_seconds": 0.6}),
        default_backend=tail.get("default_backend", default_backend),
        licences=LICENSES,
        provenance=tail["provenance"],
        intended_use=INTENDED_USE,
        accuracy=tail["accuracy"],
        certificates=tuple(tail.get("certificates", ())),
    )


def read(path: Path) -> bytes:
    """Returns the bytes of a part.

    Raises:
        ArgumentError: it is not there.
    """
    if not path.is_file():
        raise ArgumentError(f"parts must hold {path.name}, got none in {path.parent}; run the training that writes it.")
    return path.read_bytes()


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model-id", default="edgeaff-edge-0.3")
    parser.add_argument("--certify", action="store_true", help="replay the golden sequences and keep the certificates")
    parser.add_argument(
        "--encoder", choices=("int8", "fp32"), default="int8", help="which one where the parts hold both"
    )
    parser.add_argument(
        "--parity", type=Path, help="JSON of benchmarks/parity.py with the same step, for the label CCC"
    )
    parser.add_argument(
        "--crops", type=Path, help="faces for the certificate of the packed networks, .npy (N, 96, 96, 3) uint8"
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    certified = BACKENDS if options.certify else ()
    assemble(
        options.parts,
        options.output,
        model_id=options.model_id,
        certified=certified,
        encoder_precision=options.encoder,
        parity=options.parity,
        crops=options.crops,
    )
    for certificate in ModelBundle.load(options.output).manifest.certificates:
        logger.info("%s", describe(certificate))


if __name__ == "__main__":
    main()

"""Makes a bundle of a training run: `edgeaff export RUN --to onnx,int8 --output NAME.eaff`.

Detector, LLD statistics and, if the run was trained with its descriptors, the face encoder come from a base bundle (the
shipped one); the affect model is the run's. Preprocessing, encoder and statistics of its features must match. Otherwise the export is
refused and both sides are named.

| run of | bundle |
|---|---|
| `edge` | preset `edge`: step graph and packed native step |
| `transformer_av` | preset `paper`: window, step and append graphs; in 8 bits the packed native window too, where it has the sizes |
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeaff.bundle import GOLDEN, PACKED, ModelBundle, pack_arrays
from edgeaff.errors import ArgumentError
from edgeaff.export.certificate import certify_available
from edgeaff.export.exportable import check_exportable
from edgeaff.export.from_onnx import reference_values
from edgeaff.export.pack_step import pack_step
from edgeaff.export.paper import (
    FABRICATED,
    WIDE,
    describe_drawn,
    encoder_graphs,
    fabricated_encoder,
    make_golden,
    packed_members,
    read_encoder,
    tail_graphs,
)
from edgeaff.export.qdq import quantize_dynamic
from edgeaff.export.to_onnx import export_step
from edgeaff.golden import require_parity
from edgeaff.manifest import Manifest
from edgeaff.spec import paper_spec_of
from edgeaff.training.features.recipe import encoder_id_of
from edgeaff.training.models.edge import without_spread
from edgeaff.training.models.vggface import PUBLISHED_MODES
from edgeaff.training.trainer.checkpoint import load_run

TARGETS = ("onnx", "int8", "tensorrt")


@dataclass(frozen=True, slots=True)
class Exported:
    """Report of an export. bundle: loaded again; fabricated: parts with random weights; engines: rows of what was built."""

    bundle: ModelBundle
    fabricated: list[str]
    engines: list[dict[str, Any]]


def export_run(
    run: Path,
    output: Path,
    *,
    targets: Collection[str] = ("onnx",),
    base: ModelBundle | None = None,
    vggface: Path | None = None,
    statistics: Path | None = None,
) -> Exported:
    """Writes the bundle of a run, with the certificates of the backends that are installed.

    Args:
        run: folder of `edgeaff train`.
        output: bundle to write.
        targets: of TARGETS; "onnx" alone is float32, "int8" makes the CPU's 8-bit form, "tensorrt" builds engines beside the bundle.
        base: gives detector, statistics and encoder; None = the bundle that ships.
        vggface: weights of `edgeaff models import`, for a run on descriptors of VGGFace.
        statistics: JSON with lld_mean and lld_std, where the run's audio was normalized with its own.

    Returns:
        What was written.

    Raises:
        ArgumentError: a target is unknown, or the run is of another system.
        SpecMismatchError: the run's features were made otherwise than this bundle makes them.
        BundleError: an export disagrees with the trained system.
    """
    unknown = sorted(set(targets) - set(TARGETS))
    if unknown or not targets:
        raise ArgumentError(
            f"to must be of {', '.join(TARGETS)}, got {', '.join(unknown) or 'none'}; choose some of them."
        )
    base = base or ModelBundle.load()
    system, module, run_info = load_run(run)
    chosen = base.manifest.statistics if statistics is None else json.loads(statistics.read_text(encoding="utf-8"))
    check_exportable(system.name, module, run_info["features"], base=base, statistics=chosen)
    precision = "int8" if "int8" in targets else "fp32"
    origin = f"Trained by the user: {json.dumps({key: run_info[key] for key in ('system', 'epoch', 'features')})}."
    manifest = replace(
        base.manifest,
        model_id=f"{output.stem}-{precision}",
        statistics=chosen,
        uncertainty=WIDE,
        provenance=origin,
        accuracy={"validation": run_info["scores"]},
        certificates=(),
    )
    if system.name == "edge":
        members = edge_members(module, base, precision)
        precisions = {**base.manifest.precisions, "affect_step": precision}
        manifest = replace(manifest, precisions=precisions)
    else:
        manifest, members = paper_content(
            module, base, manifest, features=run_info["features"], precision=precision, vggface=vggface
        )
    found = write_certified(output, manifest, members)
    return Exported(found, list(manifest.fabricated), build_engines(found, output) if "tensorrt" in targets else [])


def edge_members(edge: Any, base: ModelBundle, precision: str) -> dict[str, bytes]:
    """Returns the members of a bundle of preset `edge`: those of the base with this tail, without an uncalibrated spread."""
    edge = without_spread(edge)
    step = export_step(edge)
    weights = {name: value.numpy() for name, value in edge.state_dict().items()}
    packed = pack_step(weights, num_heads=edge.config.num_heads, precision="int8" if precision == "int8" else "float32")
    golden = {name: base.arrays(GOLDEN)[name] for name in ("video", "audio", "present")}
    values = reference_values(edge, *golden.values())
    return {
        **base.members,
        "affect_step.onnx": quantize_dynamic(step) if precision == "int8" else step,
        PACKED: pack_arrays(packed),
        GOLDEN: pack_arrays({**golden, "values": values}),
    }


def paper_content(
    system: Any,
    base: ModelBundle,
    manifest: Manifest,
    *,
    features: dict[str, Any],
    precision: str,
    vggface: Path | None,
) -> tuple[Manifest, dict[str, bytes]]:
    """Returns manifest and members of a bundle of preset `paper`.

    Args:
        system: Transformer (A+V).
        base: gives detector and, where the run learned from it, the encoder.
        manifest: what is known already; its provenance is that of the affect model.
        features: the run's record of its features.
        precision: fp32 or int8.
        vggface: weights of VGGFace, or None.
    """
    spec = paper_spec_of(base.spec)
    own = features.get("encoder_id") == encoder_id_of(base)
    if own:
        encoders, described = {"face_encoder": base.graph_bytes("face_encoder")}, base.golden()["video"][0, ::12]
        encoder_origin = encoder_id_of(base)
    else:
        mode = features.get("encoder_mode", PUBLISHED_MODES[0])
        encoder, encoder_origin = (fabricated_encoder(), FABRICATED) if vggface is None else read_encoder(vggface, mode)
        encoders, described = encoder_graphs(encoder, precision=precision), describe_drawn(encoder)
    made_up = ("face_encoder",) if encoder_origin == FABRICATED else ()
    held = {**encoders, **tail_graphs(system, precision=precision), "face_detector": base.graph_bytes("face_detector")}
    precisions = {name: precision for name in held if name != "face_detector"}
    if own:
        precisions["face_encoder"] = base.precision("face_encoder")
    members = {f"{name}.onnx": graph for name, graph in held.items()}
    members |= packed_members(system, precision)
    members[GOLDEN] = pack_arrays(make_golden(system, described))
    manifest = replace(
        manifest,
        model_id=f"{manifest.model_id}{'-fabricated' if made_up else ''}",
        preset="paper",
        spec=spec,
        face_encoder={"weights": encoder_origin},
        graphs={name: f"{name}.onnx" for name in held},
        precisions=precisions,
        default_backend="onnxruntime",
        provenance=f"face_encoder: {encoder_origin}. {manifest.provenance}",
        fabricated=made_up,
    )
    return manifest, members


def write_certified(output: Path, manifest: Manifest, members: dict[str, bytes]) -> ModelBundle:
    """Returns the bundle, written with the certificates of every backend that is installed; nothing below a floor is written."""
    made, _ = certify_available(ModelBundle(output, manifest, members))
    for certificate in made:
        require_parity(certificate)
    ModelBundle.save(output, replace(manifest, certificates=tuple(made)), members)
    return ModelBundle.load(output)


def build_engines(bundle: ModelBundle, output: Path) -> list[dict[str, Any]]:
    """Returns the rows of the TensorRT engines that were built into the folder NAME.engines."""
    from edgeaff.export.to_tensorrt import export_engines

    return list(export_engines(bundle, output.with_suffix(".engines")))

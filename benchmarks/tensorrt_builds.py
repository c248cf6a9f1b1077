"""Builds engines of both presets with TensorRT-RTX, without a GPU, and notes what came out.

python benchmarks/tensorrt_builds.py --json benchmarks/results/tensorrt_builds.json

Needs onnx, torch and tensorrt-rtx-cu13. Weights of the paper preset are fabricated: a build depends on their sizes alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

from edgeaff.bundle import ModelBundle
from edgeaff.export.to_tensorrt import AFFECT, FACE, EnginePlan, export_engines, roles_of, with_gpu_int8
from edgeaff.machine import package_version, stamp

TARGETS = ("sm_86", "sm_120")
PRECISIONS = ("fp32", "fp16", "int8")
KEPT = (
    "model",
    "role",
    "precision",
    "plugin",
    "targets",
    "layers",
    "plugin_layers",
    "bytes",
    "seconds",
    "ccc_valence",
    "ccc_arousal",
    "max_abs_difference",
)


def paper_bundle(folder: Path) -> ModelBundle:
    """Returns the paper preset with fabricated weights, float32."""
    from edgeaff.export.paper import assemble_paper, drawn_faces, read_parts

    assemble_paper(read_parts(None, None), folder / "paper.eaff", precision="fp32", faces=drawn_faces(2))
    return ModelBundle.load(folder / "paper.eaff")


def build_all(bundle: ModelBundle) -> list[dict[str, Any]]:
    """Returns a row per role, precision, target, with and without the plugin."""
    rows = []
    for plugin in (True, False):
        roles = [role for role in roles_of(bundle) if role in AFFECT or (plugin and role in FACE)]
        for target in TARGETS:
            plan = EnginePlan(PRECISIONS, [target], plugin, roles, toolchain="tensorrt_rtx")
            for row in export_engines(bundle, plan=plan):
                rows.append({name: row[name] for name in KEPT if name in row})
                print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Builds, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper", type=Path, help="a float32 paper bundle that was made already; default: make one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paper = ModelBundle.load(options.paper) if options.paper else paper_bundle(Path(folder))
        for bundle in (ModelBundle.load(), paper):
            path = Path(folder) / "with_int8.eaff"
            with_gpu_int8(bundle, path)  # calibrates once
            rows += build_all(ModelBundle.load(path))
    versions = {name: package_version(name) for name in ("tensorrt-rtx-cu13", "onnx", "onnxruntime", "torch")}
    result = {
        **stamp(),
        "toolchain": versions,
        "rows": rows,
    }
    result["executed"] = False  # no GPU here: engines were built, none was run
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

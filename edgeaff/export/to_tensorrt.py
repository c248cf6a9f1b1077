"""TensorRT engines of a bundle's graphs: `python -m edgeaff.export.to_tensorrt [BUNDLE] --output FOLDER`.

TensorRT-RTX builds for cards that are not there (`--target sm_86 --target sm_120`) and needs no GPU; TensorRT builds for the GPU of its
machine. Before anything is built, the graph of each precision replays the golden sequences in ONNX Runtime, and one below the
floor of its precision is refused. int8 is the symmetric form with float biases that TensorRT takes, calibrated on the golden
sequences; `--bundle-output` writes a bundle that carries it, for `backend="tensorrt:int8"`.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends import Progress, load_graph
from edgeaff.backends.onnx_edit import load
from edgeaff.backends.tensorrt import default_profiles, prepare_model
from edgeaff.backends.tensorrt_build import BuildRequest, Engine, build_engine, find_toolchain
from edgeaff.bundle import GOLDEN, ModelBundle
from edgeaff.errors import ArgumentError
from edgeaff.golden import self_test
from edgeaff.inference import Predictor, StreamingPredictor, WindowPredictor, replay

AFFECT = ("affect_step", "affect_window", "affect_append")
FACE = ("face_encoder", "face_detector")
NAMES = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
QUANTIZED = ("Conv", "MatMul", "Gemm")
MOST_FEEDS = 200
logger = logging.getLogger(__name__)


class _Watched:
    """A graph that keeps what it is fed."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self.backend, self.inputs, self.outputs = graph.backend, graph.inputs, graph.outputs
        self.fed: list[dict[str, np.ndarray]] = []

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.fed.append(dict(feeds))
        return self._graph.run(feeds)


def golden_feeds(bundle: ModelBundle, role: str, *, most: int = MOST_FEEDS) -> list[dict[str, np.ndarray]]:
    """Returns inputs of a graph recorded while the golden sequences of its bundle are replayed, evenly spread.

    Args:
        bundle: holds golden.npz.
        role: affect_step, affect_append or affect_window.
        most: most feeds.
    """
    golden = bundle.golden()
    watched = _Watched(load_graph(bundle.graph_bytes("affect_window" if role == "affect_window" else "affect_step")))
    replay(_predictor(watched, role), golden["video"], golden["audio"], golden["present"])
    step = -(-len(watched.fed) // most)
    return watched.fed[::step]


def make_int8(bundle: ModelBundle, role: str) -> bytes:
    """Returns a graph of the model in the int8 of TensorRT: signed, symmetric, biases left float32.

    Args:
        bundle: holds the graph and golden sequences to calibrate on.
        role: affect_step, affect_append or affect_window.

    Raises:
        ArgumentError: the role is another one; a face graph needs faces, which no bundle holds.
    """
    from edgeaff.export.qdq import quantize_static

    if role not in AFFECT:
        raise ArgumentError(f"role must be one of {', '.join(AFFECT)} for int8, got {role!r}; build it in fp16.")
    model = prepare_model(bundle.graph_bytes(role), "float32")
    feeds = golden_feeds(bundle, role)
    return quantize_static(model, feeds, op_types=QUANTIZED, left_float=_without_weights(model), gpu=True)


def _without_weights(model: bytes) -> list[str]:
    """Returns the names of products of two activations: attention scores and mixtures, which 8 bits hold badly and gain nothing."""
    graph = load(model).graph
    constants = {item.name for item in graph.initializer}
    return [node.name for node in graph.node if node.op_type == "MatMul" and not constants & set(node.input)]


def make_graph(bundle: ModelBundle, role: str, precision: str) -> bytes:
    """Returns the graph that an engine is built from.

    Args:
        bundle: where it comes from.
        role: which graph.
        precision: fp32, fp16 or int8.

    Raises:
        ArgumentError: the precision is unknown.
    """
    if precision not in NAMES:
        raise ArgumentError(f"precision must be one of {', '.join(NAMES)}, got {precision!r}; choose one of them.")
    if precision != "int8":
        return prepare_model(bundle.graph_bytes(role), NAMES[precision])
    stored = f"{role}_gpu_int8"
    return bundle.graph_bytes(stored) if bundle.has_graph(stored) else make_int8(bundle, role)


def check_graph(bundle: ModelBundle, role: str, precision: str, model: bytes) -> dict[str, float]:
    """Returns the agreement of a prepared graph with the reference in ONNX Runtime; empty for graphs without golden sequences.

    Fabricated weights are not compared: nothing depends on the values that they give, and 8 bits hold random ones badly.

    Args:
        bundle: holds golden.npz.
        role: affect_step or affect_window are compared.
        precision: fp32, fp16 or int8; its floor is that of `edgeaff.golden.LEAST_CCC`.
        model: from `make_graph`.
    """
    made_up = "affect_step" in bundle.manifest.fabricated
    if role not in ("affect_step", "affect_window") or made_up or GOLDEN not in bundle.members:
        return {}
    predictor = _predictor(load_graph(model), role)
    lowest = "int8" if "int8" in (precision, bundle.precision(role)) else precision
    predictor.precision = lowest
    return self_test(bundle, predictor).figures()


def _predictor(graph: Any, role: str) -> Predictor:
    return WindowPredictor(graph) if role == "affect_window" else StreamingPredictor(graph)


def roles_of(bundle: ModelBundle) -> list[str]:
    """Returns the graphs of a bundle that engines are built of."""
    return [role for role in (*AFFECT, *FACE) if bundle.has_graph(role)]


@dataclass(frozen=True, slots=True)
class EnginePlan:
    """Selection of the engines to build.

    Attributes:
        precisions: fp32, fp16 and int8; int8 is left out for face graphs.
        targets: GPUs as "sm_86", one engine for all of them; empty: this machine's, or any card for TensorRT-RTX.
        plugin: whether the fusion node becomes our plugin.
        roles: which graphs; None for all.
        toolchain: tensorrt or tensorrt_rtx; None for the one that is installed.
    """

    precisions: Sequence[str] = ("fp16",)
    targets: Sequence[str] = ()
    plugin: bool = True
    roles: Sequence[str] | None = None
    toolchain: str | None = None


def export_engines(
    bundle: ModelBundle,
    folder: Path | None = None,
    *,
    plan: EnginePlan | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Builds engines and returns their figures, one row each.

    Args:
        bundle: whose graphs.
        folder: where `ROLE.PRECISION.engine` and `engines.json` go; None to keep nothing.
        plan: which engines; None = fp16 engines of all graphs.
        progress: called while an engine is built; returning False stops it.

    Returns:
        role, precision, plugin, and the figures of the build and of the graph's comparison with the reference.
    """
    plan = plan or EnginePlan()
    chosen = find_toolchain(plan.toolchain)
    rows = []
    for role in roles_of(bundle) if plan.roles is None else plan.roles:
        for precision in plan.precisions:
            if precision == "int8" and role in FACE:
                continue
            model = make_graph(bundle, role, precision)
            agreement = check_graph(bundle, role, precision, model)
            request = BuildRequest(chosen, tuple(plan.targets), plan.plugin, default_profiles(model))
            engine = build_engine(model, request, progress=progress)
            row = {"model": bundle.manifest.model_id, "role": role, "precision": precision, "plugin": plan.plugin}
            rows.append({**row, **engine.figures, **agreement})
            if folder is not None:
                _write(folder, f"{role}.{precision}", engine, rows)
    return rows


def _write(folder: Path, name: str, engine: Engine, rows: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.engine").write_bytes(engine.plan)
    (folder / "engines.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def with_gpu_int8(bundle: ModelBundle, output: Path) -> None:
    """Writes the bundle with the int8 graphs of TensorRT beside those that it has.

    An int8 graph below the floor of its precision raises, and nothing is written.

    Args:
        bundle: what to start from. Its face graphs stay unchanged: no bundle holds faces to calibrate them on.
        output: bundle to write.
    """
    members, graphs, precisions = dict(bundle.members), dict(bundle.manifest.graphs), dict(bundle.manifest.precisions)
    for role in (role for role in roles_of(bundle) if role in AFFECT):
        model = make_int8(bundle, role)
        figures = check_graph(bundle, role, "int8", model)
        logger.info("%s int8: %s", role, json.dumps(figures))
        name = f"{role}_gpu_int8"
        members[f"{name}.onnx"] = model
        graphs[name], precisions[name] = f"{name}.onnx", "int8"
    ModelBundle.save(output, replace(bundle.manifest, graphs=graphs, precisions=precisions), members)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", nargs="?", type=Path, help="bundle (.eaff); default: the one that ships")
    parser.add_argument("--output", type=Path, help="folder for the engines")
    parser.add_argument(
        "--precision", action="append", choices=tuple(NAMES), help="fp16 if none is named; may be repeated"
    )
    parser.add_argument(
        "--target", action="append", default=[], metavar="sm_86", help="GPU to build for; may be repeated"
    )
    parser.add_argument("--role", action="append", choices=(*AFFECT, *FACE), help="graph; all if none is named")
    parser.add_argument("--toolchain", choices=("tensorrt", "tensorrt_rtx"))
    parser.add_argument(
        "--no-plugin", action="store_true", help="write the fusion node out instead of using our plugin"
    )
    parser.add_argument(
        "--bundle-output", type=Path, metavar="NAME.eaff", help="write the bundle with GPU int8 graphs, build nothing"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    bundle = ModelBundle.load(options.bundle)
    if options.bundle_output is not None:
        with_gpu_int8(bundle, options.bundle_output)
        return
    plan = EnginePlan(
        precisions=options.precision or ("fp16",),
        targets=options.target,
        plugin=not options.no_plugin,
        roles=options.role,
        toolchain=options.toolchain,
    )
    for row in export_engines(bundle, options.output, plan=plan, progress=_show):
        logger.info("%s", json.dumps(row))


def _show(phase: str, done: int, steps: int) -> None:
    if phase == "Building engine":
        logger.info("%s: %d of %d", phase, done, steps)


__all__ = [
    "EnginePlan",
    "check_graph",
    "export_engines",
    "golden_feeds",
    "main",
    "make_graph",
    "make_int8",
    "with_gpu_int8",
]

if __name__ == "__main__":
    main()

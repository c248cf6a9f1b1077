"""Gain of 8 bits on one core: each graph beside its float32 form, in turns, ONNX Runtime, CPU time.

    OMP_NUM_THREADS=1 python benchmarks/int8.py --json benchmarks/results/int8.json


VGG descriptor and the tail of the `paper` preset have FABRICATED weights here: speed does not depend on them. The face encoder of `edge` is
the shipped one; where the bundle holds it with 8 bits, its float32 form is made of that (same layers and sizes).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.backends import load_graph
from edgeaff.backends.onnx_edit import without_quantization
from edgeaff.bench.interleave import interleave, ratio
from edgeaff.bundle import ModelBundle
from edgeaff.errors import BundleError
from edgeaff.machine import stamp

BARS = {"vgg_descriptor": 3.3, "paper_tail": 2.5, "edge_face_encoder": 1.8}
Pair = tuple[bytes, bytes]  # float32, int8


def measure(*, rounds: int = 60) -> dict[str, Any]:
    """Returns a row per graph: times of both forms, speed-up (median over rounds of the ratio of CPU times), the bar if any.

    Args:
        rounds: of each pair.
    """
    rows = []
    for name, pair in make_pairs().items():
        timings = interleave(
            {form: _runner(model) for form, model in zip(("fp32", "int8"), pair, strict=True)}, rounds=rounds
        )
        found = ratio(timings["fp32"], timings["int8"])
        bar = BARS.get(name)
        rows.append(
            {
                "graph": name,
                **{f"{form}_cpu_ms": round(timing.row()["cpu_p50_us"] / 1e3, 3) for form, timing in timings.items()},
                **{f"{form}_min_ms": round(timing.row()["min_us"] / 1e3, 3) for form, timing in timings.items()},
                **{f"{form}_bytes": len(model) for form, model in zip(("fp32", "int8"), pair, strict=True)},
                "speed_up": found,
                "bar": bar,
                "met": None if bar is None else found >= bar,
            }
        )
    return {"rows": rows, "threads": 1, "rounds": rounds, "weights": "paper preset: FABRICATED; edge: shipped"}


def make_pairs() -> dict[str, Pair]:
    """Returns both forms of each graph by name.

    Raises:
        BundleError: the shipped bundle has no 8-bit face encoder.
    """
    from edgeaff.export.paper import encoder_graphs, fabricated_encoder, fabricated_system
    from edgeaff.export.qdq import quantize_dynamic
    from edgeaff.export.window import export_window
    from edgeaff.export.window_step import export_window_step

    bundle, vgg, system = ModelBundle.load(), fabricated_encoder(), fabricated_system()
    if bundle.precision("face_encoder") != "int8":
        raise BundleError(
            f"{bundle!r} must hold an int8 face encoder, got {bundle.precision('face_encoder')}; assemble it so."
        )
    encoder, window = bundle.graph_bytes("face_encoder"), export_window(system)
    step = export_window_step(system, parity_ticks=3)[0]
    forms = [encoder_graphs(vgg, precision=precision)["face_encoder"] for precision in ("fp32", "int8")]
    return {
        "vgg_descriptor": (forms[0], forms[1]),
        "paper_tail": (window, quantize_dynamic(window)),
        "paper_tail_step": (step, quantize_dynamic(step)),
        "edge_face_encoder": (without_quantization(encoder), encoder),
    }


def _runner(model: bytes) -> Callable[[], Any]:
    """Returns a call of a graph on one thread, on inputs of its shapes."""
    graph, rng = load_graph(model), np.random.default_rng(0)
    feeds: dict[str, np.ndarray] = {}
    for name, shape in graph.inputs.items():
        sizes = [size or 1 for size in shape]
        feeds[name] = (
            np.ones(sizes, bool)
            if name in ("video_mask", "audio_mask")
            else rng.uniform(-1, 1, sizes).astype(np.float32)
        )
        if "present" in name:
            feeds[name] = np.ones(sizes, np.float32)
    return lambda: graph.run(feeds)


def main() -> None:
    """Prints a row per graph, and writes the JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60, help="of each pair (default 60)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(rounds=options.rounds)
    for row in result["rows"]:
        bar = "" if row["bar"] is None else f", bar {row['bar']}: {'met' if row['met'] else 'MISSED'}"
        print(
            f"{row['graph']:18s} fp32 {row['fp32_cpu_ms']:8.3f} ms  int8 {row['int8_cpu_ms']:7.3f} ms  {row['speed_up']:.2f} x{bar}"
        )
    print(f"weights: {result['weights']}")
    if options.json:
        text = json.dumps({**stamp(), **result}, indent=1)
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()

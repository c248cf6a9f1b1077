"""Benchmark of the compiled ops: correctness first, then interleaved times against every installed peer, and the roof.

    python benchmarks/kernels.py --json benchmarks/results/kernels.json


CPU figures are of one thread. Ratios are medians over rounds of CPU-time ratios within a round, so neighbors on the machine
cost both sides the same. The roof is the best of a register-only multiply-add loop and of torch's GEMM of 100 x 512 x 512,
measured in the same rounds as the op. Our two data types are compared with each other alone (`own types`).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # makes `benchmarks` and `recipes` importable from a script

import argparse
import json
from typing import Any

import numpy as np

from benchmarks import kernel_cases as cases
from edgeaff.bench.interleave import Timing, interleave, ratio
from edgeaff.machine import stamp
from edgeaff.ops import native, reference
from edgeaff.ops.cross_modal_attention import cross_modal_attention

CORE_FLOP = 2 * 2 * 2 * cases.T * cases.T * cases.D  # two directions, two products, multiply and add
PROBE_REPEATS = 128  # about as long as the op, so that the call costs the roof no more than it costs the op


def run(*, rounds: int = 300, compile_peer: bool = True) -> dict[str, Any]:
    """Returns machine, rows, ratios and the largest error of ours against torch's.

    Args:
        rounds: timings per competitor.
        compile_peer: whether torch.compile competes (compiling takes a minute).

    Returns:
        What `--json` writes.
    """
    import torch

    torch.set_num_threads(1)
    inputs = cases.make_inputs()
    errors = measure_errors(inputs)
    core = cases.core_competitors(inputs, "float32")
    if compile_peer:
        core |= cases.compiled_competitor(core)
    core |= cases.onnxruntime_attention(inputs) | cases.openvino_attention(inputs)
    check_agreement(core, inputs)
    narrow = cases.core_competitors(inputs, "bfloat16")
    probes = roof_competitors()
    core_times = interleave(core | probes, rounds=rounds)
    own_times = interleave({"float32": core["edgeaff"], "bfloat16": narrow["edgeaff"]}, rounds=rounds, calls=4)
    narrow_times = interleave(narrow, rounds=max(30, rounds // 3))
    newest = cases.newest_row_competitors()
    np.testing.assert_allclose(newest["edgeaff newest row"](), newest["torch, as written"]()[0].numpy(), atol=1e-5)
    newest_times = interleave(newest, rounds=max(30, rounds // 3))
    step_times = interleave(cases.step_competitors(), rounds=rounds, calls=4)

    roof = measured_roof(core_times)
    own = core_times["edgeaff"]
    rows = [
        *make_rows("core float32", {name: time for name, time in core_times.items() if name in core}, CORE_FLOP, roof),
        *make_rows("core bfloat16", narrow_times, CORE_FLOP, None),
        *make_rows("own types", own_times, CORE_FLOP, roof),
        *make_rows("newest row", newest_times, None, None),
        *make_rows("edge step", step_times, None, None),
        *make_rows("roof", {name: time for name, time in core_times.items() if name in probes}, None, None),
        {"case": "bandwidth", "name": "numpy sum of 256 MB", "gb_per_s": round(measure_bandwidth(), 2)},
    ]
    ratios = {
        "core_fp32_vs_sdpa": ratio(core_times["torch SDPA"], own),
        "core_fp32_vs_ort_mha": ratio(core_times["onnxruntime MultiHeadAttention"], own),
        "core_fp32_of_roof": round(CORE_FLOP / np.median(own.cpu_us) / 1e3 / roof, 3),
        "core_bf16_vs_fp32": ratio(own_times["float32"], own_times["bfloat16"]) if has_bfloat16_products() else None,
        "newest_row_vs_torch": ratio(newest_times["torch, as written"], newest_times["edgeaff newest row"]),
        "affect_step_vs_ort": ratio(step_times["onnxruntime step graph"], step_times["edgeaff affect_step float32"]),
        "affect_step_p50_ms": round(float(np.median(step_times["edgeaff affect_step float32"].wall_us)) / 1e3, 4),
    }
    return {
        **stamp(),
        "roof_gflops": round(roof, 1),
        "rows": rows,
        "ratios": ratios,
        "max_error_vs_torch_error": errors,
    }


def measure_errors(inputs: dict[str, Any]) -> dict[str, float]:
    """Returns the largest error of ours divided by torch's at the same precision, against float64; must be at most 2.

    Raises:
        AssertionError: it is more.
    """
    import torch

    found = {}
    for dtype in ("float32", "bfloat16"):
        rounded = {name: torch.from_numpy(v).to(getattr(torch, dtype)) for name, v in inputs.items()}
        wide: dict[str, Any] = {name: value.float().numpy() for name, value in rounded.items()}
        truth = reference.cross_modal_attention(**wide, alpha=cases.ALPHA, beta=cases.BETA, num_heads=cases.HEADS)
        competitors = cases.core_competitors(inputs, dtype)
        ours, theirs = (
            float(np.abs(torch.as_tensor(competitors[name]()).float().numpy() - truth).max())
            for name in ("edgeaff", "torch SDPA")
        )
        found[dtype] = round(ours / theirs, 3)
        if ours > 2 * theirs:
            raise AssertionError(f"our {dtype} error {ours:.2e} is more than twice torch's {theirs:.2e}")
    return found


def check_agreement(competitors: cases.Competitors, inputs: dict[str, Any]) -> None:
    """Checks that all competitors compute the same before any is timed."""
    truth = cross_modal_attention(**inputs, alpha=cases.ALPHA, beta=cases.BETA, num_heads=cases.HEADS)
    for name, function in competitors.items():
        value = function()
        value = value.numpy() if hasattr(value, "numpy") else np.asarray(value)
        np.testing.assert_allclose(value, truth, atol=1e-4, err_msg=name)


def roof_competitors() -> cases.Competitors:
    """Returns the multiply-add loop and torch's GEMM that the roof is taken from."""
    import torch

    left, right = torch.randn(100, 512), torch.randn(512, 512)
    return {
        "multiply-add loop": lambda: native().roof_probe(PROBE_REPEATS),
        "torch GEMM 100x512x512": lambda: left @ right,
    }


def measured_roof(times: dict[str, Timing]) -> float:
    """Returns GFLOP/s of the better probe, at its median."""
    operations = {
        "multiply-add loop": native().roof_probe(PROBE_REPEATS),
        "torch GEMM 100x512x512": 2 * 100 * 512 * 512,
    }
    return max(count / float(np.median(times[name].cpu_us)) / 1e3 for name, count in operations.items())


def measure_bandwidth() -> float:
    """Returns GB/s of reading memory once, the best of five."""
    data = np.ones(64 * 1024 * 1024, np.float32)
    times = interleave({"sum": data.sum}, rounds=5)["sum"]
    return data.nbytes / float(times.cpu_us.min()) / 1e3


def has_bfloat16_products() -> bool:
    """Returns whether this processor multiplies bfloat16 pairs, as far as the system states."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def make_rows(case: str, times: dict[str, Timing], flop: int | None, roof: float | None) -> list[dict[str, Any]]:
    """Returns result rows; with `flop`, also GFLOP/s and the share of the roof at the median CPU time."""
    rows = []
    for name, time in times.items():
        row: dict[str, Any] = {"case": case, "name": name, "threads": 1, **time.row()}
        if flop is not None:
            row["gflops"] = round(flop / float(np.median(time.cpu_us)) / 1e3, 1)
            if roof is not None:
                row["of_roof"] = round(row["gflops"] / roof, 3)
        rows.append(row)
    return rows


def write(path: Path, result: dict[str, Any]) -> None:
    """Writes the result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def as_table(result: dict[str, Any]) -> str:
    """Returns the rows and ratios as text."""
    lines = [f"{'case':14} {'name':34} {'min us':>9} {'p50 us':>9} {'cpu p50':>9} {'GFLOP/s':>8} {'of roof':>8}"]
    for row in result["rows"]:
        if "min_us" in row:
            rest = f"{row.get('gflops', ''):>8} {row.get('of_roof', ''):>8}"
            lines.append(
                f"{row['case']:14} {row['name']:34} {row['min_us']:9.1f} {row['p50_us']:9.1f} {row['cpu_p50_us']:9.1f} {rest}"
            )
    lines += [f"{name}: {value}" for name, value in result["ratios"].items()]
    lines.append(f"error / torch's error: {result['max_error_vs_torch_error']}; roof {result['roof_gflops']} GFLOP/s")
    return "\n".join(lines)


def has_cuda() -> bool:
    """Returns whether the CUDA rows can be measured: a build with CUDA, and a card that torch sees."""
    import torch

    return hasattr(native(), "cross_modal_attention_cuda") and torch.cuda.is_available()


def main() -> None:
    """Measures, prints and writes what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out (it compiles for a minute)")
    parser.add_argument("--cuda-only", action="store_true", help="the CUDA rows alone")
    options = parser.parse_args()
    result = {} if options.cuda_only else run(rounds=options.rounds, compile_peer=not options.no_compile)
    if options.cuda_only or has_cuda():
        from benchmarks import kernels_cuda

        result |= {"cuda": kernels_cuda.run()}
    if not options.cuda_only:
        print(as_table(result))
    if options.json:
        write(options.json, result)


if __name__ == "__main__":
    main()

"""Compares the native LLD extractor, its NumPy twin and openSMILE (where installed) in one run.

OMP_NUM_THREADS=1 python benchmarks/lld.py --voices FOLDER --json benchmarks/results/lld.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.bench import lld as bench
from edgeaff.machine import describe_run, package_version, processor_name
from edgeaff.ops import build_info


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Returns all results."""
    names = (
        (["native"] if bench.has_native() else []) + ["numpy"] + (["opensmile"] if package_version("opensmile") else [])
    )
    voices = bench.real_voices(args.voices, args.every) if args.voices else {}
    minutes = {"native": args.minutes, "numpy": max(1, args.minutes // 5), "opensmile": args.minutes}
    return {
        "run": describe_run(),
        "machine": {"processor": processor_name(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opensmile": package_version("opensmile"),
        },
        "build": build_info() if bench.has_native() else None,
        "agreement": bench.measure_agreement(bench.sounds()),
        "agreement_real_voices": bench.measure_agreement(voices),
        "cpu": bench.measure_cpu(args.seconds, args.rounds),
        "video_frame_cpu_us": bench.measure_video_frame(args.frames),
        "delay": [bench.measure_delay(20.0, lag) for lag in (4, 29)],
        "memory": {name: bench.measure_memory(name, minutes[name]) for name in names},
    }


def show(result: dict[str, Any]) -> None:
    """Prints the main numbers."""
    for name, row in result["cpu"].items():
        hop_us = row["cpu_us_per_hop"]
        print(
            f"{name:14s} {hop_us['median']:7.1f} us/hop (p95 {hop_us['p95']:.1f}), of real time {row['real_time_factor']:.4f}"
        )
    for name, row in result["video_frame_cpu_us"].items():
        print(f"sound of one video frame, {name}: median {row['median']:.0f} us, p99 {row['p99']:.0f} us")
    for row in result["delay"]:
        print(
            f"row final after {row['median_ms']:.0f} ms, at most {row['worst_ms']:.0f} ms (lag {row['max_pitch_lag']})"
        )
    for name, row in result["memory"].items():
        print(f"{name}: {row['added_mib']:.1f} MiB more after {row['minutes']} min of sound")
    for name in ("native", "numpy"):
        for table in ("agreement", "agreement_real_voices"):
            for group, row in result[table].get(name, {}).get("groups", {}).items():
                print(f"{table}, {name}, {group}: max {row['max']:.1e}, share above 1e-4 {row['above_1e-4']}")


def main() -> None:
    """Measures, prints and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of sound per run (default 60)")
    parser.add_argument("--rounds", type=int, default=30, help="runs of each extractor (default 30)")
    parser.add_argument("--frames", type=int, default=1_000, help="video frames (default 1000)")
    parser.add_argument("--minutes", type=int, default=10, help="of sound for the memory (default 10)")
    parser.add_argument("--voices", type=Path, help="a folder with recordings to compare on, too")
    parser.add_argument("--every", type=int, default=10, help="of the recordings take every so-manieth (default 10)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = measure(args)
    show(result)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

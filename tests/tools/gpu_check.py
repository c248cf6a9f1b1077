"""Everything that needs a card, on a machine that has one: `make gpu-check [STEP=build|test|sanitize|bench]`.

Uses the Python that runs it (torch, pybind11, CMake and nvcc there; no network, no virtual environment). Builds for the card
present only. Results go to the folder OUT, or benchmarks/results.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STEPS = ("build", "test", "sanitize", "bench")


def run(*command: str, **environment: str) -> None:
    print("+", " ".join(command), flush=True)
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT), **environment})


def capability() -> str:
    """Returns the compute capability of the first card without its point."""
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return answer.splitlines()[0].strip().replace(".", "")


def build() -> None:
    jobs = str(os.cpu_count() or 2)
    run(
        sys.executable,
        "setup.py",
        "-q",
        "build_ext",
        "--inplace",
        EDGEAFF_CUDA="ON",
        EDGEAFF_CUDA_ARCHS=f"{capability()}-real",
        EDGEAFF_BUILD_JOBS=jobs,
    )


def test() -> None:
    run(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "needs_cuda",
        "--timeout",
        "500",
        "tests",
        EDGEAFF_REQUIRE="cuda,torch,native",
    )


def sanitize() -> None:
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    for tool in ("memcheck", "racecheck"):
        run(sanitizer, "--tool", tool, "--error-exitcode", "1", sys.executable, "tests/tools/gpu_sanitize.py")


def bench() -> None:
    folder = Path(os.environ.get("OUT") or ROOT / "benchmarks" / "results")
    run(sys.executable, "benchmarks/kernels.py", "--cuda-only", "--json", str(folder / "kernels_cuda.json"))


def main() -> None:
    asked = os.environ.get("STEP") or (sys.argv[1] if len(sys.argv) > 1 else "")
    if asked and asked not in STEPS:
        raise SystemExit(f"STEP must be one of {', '.join(STEPS)}, got {asked!r}; leave it out for all.")
    for step in (asked,) if asked else STEPS:
        {"build": build, "test": test, "sanitize": sanitize, "bench": bench}[step]()


if __name__ == "__main__":
    main()

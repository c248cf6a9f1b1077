"""Compiles the CUDA kernels and fails on any warning or register spill: `check_spills.py [--archs 87 90 ...]`.

Reads the report of ptxas (-Xptxas=-v). Without nvcc there is nothing to check, and it reports it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
# sm_87 is the smallest register file per thread of the cards we care for most (Orin), and stands for the rest in `make check`.
QUICK_ARCHS = ("87",)
ALL_ARCHS = ("80", "86", "87", "89", "90", "110", "120")


def find_nvcc() -> str | None:
    places = [os.environ.get("CUDACXX", "")]
    places += [f"{os.environ[name]}/bin/nvcc" for name in ("CUDA_HOME", "CUDA_PATH") if name in os.environ]
    found = shutil.which("nvcc") or next(
        (place for place in [*places, "/usr/local/cuda/bin/nvcc"] if Path(place).is_file()), None
    )
    return found


def parse_report(text: str) -> dict[str, tuple[int, int]]:
    """Returns (registers, spilled bytes) by kernel and architecture of a ptxas report.

    A kernel's lines come in this order: Compiling entry function 'NAME' for 'sm_XX'; N bytes stack frame, N bytes spill
    stores, N bytes spill loads; Used N registers.
    """
    kernels: dict[str, tuple[int, int]] = {}
    name, spilled = "", 0
    for line in text.splitlines():
        if entry := re.search(r"Compiling entry function '(\S+)' for '(\S+)'", line):
            name, spilled = f"{entry[1]} {entry[2]}", 0
        elif spills := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
            spilled = int(spills[1]) + int(spills[2])
        elif (used := re.search(r"Used (\d+) registers", line)) and name:
            kernels[name] = (int(used[1]), spilled)
    return kernels


def compile_report(nvcc: str, source: Path, archs: tuple[str, ...]) -> str:
    """Returns the output of nvcc; raises CalledProcessError where it fails, also on warnings."""
    with tempfile.TemporaryDirectory() as folder:
        command = [nvcc, "-std=c++17", "-O3", "--expt-relaxed-constexpr", "-Xptxas=-v", "-Werror", "all-warnings"]
        command += [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
        command += [f"-I{ROOT}/csrc/include", f"-I{ROOT}/csrc", "-c", str(source), "-o", f"{folder}/kernel.o"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout + done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archs", nargs="*", default=list(QUICK_ARCHS), help="compute capabilities without the point")
    parser.add_argument("--all", action="store_true", help=f"all of {', '.join(ALL_ARCHS)}")
    options = parser.parse_args()
    nvcc = find_nvcc()
    if nvcc is None:
        print("check_spills: no nvcc, nothing checked")
        return 0
    archs = ALL_ARCHS if options.all else tuple(options.archs)
    failed = False
    for source in sorted((ROOT / "csrc" / "kernels").glob("*.cu")):
        try:
            kernels = parse_report(compile_report(nvcc, source, archs))
        except subprocess.CalledProcessError as error:
            print(
                f"check_spills: {source.name} does not compile without warnings for sm_{', sm_'.join(archs)}\n{error.stderr}"
            )
            failed = True
            continue
        spills = {name: bytes_ for name, (_, bytes_) in kernels.items() if bytes_}
        most = max((registers for registers, _ in kernels.values()), default=0)
        print(
            f"check_spills: {source.name}: {len(kernels)} kernels, at most {most} registers, {len(spills)} with spills"
        )
        for name, bytes_ in spills.items():
            print(f"  {name}: {bytes_} bytes")
        failed = failed or bool(spills) or not kernels
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

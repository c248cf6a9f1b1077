"""Compares the ABI of libedgeaff with tests/capi/libedgeaff.abi: `python tests/tools/check_abi.py [--accept]`.

The functions and structs of csrc/include/edgeaff.h are compiled with debug information, each function as a body that does nothing;
abidw reads the result and abidiff compares it (both from Debian's abigail-tools). That the library defines just these functions, a test
in tests/capi holds. A change that breaks callers raises EDGEAFF_ABI in edgeaff.h and cmake/libedgeaff.cmake; a new function or a field
at the end does not. Either way --accept writes the file.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "capi" / "libedgeaff.abi"
HEADER = ROOT / "csrc" / "include" / "edgeaff.h"
FLAGS = ("-std=c99", "-g", "-O0", "-fPIC", "-shared", "-nostdlib", f"-I{HEADER.parent}", "-Wl,-soname,libedgeaff.so.1")
PROCESSOR = "x86_64"
LOWEST = 16  # above the distance of every constant from 0


def bodies(header: str) -> str:
    """Returns C with a body for each function that a header declares, and an array as long as each constant + LOWEST, for their values."""
    declared = re.findall(r"^EDGEAFF_API\s+(?:EDGEAFF_CHECKED\s+)?([^;{]+\));", header, re.MULTILINE)
    plain = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    names = [
        "EDGEAFF_ABI",
        *(name for enum in re.findall(r"enum \{(.*?)\}", plain, re.DOTALL) for name in re.findall(r"[A-Z]\w+", enum)),
    ]
    lines = [f"{one} {{ __builtin_trap(); }}" for one in declared]
    lines += [f"const char edgeaff_value_of_{name}[{name} + {LOWEST}] = {{0}};" for name in names]
    return '#include "edgeaff.h"\n' + "\n".join(lines) + "\n"


def dump(folder: Path, header: Path = HEADER) -> Path:
    """Returns the path of the ABI that a header states.

    Args:
        folder: gets the file.
        header: edgeaff.h.
    """
    source, library, out = folder / "bodies.c", folder / "libedgeaff.so", folder / "libedgeaff.abi"
    source.write_text(bodies(header.read_text(encoding="utf-8")), encoding="utf-8")
    versions = f"-Wl,--version-script={ROOT / 'csrc' / 'capi' / 'edgeaff.map'}"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, f"-I{header.parent}", *FLAGS, versions, str(source), "-o", str(library)], check=True)
    quiet = ("--no-show-locs", "--no-corpus-path", "--no-comp-dir-path", "--no-elf-needed")
    subprocess.run(["abidw", *quiet, "--out-file", str(out), str(library)], check=True)
    return out


def main() -> int:
    """Returns 1 where the ABI differs from the stored one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help="store the current ABI")
    options = parser.parse_args()
    if shutil.which("abidw") is None or shutil.which("abidiff") is None:
        print("abidw and abidiff are not installed; install Debian's abigail-tools.", file=sys.stderr)
        return 1
    if platform.machine() != PROCESSOR:
        print(f"The stored ABI is that of {PROCESSOR}; this processor is {platform.machine()}: nothing compared.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = dump(Path(folder))
        if options.accept:
            STORED.write_text(re.sub(r" path='[^']*'", "", found.read_text()))
            return 0
        done = subprocess.run(["abidiff", "--no-show-locs", str(STORED), str(found)], capture_output=True, text=True)
    if done.returncode == 0:
        return 0
    print(f"{done.stdout}{done.stderr}\nThe ABI of libedgeaff changed. Where that is meant, run "
          f"`python tests/tools/check_abi.py --accept`; raise EDGEAFF_ABI where callers break.", file=sys.stderr)  # fmt: skip
    return 1


if __name__ == "__main__":
    sys.exit(main())

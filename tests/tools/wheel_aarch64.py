"""Builds the wheel for aarch64 Linux on another processor and checks it: `make wheel-aarch64 [TARGET_PYTHON=python3.13]`.

The module is compiled by Debian's aarch64 compiler against the headers of the Python that runs the build. Those are the headers of the
same Python on aarch64 but for `pyconfig.h`; what of that file reaches a compiled module (byte order, sizes, alignments) is asserted by the
aarch64 compiler itself before anything is built. The processor's name in the wheel and in the module comes from us.

    python tests/tools/wheel_aarch64.py [--python PATH] [--output dist]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COMPILER, READELF = "aarch64-linux-gnu-g++", "aarch64-linux-gnu-readelf"
ASK = "import json, sys, sysconfig; print(json.dumps([sys.implementation.cache_tag, sysconfig.get_path('include')]))"
TYPES = {
    "DOUBLE": "double",
    "FLOAT": "float",
    "FPOS_T": "fpos_t",
    "INT": "int",
    "LONG": "long",
    "LONG_DOUBLE": "long double",
    "LONG_LONG": "long long",
    "MAX_ALIGN_T": "std::max_align_t",
    "OFF_T": "off_t",
    "PID_T": "pid_t",
    "PTHREAD_KEY_T": "pthread_key_t",
    "PTHREAD_T": "pthread_t",
    "SHORT": "short",
    "SIZE_T": "std::size_t",
    "TIME_T": "time_t",
    "UINTPTR_T": "std::uintptr_t",
    "VOID_P": "void*",
    "WCHAR_T": "wchar_t",
    "_BOOL": "bool",
}
HEADERS = ("cstddef", "cstdint", "cstdio", "ctime", "pthread.h", "sys/types.h")


def assertions(pyconfig: str) -> str:
    """Returns C++ that compiles only where the sizes and the byte order of a pyconfig.h hold."""
    lines = [f"#include <{header}>" for header in HEADERS]
    found = re.findall(r"^#\s*define (SIZEOF|ALIGNOF)_(\w+) (\d+)$", pyconfig, re.M)
    if len(found) < 20:
        raise SystemExit(f"pyconfig.h must define 20 sizes or more, got {len(found)}; is it one per architecture?")
    for what, name, number in found:
        lines.append(f'static_assert({what.lower()}({TYPES[name]}) == {number}, "{what}_{name}");')
    lines.append('static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte order");')
    return "\n".join(lines) + "\n"


def check_headers(include: Path) -> None:
    """Holds the headers' pyconfig.h against the aarch64 compiler; ends the run where they disagree."""
    source = assertions((include / "pyconfig.h").read_text(encoding="utf-8"))
    command = [COMPILER, "-std=c++17", "-fsyntax-only", "-x", "c++", "-"]
    done = subprocess.run(command, input=source, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"pyconfig.h of {include} must hold on aarch64, got\n{done.stderr}")


def build(python: str, folder: Path) -> Path:
    """Returns the wheel, built by way of the sdist, so that nothing of the working tree gets into it."""
    stated = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=True).stdout
    tag, include = json.loads(stated)
    check_headers(Path(include))
    cmake = {
        "CMAKE_TOOLCHAIN_FILE": "cmake/aarch64.cmake",
        "PYTHON_MODULE_EXTENSION": f".{tag}-aarch64-linux-gnu.so",
        "Python_INCLUDE_DIR": include,
    }
    environment = {
        **os.environ,
        "EDGEAFF_CUDA": "OFF",
        "EDGEAFF_PLATFORM": "linux-aarch64",
        "CMAKE_ARGS": " ".join(f"-D{name}={value}" for name, value in cmake.items()),
    }
    uv = Path(sys.executable).parent / "uv"
    command = [str(uv), "build", "--quiet", "--python", python, "--out-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, env=environment)
    (wheel,) = folder.glob("*.whl")
    return wheel


def check(wheel: Path) -> dict[str, Any]:
    """Returns all that is in the wheel; ends the run where something is missing or too much."""
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = archive.namelist()
        modules = [name for name in names if ".so" in name]
        stray = [name for name in names if not re.match(r"edgeaff/|edgeaff-[\w.]+\.dist-info/", name)]
        missing = {"edgeaff/py.typed", "edgeaff/assets/edge.eaff"} - set(names)
        if len(modules) != 1 or not modules[0].endswith("aarch64-linux-gnu.so") or stray or missing:
            raise SystemExit(
                f"{wheel.name} must hold one aarch64 module, got {modules}, stray {stray}, missing {missing}"
            )
        module = archive.extract(modules[0], folder)
        header, needs = readelf("-h", module), readelf("-V", module)
        libraries = re.findall(r"\(NEEDED\).*\[(.+)\]", readelf("-d", module))
    if "AArch64" not in header:
        raise SystemExit(f"{modules[0]} must be for AArch64, got\n{header}")
    return {
        "wheel": wheel.name,
        "bytes": wheel.stat().st_size,
        "files": len(names),
        "module": Path(modules[0]).name,
        "libraries": libraries,
        "needs": {name: newest(needs, name) for name in ("GLIBC", "GLIBCXX")},
    }


def readelf(*arguments: str) -> str:
    """Returns readelf's report on a file."""
    return subprocess.run([READELF, "-W", *arguments], capture_output=True, text=True, check=True).stdout


def newest(needs: str, library: str) -> str:
    """Returns the newest version of a library's symbols that a module needs."""
    found = set(re.findall(rf"\b{library}_([\d.]+)", needs))
    return max(found, key=lambda version: [int(part) for part in version.split(".")])


def main() -> None:
    """Builds, checks, and puts the wheel into the output folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--python", default=sys.executable, help="a Python of the device's minor version, for this processor"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    if shutil.which(COMPILER) is None:
        raise SystemExit(f"{COMPILER} must be on PATH, got none; apt install g++-aarch64-linux-gnu")
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(options.python, Path(folder))
        found = check(wheel)
        subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel)], check=True)
        options.output.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, options.output)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

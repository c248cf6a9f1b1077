"""Runs the tests of the core on an aarch64 wheel under qemu: `make test-wheel-aarch64`, on Debian; writes benchmarks/results/aarch64.json.

A real aarch64 Python comes from Debian's arm64 packages, unpacked into a folder of the build folder: nothing is installed on this
machine and no root rights are needed. NumPy, ONNX Runtime and pytest are their aarch64 wheels. The wheel is installed beside the tests; the
sources are not there. qemu is a newer Debian's, for that of Debian 12 crashes when ONNX Runtime 1.32 is imported. Speed under emulation
means nothing and is not measured.

    python -m tests.tools.emulate_aarch64 dist/edgeaff-*-cp311-cp311-linux_aarch64.whl
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from edgeaff.machine import stamp
from tests.tools.wheel_aarch64 import check

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "aarch64.json"
DEBIAN = {"cp311": "bookworm", "cp313": "trixie"}  # the suites that have these Pythons
QEMU_SUITE, PROCESSOR = (
    "trixie",
    "cortex-a76",
)  # the processor of a Raspberry Pi 5; a Jetson Orin has the A78AE, its next
TESTS = (
    "tests/test_default_bundle.py",
    "tests/features/test_lld_native.py",
    "tests/features/test_lld_own_golden.py",
    "tests/features/test_resample_native.py",
    "tests/features/test_normalize.py",
    "tests/ops",
    "tests/test_bundle.py",
    "tests/test_session.py",
)  # compiled code, and the Session that uses it; the rest is Python and would take hours under emulation
NOT_THERE = (
    "cuda_kernel_emulated",  # compiles for the machine that emulates
    "imports_without_torch",  # starts a child, which needs qemu too
)
ASK = """
import json, platform
from edgeaff.machine import describe_machine
from edgeaff.bundle import ModelBundle
from edgeaff.golden import self_test
from edgeaff.inference import load_predictor
bundle = ModelBundle.load()
differences = {name: self_test(bundle, load_predictor(bundle, name)).max_abs_difference for name in ("native", "onnxruntime")}
print(json.dumps({**describe_machine(), "libc": " ".join(platform.libc_ver()), "architecture": platform.machine(),
    "model_id": bundle.manifest.model_id, "golden_max_abs_difference": differences}))
"""


def fetch(suite: str, architecture: str, packages: tuple[str, ...]) -> Path:
    """Returns a folder with Debian packages and all that they need, unpacked; a second call finds it."""
    folder = ROOT / "build" / "debian" / f"{suite}-{architecture}"
    tree = folder / "root"
    if tree.is_dir():
        return tree
    for name in ("state/lists/partial", "cache/archives/partial", "sources"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "state" / "status").touch()
    own = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(encoding="utf-8"), re.M)
    if own is None:
        raise SystemExit("/etc/os-release must name Debian's VERSION_CODENAME, got none; run this on Debian.")
    for place in [*Path("/etc/apt").glob("sources.list"), *Path("/etc/apt/sources.list.d").glob("debian.sources")]:
        text = place.read_text(encoding="utf-8").replace(own[1], suite)
        (folder / "sources" / f"debian{place.suffix}").write_text(text, encoding="utf-8")
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "state" / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": folder / "sources",
        "Debug::NoLocking": "1",
    }
    configuration = folder / "apt.conf"
    configuration.write_text("".join(f'{name} "{value}";\n' for name, value in options.items()), encoding="utf-8")
    environment = {**os.environ, "APT_CONFIG": str(configuration)}
    for command in (["update"], ["install", "--yes", "--no-install-recommends", "--download-only", *packages]):
        subprocess.run(["apt-get", "-qq", *command], check=True, env=environment)
    unpacking = folder / "unpacking"
    for package in sorted((folder / "cache" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(unpacking)], check=True)
    return unpacking.rename(tree)


def install(wheel: Path, folder: Path, python: str) -> None:
    """Installs the wheel and the tests' packages for aarch64 into a folder, and puts the tests beside them."""
    shutil.rmtree(folder, ignore_errors=True)
    uv = [
        str(Path(sys.executable).parent / "uv"),
        "pip",
        "install",
        "--quiet",
        "--constraint",
        "constraints.txt",
        "--target",
        str(folder),
    ]
    target = ["--python-platform", "aarch64-manylinux_2_35", "--python-version", python, "--only-binary", ":all:"]
    subprocess.run([*uv, *target, f"{wheel}[demo]", "--group", "test"], check=True, cwd=ROOT)
    for name in ("tests", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def run(emulator: list[str], folder: Path, part: str) -> dict[str, Any]:
    """Returns the outcome of a part of the tests."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    chosen = [
        "-m",
        "not slow and not system and not needs_shared",
        "-k",
        " and ".join(f"not {name}" for name in NOT_THERE),
    ]
    command = [
        *emulator,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--timeout",
        "1800",
        *chosen,
        "--junitxml",
        str(report),
        part,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout[-8000:] + done.stderr[-2000:])
    if not report.exists():
        raise SystemExit(f"{part} must end with a report, got exit code {done.returncode}")
    suite = ET.parse(report).getroot()[0].attrib
    failed, skipped = int(suite["failures"]) + int(suite["errors"]), int(suite["skipped"])
    return {"tests": part, "passed": int(suite["tests"]) - failed - skipped, "failed": failed, "skipped": skipped}


def emulate(wheel: Path, result: Path) -> bool:
    """Returns whether every test passed and NEON was used; the result file is written after each part."""
    tag = wheel.name.split("-")[2]
    if tag not in DEBIAN:
        raise SystemExit(f"wheel must be for {', '.join(DEBIAN)}, got {tag}; Debian has no other Python to run it.")
    python = f"3.{tag[3:]}"
    root = fetch(DEBIAN[tag], "arm64", (f"python{python}", "libstdc++6"))
    qemu = fetch(QEMU_SUITE, "amd64", ("qemu-user",)) / "usr" / "bin" / "qemu-aarch64"
    emulator = [str(qemu), "-cpu", PROCESSOR, "-L", str(root), str(root / "usr" / "bin" / f"python{python}")]
    folder = ROOT / "build" / "emulated" / tag
    install(wheel.resolve(), folder, python)
    os.environ.update(PYTHONPATH=str(folder), EDGEAFF_SHARED="/nowhere", OMP_NUM_THREADS="1")
    stated = subprocess.run([*emulator, "-c", ASK], cwd=folder, check=True, capture_output=True, text=True).stdout
    version = subprocess.run([str(qemu), "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    made = {
        **stamp(),
        "emulator": {"qemu": version, "processor": PROCESSOR},
        "wheel": check(wheel),
        "target": json.loads(stated),
        "tests": [],
    }
    kept = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    for part in TESTS:
        made["tests"].append(run(emulator, folder, part))
        print(made["tests"][-1], flush=True)
        result.write_text(json.dumps({**kept, tag: made}, indent=1) + "\n", encoding="utf-8")
    return made["target"]["build"]["instruction_set_used"] == "neon" and not any(row["failed"] for row in made["tests"])


def main() -> int:
    """Returns 0 when all is well with every wheel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheels", type=Path, nargs="+")
    parser.add_argument("--json", type=Path, default=RESULT)
    options = parser.parse_args()
    failed = sum(not emulate(wheel, options.json) for wheel in options.wheels)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

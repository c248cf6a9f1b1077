"""Decides every skip, in one place.

A test states what it needs with a mark (`needs_torch`, `needs_shared`, ...). What is missing is skipped, unless the environment
variable EDGEAFF_REQUIRE names it (comma-separated, for example `EDGEAFF_REQUIRE=shared,torch`): then its absence is a failure.
EDGEAFF_SHARED names the folder with real media, detector weights and golden LLDs; default: ../shared beside the source folder.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, os.environ.get("OMP_NUM_THREADS", "2"))

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("EDGEAFF_SHARED", ROOT.parent / "shared"))
NVCC_PLACES = (os.environ.get("CUDA_HOME", ""), os.environ.get("CUDA_PATH", ""), "/usr/local/cuda")


def has_module(*names: str) -> bool:
    return any(importlib.util.find_spec(name) is not None for name in names)


def has_nvcc() -> bool:
    return shutil.which("nvcc") is not None or any(
        Path(place, "bin", "nvcc").exists() for place in NVCC_PLACES if place
    )


def has_gpu() -> bool:
    probe = shutil.which("nvidia-smi")
    return probe is not None and subprocess.run([probe, "-L"], capture_output=True).returncode == 0


def has_native() -> bool:
    return bool(list((ROOT / "edgeaff" / "ops").glob("_C*.so")))


REQUIREMENTS = {
    "linux": (lambda: sys.platform == "linux", "Linux"),
    "cuda": (has_gpu, "an NVIDIA GPU"),
    "shared": (lambda: (SHARED / "data").is_dir(), "the data folder EDGEAFF_SHARED"),
    "torch": (lambda: has_module("torch"), "torch; pip install edgeaff[train]"),
    "media": (lambda: has_module("av"), "PyAV; pip install edgeaff[media]"),
    "cv2": (lambda: has_module("cv2"), "OpenCV; pip install edgeaff[live]"),
    "onnx": (lambda: has_module("onnx") and has_module("onnxscript"), "onnx, onnxscript; pip install edgeaff[export]"),
    "openvino": (lambda: has_module("openvino"), "OpenVINO; pip install edgeaff[openvino]"),
    "table": (
        lambda: all(has_module(name) for name in ("pyarrow", "pandas", "polars", "duckdb")),
        "pyarrow; pip install edgeaff[table], and pandas, polars, duckdb",
    ),
    "lab": (
        lambda: all(has_module(name) for name in ("pylsl", "pythonosc", "pympi", "textgrid")),
        "pylsl, python-osc, pympi-ling; pip install edgeaff[lab], and textgrid",
    ),
    "ray": (lambda: has_module("ray"), "Ray; pip install edgeaff[ray]"),
    "s3": (lambda: has_module("s3fs") and has_module("moto"), "s3fs; pip install edgeaff[s3], and moto[server]"),
    "mcp": (lambda: has_module("mcp"), "mcp"),
    "pipecat": (lambda: has_module("pipecat"), "pipecat-ai"),
    "datasets": (lambda: has_module("datasets") and has_module("pyarrow"), "datasets"),
    "sign": (lambda: has_module("cryptography"), "cryptography; pip install edgeaff[sign]"),
    "tensorrt": (lambda: has_module("tensorrt", "tensorrt_rtx"), "tensorrt or tensorrt-rtx-cu13"),
    "docs": (lambda: has_module("griffe"), "griffe; make dev"),
    "native": (has_native, "the compiled module; make dev"),
    "nvcc": (has_nvcc, "nvcc"),
    "rust": (lambda: shutil.which("rustc") is not None, "rustc"),
    "peer": (lambda: has_module("opensmile"), "opensmile"),
}


@cache
def is_there(name: str) -> bool:
    return REQUIREMENTS[name][0]()


def required_by_environment() -> set[str]:
    return {name.strip() for name in os.environ.get("EDGEAFF_REQUIRE", "").split(",") if name.strip()}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    forced = required_by_environment()
    for item in items:
        for name, (_, what) in REQUIREMENTS.items():
            mark = name if name == "peer" else f"needs_{name}"
            if item.get_closest_marker(mark) and name not in forced and not is_there(name):
                item.add_marker(pytest.mark.skip(reason=f"needs {what}"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data root: shared / "data" / "media" and so on. Use with the mark needs_shared."""
    return SHARED


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(params=["scalar", "neon", "avx2", "avx512"])
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Limits the dispatch of compiled code to one set; what the processor lacks runs as the next lower one."""
    from edgeaff.ops import set_instruction_set

    set_instruction_set(request.param)
    yield request.param
    set_instruction_set("best")

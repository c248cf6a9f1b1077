"""Builds the compiled module edgeaff.ops._C with CMake; metadata stand in pyproject.toml."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent.resolve()
TARGET = os.environ.get("EDGEAFF_PLATFORM", "")  # another processor's, such as linux-aarch64 (make wheel-aarch64)
if TARGET:
    os.environ["_PYTHON_HOST_PLATFORM"] = (
        TARGET  # here and not outside, or the installer takes build tools for that processor
    )


def readme_for_index() -> str:
    """The README with its links to files of the repository spelled out, as a package index has no such files."""
    facts = (ROOT / "pyproject.toml").read_text(encoding="utf-8") + (ROOT / "edgeaff" / "version.py").read_text(
        encoding="utf-8"
    )
    source, version = (re.search(pattern, facts)[1] for pattern in (r'Source = "([^"]+)"', r'__version__ = "([^"]+)"'))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[([^\]]*)\]\((?!https?:)([^)\s]+)\)", rf"![\1]({source}/raw/v{version}/\2)", text)
    return re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", rf"]({source}/blob/v{version}/\1)", text)


def find_ninja() -> str:
    """The ninja of the running environment, so that a cached build folder never points at a deleted one."""
    try:
        import ninja
    except ImportError:
        return "ninja"
    return str(Path(ninja.BIN_DIR) / "ninja")


class CMakeBuild(build_ext):
    """Runs CMake once per (Python, CUDA mode, architectures) in a fixed build folder."""

    def build_extension(self, ext: Extension) -> None:
        cuda_mode = os.environ.get("EDGEAFF_CUDA", "AUTO").upper()
        if cuda_mode not in {"AUTO", "ON", "OFF"}:
            raise SystemExit(
                f"EDGEAFF_CUDA must be AUTO, ON or OFF, got {cuda_mode!r}; unset it or choose one of them."
            )
        architectures = os.environ.get("EDGEAFF_CUDA_ARCHS", "")
        output = Path(self.get_ext_fullpath(ext.name)).parent.resolve()
        tag = f"{sys.implementation.cache_tag}-{cuda_mode.lower()}-{architectures.replace(';', '_') or 'default'}"
        tag += f"-{TARGET}" if TARGET else ""
        build_folder = ROOT / "build" / tag
        build_folder.mkdir(parents=True, exist_ok=True)
        import pybind11

        configure = [
            "cmake",
            "-S",
            str(ROOT),
            "-B",
            str(build_folder),
            "-G",
            "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={find_ninja()}",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={output}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DEDGEAFF_CUDA={cuda_mode}",
            f"-DEDGEAFF_CUDA_ARCHS={architectures}",
            *shlex.split(os.environ.get("CMAKE_ARGS", "")),
        ]
        jobs = os.environ.get("EDGEAFF_BUILD_JOBS", str(min(2, os.cpu_count() or 1)))
        subprocess.run(configure, check=True)
        subprocess.run(["cmake", "--build", str(build_folder), "--parallel", jobs], check=True)


setup(
    long_description=readme_for_index(),
    long_description_content_type="text/markdown",
    ext_modules=[Extension("edgeaff.ops._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)

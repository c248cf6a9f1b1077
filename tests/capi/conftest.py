"""libedgeaff, built once into build/libedgeaff-build and installed into a folder of the test run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edgeaff.bundle import ModelBundle
from tests.capi.library import Library
from tests.packed_bundle import packed_bundle

ROOT = Path(__file__).parents[2]
OPTIONS = ("-DEDGEAFF_PYTHON=OFF", "-DEDGEAFF_CUDA=OFF", "-DEDGEAFF_TENSORRT=OFF", "-DEDGEAFF_LIBRARY=ON")


def run(*command: object) -> str:
    """Returns the output of a program that succeeds."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="session")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that libedgeaff was installed into, with a bundle that it can run."""
    folder, installed = ROOT / "build" / "libedgeaff-build", tmp_path_factory.mktemp("libedgeaff")
    run("cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", *OPTIONS)
    run("cmake", "--build", folder, "--parallel", os.environ.get("EDGEAFF_BUILD_JOBS", "2"))
    run("cmake", "--install", folder, "--prefix", installed)
    bundle = packed_bundle()
    ModelBundle.save(installed / "share" / "edgeaff" / "edge.eaff", bundle.manifest, bundle.members)
    return installed


@pytest.fixture(scope="session")
def bundle_path(prefix: Path) -> Path:
    """The installed bundle."""
    return prefix / "share" / "edgeaff" / "edge.eaff"


@pytest.fixture(scope="session")
def library(prefix: Path) -> Library:
    """The functions of the shared library."""
    return Library(prefix / "lib" / "libedgeaff.so.1")

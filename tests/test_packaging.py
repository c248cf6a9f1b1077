"""What is packed: one version, a README that works on a package index, a source archive with tests and docs."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from edgeaff.version import __version__

OF_A_MACHINE = {"build", "dist", "demo", "runs", "__pycache__"}  # made here, not kept


def setup_arguments(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Returns the arguments that setup.py passes to setuptools."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("setuptools.setup", lambda **arguments: given.update(arguments))
    runpy.run_path(str(root / "setup.py"))
    return given


def test_readme_for_an_index_has_absolute_links(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = setup_arguments(root, monkeypatch)["long_description"]
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert targets and all(target.startswith(("https://", "#")) for target in targets)
    for kind, path in re.findall(rf"/(raw|blob)/v{re.escape(__version__)}/([^)#\s]+)", text):
        assert (root / path).is_file() and (kind == "raw") == (Path(path).suffix == ".png")


def test_version_is_stated_once(root: Path) -> None:
    assert 'dynamic = ["version", "readme"]' in (root / "pyproject.toml").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in (root / "CITATION.cff").read_text(encoding="utf-8")


def test_source_archive_takes_every_folder(root: Path) -> None:
    manifest = (root / "MANIFEST.in").read_text(encoding="utf-8")
    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    kept = {name for name in folders if name not in OF_A_MACHINE and not name.endswith(".egg-info")}
    assert kept - {"edgeaff"} <= set(re.findall(r"^graft (\S+)$", manifest, re.MULTILINE))

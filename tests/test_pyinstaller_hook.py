"""The hooks of PyInstaller name what no import statement shows; a stand-in for PyInstaller's helpers answers them here."""

from __future__ import annotations

import pkgutil
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import edgeaff
from edgeaff import __pyinstaller
from edgeaff.cli.main import COMMANDS


def collect_submodules(package: str, filter: Callable[[str], bool] = lambda name: True) -> list[str]:
    folder = Path(edgeaff.__path__[0], *package.split(".")[1:])
    found = [package, *(module.name for module in pkgutil.iter_modules([str(folder)], f"{package}."))]
    return [name for name in found if filter(name)]


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    helpers = ModuleType("PyInstaller.utils.hooks")
    helpers.collect_submodules = collect_submodules  # type: ignore[attr-defined]
    helpers.collect_data_files = lambda package, excludes: [(package, excludes)]  # type: ignore[attr-defined]
    for name in ("PyInstaller", "PyInstaller.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "PyInstaller.utils.hooks", helpers)
    (folder,) = __pyinstaller.get_hook_dirs()
    return {path.stem.removeprefix("hook-"): runpy.run_path(str(path)) for path in Path(folder).glob("hook-*.py")}


def test_hooks_are_found_by_the_entry_point(root: Path) -> None:
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    assert '[project.entry-points.pyinstaller40]\nhook-dirs = "edgeaff.__pyinstaller:get_hook_dirs"' in text


def test_program_gets_the_bundle_and_every_module_that_is_loaded_lazily(hooks: dict[str, dict[str, Any]]) -> None:
    found = hooks["edgeaff"]
    assert found["datas"][0][0] == "edgeaff" and found["excludedimports"] == ["torch"]
    modules = set(found["hiddenimports"])
    homes = {home for home in edgeaff._HOMES.values() if home.count(".") == 1}
    assert homes <= modules and "edgeaff.ops" in modules
    assert not modules & {"edgeaff.cli", "edgeaff.training", "edgeaff.export", "edgeaff.bench"}
    assert found["is_wanted"]("edgeaff.backends.native") and not found["is_wanted"]("edgeaff.torch_ops.graph")


def test_command_line_gets_every_command(hooks: dict[str, dict[str, Any]]) -> None:
    assert {f"edgeaff.cli.{name}" for name in COMMANDS} <= set(hooks["edgeaff.cli.main"]["hiddenimports"])

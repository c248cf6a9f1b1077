"""The house is as docs/architecture.md states: every room has its line, and every module a layer that imports obey."""

from __future__ import annotations

import re
from pathlib import Path

LAYERLESS = {
    "__init__",
    "__main__",
    "__pyinstaller",
}  # the public names, loaded when asked for; the command; hooks of another


def rooms(root: Path) -> set[str]:
    package = root / "edgeaff"
    modules = {path.stem for path in package.glob("*.py")}
    return modules | {path.parent.name for path in package.glob("*/__init__.py")}


def test_every_room_has_one_line(root: Path) -> None:
    text = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `edgeaff/([a-z_]+)(?:/|\.py)` \|", text, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == (rooms(root) | {"assets"}) - LAYERLESS
    for name in listed:
        is_folder = f"`edgeaff/{name}/`" in text
        assert (root / "edgeaff" / name).is_dir() == is_folder


def test_every_folder_of_the_core_is_named(root: Path) -> None:
    text = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith("| `csrc/` |")]
    folders = {path.name for path in (root / "csrc").iterdir() if path.is_dir()}
    assert set(re.findall(r"`([a-z]+)/`", row)) - {"csrc"} == folders


def test_every_module_has_a_layer(root: Path) -> None:
    contract = (root / "pyproject.toml").read_text(encoding="utf-8").split("[[tool.importlinter.contracts]]")[1]
    layers = re.search(r"layers = \[(.*?)\]", contract, re.DOTALL)
    named = re.findall(r"[a-z_]+", layers[1])
    assert len(named) == len(set(named))
    assert set(named) == rooms(root) - LAYERLESS

"""Adds files that no import statement shows: the bundle, and the lazily loaded modules."""

from __future__ import annotations

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

APART = (
    "cli",
    "training",
    "export",
    "bench",
    "archive",
    "__main__",
    "__pyinstaller",
)  # added only if the program imports them


def is_wanted(name: str) -> bool:
    """Returns True if every program needs the module. name: dotted, from edgeaff on."""
    return name.split(".")[1:2] not in [[part] for part in APART] and "torch" not in name


datas = collect_data_files("edgeaff", excludes=["**/__pyinstaller/**"])
hiddenimports = collect_submodules("edgeaff", filter=is_wanted)
excludedimports = ["torch"]  # used only if the program imports it

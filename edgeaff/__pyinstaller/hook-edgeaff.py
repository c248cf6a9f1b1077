"""What a program that imports edgeaff needs and no import statement shows: the bundle, and modules that are loaded when asked for."""

from __future__ import annotations

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

APART = ("cli", "training", "export", "bench", "archive", "__main__", "__pyinstaller")  # a program that uses them imports them


def is_wanted(name: str) -> bool:
    """Returns whether a module belongs to every program. name: dotted, from edgeaff on."""
    return name.split(".")[1:2] not in [[part] for part in APART] and "torch" not in name


datas = collect_data_files("edgeaff", excludes=["**/__pyinstaller/**"])
hiddenimports = collect_submodules("edgeaff", filter=is_wanted)
excludedimports = ["torch"]  # edgeaff uses the caller's, and brings none

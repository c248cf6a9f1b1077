"""The command line loads each command by its name."""

from __future__ import annotations

from PyInstaller.utils.hooks import collect_submodules

hiddenimports = collect_submodules("edgeaff.cli")

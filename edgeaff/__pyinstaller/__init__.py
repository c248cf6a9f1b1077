"""PyInstaller hooks, found by the entry point `pyinstaller40`: they add the bundle and the lazily loaded modules."""

from __future__ import annotations

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """Returns the folder of the hooks."""
    return [str(Path(__file__).parent)]

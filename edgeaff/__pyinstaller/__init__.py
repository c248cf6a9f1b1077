"""Hooks of PyInstaller, which finds them by the entry point `pyinstaller40`: a frozen program has its bundle and its lazy modules."""

from __future__ import annotations

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """Returns the folder of the hooks."""
    return [str(Path(__file__).parent)]

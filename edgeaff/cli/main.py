"""The command line."""

from __future__ import annotations


def entry() -> int:
    """Runs the command line."""
    raise SystemExit(2)

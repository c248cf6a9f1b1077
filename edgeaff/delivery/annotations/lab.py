"""The door to pympi, which writes ELAN and Praat files."""

from __future__ import annotations

from typing import Any

from edgeaff.errors import BackendUnavailableError


def load_pympi() -> Any:
    """Returns pympi.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    try:
        import pympi
    except ImportError as error:
        raise BackendUnavailableError(
            f"ELAN and Praat files need pympi-ling, got: {error}; pip install 'edgeaff[lab]'."
        ) from error
    return pympi

"""Provenance of events: the bundle, the versions and the preprocessing behind them, for the metadata of stored tables."""

from __future__ import annotations

from collections.abc import Mapping

from edgeaff.bundle import ModelBundle
from edgeaff.types import EVENT_SCHEMA
from edgeaff.version import __version__

PREFIX = "edgeaff."


def provenance(bundle: ModelBundle | None = None, *, backend: str | None = None) -> dict[str, str]:
    """Returns the metadata that every stored table carries: string keys and values.

    Args:
        bundle: the bundle behind the events; None leaves its keys out.
        backend: the backend that computed the events, where one did for all of them.
    """
    entries: dict[str, str] = {"version": __version__, "event_schema": str(EVENT_SCHEMA)}
    if bundle is not None:
        entries["bundle"] = bundle.manifest.model_id
        if bundle.sha256 is not None:
            entries["bundle_sha256"] = bundle.sha256
        entries["fingerprint"] = str(bundle.spec.fingerprint)
    if backend is not None:
        entries["backend"] = backend
    return {PREFIX + name: value for name, value in entries.items()}


def without_prefix(metadata: Mapping[str, str]) -> dict[str, str]:
    """Returns the entries of edgeaff in the metadata of a table, with plain names."""
    return {name[len(PREFIX) :]: value for name, value in metadata.items() if name.startswith(PREFIX)}

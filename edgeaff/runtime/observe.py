"""What a Runtime shows on request: its counters and its health over HTTP."""

from __future__ import annotations

import dataclasses
import logging
import time
from importlib import import_module
from typing import Any

from edgeaff.delivery.status_server import StatusServer
from edgeaff.errors import ArgumentError
from edgeaff.naming import public_name

LOOPBACK = "127.0.0.1"
_log = logging.getLogger(__name__)


def parse_address(address: Any) -> tuple[str, int]:
    """Returns host and port of "host:port", ":port" or a port; without a host the loopback.

    Args:
        address: text, or an int.

    Raises:
        ArgumentError: it is none of these.
    """
    if isinstance(address, int) and not isinstance(address, bool):
        address = str(address)
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ArgumentError(
            f"serve must be host:port or a port, got {public_name(address)!r}; pass for example '127.0.0.1:9477'."
        )
    return host.strip("[]") or LOOPBACK, int(port)


def start_server(runtime: Any, address: Any) -> StatusServer:
    """Returns the server of /metrics, /status and /healthz, started.

    Args:
        runtime: a Runtime, asked at every request.
        address: see `parse_address`.

    Raises:
        ArgumentError: the address is malformed or cannot be listened on.
    """
    host, port = parse_address(address)
    if host not in (LOOPBACK, "localhost", "::1"):
        _log.warning("serve: %s can be reached from other machines; it asks nobody for a password", host)
    started = time.monotonic()
    return StatusServer(
        lambda: {"uptime_seconds": round(time.monotonic() - started, 3), **describe(runtime)},
        healthy=lambda: runtime.health().healthy,
        host=host,
        port=port,
    )


def describe(runtime: Any) -> dict[str, Any]:
    """Returns versions, health and counters as nested mappings of numbers, texts and None.

    Args:
        runtime: a Runtime.
    """
    return {
        "version": import_module("edgeaff").__version__,  # a plain import would make a circle
        "bundle": runtime.bundle.manifest["model_id"],
        "input": runtime.source_name,
        "health": runtime.health().to_dict(),
        "stats": dataclasses.asdict(runtime.stats()),
        "last_status": {
            str(index): f"{event.name}: {event.kind} {event.message}".strip()
            for index, event in enumerate(runtime.status.recent()[-5:])
        },
    }

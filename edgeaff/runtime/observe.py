"""What a Runtime shows on request: its counters and its health over HTTP."""

from __future__ import annotations

import dataclasses
import time
from importlib import import_module
from typing import Any

from edgeaff.listen.address import parse_listen_address
from edgeaff.listen.status_server import StatusServer


def parse_address(address: Any) -> tuple[str, int]:
    """Returns host and port of an address such as "host:port", ":port" or a port; without a host the loopback.

    Args:
        address: text, or an int; see `edgeaff.listen.address` for its options.

    Raises:
        ArgumentError: it is none of these.
    """
    host, port, _ = parse_listen_address(address)
    return host, port


def start_server(runtime: Any, address: Any) -> StatusServer:
    """Returns the server of /metrics, /status and /healthz, started.

    Args:
        runtime: a Runtime, asked at every request.
        address: see `edgeaff.listen.address`.

    Raises:
        ArgumentError: the address is malformed or cannot be listened on.
    """
    host, port, access = parse_listen_address(address)
    started = time.monotonic()
    return StatusServer(
        lambda: {"uptime_seconds": round(time.monotonic() - started, 3), **describe(runtime)},
        healthy=lambda: runtime.health().healthy,
        host=host,
        port=port,
        access=access,
    )


def describe(runtime: Any) -> dict[str, Any]:
    """Returns versions, health and counters as nested mappings of numbers, texts and None.

    Args:
        runtime: a Runtime.
    """
    return {
        "version": import_module("edgeaff").__version__,  # a plain import would make a circle
        "bundle": runtime.bundle.manifest.model_id,
        "input": runtime.source_name,
        "health": runtime.health().to_dict(),
        "stats": dataclasses.asdict(runtime.stats()),
        "last_status": {
            str(index): f"{event.name}: {event.kind} {event.message}".strip()
            for index, event in enumerate(runtime.status.recent()[-5:])
        },
    }

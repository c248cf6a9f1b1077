"""What a Runtime shows on request: its counters and its health over HTTP; and the sinks that are named by URI."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from edgeaff.delivery.open import open_sink
from edgeaff.delivery.status_server import StatusServer
from edgeaff.errors import ArgumentError
from edgeaff.naming import public_name
from edgeaff.recording.recorder import Recorder

LOOPBACK = "127.0.0.1"
RECORDING = ".eaffrec"
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


def open_sinks(sinks: Any, opened: contextlib.ExitStack, *, live: bool) -> list[tuple[Any, str | None]]:
    """Returns (sink, name for messages); what is a path or URI is opened, `*.eaffrec` as a Recorder.

    Args:
        sinks: sink objects, paths and URIs.
        opened: gets what was opened here, to close it where the runtime cannot be made.
        live: whether times are those of the monotonic clock.

    Raises:
        ArgumentError: sinks is no sequence, or one of them is neither a sink nor names one.
    """
    if isinstance(sinks, (str, os.PathLike)) or not isinstance(sinks, Sequence):
        raise ArgumentError(f"sinks must be a sequence of sinks and URIs, got {public_name(sinks)}; put it into brackets.")
    found: list[tuple[Any, str | None]] = []
    for given in sinks:
        sink, name = given, None
        if isinstance(given, (str, os.PathLike)):
            path, name = os.fspath(given), public_name(given)
            sink = Recorder(path) if path.endswith(RECORDING) else open_sink(path, live=live)
            opened.callback(sink.close)
        elif not (callable(getattr(sink, "write", None)) and callable(getattr(sink, "close", None))):
            raise ArgumentError(
                f"sinks must have write(event) and close(), or be URIs, got {sink!r}; see delivery.open."
            )
        found.append((sink, name))
    return found

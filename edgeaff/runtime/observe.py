"""Servers of a Runtime: counters and health over HTTP."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any, Protocol

from edgeaff.bundle import ModelBundle
from edgeaff.errors import ArgumentError
from edgeaff.listen.address import parse_listen_address
from edgeaff.listen.status_server import StatusServer
from edgeaff.runtime.stats import RuntimeHealth, RuntimeStats
from edgeaff.runtime.status import StatusChannel
from edgeaff.version import __version__

if TYPE_CHECKING:
    from edgeaff.live.server import LivePage


class Observed(Protocol):
    """Input of the servers of a Runtime."""

    @property
    def bundle(self) -> ModelBundle:
        """The bundle."""
        ...

    @property
    def source_name(self) -> str:
        """The public name of the sources."""
        ...

    @property
    def status(self) -> StatusChannel:
        """The channel of StatusEvents."""
        ...

    def health(self) -> RuntimeHealth:
        """Returns its health."""
        ...

    def stats(self) -> RuntimeStats:
        """Returns its counters."""
        ...


def parse_address(address: Any) -> tuple[str, int]:
    """Returns host and port of an address such as "host:port", ":port" or a port; without a host the loopback.

    Args:
        address: text, or an int; see `edgeaff.listen.address` for its options.

    Raises:
        ArgumentError: it is none of these.
    """
    host, port, _ = parse_listen_address(address)
    return host, port


def start_server(runtime: Observed, address: Any) -> StatusServer:
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


def check_live(address: Any, images: Any) -> None:
    """Checks the options of a live page.

    Args:
        address: as for `start_server`; None for no page.
        images: False, "crop" or "frame".

    Raises:
        ArgumentError: one of them is not what it must be, or images are requested without a page.
    """
    if images is not False and images not in ("crop", "frame"):
        raise ArgumentError(f"live_images must be False, 'crop' or 'frame', got {images!r}; leave it out for no image.")
    if address is not None:
        parse_listen_address(address, name="live")
    elif images is not False:
        raise ArgumentError(
            f"live must be an address where live_images is {images!r}, got None; pass for example live='127.0.0.1:0'."
        )


def start_page(runtime: Observed, address: Any, images: Any, max_faces: int) -> LivePage:
    """Returns the live page, started.

    Args:
        runtime: a Runtime, asked once a second while somebody watches.
        address: as for `start_server`.
        images: False, "crop" or "frame".
        max_faces: of the session.

    Raises:
        ArgumentError: the address is malformed or cannot be listened on.
        BackendUnavailableError: a package is missing.
    """
    from edgeaff.live.server import LivePage, Shown

    manifest = runtime.bundle.manifest
    limit = manifest.uncertainty.get("abstain_above_std")
    shown = Shown(
        input=runtime.source_name,
        bundle=manifest.model_id,
        backend=runtime.health().backend["name"],
        limits={} if limit is None else {"abstain_above_std": limit},
        smoothing=manifest.smoothing,
        max_faces=max_faces,
    )
    return LivePage(
        address,
        shown,
        status=lambda: describe(runtime),
        healthy=lambda: runtime.health().healthy,
        images=images or "",
        spec=manifest.spec,
    )


def describe(runtime: Observed) -> dict[str, Any]:
    """Returns versions, health and counters as nested mappings of numbers, texts and None.

    Args:
        runtime: a Runtime.
    """
    return {
        "version": __version__,
        "bundle": runtime.bundle.manifest.model_id,
        "input": runtime.source_name,
        "health": runtime.health().to_dict(),
        "stats": dataclasses.asdict(runtime.stats()),
        "last_status": {
            str(index): f"{event.name}: {event.kind} {event.message}".strip()
            for index, event in enumerate(runtime.status.recent()[-5:])
        },
    }

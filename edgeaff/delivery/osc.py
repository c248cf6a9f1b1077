"""Open Audio Control over UDP: one bundle of messages per event.

| address | arguments |
|---|---|
| `/edgeaff/tick` | pts_ns (int64), seq (int64), track id (int32, -1 without a face), status (string) |
| `/edgeaff/valence`, `/edgeaff/arousal` | value and std (double); left out where there is no number |
| `/edgeaff/speaking`, `/edgeaff/valence_relative`, `/edgeaff/arousal_relative` | value (double); left out likewise |
"""

from __future__ import annotations

import socket
from typing import Any

from edgeaff.closing import Closing
from edgeaff.delivery.files import EventEncoder
from edgeaff.errors import BackendUnavailableError
from edgeaff.listen.address import in_clear, noted
from edgeaff.types import DIMENSIONS, PEOPLE_FIELDS, AffectEvent

PREFIX = "/edgeaff"


class OscSink(EventEncoder, Closing):
    """Sends events to one receiver. A receiver that is absent costs nothing: UDP does not tell."""

    def __init__(self, host: str, port: int, *, prefix: str = PREFIX) -> None:
        """Opens the socket.

        Args:
            host: name or address of the receiver.
            port: its UDP port.
            prefix: first part of every address.

        Raises:
            BackendUnavailableError: python-osc is not installed.
        """
        try:
            from pythonosc import osc_bundle_builder, osc_message_builder
        except ImportError as error:
            raise BackendUnavailableError(
                f"osc:// needs python-osc, got: {error}; pip install 'edgeaff[lab]'."
            ) from error
        self._bundles, self._messages = osc_bundle_builder, osc_message_builder
        self._prefix = "/" + prefix.strip("/")
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._address: tuple[Any, ...] = address
        self._socket = socket.socket(family, kind, protocol)
        self.notices = noted(in_clear(f"osc://{host}:{port}: events", str(address[0])))

    def write(self, event: AffectEvent) -> None:
        """Sends one event. OSError where the network is down."""
        bundle = self._bundles.OscBundleBuilder(self._bundles.IMMEDIATELY)
        track = -1 if event.face is None else event.face.track_id
        tick = [(event.pts_ns, "h"), (event.seq, "h"), (track, "i"), (event.status.value, "s")]
        bundle.add_content(self._message("tick", tick))
        row = self.as_row(event)
        for name in DIMENSIONS:
            value, std = row[name], row[f"{name}_std"]
            if value is not None:
                bundle.add_content(self._message(name, [(value, "d"), *([] if std is None else [(std, "d")])]))
        for name in PEOPLE_FIELDS:
            if row.get(name) is not None:
                bundle.add_content(self._message(name, [(row[name], "d")]))
        self._socket.sendto(bundle.build().dgram, self._address)

    def _message(self, name: str, arguments: list[tuple[Any, str]]) -> Any:
        message = self._messages.OscMessageBuilder(address=f"{self._prefix}/{name}")
        for value, kind in arguments:
            message.add_arg(value, kind)
        return message.build()

    def close(self) -> None:
        """Closes the socket; may be called again."""
        self._socket.close()

"""A sink that publishes events to an MQTT broker."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from edgeaff.delivery.files import EventEncoder
from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.listen.address import in_clear, noted
from edgeaff.types import AffectEvent

_MAX_QUEUED = 256
_QUEUE_FULL = 15  # paho's MQTT_ERR_QUEUE_SIZE
_NO_CONNECTION = 4  # paho's MQTT_ERR_NO_CONN: queued until it is back


@dataclass(frozen=True, slots=True)
class BrokerTls:
    """How a broker is spoken to with encryption; its name is checked against its certificate in any case.

    Attributes:
        ca: PEM file of the authorities that are trusted; None for those of the system.
        certificate: PEM file of our own certificate, for brokers that ask.
        key: PEM file of its private key; None where it stands in the same file.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def context(self) -> ssl.SSLContext:
        """Returns the TLS context for paho.

        Raises:
            ArgumentError: a file cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key, password=lambda: b"")  # never ask on a terminal
        except (OSError, ValueError) as error:  # SSLError is an OSError
            reason = getattr(error, "strerror", None) or str(error)
            raise ArgumentError(
                f"ca, cert and key must be PEM files, without a passphrase, got {self.ca or self.certificate!r} ({reason}); "
                "check the files."
            ) from error
        return context


class MqttSink(EventEncoder):
    """Publishes the JSON of every event on a topic. Connects, and reconnects, on its own thread.

    With qos 0 events are lost while the broker is away (counted in `lost`); with qos 1 or 2 the last 256 wait for it.
    """

    def __init__(
        self,
        host: str,
        port: int = 1883,
        *,
        topic: str = "edgeaff/events",
        qos: int = 0,
        login: tuple[str, str | None] | None = None,
        tls: BrokerTls | None = None,
    ) -> None:
        """Starts connecting.

        Args:
            host: name or address of the broker.
            port: its port.
            topic: topic to publish on.
            qos: MQTT quality of service, 0, 1 or 2.
            login: (user name, password) for brokers that ask.
            tls: how to encrypt; None sends in clear, with a warning where the broker is another machine.

        Raises:
            BackendUnavailableError: paho-mqtt is not installed.
            ArgumentError: qos or topic is not what it must be.
        """
        if qos not in (0, 1, 2):
            raise ArgumentError(f"qos must be 0, 1 or 2, got {qos!r}; 0 is enough for events 30 times a second.")
        if not topic or "+" in topic or "#" in topic:
            raise ArgumentError(f"topic must be a topic without wildcards, got {topic!r}; for example edgeaff/events.")
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise BackendUnavailableError(
                f"MqttSink needs paho-mqtt, got: {error}; run `pip install 'edgeaff[mqtt]'`."
            ) from error
        self._topic, self._qos = topic, qos
        self.lost = 0
        self._client: Any = Client(CallbackAPIVersion.VERSION2)
        if login is not None:
            self._client.username_pw_set(*login)
        if tls is not None:
            self._client.tls_set_context(tls.context())
        what = "events" if login is None or login[1] is None else "events and the password"
        clear = None if tls is not None else in_clear(f"mqtt://{host}:{port}: {what}", host)
        self.notices = noted(clear and f"{clear} Use mqtts://.")
        self._client.max_queued_messages_set(_MAX_QUEUED)
        self._client.reconnect_delay_set(min_delay=1, max_delay=2)
        self._client.connect_async(host, port, keepalive=5)
        self._client.loop_start()

    @property
    def connected(self) -> bool:
        """True while the broker answers."""
        return bool(self._client.is_connected())

    def write(self, event: AffectEvent) -> None:
        """Publishes one event; never waits."""
        if self._qos == 0 and not self.connected:
            self.lost += 1
            return
        result = self._client.publish(self._topic, self.as_json(event), qos=self._qos)
        if result.rc == _QUEUE_FULL or (self._qos == 0 and result.rc == _NO_CONNECTION):
            self.lost += 1

    def close(self) -> None:
        """Disconnects."""
        self._client.disconnect()
        self._client.loop_stop()

"""A sink that publishes events to an MQTT broker."""

from __future__ import annotations

from typing import Any

from edgeaff.delivery.files import event_json
from edgeaff.errors import ArgumentError, BackendUnavailableError
from edgeaff.types import AffectEvent

_MAX_QUEUED = 256
_QUEUE_FULL = 15  # paho's MQTT_ERR_QUEUE_SIZE
_NO_CONNECTION = 4  # paho's MQTT_ERR_NO_CONN: queued until it is back


class MqttSink:
    """Publishes the JSON of every event on a topic. Connects, and reconnects, on a thread of its own.

    With qos 0 events are lost while the broker is away (counted in `lost`); with qos 1 or 2 the last 256 wait for it.
    """

    def __init__(
        self,
        host: str,
        port: int = 1883,
        *,
        topic: str = "edgeaff/events",
        qos: int = 0,
        username: str | None = None,
        password: str | None = None,
    ) -> None:
        """Starts connecting.

        Args:
            host: name or address of the broker.
            port: its port.
            topic: topic to publish on.
            qos: MQTT quality of service, 0, 1 or 2.
            username: for brokers that ask.
            password: for brokers that ask.

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
        if username is not None:
            self._client.username_pw_set(username, password)
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
        result = self._client.publish(self._topic, event_json(event), qos=self._qos)
        if result.rc == _QUEUE_FULL or (self._qos == 0 and result.rc == _NO_CONNECTION):
            self.lost += 1

    def close(self) -> None:
        """Disconnects."""
        self._client.disconnect()
        self._client.loop_stop()

"""MqttSink with mosquitto: events arrive, a broker that is killed costs events but not the sink."""

import time

import pytest

from edgeaff.delivery.mqtt import MqttSink
from tests.delivery.events import events
from tests.waiting import wait_until

pytestmark = pytest.mark.system


def test_events_arrive_complete_and_in_order(broker, received):
    sink = MqttSink("127.0.0.1", broker.port, topic="test/affect")
    wait_until(lambda: sink.connected, 5.0, "connection")
    sent = events(100)
    for event in sent:
        sink.write(event)
    wait_until(lambda: len(received) == 100, 5.0, "delivery")
    assert received == [event.to_dict() for event in sent] and sink.lost == 0
    sink.close()


def test_killed_broker_is_found_again_and_what_was_lost_is_counted(broker, received):
    sink = MqttSink("127.0.0.1", broker.port, topic="test/affect")
    wait_until(lambda: sink.connected, 5.0, "connection")
    broker.kill()
    wait_until(lambda: not sink.connected, 10.0, "loss")
    started = time.monotonic()
    for event in events(30):
        sink.write(event)
    assert time.monotonic() - started < 0.1 and sink.lost == 30
    broker.start()
    returned = time.monotonic()
    wait_until(lambda: sink.connected, 10.0, "recovery")
    assert time.monotonic() - returned < 3.0

    def heard():
        sink.write(events(1)[0])
        return received

    wait_until(heard, 10.0, "delivery after recovery")
    sink.close()

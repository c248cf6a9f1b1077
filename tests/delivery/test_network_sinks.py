import json
import socket
import threading
import time

import pytest

from edgeaff.delivery.mqtt import MqttSink
from edgeaff.delivery.open import open_sink
from edgeaff.delivery.queued import QueuedSink
from edgeaff.delivery.sockets import UdpSink, WebSocketSink
from edgeaff.errors import ArgumentError
from tests.delivery.events import EMPTY, FULL, events


def test_udp_sends_one_json_datagram_per_event():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(2.0)
        sink = open_sink(f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        assert isinstance(sink, QueuedSink)
        for event in (FULL, EMPTY):
            sink.write(event)
            assert json.loads(receiver.recv(65536)) == event.to_dict()
        sink.close()


def test_udp_without_a_receiver_is_no_error():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    sink = UdpSink("127.0.0.1", port)
    for event in events(5):
        sink.write(event)
    sink.close()


def test_udp_to_a_name_that_does_not_resolve_is_refused():
    with pytest.raises(ArgumentError, match="must name a receiver"):
        UdpSink("no.such.host.invalid", 5000)


def test_websocket_serves_every_client_and_skips_for_slow_ones():
    from websockets.sync.client import connect

    sink = WebSocketSink(port=0)
    address = f"ws://127.0.0.1:{sink.port}"
    with connect(address) as first, connect(address) as second:
        stop = threading.Event()

        def keep_writing():
            for event in events(10_000):
                if stop.wait(0.005):
                    return
                sink.write(event)

        writer = threading.Thread(target=keep_writing)
        writer.start()
        numbers = [[json.loads(client.recv(timeout=2.0))["seq"] for _ in range(20)] for client in (first, second)]
        stop.set()
        writer.join()
    for seen in numbers:
        assert seen == sorted(set(seen))
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 1.0


def test_websocket_listens_on_the_loopback_only_by_default():
    sink = WebSocketSink(port=0)
    assert sink._server.socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(ArgumentError, match="choose another port"):
        WebSocketSink(port=sink.port)
    sink.close()


def test_client_that_goes_away_does_not_disturb_the_sink():
    from websockets.sync.client import connect

    sink = WebSocketSink(port=0)
    with connect(f"ws://127.0.0.1:{sink.port}"):
        sink.write(FULL)
    for event in events(10):
        sink.write(event)
    sink.close()


def test_mqtt_without_a_broker_loses_and_counts_and_closes_quickly():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    sink = MqttSink("127.0.0.1", port)
    for event in events(5):
        sink.write(event)
    assert sink.lost == 5 and not sink.connected
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 2.0


@pytest.mark.parametrize(("option", "value"), [("qos", 3), ("topic", "a/#"), ("topic", "")])
def test_mqtt_options_are_checked(option, value):
    with pytest.raises(ArgumentError, match=option):
        MqttSink("127.0.0.1", **{option: value})


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("events.txt", "must end in .jsonl, .csv, .vtt, .parquet"),
        ("http://host:80", "udp://, ws://, mqtt://, osc://, lsl:"),
        ("udp://host", "udp://host:port"),
        ("ws://:80", "ws://host:port"),
        ("udp://host:99999", "port"),
    ],
)
def test_unknown_output_is_refused(uri, expected):
    with pytest.raises(ArgumentError, match="output must") as caught:
        open_sink(uri)
    assert expected in str(caught.value)


def test_file_outputs_are_chosen_by_suffix(tmp_path):
    for suffix in ("jsonl", "csv", "vtt"):
        sink = open_sink(tmp_path / f"events.{suffix}")
        sink.write(FULL)
        sink.close()
        assert (tmp_path / f"events.{suffix}").stat().st_size > 20

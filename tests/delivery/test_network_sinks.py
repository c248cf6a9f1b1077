import json
import socket
import ssl
import threading
import time

import pytest

from edgeaff.delivery.files import event_json
from edgeaff.delivery.mqtt import MqttSink
from edgeaff.delivery.open import open_sink
from edgeaff.delivery.queued import QueuedSink
from edgeaff.delivery.sockets import UdpSink, WebSocketSink
from edgeaff.errors import ArgumentError
from tests.delivery.events import EMPTY, FULL, events
from tests.listen.certificates import make_certificates
from tests.waiting import wait_until


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
    assert sink.url == f"ws://127.0.0.1:{sink.port}"
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


class TlsBroker:
    """As much of an MQTT broker as one publisher needs, behind TLS; keeps what it gets."""

    def __init__(self, certificates):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates["server.pem"], certificates["server.key"])
        self.listening = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        self.port = self.listening.getsockname()[1]
        self.got, self.refused = b"", 0
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self):
        while True:
            try:
                with self.listening.accept()[0] as client:
                    client.recv(4096)
                    client.sendall(bytes([0x20, 2, 0, 0]))  # CONNACK
                    while data := client.recv(65536):
                        self.got += data
            except ssl.SSLError:
                self.refused += 1
            except OSError:
                return


@pytest.mark.needs_sign
def test_mqtts_encrypts_and_trusts_the_authority_that_is_named(tmp_path):
    certificates = make_certificates(tmp_path)
    broker = TlsBroker(certificates)
    with open_sink(f"mqtts://u:hunter2@127.0.0.1:{broker.port}/affect?ca={certificates['ca.pem']}") as sink:
        assert sink.notices == []
        wait_until(lambda: not sink.failing, what="connection")
        sink.write(FULL)
        wait_until(lambda: event_json(FULL).encode() in broker.got, what="event")
    for uri in (
        f"mqtts://127.0.0.1:{broker.port}",
        f"mqtts://127.0.0.1:{broker.port}?ca={certificates['stranger.pem']}",
    ):
        with open_sink(uri) as sink:
            before = broker.refused
            wait_until(lambda before=before: broker.refused > before, what="refusal")
            assert sink.failing
    broker.listening.close()


@pytest.mark.parametrize(
    "uri", ["mqtts://h?ca=/no/such.pem", "mqtts://h?cafile=x", "mqtt://h?ca=x", "udp://h:1?x=y", "ws://h:1?x=y"]
)
def test_option_of_a_network_sink_that_is_none_is_an_error(uri):
    with pytest.raises(ArgumentError, match="must be"):
        open_sink(uri)


@pytest.mark.parametrize(("option", "value"), [("qos", 3), ("topic", "a/#"), ("topic", "")])
def test_mqtt_options_are_checked(option, value):
    with pytest.raises(ArgumentError, match=option):
        MqttSink("127.0.0.1", **{option: value})


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("events.txt", "must end in .jsonl, .csv, .vtt, .parquet"),
        ("http://host:80", "udp://, ws://, wss://, mqtt://, mqtts://, osc://, lsl:"),
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

"""What clients may cost: threads, connections, time; and that none of them holds up the end."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest
from websockets.sync.client import connect

import edgeaff
from edgeaff.delivery.open import open_sink
from edgeaff.delivery.sockets import WebSocketSink
from edgeaff.errors import ArgumentError
from edgeaff.listen.address import Access
from edgeaff.listen.messages import Response
from edgeaff.listen.server import Limits, Listener
from edgeaff.listen.status_server import StatusServer
from tests.delivery.events import FULL, events
from tests.listen.certificates import make_certificates
from tests.listen.clients import Crowd, ask, talk
from tests.waiting import wait_until

IMAGE = np.full((48, 64, 3), 128, np.uint8)
TRICKLE = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"z" * 4000
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def open_files():
    return len(os.listdir("/proc/self/fd"))


def small_socket(port, data=b""):
    """Returns a connection that takes in very little."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.connect(("127.0.0.1", port))
    client.sendall(data)
    return client


# --- limits ---------------------------------------------------------------------------------------------------------------------


def test_crowd_that_trickles_costs_neither_threads_nor_files_and_stops_no_honest_client():
    with StatusServer(lambda: {"a": 1}, port=0) as server:
        threads = threading.active_count()
        files = open_files()
        with Crowd(server.port, 100, TRICKLE) as crowd:
            wait_until(lambda: crowd.connects > 150, 10.0, "a crowd")
            for _ in range(20):
                started = time.monotonic()
                assert ask(server.port).startswith(b"HTTP/1.1 200 ")
                assert time.monotonic() - started < 2.0
            assert threading.active_count() == threads + 1  # the crowd's
            assert open_files() - files <= crowd.count + 32 + 5
        started = time.monotonic()
    assert time.monotonic() - started < 1.0


def test_request_that_takes_too_long_is_cut_off():
    limits = Limits(head_seconds=0.3, request_seconds=0.5)
    with StatusServer(dict, port=0, limits=limits) as server:
        started = time.monotonic()
        assert talk(server.port, b"GET /status HT") == b""
        assert 0.2 < time.monotonic() - started < 1.5


def test_client_that_does_not_take_its_answer_is_cut_off():
    big = Response(200, "text/plain", b"x" * 20_000_000)
    limits = Limits(head_seconds=0.2, request_seconds=0.5)
    with Listener(lambda request: big, limits=limits) as server:
        client = small_socket(server.port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_until(lambda: server._connections, 2.0, "connection")
        wait_until(lambda: not server._connections, 2.0, "end of the connection")
        client.close()


def test_answers_come_to_more_clients_at_once_than_there_are_connections():
    with StatusServer(lambda: {"a": 1}, port=0, limits=Limits(connections=4, streams=2)) as server:
        results = []
        clients = [threading.Thread(target=lambda: results.append(ask(server.port)[:15])) for _ in range(40)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(5.0)
    assert results == [b"HTTP/1.1 200 OK"] * 40


def test_streams_are_bounded_and_leave_room_for_requests():
    sink = WebSocketSink(port=0, limits=Limits(streams=2))
    clients = [connect(sink.url) for _ in range(2)]
    assert talk(sink.port, HANDSHAKE).startswith(b"HTTP/1.1 503 ")
    clients.pop().close()
    wait_until(lambda: sink._server.clients == 1)
    connect(sink.url).close()
    clients.pop().close()
    sink.close()


def test_limits_follow_the_files_that_the_process_may_open():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))\n"
        "import socket, sys\n"
        "from edgeaff.listen.status_server import StatusServer\n"
        "server = StatusServer(lambda: {'a': 1}, port=0)\n"
        "clients = []\n"
        "for _ in range(40):\n"
        "    clients.append(socket.create_connection(('127.0.0.1', server.port)))\n"
        "    clients[-1].sendall(b'GET')\n"
        "import time; time.sleep(0.3)\n"
        "files = [open('/dev/null') for _ in range(20)]\n"
        "server.close(); print('ended')\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert result.stdout == "ended\n", result.stderr


def test_accepting_waits_where_no_file_can_be_opened():
    with StatusServer(lambda: {"a": 1}, port=0) as server:
        listener = server._listener
        real, listener._socket = listener._socket, Exhausted(listener._socket)
        listener.loop.call_soon_threadsafe(listener._accept)
        wait_until(lambda: listener._socket.tries, what="an attempt")
        time.sleep(0.2)
        assert listener._socket.tries == 1
        listener._socket = real
        assert ask(server.port).startswith(b"HTTP/1.1 200 ")


class Exhausted:
    """A listening socket of a process that has no file descriptor left."""

    def __init__(self, real):
        self.real, self.tries = real, 0

    def accept(self):
        self.tries += 1
        raise OSError(24, "Too many open files")

    def __getattr__(self, name):
        return getattr(self.real, name)


# --- WebSockets -----------------------------------------------------------------------------------------------------------------


def test_client_that_never_reads_costs_no_memory_and_holds_up_nobody():
    sink = WebSocketSink(port=0, limits=Limits(send_buffer_bytes=4096))
    deaf = small_socket(sink.port, HANDSHAKE)
    with connect(sink.url) as client:
        wait_until(lambda: sink._server.clients == 2)
        seen = []
        for event in events(400):
            sink.write(event)
            seen.append(json.loads(client.recv(timeout=2.0))["seq"])
        assert seen == list(range(400)) and sink.skipped > 100
        waiting = [stream._transport.get_write_buffer_size() for stream in sink._server._streams]
        assert max(waiting) < 16_384
    started = time.monotonic()
    sink.close()
    assert time.monotonic() - started < 1.0
    deaf.close()


def test_slow_client_gets_the_newest_event_when_it_reads_again():
    sink = WebSocketSink(port=0, limits=Limits(send_buffer_bytes=4096))
    with connect(sink.url, max_queue=1) as client:
        wait_until(lambda: sink._server.clients)
        for event in events(3000):
            sink.write(event)
        wait_until(lambda: sink.skipped > 500, what="skipping")
        seen = []
        while not seen or seen[-1] < 2999:
            seen.append(json.loads(client.recv(timeout=2.0))["seq"])
    assert seen == sorted(set(seen)) and len(seen) < 2600
    sink.close()


def test_client_that_answers_no_ping_is_cut_off():
    sink = WebSocketSink(port=0, limits=Limits(stall_seconds=0.2))
    silent = small_socket(sink.port, HANDSHAKE)
    wait_until(lambda: sink._server.clients, what="connection")
    wait_until(lambda: not sink._server.clients, 3.0, "end of the silent client")
    with connect(sink.url) as client:  # answers pings
        time.sleep(1.0)
        sink.write(FULL)
        assert json.loads(client.recv(timeout=2.0))["seq"] == FULL.seq
    silent.close()
    sink.close()


def test_client_that_floods_is_cut_off():
    sink = WebSocketSink(port=0, limits=Limits(inbound_bytes_per_second=1000))
    client = small_socket(sink.port, HANDSHAKE)
    wait_until(lambda: sink._server.clients, what="connection")
    with pytest.raises(OSError, match="reset|Broken pipe"):
        for _ in range(1000):
            client.sendall(b"\x89\x84" + bytes(8))  # pings
            time.sleep(0.0005)
    client.close()
    sink.close()


@pytest.mark.parametrize(
    "handshake",
    [
        HANDSHAKE.replace(b"Version: 13", b"Version: 8"),
        HANDSHAKE.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"short"),
        HANDSHAKE.replace(b"GET", b"POST"),
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        HANDSHAKE.replace(b"websocket", b"h2c"),
    ],
)
def test_other_handshakes_are_refused(handshake):
    sink = WebSocketSink(port=0)
    assert int(talk(sink.port, handshake).split(b" ")[1]) in (400, 405, 426)
    sink.close()


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 200, b"\x81\x05hello", b"\x81\xff" + b"\xff" * 8 + bytes(100), b"\x88\x80" + bytes(4)]
)
def test_frames_that_are_none_end_that_client_only(garbage):
    sink = WebSocketSink(port=0)
    talk(sink.port, HANDSHAKE + garbage, timeout=3.0)
    with connect(sink.url) as client:
        wait_until(lambda: sink._server.clients == 1)
        sink.write(FULL)
        assert json.loads(client.recv(timeout=2.0))["seq"] == FULL.seq
    sink.close()


# --- the end --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("close", [True, False])
def test_process_ends_under_any_client(close):
    code = (
        "import sys\nfrom edgeaff.delivery.sockets import WebSocketSink\nfrom edgeaff.listen.status_server import StatusServer\n"
        "from edgeaff.listen.server import Limits\nfrom tests.delivery.events import FULL\n"
        "sink, server = WebSocketSink(port=0), StatusServer(dict, port=0)\n"
        "print(sink.port, server.port, flush=True)\nsys.stdin.readline()\n"
        "for _ in range(20000): sink.write(FULL)\n"
    ) + ("sink.close(); server.close()\n" if close else "")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        ports = [int(port) for port in process.stdout.readline().split()]
        clients = [small_socket(ports[0], HANDSHAKE), small_socket(ports[0]), small_socket(ports[1], b"GET /sta")]
        time.sleep(0.2)
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait(10.0) == 0
        for client in clients:
            client.close()


def test_runtime_with_a_crowd_and_a_deaf_client_misses_no_tick():
    with edgeaff.Runtime(video=edgeaff.PushVideo(), serve=0, sinks=["ws://127.0.0.1:0"]) as runtime:
        sink = runtime._outlets.queued_sinks[0]
        deaf = small_socket(sink._sink.port, HANDSHAKE)
        port = int(runtime.serve_url.rsplit(":", 1)[1])
        seen = []
        with Crowd(port, 60, TRICKLE, period=0.1), Crowd(sink._sink.port, 40, TRICKLE, period=0.1):
            started = time.monotonic()
            threads = threading.active_count()
            while time.monotonic() - started < 2.0:
                runtime.push_frame(IMAGE)
                while (event := runtime.poll(0.0)) is not None:
                    seen.append(round(event.pts_ns * 30 / 1e9))
                time.sleep(1 / 30)
            assert threading.active_count() <= threads
            with urllib.request.urlopen(f"{runtime.serve_url}/healthz", timeout=5) as answer:
                assert answer.status == 200
        deaf.close()
        started = time.monotonic()
    assert time.monotonic() - started < 1.5
    assert len(seen) > 30 and seen == list(range(seen[0], seen[0] + len(seen)))


@pytest.mark.slow
def test_eight_hundred_clients_that_trickle_cost_no_tick_and_no_thread():
    code = (
        "import sys, time\nfrom tests.listen.clients import Crowd\nfrom tests.listen.test_server import TRICKLE\n"
        "with Crowd(int(sys.argv[1]), 800, TRICKLE, period=0.2): time.sleep(20)\n"
    )
    with edgeaff.Runtime(video=edgeaff.PushVideo(), serve=0, sinks=["ws://127.0.0.1:0"]) as runtime:
        sink = runtime._outlets.queued_sinks[0]
        deaf = small_socket(sink._sink.port, HANDSHAKE)
        ports = [runtime.serve_url.rsplit(":", 1)[1], str(sink._sink.port)]
        threads, files, seen, waits = threading.active_count(), open_files(), [], []
        crowds = [subprocess.Popen([sys.executable, "-c", code, port]) for port in ports]
        started = asked = time.monotonic()
        while time.monotonic() - started < 15.0:
            runtime.push_frame(IMAGE)
            while (event := runtime.poll(0.0)) is not None:
                seen.append(round(event.pts_ns * 30 / 1e9))
            if time.monotonic() - asked > 1.0:
                asked = time.monotonic()
                assert ask(int(ports[0]), path="/healthz").startswith(b"HTTP/1.1 200 ")
                waits.append(time.monotonic() - asked)
            assert threading.active_count() <= threads and open_files() <= files + 80
            time.sleep(1 / 30)
        for crowd in crowds:
            crowd.kill()
            crowd.wait()
        deaf.close()
        dropped = runtime.stats().events_dropped
    assert len(seen) > 400 and seen == list(range(seen[0], seen[0] + len(seen))) and dropped == 0
    assert max(waits) < 5.0


def test_forked_child_leaves_the_server_alone():
    with StatusServer(lambda: {"a": 1}, port=0) as server:
        child = os.fork()
        if child == 0:
            server.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert ask(server.port).startswith(b"HTTP/1.1 200 ")


# --- TLS ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.mark.needs_sign
def test_server_speaks_tls(certificates):
    access = Access(certificate=certificates["server.pem"], key=certificates["server.key"])
    trusting = ssl.create_default_context(cafile=certificates["ca.pem"])
    with StatusServer(lambda: {"a": 1}, port=0, access=access) as server:
        assert server.url.startswith("https://127.0.0.1:")
        with urllib.request.urlopen(f"{server.url}/status", context=trusting, timeout=5) as answer:
            assert json.load(answer) == {"a": 1}
        assert b"HTTP/1.1" not in talk(server.port, b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        with Crowd(server.port, 40, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)) as crowd:
            wait_until(lambda: crowd.connects > 60, 10.0, "a crowd")
            with urllib.request.urlopen(f"{server.url}/status", context=trusting, timeout=5) as answer:
                assert answer.status == 200


@pytest.mark.needs_sign
def test_websocket_speaks_tls_by_its_uri(certificates):
    trusting = ssl.create_default_context(cafile=certificates["ca.pem"])
    uri = f"wss://127.0.0.1:0?cert={certificates['server.pem']}&key={certificates['server.key']}"
    with open_sink(uri) as sink, connect(sink._sink.url, ssl=trusting) as client:
        wait_until(lambda: sink._sink._server.clients)
        sink.write(FULL)
        assert json.loads(client.recv(timeout=2.0))["seq"] == FULL.seq


@pytest.mark.needs_sign
def test_client_certificate_is_required_where_an_authority_is_named(certificates):
    access = Access(
        certificate=certificates["server.pem"], key=certificates["server.key"], client_ca=certificates["ca.pem"]
    )
    with StatusServer(lambda: {"a": 1}, port=0, access=access) as server:
        for name, welcome in (("client", True), ("stranger", False), (None, False)):
            context = ssl.create_default_context(cafile=certificates["ca.pem"])
            if name is not None:
                context.load_cert_chain(certificates[f"{name}.pem"], certificates[f"{name}.key"])
            try:
                with urllib.request.urlopen(f"{server.url}/status", context=context, timeout=5) as answer:
                    assert welcome and answer.status == 200
            except OSError:
                assert not welcome


@pytest.mark.needs_sign
def test_certificate_that_cannot_be_used_is_an_error(certificates, tmp_path):
    (tmp_path / "none.pem").write_text("no certificate")
    for certificate, key in (
        ("/no/such.pem", None),
        (str(tmp_path / "none.pem"), None),
        (certificates["server.pem"], certificates["client.key"]),
    ):
        with pytest.raises(ArgumentError, match="PEM files that belong together"):
            StatusServer(dict, port=0, access=Access(certificate=certificate, key=key))
    with pytest.raises(ArgumentError, match="add .cert=FILE&key=FILE"):
        open_sink("wss://127.0.0.1:0")

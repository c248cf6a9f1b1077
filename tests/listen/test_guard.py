"""Who may come in: hosts, origins, tokens, addresses; over real connections."""

from __future__ import annotations

import json
import logging

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import edgeaff
from edgeaff.delivery.open import open_sink
from edgeaff.delivery.sockets import UdpSink, WebSocketSink
from edgeaff.errors import ArgumentError
from edgeaff.listen.address import Access, is_loopback, parse_listen_address
from edgeaff.listen.guard import Guard
from edgeaff.listen.messages import BadRequest, parse_head, text_response
from edgeaff.listen.server import Listener
from edgeaff.listen.status_server import StatusServer
from tests.delivery.events import FULL
from tests.listen.clients import ask, talk
from tests.waiting import wait_until

SECRET = "valence of a person"


def serve(access=None):
    return StatusServer(lambda: {"secret": SECRET}, port=0, access=access)


# --- hosts ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "127.0.0.1:9477", "localhost:1"])
def test_own_host_is_answered(host):
    with serve() as server:
        assert SECRET.encode() in ask(server.port, host=host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9477",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example@127.0.0.1",
        "",
        "localhost.",
        "127.0.0.1:x",
        "0.0.0.0",
        "127.0.0.1, evil.example",
        "127.1",
        "2130706433",
        "localhost evil.example",
        None,
    ],
)
def test_foreign_host_reads_nothing(host):
    with serve() as server:
        for path in ("/status", "/metrics", "/healthz"):
            answer = ask(server.port, host=host, path=path)
            assert answer.startswith(b"HTTP/1.1 403 ") and SECRET.encode() not in answer and b"evil" not in answer


def test_host_that_is_stated_twice_reads_nothing():
    with serve() as server:
        assert ask(server.port, "Host: evil.example").startswith(b"HTTP/1.1 403 ")


def test_further_hosts_can_be_named():
    with serve(Access(hosts=("kiosk.lan",))) as server:
        assert SECRET.encode() in ask(server.port, host="kiosk.lan:80")
        assert SECRET.encode() not in ask(server.port, host="other.lan:80")


def test_server_of_the_network_is_reached_by_its_address_and_name(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Kiosk")
    guard = Guard("0.0.0.0", Access())
    mapped = parse_head(b"GET / HTTP/1.1\r\nHost: 192.168.1.5\r\n\r\n")
    assert Guard("::", Access()).refusal(mapped, "::ffff:192.168.1.5") is None

    def is_answered(host):
        return guard.refusal(parse_head(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()), "192.168.1.5") is None

    assert all(map(is_answered, ["192.168.1.5:9477", "kiosk", "kiosk.local:80", "localhost"]))
    assert not any(map(is_answered, ["192.168.1.6", "0.0.0.0", "kiosk.evil.example"]))


# --- origins --------------------------------------------------------------------------------------------------------------------


def test_page_of_a_foreign_origin_reads_nothing():
    with serve() as server:
        own = f"http://127.0.0.1:{server.port}"
        for origin in (
            "https://evil.example",
            "null",
            "http://localhost:3000",
            f"https://127.0.0.1:{server.port}",
            f"{own}.evil.example",
            "http://127.0.0.1",
            "*",
            "",
        ):
            answer = ask(server.port, f"Origin: {origin}", host=f"127.0.0.1:{server.port}")
            assert (
                answer.startswith(b"HTTP/1.1 403 ")
                and SECRET.encode() not in answer
                and b"Access-Control" not in answer
            ), origin
        assert SECRET.encode() in ask(server.port, f"Origin: {own}", host=f"127.0.0.1:{server.port}")


def test_image_or_script_on_a_foreign_page_loads_nothing():
    with serve() as server:
        assert ask(server.port, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors").startswith(b"HTTP/1.1 403 ")
        assert ask(
            server.port, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"
        ).startswith(b"HTTP/1.1 403 ")
        assert ask(
            server.port, "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"
        ).startswith(b"HTTP/1.1 200 ")
        assert ask(server.port, "Sec-Fetch-Site: none").startswith(b"HTTP/1.1 200 ")


def test_answer_may_not_be_framed_kept_or_taken_for_another_kind():
    with serve() as server:
        head = ask(server.port).partition(b"\r\n\r\n")[0].decode().lower()
    for line in (
        "x-frame-options: deny",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: same-origin",
    ):
        assert line in head


def test_websocket_refuses_pages_of_other_origins_and_names():
    sink = WebSocketSink(port=0)
    url = f"ws://127.0.0.1:{sink.port}"
    for options in ({"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://localhost:3000"}):
        with pytest.raises(InvalidStatus, match="403"):
            connect(url, **options)
    answer = talk(
        sink.port,
        b"GET / HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 403 ")
    for options in ({}, {"origin": f"http://127.0.0.1:{sink.port}"}):
        with connect(url, **options) as client:
            wait_until(lambda: sink._server.clients)
            sink.write(FULL)
            assert json.loads(client.recv(timeout=2.0)) == FULL.to_dict()
        wait_until(lambda: not sink._server.clients)
    sink.close()


def test_origin_that_is_named_may_read():
    with (
        open_sink("ws://127.0.0.1:0?origin=https://dash.example") as sink,
        connect(sink._sink.url, origin="https://dash.example") as client,
    ):
        wait_until(lambda: sink._sink._server.clients)
        sink.write(FULL)
        assert json.loads(client.recv(timeout=2.0))["seq"] == FULL.seq


# --- token ----------------------------------------------------------------------------------------------------------------------


def test_token_is_asked_for():
    with serve(Access(token="s3cret")) as server:
        for lines, path in (
            ((), "/status"),
            (("Authorization: Bearer s3cre",), "/status"),
            (("Authorization: Basic s3cret",), "/status"),
            ((), "/status?token=x"),
        ):
            answer = ask(server.port, *lines, path=path)
            assert answer.startswith(b"HTTP/1.1 401 ") and SECRET.encode() not in answer
        assert SECRET.encode() in ask(server.port, "Authorization: Bearer s3cret")
        assert SECRET.encode() in ask(server.port, path="/status?token=s3cret")


@pytest.mark.parametrize("way", ["header", "query", "message"])
def test_websocket_takes_the_token(way):
    sink = WebSocketSink(port=0, access=Access(token="s3cret"))
    headers = {"Authorization": "Bearer s3cret"} if way == "header" else {}
    with connect(f"{sink.url}/?token=s3cret" if way == "query" else sink.url, additional_headers=headers) as client:
        if way == "message":
            wait_until(lambda: sink._server.clients)
            sink.write(FULL)
            with pytest.raises(TimeoutError):
                client.recv(timeout=0.2)
            client.send("s3cret")
        wait_until(lambda: any(stream.is_trusted for stream in sink._server._streams))
        sink.write(FULL)
        assert json.loads(client.recv(timeout=2.0))["seq"] == FULL.seq
    sink.close()


def test_websocket_with_a_wrong_token_is_turned_away():
    sink = WebSocketSink(port=0, access=Access(token="s3cret"))
    with connect(sink.url) as client:
        client.send("wrong")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=2.0)
    assert caught.value.rcvd.code == 1008
    sink.close()


def test_token_stands_in_no_text_of_it(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    _, _, access = parse_listen_address(f"9477?token_file={tmp_path}/token")
    assert access.token == "s3cret" and "s3cret" not in repr(access)


# --- requests that are none -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://evil.example/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET //status\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"get /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /status HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET  /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n folded\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\nX: y\r\n\r\n",
        b"POST /status HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"GET /" + b"x" * 20000,
    ],
)
def test_malformed_request_is_one_answer_and_the_end(head):
    with serve() as server:
        answer = talk(server.port, head)
        assert answer.split(b" ")[1] in (b"400", b"413", b"431") and SECRET.encode() not in answer
        assert SECRET.encode() in ask(server.port)


def test_no_bytes_make_the_parser_fail_otherwise():
    import random

    chance = random.Random(3)
    good = b"GET /status?a=b HTTP/1.1\r\nHost: 127.0.0.1\r\nX: y\r\n\r\n"
    for _ in range(3000):
        bytes_ = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            bytes_[chance.randrange(len(bytes_))] = chance.randrange(256)
        try:
            request = parse_head(bytes(bytes_))
        except BadRequest as error:
            assert 400 <= error.status < 500
        else:
            assert request.path.startswith("/")
            Guard("127.0.0.1", Access(token="x", origins=("http://a",))).refusal(request, "127.0.0.1")


# --- addresses ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("0.0.0.0:80", ("0.0.0.0", 80, Access())),
        (9477, ("127.0.0.1", 9477, Access())),
        ("http://[::1]:9477/", ("::1", 9477, Access())),
        ("9477?token=a&host=b&host=c&origin=http://d", ("127.0.0.1", 9477, Access("a", ("b", "c"), ("http://d",)))),
        ("https://:1?cert=x&key=y&ca=z", ("127.0.0.1", 1, Access(certificate="x", key="y", client_ca="z"))),
    ],
)
def test_address_is_parsed(address, expected):
    assert parse_listen_address(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "ftp://h:1",
        "u:p@h:1",
        "https://h:1",
        "1?tokens=x",
        "1?token=",
        "1?token=a&token=b",
        "1?key=x",
        "1?token_file=/no/such/file",
        "1?token=a&token_file=b",
    ],
)
def test_address_that_is_none_is_an_error(address):
    with pytest.raises(ArgumentError, match="must"):
        parse_listen_address(address)


@pytest.mark.parametrize(
    "access",
    [
        Access(hosts=("a:80",)),
        Access(hosts=("a b",)),
        Access(origins=("evil.example",)),
        Access(origins=("https://a/b",)),
    ],
)
def test_host_or_origin_that_no_browser_sends_is_an_error(access):
    with pytest.raises(ArgumentError, match="write for example"):
        Guard("127.0.0.1", access)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.evil.example", False),
    ],
)
def test_loopback_is_distinguished_from_the_network(host, expected):
    assert is_loopback(host) == expected


# --- what leaves the machine ----------------------------------------------------------------------------------------------------


def test_server_of_the_network_without_encryption_or_token_warns(caplog):
    with caplog.at_level(logging.WARNING), edgeaff.Runtime(video=edgeaff.PushVideo(), serve="0.0.0.0:0") as runtime:
        warnings = runtime.warnings
    assert [text in caplog.text for text in warnings] == [True, True]
    assert "in clear" in warnings[0] and "asks nobody for a token" in warnings[1]


@pytest.mark.parametrize(
    "uri", ["ws://0.0.0.0:0", "udp://192.0.2.7:9", "mqtt://192.0.2.7", "mqtt://u:hunter2@192.0.2.7"]
)
def test_sink_that_leaves_the_machine_in_clear_warns(uri, caplog):
    with caplog.at_level(logging.WARNING), open_sink(uri) as sink:
        assert "in clear" in caplog.text and "in clear" in sink.notices[0]
        assert ("the password leave" in sink.notices[0]) == ("@" in uri) and "hunter2" not in caplog.text


def test_sink_that_stays_on_the_machine_does_not_warn():
    for sink in (UdpSink("127.0.0.1", 9), WebSocketSink("127.0.0.1", 0)):
        assert sink.notices == []
        sink.close()


def test_public_paths_need_no_token_and_no_other_path_is_one():
    def respond(request):
        return text_response(200, "page")

    with Listener(respond, access=Access(token="s3cret"), public=("/", "/live.js")) as server:
        for path in ("/", "/?view=overlay", "/live.js"):
            assert ask(server.port, path=path).startswith(b"HTTP/1.1 200 ")
        for path in ("/status", "//", "/live.js/", "/LIVE.JS", "/./", "/%2F"):
            assert ask(server.port, path=path).startswith(b"HTTP/1.1 401 ")
        assert ask(server.port, "Origin: https://evil.example", path="/").startswith(b"HTTP/1.1 403 ")

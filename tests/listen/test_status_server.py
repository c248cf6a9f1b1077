import http.client
import json
import math
import os
import time
import urllib.error
import urllib.request

import pytest

from edgeaff.errors import ArgumentError
from edgeaff.listen.metrics import metrics_text, status_json
from edgeaff.listen.status_server import StatusServer
from tests.listen.clients import ask

STATUS = {
    "events": 12,
    "fps": 29.5,
    "latency_ms": {"p50": 8.25, "p99": None},
    "sources": {"camera:0": {"state": 'o"k', "frozen": False}},
    "nothing": float("nan"),
}


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def samples_of(text):
    """Returns (name, labels) -> value as Prometheus reads it, every sample once."""
    from prometheus_client.parser import text_string_to_metric_families

    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families)
    samples = [
        ((sample.name, tuple(sorted(sample.labels.items()))), sample.value)
        for family in families
        for sample in family.samples
    ]
    assert len(dict(samples)) == len(samples)
    return dict(samples)


def test_metrics_are_prometheus_text():
    lines = metrics_text(STATUS).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "edgeaff_events 12",
        "edgeaff_fps 29.5",
        "edgeaff_latency_ms_p50 8.25",
        'edgeaff_sources_state{name="camera:0",value="o\\"k"} 1',
        'edgeaff_sources_frozen{name="camera:0"} 0',
    ]
    assert lines.count("# TYPE edgeaff_events gauge") == 1


def test_prometheus_reads_the_metrics():
    samples = samples_of(metrics_text(STATUS))
    assert samples["edgeaff_events", ()] == 12
    assert samples["edgeaff_sources_state", (("name", "camera:0"), ("value", 'o"k'))] == 1


def test_names_that_differ_in_punctuation_only_are_two_series():
    status = {
        "sinks": {"a-b.jsonl": {"written": 1}, "a_b.jsonl": {"written": 2}, "a b.jsonl": {"written": 3}},
        "inputs": {"late-frames": 4, "late.frames": 5},
    }
    samples = samples_of(metrics_text(status))
    assert sorted(samples.values()) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["caf\udce9.mp4", 'a"b\\c\nd.mp4', "\x00\x1b[31m", "日本.mp4", ""])
def test_any_name_is_served(name):
    status = {"input": name, "sources": {name: {"state": name, "frames": 1}}, name: 3.0}
    with StatusServer(lambda: status, port=0) as server:
        samples = samples_of(get(server, "/metrics")[1])
        shown = json.loads(get(server, "/status")[1])
    assert 1 in samples.values() and next(iter(shown["sources"].values()))["frames"] == 1
    assert "\\ud" not in json.dumps(shown, ensure_ascii=False).replace("\\\\ud", "")


def test_status_without_a_finite_value_is_json():
    status = {"a": math.nan, "b": [math.inf, -math.inf, 1.5], "c": {"d": math.nan}, "e": os}

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    shown = json.loads(status_json(status), parse_constant=refuse)
    assert shown == {"a": None, "b": [None, None, 1.5], "c": {"d": None}, "e": str(os)}
    assert metrics_text(status) == ""


def test_status_is_asked_for_at_every_request():
    calls = []

    def status():
        calls.append(1)
        return {"events": len(calls)}

    with StatusServer(status, port=0) as server:
        assert json.loads(get(server, "/status")[1]) == {"events": 1}
        kind, text = get(server, "/metrics")
    assert kind.startswith("text/plain") and "edgeaff_events 2" in text


def test_health_is_a_status_code():
    healthy = [True]
    with StatusServer(dict, healthy=lambda: healthy[0], port=0) as server:
        assert get(server, "/healthz")[1] == "ok\n"
        healthy[0] = False
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(server, "/healthz")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(server, "/passwd")


def test_head_is_answered_without_a_body():
    with StatusServer(lambda: STATUS, port=0) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("HEAD", "/status")
        answer = connection.getresponse()
        assert answer.status == 200 and int(answer.headers["Content-Length"]) > 50 and answer.read() == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_nothing_can_be_changed(method):
    with StatusServer(lambda: STATUS, port=0) as server:
        answer = ask(server.port, method=method)
    assert answer.startswith(b"HTTP/1.1 405 ") and b"\r\nAllow: GET, HEAD\r\n" in answer


def test_status_that_cannot_be_made_is_an_error_of_the_request_only():
    with StatusServer(lambda: 1 / 0, port=0) as server:
        assert ask(server.port).startswith(b"HTTP/1.1 500 ")
        assert ask(server.port, path="/healthz").startswith(b"HTTP/1.1 200 ")


def test_server_listens_on_the_loopback_and_stops_at_once(capfd):
    server = StatusServer(dict, port=0)
    assert server.host == "127.0.0.1" and server.notices == []
    with pytest.raises(ArgumentError, match="choose another port"):
        StatusServer(dict, port=server.port)
    get(server, "/status")
    started = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - started < 1.0 and capfd.readouterr().err == ""

import json
import time
import urllib.error
import urllib.request

import pytest

from edgeaff.delivery.status_server import StatusServer, metrics_text
from edgeaff.errors import ArgumentError

STATUS = {
    "events": 12,
    "fps": 29.5,
    "latency_ms": {"p50": 8.25, "p99": None},
    "source": {"camera:0": {"state": 'o"k', "frozen": False}},
    "nothing": float("nan"),
}


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_metrics_are_prometheus_text():
    lines = metrics_text(STATUS).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "edgeaff_events 12",
        "edgeaff_fps 29.5",
        "edgeaff_latency_ms_p50 8.25",
        'edgeaff_source_camera_0_state{value="o\\"k"} 1',
        "edgeaff_source_camera_0_frozen 0",
    ]
    assert lines.count("# TYPE edgeaff_events gauge") == 1


def test_prometheus_reads_the_metrics():
    from prometheus_client.parser import text_string_to_metric_families

    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(metrics_text(STATUS))
        for sample in family.samples
    }
    assert samples["edgeaff_events"] == 12 and samples["edgeaff_source_camera_0_state"] == 1


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


def test_server_listens_on_the_loopback_and_stops_at_once(capfd):
    server = StatusServer(dict, port=0)
    assert server._server.server_address[0] == "127.0.0.1"
    with pytest.raises(ArgumentError, match="choose another port"):
        StatusServer(dict, port=server.port)
    get(server, "/status")
    started = time.monotonic()
    server.close()
    assert time.monotonic() - started < 1.0 and capfd.readouterr().err == ""

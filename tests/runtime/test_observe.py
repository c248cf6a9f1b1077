"""What a Runtime shows over HTTP, and sinks named by URI: as arguments, in the configuration, on the command line."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeaff
from edgeaff.cli.main import main
from edgeaff.errors import ArgumentError, BundleError
from edgeaff.recording.format import Recording
from edgeaff.recording.recorder import Recorder
from edgeaff.runtime.observe import parse_address

from ..cli.test_run import write_wav
from ..waiting import wait_until

IMAGE = np.full((120, 160, 3), 128, np.uint8)


def get(runtime: edgeaff.Runtime, path: str) -> str:
    with urllib.request.urlopen(f"{runtime.serve_url}{path}", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def push(runtime: edgeaff.Runtime, count: int) -> None:
    for _ in range(count):
        runtime.push_frame(IMAGE)
        time.sleep(1 / 30)


def push_until_healthy(runtime: edgeaff.Runtime) -> None:
    for _ in range(20):
        push(runtime, 15)
        if runtime.health().healthy:
            return
    raise AssertionError(f"not healthy after 10 s: {runtime.health().to_dict()}")


# --- over HTTP ------------------------------------------------------------------------------------------------------------------


def test_running_runtime_shows_counters_and_health() -> None:
    with edgeaff.Runtime(video=edgeaff.PushVideo(), serve=0) as runtime:
        assert runtime.serve_url is not None and runtime.serve_url.startswith("http://127.0.0.1:")
        push_until_healthy(runtime)
        status = json.loads(get(runtime, "/status"))
        assert get(runtime, "/healthz") == "ok\n"
        metrics = get(runtime, "/metrics")
    assert status["stats"]["frames"] > 5 and status["stats"]["events"] > 5
    assert status["bundle"] == "edgeaff-edge-0.3" and status["health"]["state"] == "running"
    assert status["health"]["sources"]["pushed video"]["state"] == "ok"
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(values["edgeaff_stats_frames"]) >= status["stats"]["frames"]
    assert values["edgeaff_health_healthy"] == "1" and 'edgeaff_health_state{value="running"}' in values
    assert float(values["edgeaff_stats_stages_ms_latency_p99"]) > 0 and float(values["edgeaff_uptime_seconds"]) > 0


def test_metrics_are_what_prometheus_reads() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    with edgeaff.Runtime(video=edgeaff.PushVideo(), serve="127.0.0.1:0") as runtime:
        push(runtime, 5)
        families = list(text_string_to_metric_families(get(runtime, "/metrics")))
    names = [family.name for family in families]
    assert len(names) == len(set(names)) and "edgeaff_stats_events" in names


def test_camera_that_stops_makes_it_unhealthy() -> None:
    with edgeaff.Runtime(video=edgeaff.PushVideo(), serve=0) as runtime:
        push_until_healthy(runtime)
        time.sleep(1.3)
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(runtime, "/healthz")
        assert json.loads(get(runtime, "/status"))["health"]["sources"]["pushed video"]["state"] == "stalled"


def test_nothing_is_served_unless_asked_for_and_the_port_is_free_after_stop() -> None:
    with edgeaff.Runtime(video=edgeaff.PushVideo()) as runtime:
        assert runtime.serve_url is None
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo(), serve=0).start()
    assert runtime.serve_url is not None
    port = int(runtime.serve_url.rsplit(":", 1)[1])
    started = time.monotonic()
    runtime.stop()
    assert time.monotonic() - started < 1.0
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


def test_port_in_use_is_an_error_at_the_start() -> None:
    with (
        edgeaff.Runtime(video=edgeaff.PushVideo(), serve=0) as runtime,
        pytest.raises(ArgumentError, match="choose another port"),
    ):
        edgeaff.Runtime(video=edgeaff.PushVideo(), serve=str(runtime.serve_url).removeprefix("http://")).start()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        (":9477", ("127.0.0.1", 9477)),
        ("9477", ("127.0.0.1", 9477)),
        (9477, ("127.0.0.1", 9477)),
        ("[::1]:9477", ("::1", 9477)),
    ],
)
def test_address_is_parsed(address: Any, expected: tuple[str, int]) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", -1, 1.5, True, ""])
def test_address_that_is_none_is_an_error_before_anything_is_opened(address: Any) -> None:
    with pytest.raises(ArgumentError, match="serve must be host:port or a port"):
        edgeaff.Runtime(video=edgeaff.PushVideo(), serve=address)


def test_address_beyond_the_loopback_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with edgeaff.Runtime(video=edgeaff.PushVideo(), serve="0.0.0.0:0"):
        assert "can be reached from other machines" in caplog.text


@pytest.mark.needs_media
def test_command_line_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real = edgeaff.Runtime.start

    def start(self: edgeaff.Runtime) -> edgeaff.Runtime:
        started = real(self)
        seen.append(get(self, "/status"))
        return started

    monkeypatch.setattr(edgeaff.Runtime, "start", start)
    assert main(["run", str(write_wav(tmp_path / "a.wav", 0.5)), "--serve", "127.0.0.1:0", "--quiet"]) == 0
    assert json.loads(seen[0])["input"].endswith("a.wav")
    assert main(["run", str(tmp_path / "a.wav"), "--serve", "here", "--quiet"]) == 2


# --- sinks by URI ---------------------------------------------------------------------------------------------------------------


@pytest.mark.needs_media
def test_paths_among_the_sinks_are_opened_and_closed(tmp_path: Path) -> None:
    sinks = [str(tmp_path / "a.jsonl"), tmp_path / "a.csv", str(tmp_path / "a.eaffrec")]
    with edgeaff.Runtime(audio=str(write_wav(tmp_path / "a.wav", 1.0)), sinks=sinks) as runtime:
        events = list(runtime)
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert rows == [event.to_dict() for event in events] and len(rows) == 30
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 31
    assert main(["replay", str(tmp_path / "a.eaffrec"), "--verify", "--quiet"]) == 0


@pytest.mark.needs_media
def test_sinks_of_the_configuration_are_opened(tmp_path: Path) -> None:
    config = tmp_path / "edgeaff.toml"
    config.write_text(
        f'[runtime]\naudio = "{write_wav(tmp_path / "a.wav", 1.0)}"\nsinks = ["{tmp_path}/a.jsonl"]\nserve = 0\n'
    )
    with edgeaff.Runtime(config=config) as runtime:
        assert runtime.serve_url is not None
        assert len(list(runtime)) == 30
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 30


def test_udp_sink_by_uri_gets_live_events() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5.0)
        uri = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        with edgeaff.Runtime(video=edgeaff.PushVideo(), sinks=[uri]) as runtime:
            push(runtime, 10)
            first = json.loads(receiver.recv(65_536))
            assert uri in runtime.health().sinks
    assert first["seq"] == 0


@pytest.mark.parametrize("sinks", [3, "events.jsonl", [3], [object()]])
def test_sinks_that_are_none_are_an_error(sinks: Any) -> None:
    with pytest.raises(ArgumentError, match=r"sinks must .*; (put it into brackets|see edgeaff.delivery.open)"):
        edgeaff.Runtime(video=edgeaff.PushVideo(), sinks=sinks)


def test_what_was_opened_is_closed_where_the_runtime_cannot_be_made(tmp_path: Path) -> None:
    before = threading.active_count()
    (tmp_path / "x.eaff").write_bytes(b"none")
    with pytest.raises(BundleError):
        edgeaff.Runtime(
            str(tmp_path / "x.eaff"), video=edgeaff.PushVideo(), sinks=["udp://127.0.0.1:9", tmp_path / "a.eaffrec"]
        )
    with pytest.raises(ArgumentError, match="must end in"):
        edgeaff.Runtime(video=edgeaff.PushVideo(), sinks=["udp://127.0.0.1:9", "events.txt"])
    assert threading.active_count() == before


# --- what a recording states of its session ---------------------------------------------------------------------------------------


def test_recording_of_a_runtime_knows_the_options_of_its_session(tmp_path: Path) -> None:
    with edgeaff.Runtime(
        edgeaff.ModelBundle.load(),
        video=edgeaff.PushVideo(),
        max_faces=2,
        smoothing=(0, 0),
        sinks=[tmp_path / "a.eaffrec"],
    ) as runtime:
        push(runtime, 10)
    options = Recording(tmp_path / "a.eaffrec").header["session"]
    assert options["max_faces"] == 2 and options["audio"] is False and options["smoothing"] == [0, 0]
    assert options["bundle"].endswith("edge.eaff")
    assert main(["replay", str(tmp_path / "a.eaffrec"), "--verify", "--quiet"]) == 0


@pytest.mark.needs_media
def test_argument_wins_over_the_configuration_also_where_it_is_the_default(tmp_path: Path) -> None:
    samples, config, session = write_wav(tmp_path / "a.wav", 0.5), tmp_path / "edgeaff.toml", tmp_path / "a.eaffrec"
    config.write_text(f'max_faces = 3\nstaleness_seconds = 0.25\nsinks = ["{session}"]\naudio = "none.wav"\n')
    for arguments, expected in (({}, 3), ({"max_faces": 1}, 1)):
        with edgeaff.Runtime(config=config, audio=samples, **arguments) as runtime:
            assert list(runtime)
        options = Recording(session).header["session"]
        assert options["max_faces"] == expected and options["staleness_seconds"] == 0.25
    command = ["run", str(samples), "--audio", str(samples), "--config", str(config), "--quiet"]
    for more, expected in (([], 3), (["--max-faces", "1"], 1)):
        assert main([*command, *more]) == 0
        assert Recording(session).header["session"]["max_faces"] == expected


def test_options_given_to_a_recorder_stay(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a.eaffrec", options={"max_faces": 3})
    recorder.describe({"max_faces": 1})
    recorder.close()
    assert Recording(tmp_path / "a.eaffrec").header["session"] == {"max_faces": 3}


# --- the live page --------------------------------------------------------------------------------------------------------------


def test_live_page_shows_the_ticks_of_a_runtime() -> None:
    with edgeaff.Runtime(video=edgeaff.PushVideo(), live="127.0.0.1:0") as runtime:
        address, _, token = str(runtime.live_url).partition("/#")
        push_until_healthy(runtime)
        with urllib.request.urlopen(f"{address}/live.txt?token={token}", timeout=5) as answer:
            text = answer.read().decode()
        with urllib.request.urlopen(f"{address}/status?token={token}", timeout=5) as answer:
            status = json.loads(answer.read())
    assert "NO_FACE" in text and "no value" in text and status["stats"]["events"] > 5
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{address}/", timeout=5)


def test_no_page_and_no_socket_unless_asked_for() -> None:
    with edgeaff.Runtime(video=edgeaff.PushVideo()) as runtime:
        assert runtime.live_url is None and runtime._worker.on_frame is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"live": "nonsense"}, "live must be host:port"),
        ({"live": "0", "live_images": "all"}, "live_images must be False, 'crop' or 'frame'"),
        ({"live": "0", "live_images": True}, "live_images must be False, 'crop' or 'frame'"),
        ({"live_images": "crop"}, "live must be an address"),
    ],
)
def test_wrong_option_of_the_live_page_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        edgeaff.Runtime(video=edgeaff.PushVideo(), **options)


def test_forgotten_runtime_ends_its_page() -> None:
    runtime = edgeaff.Runtime(video=edgeaff.PushVideo(), live=0).start()
    page = runtime._parts.page
    with pytest.warns(ResourceWarning, match="must be stopped"):
        del runtime
    assert page is not None
    page._listener._thread.join(3.0)
    assert not page._listener._thread.is_alive()


def test_status_events_reach_the_sinks_that_take_them() -> None:
    class Markers:
        def __init__(self) -> None:
            self.kinds: list[str] = []

        def write(self, event: Any) -> None:
            pass

        def write_status(self, event: Any) -> None:
            self.kinds.append(event.kind)

        def close(self) -> None:
            pass

    sink = Markers()
    with edgeaff.Runtime(video=edgeaff.PushVideo(), sinks=[sink]) as runtime:
        runtime._status.emit("runtime", "degraded", "a test")
        wait_until(lambda: "degraded" in sink.kinds)


@pytest.mark.needs_table
@pytest.mark.needs_media
def test_parquet_names_the_bundle_and_the_preprocessing(tmp_path: Path) -> None:
    from pyarrow.parquet import read_schema

    run, replayed = tmp_path / "run.parquet", tmp_path / "replay.parquet"
    sinks = [run, str(tmp_path / "a.eaffrec")]
    with edgeaff.Runtime(audio=str(write_wav(tmp_path / "a.wav", 1.0)), sinks=sinks) as runtime:
        assert len(list(runtime)) == 30
        bundle = runtime.bundle
    assert main(["replay", str(tmp_path / "a.eaffrec"), "--output", str(replayed), "--quiet"]) == 0
    for path in (run, replayed):
        metadata = read_schema(path).metadata
        assert metadata[b"edgeaff.bundle"] == bundle.manifest.model_id.encode()
        assert metadata[b"edgeaff.bundle_sha256"].decode() == hashlib.sha256(bundle.path.read_bytes()).hexdigest()
        assert metadata[b"edgeaff.fingerprint"] == bundle.spec.fingerprint.encode()

"""No password, token or user name of a URI in its public name, and none in any text that is made of it."""

from __future__ import annotations

import io
import itertools
import random
import threading
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

import edgeaff
from edgeaff.cli.main import main
from edgeaff.delivery.files import CsvSink, JsonlSink
from edgeaff.delivery.open import open_sink
from edgeaff.errors import EdgeaffError
from edgeaff.naming import public_name, without_secrets
from edgeaff.recording.format import Recording
from edgeaff.recording.recorder import Recorder

SECRET = "hunter2"
MALFORMED = (
    f"rtsp://user:{SECRET}@host:port/cam",
    f"rtsp://user:{SECRET}@",
    f"rtsp://user:{SECRET}",
    f"rtsp://user:p@{SECRET}@host/cam",
    f"rtsp://user:p/{SECRET}@host/cam",
    f"rtsp://user:p?{SECRET}@host/cam",
    f"rtsp://user:p#{SECRET}@host/cam",
    f"rtsp://user:{SECRET}%40host/cam",
    f"rtsp://{SECRET}:@host/cam",
    f"rtsp:/user:{SECRET}@host/cam",
    f"rtsp//user:{SECRET}@host/cam",
    f"rtps://user:{SECRET}@host/cam",
    f" rtsp://user:{SECRET}@host/cam",
    f"user:{SECRET}@rtsp://host/cam",
    f"user:{SECRET}@host:554/cam",
    f"camera:rtsp://user:{SECRET}@host/cam",
    f"file:rtsp://user:{SECRET}@host/cam",
    f"rtsp://[::1/user:{SECRET}@host",
)
WELL_FORMED = (
    f"rtsp://user:{SECRET}@host:554/cam?channel=1",
    f"RTSP://user:{SECRET}@[::1]:554/cam",
    f"rtsp://host/user=admin_password={SECRET}_channel=1_stream=0.sdp",
    f"rtsp://host/cam?u=admin&p={SECRET}",
    f"http://host/cam?TOKEN={SECRET};fps=30",
    f"https://host/cam?{SECRET}",
    f"udp://host:5000?key={SECRET}",
    f"tcp://user:{SECRET}@host:5000",
    f"ws://127.0.0.1:8765?token={SECRET}",
    f"mqtts://user:{SECRET}@host/topic?key={SECRET}",
    f"gst:rtspsrc location=rtsp://user:{SECRET}@host/cam latency=0 ! decodebin ! appsink",
    f'gst:rtspsrc location=rtsp://host user-id=me user-pw="a ! {SECRET}" ! appsink',
    f"gst:souphttpsrc user-pw={SECRET} ! appsink",
    f"gst:souphttpsrc user-pw = {SECRET} ! appsink",
    f'gst:souphttpsrc user-pw="{SECRET} ! appsink',
    f"camera:0?token={SECRET}",
)


@pytest.mark.parametrize("uri", [*WELL_FORMED, *MALFORMED])
def test_public_name_holds_no_secret(uri: str) -> None:
    for given in (uri, uri.encode()):
        assert SECRET not in public_name(given)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("rtsp://user:secret@10.0.0.7:554/cam?channel=1&key=x", "rtsp://***@10.0.0.7:554/cam?channel=1&key=***"),
        ("rtsp://10.0.0.7/cam", "rtsp://10.0.0.7/cam"),
        ("udp://@239.0.0.1:5000", "udp://@239.0.0.1:5000"),
        ("camera:0?fps=30&size=640x480", "camera:0?fps=30&size=640x480"),
        ("mic:USB Audio", "mic:USB Audio"),
        ("clips/a 12:30.mp4", "clips/a 12:30.mp4"),
        ("C:/clips/a.mp4", "C:/clips/a.mp4"),
        ("mqtt://broker/affect", "mqtt://broker/affect"),
        (
            "gst:v4l2src device=/dev/video2 ! video/x-raw,width=640 ! appsink",
            "gst:v4l2src device=/dev/video2 ! video/x-raw ! appsink",
        ),
        ("a\x1b[31m\n.mp4", "a\\x1b[31m\\x0a.mp4"),
        (0, "0"),
    ],
)
def test_public_name_keeps_what_reports_sources_apart(uri: Any, name: str) -> None:
    assert public_name(uri) == name


def test_public_name_of_a_file_that_exists_is_its_path(tmp_path: Path) -> None:
    path = tmp_path / "me:you@home?.mp4"
    path.touch()
    assert public_name(path) == str(path)


def test_public_name_holds_no_secret_however_the_uri_is_damaged() -> None:
    chance = random.Random(1)
    for uri in itertools.islice(itertools.cycle([uri for uri in (*WELL_FORMED, *MALFORMED) if "@" in uri]), 3000):
        at = chance.randrange(uri.index(SECRET))
        damaged = uri[:at] + chance.choice(":/?#@ \\\"'") + uri[at + chance.randrange(2) :]
        if "gst:" in damaged or "://" in damaged:
            assert SECRET not in public_name(damaged), damaged


def test_text_of_others_loses_the_secrets_of_uris() -> None:
    text = f"Errno 5: 'rtsp://u:{SECRET}@h/x' failed after 3 tries; password={SECRET}, fps=30"
    assert without_secrets(text) == "Errno 5: 'rtsp://***@h/x' failed after 3 tries; password=*** fps=30"
    odd = f"rtsp://u:it's {SECRET}@h/x"
    assert SECRET not in without_secrets(f"cannot open {odd}!", odd)


@pytest.mark.parametrize("uri", [*WELL_FORMED, *MALFORMED])
def test_no_error_about_a_uri_holds_its_secret(uri: str) -> None:
    for call in (
        lambda: edgeaff.Runtime(video=uri),
        lambda: open_sink(uri),
        lambda: edgeaff.Runtime(video=edgeaff.PushVideo(), serve=uri),
    ):
        try:
            opened = call()
        except EdgeaffError as error:
            assert SECRET not in "".join(traceback.format_exception(error))
        else:
            opened.stop() if isinstance(opened, edgeaff.Runtime) else opened.close()


@pytest.mark.needs_media
@pytest.mark.parametrize(
    "open_file",
    [
        edgeaff.ModelBundle.load,
        edgeaff.Session,
        edgeaff.analyze,
        Recording,
        Recorder,
        JsonlSink,
        CsvSink,
        lambda uri: edgeaff.Runtime(video=edgeaff.PushVideo(), config=uri),
        lambda uri: edgeaff.Runtime(video=f"replay:{uri}"),
    ],
)
def test_no_error_about_a_file_holds_the_secret_of_a_uri_in_its_place(open_file: Any) -> None:
    with pytest.raises(EdgeaffError) as caught:
        open_file(f"https://user:{SECRET}@host/x.eaff")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", f"rtsp://u:{SECRET}@127.0.0.1:1/cam"],
        ["run", f"rtsp:/u:{SECRET}@127.0.0.1:1/cam"],
        ["run", f"http://u:{SECRET}@127.0.0.1:1/cam", "--quiet"],
        ["run", "clip.mp4", "--output", f"ftp://u:{SECRET}@host/x"],
        ["run", "clip.mp4", "--output", f"x?token={SECRET}", "--output", f"x?token={SECRET}"],
        ["run", "clip.mp4", f"rtsp://u:{SECRET}@host"],
        ["run", f"rtsp://u:{SECRET}@host", "--overlay", "out.mp4"],
        ["run", "clip.mp4", "--serve", f"here?token={SECRET}"],
        ["run", "clip.mp4", "--bundle", f"https://u:{SECRET}@host/x.eaff"],
        ["record", f"rtsp://u:{SECRET}@127.0.0.1:1/cam", "--output", "x.eaffrec"],
        [f"rtsp://u:{SECRET}@host"],
    ],
)
@pytest.mark.needs_media
def test_command_line_prints_no_secret(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = io.StringIO()
    with redirect_stdout(written), redirect_stderr(written):
        try:
            code: Any = main(arguments)
        except SystemExit as end:
            code = end.code
    assert code in (2, 3) and SECRET not in written.getvalue() and written.getvalue()


@pytest.mark.needs_media
def test_running_source_and_sink_show_no_secret() -> None:
    stated: list[str] = []
    runtime = edgeaff.Runtime(
        video=f"rtsp://u:{SECRET}@127.0.0.1:1/cam", sinks=[f"mqtt://u:{SECRET}@127.0.0.1:1/topic"], serve=0
    )
    runtime.on_status(lambda event: stated.append(repr(event)))
    with runtime:
        deadline = time.monotonic() + 3
        while not stated and time.monotonic() < deadline:
            time.sleep(0.05)
        text = repr(
            (runtime.health(), runtime.stats(), runtime.warnings, [thread.name for thread in threading.enumerate()])
        )
    assert stated and SECRET not in text + "".join(stated)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 60_000,
        "pass" * 15_000,
        "a.b-" * 15_000,
        "x=" * 30_000,
        "pass=" * 12_000,
        " =" * 30_000,
        "a" * 30_000 + "://" + "b" * 30_000,
        "rtsp://" + "u:" * 30_000,
        "rtsp://" + "@" * 60_000,
        "gst:" + "'" * 60_000,
        "gst:" + "a\\" * 30_000,
        "gst:" + '"a ' * 20_000,
        "camera:" * 9_000,
        "?&;" * 20_000,
        "#" * 60_000,
    ],
    ids=lambda text: text[:8],
)
def test_long_text_costs_little(text: str) -> None:
    started = time.process_time()
    public_name(text)
    without_secrets(text)
    assert time.process_time() - started < 1.0


def test_secret_behind_a_harmless_name_is_hidden() -> None:
    for text in (f"a=1/password={SECRET}", f"dir/a=b=token={SECRET}", f"x = 1 password = {SECRET}"):
        assert SECRET not in public_name(text) and SECRET not in without_secrets(text)

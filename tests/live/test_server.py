"""The live page over real connections: who gets in, what comes, and that nobody who watches holds up who delivers."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from edgeaff.errors import ArgumentError
from edgeaff.live.protocol import COLUMNS, TOO_MANY, WRONG_TOKEN
from edgeaff.live.server import MOST_VIEWERS, LivePage, Shown
from edgeaff.types import StatusEvent, VideoFrame
from tests.delivery.events import FULL, events
from tests.listen.clients import ask
from tests.live.watching import page, watching
from tests.waiting import wait_until

FILES = ("/", "/live.js", "/store.js", "/charts.js", "/live.css", "/icon.svg")


def parts(server: LivePage) -> tuple[str, str]:
    address, _, token = server.url.partition("/#")
    return address, token


# --- the page -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES)
def test_files_of_the_page_need_no_token_and_hold_no_data(path):
    with page() as server:
        server.write(FULL)
        head, _, body = ask(server.port, path=path).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ") and body
    assert b"default-src 'self'" in head and b"frame-ancestors 'none'" in head and b"X-Frame-Options: DENY" in head
    assert b"no-store" in head and b"clip.mp4" not in body


def test_page_has_no_inline_script_or_style_and_names_no_other_site(root):
    for path in sorted((root / "edgeaff" / "live" / "static").iterdir()):
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"(https?|wss?)://\w|[\"'(=]//\w|@import|url\(", text), path.name
        assert not re.search(
            r"\sstyle=|\son[a-z]+=[\"']|<style|<script>|\beval\(|new Function|innerHTML|javascript:", text
        ), path.name


@pytest.mark.parametrize("path", ["/live.txt", "/status", "/metrics", "/healthz", "/event?row=0", "/nothing"])
def test_everything_else_needs_the_token(path):
    with page(stored=[FULL], status=lambda: {"a": 1}) as server:
        token = parts(server)[1]
        assert ask(server.port, path=path).startswith(b"HTTP/1.1 401 ")
        answer = ask(server.port, f"Authorization: Bearer {token}", path=path)
    assert answer.startswith(b"HTTP/1.1 404 " if path == "/nothing" else b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "line", ["Origin: https://evil.example", "Origin: http://127.0.0.1:1", "Sec-Fetch-Site: cross-site"]
)
def test_foreign_page_gets_nothing(line):
    with page() as server:
        for path in ("/", "/live.txt"):
            assert ask(server.port, line, path=path).startswith(b"HTTP/1.1 403 ")


def test_foreign_host_gets_nothing():
    with page() as server:
        for path in ("/", "/stream"):
            assert ask(server.port, path=path, host="evil.example").startswith(b"HTTP/1.1 403 ")


def test_text_has_the_newest_tick():
    with page() as server:
        server.write(FULL)
        answer = ask(server.port, path=f"/live.txt?token={parts(server)[1]}").decode()
    assert "clip.mp4" in answer and "+0.10 +/- 0.39" in answer and answer.rstrip().splitlines()[-1].split()[1] == "OK"


# --- the stream -----------------------------------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_token():
    with page() as server:
        server.write(FULL)
        with connect(f"ws{parts(server)[0].removeprefix('http')}/stream") as client, pytest.raises(TimeoutError):
            client.recv(timeout=0.4)


@pytest.mark.parametrize("first", ['{"token": "wrong"}', "{}", "[]", "nonsense", '{"token": ""}'])
def test_wrong_token_closes_with_4401(first):
    with page() as server:
        client = connect(f"ws{parts(server)[0].removeprefix('http')}/stream")
        client.send(first)
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=5.0)
        assert caught.value.rcvd.code == WRONG_TOKEN and server.viewers == 0


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "evil.example"}])
def test_stream_refuses_a_foreign_origin_or_host(headers):
    with page() as server, pytest.raises(InvalidStatus) as caught:
        address, token = parts(server)
        connect(f"ws{address.removeprefix('http')}/stream?token={token}", additional_headers=headers)
    assert caught.value.response.status_code == 403


def test_no_other_path_is_a_stream():
    with page() as server, pytest.raises(InvalidStatus) as caught:
        connect(f"ws{parts(server)[0].removeprefix('http')}/")
    assert caught.value.response.status_code == 404


def test_token_may_be_given_by_the_user(tmp_path):
    (tmp_path / "token").write_text("my own\n")
    with LivePage(f"127.0.0.1:0?token_file={tmp_path / 'token'}", Shown("x")) as server:
        assert server.url.endswith("/#my own")
    with page() as one, page() as other:
        assert len(parts(one)[1]) >= 22 and parts(one)[1] != parts(other)[1]


def test_hello_comes_first_and_then_the_past_and_what_is_new():
    with page(shown={"limits": {"abstain_above_std": 0.4}}) as server:
        for event in events(40):
            server.write(event)
        with watching(server) as watcher:
            hello = watcher.next()
            past = watcher.next("history")
            server.write(replace(FULL, seq=40, pts_ns=round(40e9 / 30), latency_ms=7.0))
            ticks = watcher.next("ticks")
    assert hello["type"] == "hello" and hello["columns"] == list(COLUMNS) and hello["mode"] == "live"
    assert hello["limits"] == {"abstain_above_std": 0.4} and hello["images"] == ""
    assert (past["first"], past["rows"], past["complete"]) == (0, 40, True)
    assert ticks["first"] == 40 and ticks["rows"][0][0] == 40 and 7.0 <= ticks["age_ms"] < 1000


def test_ticks_come_ten_times_a_second():
    with page() as server, watching(server) as watcher:
        watcher.next("hello")
        server.write(FULL)
        watcher.next("ticks")
        started, rows = time.monotonic(), 0
        for event in events(15):
            server.write(event)
            time.sleep(1 / 30)
        while rows < 15:
            rows += len(watcher.next("ticks")["rows"])
        assert time.monotonic() - started < 2.0


def test_status_events_come_with_the_time_of_their_tick():
    with page() as server:
        server.write(FULL)
        server.note_status(StatusEvent(1, "camera", "camera:0", "lost", "gone.", {"n": 1}))
        with watching(server) as watcher:
            before = watcher.next("status")
            server.note_status(StatusEvent(2, "camera", "camera:0", "recovered"))
            after = watcher.next("status")
    assert (
        before["event"]["kind"] == "lost" and before["pts_ns"] == FULL.pts_ns and before["event"]["counts"] == {"n": 1}
    )
    assert after["event"]["kind"] == "recovered"


def test_health_is_the_status_and_the_number_of_viewers():
    with (
        page(status=lambda: {"stats": {"x": float("nan")}}) as server,
        watching(server) as one,
        watching(server) as two,
    ):
        assert one.next("health")["viewers"] == 1
        assert two.next("health") == {
            "type": "health",
            "status": {"stats": {"x": None}},
            "viewers": 2,
            "images_sent": 0,
        }


def test_status_that_is_gone_ends_nothing():
    def gone():
        raise ReferenceError

    with page(status=gone) as server, watching(server) as watcher:
        watcher.next("hello")
        server.write(FULL)
        assert watcher.next("ticks")["rows"]


def test_ninth_viewer_is_sent_away():
    with page() as server, contextlib.ExitStack() as all_of_them:
        watchers = [all_of_them.enter_context(watching(server)) for _ in range(MOST_VIEWERS)]
        for watcher in watchers:
            watcher.next("hello")
        ninth = all_of_them.enter_context(watching(server))
        with pytest.raises(ConnectionClosed) as caught:
            ninth.next()
        assert caught.value.rcvd.code == TOO_MANY and server.viewers == MOST_VIEWERS


def test_viewer_that_leaves_makes_room():
    with page() as server:
        for _ in range(MOST_VIEWERS + 2):
            with watching(server) as watcher:
                watcher.next("hello")
            wait_until(lambda: server.viewers == 0)


def test_delivery_never_waits_for_a_viewer_that_reads_nothing():
    with page() as server, watching(server, max_queue=1, close_timeout=0.1) as stuck, watching(server) as quick:
        quick.next("hello")
        stuck.next("hello")  # and nothing after it
        longest, rows = 0.0, 0
        for event in events(6000):
            started = time.perf_counter()
            server.write(event)
            longest = max(longest, time.perf_counter() - started)
            if event.seq % 300 == 0:
                time.sleep(0.02)
        while rows < 6000:
            rows += len(quick.next("ticks")["rows"])
    assert rows == 6000 and longest < 0.1


def test_flood_beyond_the_ring_is_cut_to_the_newest():
    with page() as server:
        server._listener.loop.call_soon_threadsafe(time.sleep, 0.3)  # the thread of the listener is held up
        for event in events(server.ring.capacity + 100):
            server.write(event)
        with watching(server) as watcher:
            watcher.next("hello")
            past = watcher.next("history")
    assert past["first"] + past["rows"] <= server.ring.capacity + 100


# --- images ---------------------------------------------------------------------------------------------------------------

FRAME = VideoFrame(FULL.pts_ns, np.full((60, 80, 3), 120, np.uint8))


def test_no_image_leaves_unless_it_was_allowed():
    with page() as server, watching(server) as watcher:
        watcher.next("hello")
        for _ in range(5):
            server.write(FULL)
            server.note_frame(FRAME)
            ticks = watcher.next("ticks")
        assert watcher.images == 0 and server.images_sent == 0 and server._frame is None
    assert ticks["frame"] == [80, 60]


@pytest.mark.parametrize("kind", ["crop", "frame"])
def test_images_that_were_allowed_come(kind):
    with page(images=kind) as server, watching(server) as watcher:
        watcher.next("hello")
        server.write(FULL)
        server.note_frame(FRAME)
        image = watcher.next("image")
    assert image["kind"] == kind and image["jpeg"].startswith(b"\xff\xd8")
    assert image["track_id"] == (7 if kind == "crop" else None)


def test_no_frame_is_encoded_while_nobody_watches():
    with page(images="frame") as server:
        server.note_frame(FRAME)
        wait_until(lambda: server._frame is None)
        assert server._thumbnails._waiting is None and server.images_sent == 0


@pytest.mark.parametrize("images", ["all", "CROP", True])
def test_images_of_another_kind_are_refused(images):
    with pytest.raises(ArgumentError, match="live_images must be"):
        page(images=images)


# --- a stored session -----------------------------------------------------------------------------------------------------


def test_stored_event_is_its_line_of_json():
    stored = [*events(3), replace(FULL, seq=3, valence=0.123456789012)]
    with page(stored=stored) as server:
        token = parts(server)[1]
        body = ask(server.port, path=f"/event?row=3&token={token}").partition(b"\r\n\r\n")[2]
        wrong = [
            ask(server.port, path=f"/event?row={row}&token={token}")
            for row in ("4", "-1", "x", "", "9" * 5000, "\xb2", "%D9%A3")
        ]
        with watching(server) as watcher:
            assert watcher.next("hello")["mode"] == "view" and watcher.next("history")["rows"] == 4
    assert json.loads(body) == stored[3].to_dict()
    assert all(answer.split()[1] in (b"404", b"400", b"431", b"414") for answer in wrong)


# --- its end --------------------------------------------------------------------------------------------------------------


def test_closing_ends_every_stream_and_leaves_no_thread():
    before = threading.active_count()
    server = page(images="frame")
    with watching(server) as watcher:
        watcher.next("hello")
        started = time.monotonic()
        server.close()
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                watcher.next()
    assert caught.value.rcvd.code == 1001 and time.monotonic() - started < 1.5
    wait_until(lambda: threading.active_count() <= before)
    server.write(FULL)  # a worker that still runs is not disturbed

"""The live page in a real browser, fed by a Runtime: drawings, requests, memory."""

from __future__ import annotations

import http.server
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgeaff
from edgeaff.cli.main import make_parser
from edgeaff.cli.view import stored_events
from edgeaff.live.server import LivePage, Shown
from edgeaff.machine import stamp
from tests.delivery.events import events as made_events
from tests.system.browser import Browser, browsers
from tests.test_session import clip
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.needs_media]

Open = Callable[..., Browser]
MISSING = """
const { store } = window.edgeaff;
let missing = 0;
for (let row = arguments[0]; row < arguments[1]; row += 1) missing += Number.isNaN(store.get(row, "pts_ns"));
return missing;
"""  # ticks that a page lacks between two rows


@pytest.fixture
def open_browser(tmp_path: Path) -> Iterator[Open]:
    yield from browsers(tmp_path)


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The demo's clip: twelve seconds of a face that smiles and frowns, with a voice."""
    folder = tmp_path_factory.mktemp("live")
    program = "import pathlib, demo_clip; demo_clip.write_clip(pathlib.Path('portrait.mp4'))"
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root / "examples")},
        check=True,
    )
    return folder / "portrait.mp4"


@pytest.fixture
def runtime(portrait: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[edgeaff.Runtime]:
    monkeypatch.chdir(portrait.parent)  # a short name to show
    with edgeaff.Runtime(video="paced:portrait.mp4?loop=1", live="127.0.0.1:0") as running:
        yield running


class Feed:
    """A camera that a test can stop: the portrait, pushed 25 times a second."""

    def __init__(self, runtime: edgeaff.Runtime) -> None:
        self.on = threading.Event()
        self.on.set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(runtime,), daemon=True)

    def _work(self, runtime: edgeaff.Runtime) -> None:
        frames = [image for kind, _, image in clip() if kind == "video"]
        for image in itertools.cycle(frames + frames[::-1]):
            if self._over.wait(1 / 25):
                return
            if self.on.is_set():
                runtime.push_frame(image)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2.0)


def watch(browser: Browser, url: str | None, rows: int = 60) -> None:
    """Opens a page and waits until it has drawn some ticks."""
    browser.driver.get(str(url))
    wait_until(
        lambda: (browser.state() or {"high": 0, "drawn": 0})["high"] >= rows and browser.state()["drawn"] > 3,
        30.0,
        "ticks",
    )  # type: ignore[index]


def newest(runtime: edgeaff.Runtime) -> float:
    """Returns the time of the newest event that was delivered, in seconds."""
    return (
        float(runtime._parts.page.ring.rows(runtime._parts.page.ring.end - 1, runtime._parts.page.ring.end)[0][0, 1])
        / 1e9
    )  # type: ignore[union-attr]


# --- 1, 2, 6: it draws, and nothing leaves the machine --------------------------------------------------------------------------


def test_page_draws_and_its_newest_tick_is_fresh(open_browser: Open, runtime: edgeaff.Runtime) -> None:
    browser = open_browser()
    watch(browser, runtime.live_url)
    for canvas in ("trace", "plane", "face", "valence-gauge", "arousal-gauge", "latency"):
        assert browser.colors(canvas) > 3, canvas
    ages = []
    for _ in range(10):
        time.sleep(0.13)
        state = browser.state()
        ages.append(max(state["ageMs"] / 1e3, newest(runtime) - state["newestSeconds"]))
    assert sorted(ages)[len(ages) // 2] <= 0.3, ages
    assert browser.state()["status"] == "OK" and browser.state()["valence"][0] in "+−"


def test_browser_asks_the_loopback_only_and_its_console_is_silent(open_browser: Open, runtime: edgeaff.Runtime) -> None:
    browser = open_browser()
    watch(browser, runtime.live_url)
    browser.run("document.getElementById('theme').click(); document.getElementById('keys').click()")
    time.sleep(2.0)
    assert browser.hosts() == {"127.0.0.1"}
    assert any(url.startswith("ws://") for url in browser.requests) and not any("#" in url for url in browser.requests)
    assert browser.console() == []


def test_no_image_arrives_unless_it_was_allowed(open_browser: Open, runtime: edgeaff.Runtime, portrait: Path) -> None:
    browser = open_browser()
    watch(browser, runtime.live_url)
    assert browser.state()["images"] == 0 and runtime._parts.page.images_sent == 0
    assert not browser.run("return document.getElementById('images').checkVisibility()")
    with edgeaff.Runtime(video=f"paced:{portrait}?loop=1", live="127.0.0.1:0", live_images="frame") as allowed:
        watch(browser, allowed.live_url)
        wait_until(lambda: browser.state()["images"] > 5, 10.0, "images")
        wait_until(
            lambda: "1 page watches" in browser.run("return document.getElementById('images').innerText"),
            5.0,
            "the notice",
        )
        started, before = time.monotonic(), browser.state()["images"]
        time.sleep(2.0)
        assert browser.state()["images"] - before <= 10.5 * (time.monotonic() - started) + 1
        assert browser.colors("face") > 500 and browser.console() == []


# --- 3: a camera that stops -----------------------------------------------------------------------------------------------------


def test_stopped_camera_shows_within_a_second_and_so_does_its_return(open_browser: Open) -> None:
    browser = open_browser()
    with edgeaff.Runtime(video=edgeaff.PushVideo(), live="127.0.0.1:0") as runtime, Feed(runtime) as feed:
        watch(browser, runtime.live_url)
        wait_until(lambda: browser.state()["status"] == "OK", 10.0, "OK")
        feed.on.clear()
        wait_until(lambda: browser.state()["status"] == "STALE", 1.0, "STALE")
        assert browser.state()["valence"] == "no value" and "Nothing has come" in browser.state()["why"]
        wait_until(lambda: "stalled" in [note["kind"] for note in browser.state()["notes"]], 5.0, "the flag")
        browser.resize(1280, 1000)
        time.sleep(0.3)
        browser.screenshot("live_stale")
        feed.on.set()
        wait_until(lambda: browser.state()["status"] == "OK", 2.0, "OK again")
        wait_until(lambda: "recovered" in [note["kind"] for note in browser.state()["notes"]], 5.0, "recovered")


# --- 4: two viewers, one of them slow -------------------------------------------------------------------------------------------


def test_slow_viewer_costs_neither_the_runtime_nor_another_viewer_a_tick(open_browser: Open, portrait: Path) -> None:
    quick, slow = open_browser(), open_browser()
    seen: list[int] = []
    runtime = edgeaff.Runtime(video=f"paced:{portrait}?loop=1", live="127.0.0.1:0")
    runtime.on_event(lambda event: seen.append(event.seq))
    with runtime:
        watch(quick, runtime.live_url)
        watch(slow, runtime.live_url)
        slow.command("Network.enable")
        slow.command(
            "Network.emulateNetworkConditions", offline=False, latency=400, downloadThroughput=500, uploadThroughput=500
        )
        start = quick.state()["high"]
        time.sleep(10.0)
        end = quick.state()["high"]
        missing = quick.run(MISSING, start, end)
        assert end - start > 200 and missing == 0 and quick.state()["skipped"] == 0
    assert seen == list(range(len(seen))) and len(seen) > 200


# --- 5: a page of another site --------------------------------------------------------------------------------------------------

FOREIGN = """<!doctype html><title>foreign</title><script>
const [address, token] = decodeURIComponent(location.hash.slice(1)).split("|");
const answers = {};
const done = (name, answer) => { answers[name] = answer; document.title = JSON.stringify(answers); };
for (const path of ["status", "live.txt", "event?row=0"]) {
  const url = `http://${address}/${path}${path.includes("?") ? "&" : "?"}token=${token}`;
  for (const [name, mode] of [[path, "cors"], [`blind ${path}`, "no-cors"]]) {
    fetch(url, { mode }).then((r) => r.text()).then((t) => done(name, t), () => done(name, "refused"));
  }
}
const socket = new WebSocket(`ws://${address}/stream`);
socket.onopen = () => socket.send(JSON.stringify({ token }));
socket.onmessage = (message) => done("stream", message.data);
socket.onclose = () => { if (!answers.stream) done("stream", "refused"); };
const script = document.createElement("script");
script.onload = () => done("script", "loaded");
script.onerror = () => done("script", "refused");
script.src = `http://${address}/live.txt?token=${token}`;
document.head.append(script);
</script>"""


class _Foreign(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(FOREIGN.encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_page_of_another_origin_reads_nothing_even_with_the_token(open_browser: Open) -> None:
    browser = open_browser()
    with (
        LivePage("127.0.0.1:0", Shown("secret name")) as page,
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Foreign) as other,
    ):
        for event in made_events(30):
            page.write(event)
        threading.Thread(target=other.serve_forever, daemon=True).start()
        token = page.url.partition("#")[2]
        browser.driver.get(f"http://localhost:{other.server_port}/#127.0.0.1:{page.port}|{token}")
        wait_until(lambda: browser.driver.title.count('":') == 8, 10.0, "eight answers")
        answers = json.loads(browser.driver.title)
        other.shutdown()
    assert {name: answer for name, answer in answers.items() if not name.startswith("blind")} == dict.fromkeys(
        ("status", "live.txt", "event?row=0", "stream", "script"), "refused"
    )
    assert (
        all(answer in ("", "refused") for name, answer in answers.items() if name.startswith("blind"))
        and page.viewers == 0
    )


# --- 7: memory ------------------------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def memory_over(open_browser: Open, runtime: edgeaff.Runtime, seconds: float) -> dict[str, Any]:
    """Returns memory of page and server over time, in MB, sampled twenty times after a settling of a fifth of the time."""
    browser = open_browser()
    watch(browser, runtime.live_url)
    browser.run("document.querySelectorAll('#windows button')[4].click()")  # ten minutes: the most to draw
    time.sleep(seconds / 5)
    heap, resident = [], []
    for _ in range(20):
        time.sleep(seconds / 25)
        browser.driver.get_log("performance")
        heap.append(browser.heap_bytes() / 1e6)
        resident.append(resident_bytes() / 1e6)
    return {"seconds": seconds, "ticks": browser.state()["high"], "page_mb": heap, "process_mb": resident}


def growth(values: list[float]) -> float:
    """Returns by how much the least of the last quarter lies above that of the first: what garbage there is does not count."""
    quarter = len(values) // 4
    return min(values[-quarter:]) - min(values[:quarter])


def test_memory_of_page_and_server_is_flat_over_a_minute(open_browser: Open, runtime: edgeaff.Runtime) -> None:
    found = memory_over(open_browser, runtime, 60.0)
    assert growth(found["page_mb"]) < 1.5 and growth(found["process_mb"]) < 6.0, found


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_memory_of_page_and_server_is_flat_over_ten_minutes(
    open_browser: Open, runtime: edgeaff.Runtime, root: Path
) -> None:
    found = memory_over(open_browser, runtime, 600.0)
    found["page_growth_mb"], found["process_growth_mb"] = growth(found["page_mb"]), growth(found["process_mb"])
    rounded = json.loads(json.dumps({**stamp(), **found}), parse_float=lambda text: round(float(text), 2))
    (root / "benchmarks" / "results" / "live_memory.json").write_text(
        json.dumps(rounded, indent=1) + "\n", encoding="utf-8"
    )
    assert found["page_growth_mb"] < 2.0 and found["process_growth_mb"] < 10.0, found


# --- 8: reload ------------------------------------------------------------------------------------------------------------------


def test_reload_keeps_the_history(open_browser: Open, runtime: edgeaff.Runtime) -> None:
    browser = open_browser()
    watch(browser, runtime.live_url, rows=120)
    before = browser.state()
    browser.driver.refresh()
    wait_until(
        lambda: browser.state() and browser.state()["high"] > before["high"] and browser.state()["low"] == 0,
        15.0,
        "the past",
    )
    assert browser.run(MISSING, 0, before["high"]) == 0


def test_page_of_a_former_run_reports_that_its_address_expired(open_browser: Open) -> None:
    browser = open_browser()
    with LivePage("127.0.0.1:0", Shown("x")) as page:
        browser.driver.get(f"http://127.0.0.1:{page.port}/#former")
        wait_until(
            lambda: "expired" in browser.run("return document.getElementById('notice').innerText"), 5.0, "the notice"
        )


# --- 9: screenshots -------------------------------------------------------------------------------------------------------------


SIZES = [(360, 1500, "light"), (768, 1200, "light"), (1280, 1130, "light"), (1280, 1130, "dark")]


@pytest.mark.parametrize(("width", "height", "theme"), SIZES)
def test_page_fits_every_width(
    open_browser: Open, runtime: edgeaff.Runtime, width: int, height: int, theme: str
) -> None:
    browser = open_browser()
    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    browser.resize(width, height)
    watch(browser, runtime.live_url, rows=320)
    browser.press("1")  # ten seconds
    time.sleep(1.2)
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    for canvas in ("trace", "plane", "face"):
        assert browser.colors(canvas) > 3
    dark = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in dark[4:-1].split(",")) < 200) == (theme == "dark")
    assert browser.screenshot(f"live_{width}{'_dark' if theme == 'dark' else ''}").stat().st_size < 400_000


def test_overlay_is_a_card_on_a_transparent_page(open_browser: Open, runtime: edgeaff.Runtime) -> None:
    browser = open_browser()
    browser.resize(640, 300)
    browser.command("Emulation.setDefaultBackgroundColorOverride", color={"r": 0, "g": 0, "b": 0, "a": 0})
    watch(browser, str(runtime.live_url).replace("/#", "/?view=overlay#"))
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgba(0, 0, 0, 0)"
    visible = browser.run(
        "return [...document.querySelectorAll('section')].filter((one) => one.checkVisibility()).map((one) => one.id)"
    )
    assert visible == ["now", "circle"] and browser.console() == []
    browser.screenshot("live_overlay")


def test_reduced_motion_draws_twice_a_second(open_browser: Open, runtime: edgeaff.Runtime) -> None:
    browser = open_browser()
    browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    watch(browser, runtime.live_url)
    before, started = browser.state()["drawn"], time.monotonic()
    time.sleep(3.0)
    assert (browser.state()["drawn"] - before) / (time.monotonic() - started) <= 2.2


# --- 10: a stored session -------------------------------------------------------------------------------------------------------


def shown_event(browser: Browser, row: int) -> dict[str, Any]:
    """Returns the event that the page shows once the scrub bar stands at a row."""
    browser.run(
        "const s = document.getElementById('scrub'); s.value = arguments[0]; s.dispatchEvent(new Event('input'));", row
    )
    wait_until(
        lambda: browser.run("return document.getElementById('event').dataset.row") == str(row), 5.0, f"row {row}"
    )
    event: dict[str, Any] = json.loads(browser.run("return document.getElementById('event').textContent"))
    return event


@pytest.mark.parametrize("kind", ["jsonl", "eaffrec"])
def test_scrubbing_shows_the_very_event_of_the_file(
    open_browser: Open, portrait: Path, tmp_path: Path, kind: str
) -> None:
    lines, recording = tmp_path / "events.jsonl", tmp_path / "session.eaffrec"
    with edgeaff.Runtime(video=str(portrait), sinks=[str(lines), str(recording)]) as runtime:
        runtime.join()
    wanted = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    options = make_parser().parse_args(["view", str(lines if kind == "jsonl" else recording)])
    stored = stored_events(options)
    browser = open_browser()
    with LivePage(options.live, Shown(options.input), stored=stored) as page:
        browser.driver.get(page.url)
        wait_until(
            lambda: browser.state() and browser.state()["cursor"] == 0 and browser.state()["high"] == len(wanted),
            10.0,
            "the file",
        )
        for row in (0, 1, 44, len(wanted) // 2, len(wanted) - 1):
            event = shown_event(browser, row)
            assert event == wanted[row]
            assert browser.state()["status"] == event["status"]
            if event["valence"] is not None:
                assert browser.state()["valence"].replace("−", "-") == f"{event['valence']:+.2f}"
        shown_event(browser, 10)
        browser.press("\ue014")  # right arrow
        wait_until(lambda: browser.state()["cursor"] == 11, 2.0, "the next tick")
        browser.press("\ue010")  # end
        wait_until(lambda: browser.state()["cursor"] == len(wanted) - 1, 2.0, "the last tick")
        shown_event(browser, len(wanted) // 2)
        browser.resize(1280, 1000)
        time.sleep(0.5)
        browser.screenshot("live_view")
        assert browser.console() == [] and browser.hosts() == {"127.0.0.1"}


def test_two_faces_have_a_row_each_and_can_be_chosen(open_browser: Open) -> None:
    browser = open_browser()
    with LivePage("127.0.0.1:0", Shown("two", max_faces=2)) as page:
        browser.driver.get(page.url)
        for event in made_events(60):
            other = replace(event, seq=2 * event.seq + 1, face=replace(event.face, track_id=9), valence=-0.5)
            page.write(replace(event, seq=2 * event.seq))
            page.write(other)
        wait_until(lambda: (browser.state() or {"drawn": 0})["drawn"] > 0, 10.0, "ticks")
        wait_until(lambda: browser.run("return document.querySelectorAll('#faces tr').length") == 2, 5.0, "two rows")
        assert browser.state()["valence"] == "+0.10"
        browser.press("f")
        browser.press("f")
        wait_until(lambda: browser.state()["valence"] == "−0.50", 5.0, "the other face")

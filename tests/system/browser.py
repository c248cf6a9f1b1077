"""Debian's Chromium for tests, driven by selenium: drawings, requests, console."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.system.conftest import find_program

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
)
SCREENSHOTS = Path(os.environ.get("EDGEAFF_SCREENSHOTS", Path(__file__).parents[2] / "build" / "live"))
_STATE = """
const page = window.edgeaff;
return page && page.store ? {
  high: page.store.high, first: page.store.first, low: page.store.low, newestSeconds: page.newestSeconds, ageMs: page.newestAgeMs,
  drawn: page.drawn, images: page.binaryMessages, messages: page.messages, skipped: page.skipped, notes: page.notes,
  status: document.getElementById("status").dataset.status, valence: document.getElementById("valence").textContent,
  why: document.getElementById("why").textContent, connection: document.getElementById("connection").dataset.state,
  cursor: page.cursor,
} : null;
"""
_COLORS = """
const canvas = document.getElementById(arguments[0]);
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const found = new Set();
for (let i = 0; i < data.length; i += 4) found.add((data[i] << 24) | (data[i + 1] << 16) | (data[i + 2] << 8) | data[i + 3]);
return found.size;
"""


class Browser:
    """One Chromium with its own profile."""

    def __init__(self, profile: Path, *, width: int = 1280, height: int = 1000) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = find_program("chromium")
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver: Chrome = webdriver.Chrome(options=options, service=Service(find_program("chromedriver")))
        self.driver.set_script_timeout(20)
        self.requests: list[str] = []

    def command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def resize(self, width: int, height: int) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def state(self) -> dict[str, Any] | None:
        """Returns the state of the page, None before its first message."""
        found: dict[str, Any] | None = self.run(_STATE)
        return found

    def colors(self, canvas: str) -> int:
        """Returns the number of different colors on a canvas; a blank one has one."""
        return int(self.run(_COLORS, canvas))

    def console(self) -> list[str]:
        """Returns the lines of the console since the last call; a report of the content security policy is an error there."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def hosts(self) -> set[str]:
        """Returns every host that the browser asked anything of so far."""
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            parameters = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            elif event["method"] == "Network.webSocketCreated":
                self.requests.append(parameters["url"])
        remote = {"http", "https", "ws", "wss", "ftp"}
        return {str(urlsplit(url).hostname) for url in self.requests if urlsplit(url).scheme in remote}

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.TAG_NAME, "body").send_keys(*keys)

    def heap_bytes(self) -> int:
        """Returns the size of what lives in the page's memory, after its garbage is collected."""
        self.command("HeapProfiler.collectGarbage")
        return int(self.command("Runtime.getHeapUsage")["usedSize"])

    def screenshot(self, name: str) -> Path:
        """Keeps what the window shows as a small PNG under SCREENSHOTS."""
        from PIL import Image

        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        image = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        image.quantize(192, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)
        return path

    def close(self) -> None:
        self.driver.quit()


def browsers(folder: Path) -> Iterator[Any]:
    """Yields a function that opens one more Chromium; all are closed at the end."""
    opened: list[Browser] = []

    def open_one(**options: Any) -> Browser:
        opened.append(Browser(folder / f"profile{len(opened)}", **options))
        return opened[-1]

    try:
        yield open_one
    finally:
        for browser in opened:
            browser.close()

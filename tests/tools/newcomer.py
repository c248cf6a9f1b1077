"""The first hour of CONTRIBUTING.md, done in a fresh clone of HEAD with every step timed: `python tests/tools/newcomer.py --json FILE`.

demo -> development environment -> a renamed descriptor and the test that names it -> a source scheme, step by step as written.
Stops with an error at the first step that does not behave as the page states.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
SOURCE = '''"""A moving bar, for checks without a camera."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgeaff.capture.live import LiveSource
from edgeaff.types import VideoFrame


class Bar(LiveSource):
    """Frames of a moving bar."""

    def __init__(self, *, fps: float = 30.0, **live: Any) -> None:
        """Prepares the source.

        Args:
            fps: frames per second.
            live: options of LiveSource.
        """
        super().__init__("bar", **live)
        self.has_video, self._fps = True, fps

    def _open(self) -> None:
        """Opens nothing."""

    def _read(self, device: None) -> Iterator[VideoFrame | None]:
        column = 0
        while not self._stop.wait(1 / self._fps):
            image = np.zeros((120, 160, 3), np.uint8)
            image[:, column % 160] = 255
            column += 1
            yield VideoFrame(self._clock(), image)

    def _shut(self, device: None) -> None:
        """Closes nothing."""
'''
TEST = '''"""The bar: frames with rising times, wrong options named."""

import pytest

from edgeaff.capture.open import open_source
from edgeaff.errors import ArgumentError


def test_bar_delivers_frames_with_rising_times():
    with open_source("bar:left?fps=100", audio=False) as source:
        times = [source.take(30.0).pts_ns for _ in range(5)]
    assert times == sorted(set(times))


def test_wrong_option_is_named():
    with pytest.raises(ArgumentError, match="did you mean fps"):
        open_source("bar:left?fp=3", audio=False)
'''
OPENED = """    if scheme == "bar":
        from edgeaff.capture.bar import Bar

        return Bar(fps=_number(options, "fps", float) or 30.0)
"""


def run(folder: Path, *command: str, fails: bool = False) -> str:
    """Returns the output of a command.

    Raises:
        RuntimeError: it succeeded though it must fail, or the other way round.
    """
    environment = {**os.environ, "CCACHE_DISABLE": "1"}  # a newcomer compiles everything
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if (done.returncode != 0) is not fails:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout + done.stderr


def replace(path: Path, old: str, new: str) -> None:
    """Replaces the one place of a text in a file.

    Raises:
        RuntimeError: the text is not there once.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise RuntimeError(f"{path.name} must hold {old!r} once, got {text.count(old)}; change this script.")
    path.write_text(text.replace(old, new), encoding="utf-8")


def demo(clone: Path) -> None:
    """Runs the demo and looks at its three files."""
    run(clone, "make", "demo")
    for name in ("events.jsonl", "events.csv", "affect.png"):
        if not (clone / "demo" / name).stat().st_size:
            raise RuntimeError(f"demo/{name} is empty.")


def rename_descriptor(clone: Path) -> None:
    """Renames a descriptor, looks for the failing test that names the column, and takes the name back."""
    names = clone / "edgeaff" / "lld_names.py"
    replace(names, '"jitterLocal_sma"', '"jitter_sma"')
    output = run(clone, ".venv/bin/pytest", "-q", "tests/features/test_lld_names.py", fails=True)
    if "column 2: 'jitter_sma' must be 'jitterLocal_sma'" not in output:
        raise RuntimeError(f"the test must name the column, got:\n{output[-2000:]}")
    run(clone, "git", "checkout", "--quiet", names.as_posix())


def add_scheme(clone: Path) -> None:
    """Adds the scheme `bar:` as the page describes, and runs its tests and those of the pages."""
    capture = clone / "edgeaff" / "capture"
    replace(capture / "uri.py", '"replay", "push")', '"replay", "push", "bar")')
    replace(capture / "uri.py", '    "push": (),\n}', '    "push": (),\n    "bar": ("fps",),\n}')
    replace(capture / "uri.py", "| `push:` |", "| `bar:left?fps=30` | moving bar |\n| `push:` |")
    (capture / "bar.py").write_text(SOURCE, encoding="utf-8")
    before = '    _require(video, scheme, "frames")\n    from edgeaff.capture.camera'
    replace(capture / "open.py", before, OPENED + before)
    (clone / "tests" / "capture" / "test_bar.py").write_text(TEST, encoding="utf-8")
    row = "| `push:` | `PushVideo`, `PushAudio` |"
    replace(clone / "docs" / "live.md", row, f"| `bar:left?fps=30` | `capture.bar.Bar` | monotonic clock |\n{row}")
    run(clone, ".venv/bin/pytest", "-q", "tests/capture/test_bar.py", "tests/capture/test_source.py")
    run(clone, ".venv/bin/pytest", "-q", "tests/test_documentation.py", "-k", "live.md or bar.py")
    for check in (("ruff", "check", "-q", "."), ("ruff", "format", "--check", "-q", "."), ("mypy",), ("lint-imports",)):
        run(clone, f".venv/bin/{check[0]}", *check[1:])


def main() -> int:
    """Returns 0 after all steps, and writes their seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write machine and seconds of each step here")
    options = parser.parse_args()
    steps: list[tuple[str, Callable[[Path], object]]] = [
        ("clone", lambda clone: run(ROOT, "git", "clone", "--quiet", str(ROOT), str(clone))),
        ("demo", demo),
        ("dev", lambda clone: run(clone, "make", "dev")),
        ("rename", rename_descriptor),
        ("scheme", add_scheme),
    ]
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, step in steps:
            start = time.monotonic()
            step(Path(folder) / "edgeaff")
            seconds[name] = round(time.monotonic() - start, 1)
            print(f"{name}: {seconds[name]:.0f} s", flush=True)
    if options.json is not None:
        from edgeaff.machine import stamp

        result = {**stamp(), "seconds": seconds}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

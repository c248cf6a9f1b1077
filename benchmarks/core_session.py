"""One session in Python, in C and as it was before, in turns: `python benchmarks/core_session.py --library LIB [--before CHECKOUT]`.

Every engine is a separate process that holds one session and the same made images and audio; it runs some ticks when it is its
turn, and states CPU time per tick. Ratios are medians over the turns. LIB: libedgeaff.so.1 (`make libedgeaff`); CHECKOUT: a built
checkout of an earlier commit. The memory of each process is that of a second, fresh one that holds one image. Under two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
FPS, RATE_HZ = 30, 16_000
TICKS, WARM_UP = 60, 60
BARS = {"python_vs_c": 1.05, "rss_python_mib": 48.0}


class Engine:
    """A worker process. name: of the engine; checkout: whose edgeaff runs; library: path of libedgeaff for the engine in C."""

    def __init__(self, name: str, checkout: Path, library: Path | None, media: Path) -> None:
        self.name = name
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
        command = [sys.executable, __file__, "--worker", str(media), *(["--library", str(library)] if library else [])]
        self._process = subprocess.Popen(
            command, cwd=checkout, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, ticks: int) -> dict[str, float]:
        """Returns the cost of some more ticks: microseconds of CPU per tick, and MiB in memory afterwards."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{ticks}\n")
        self._process.stdin.flush()
        found: dict[str, float] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class PythonSession:
    """`edgeaff.Session`."""

    def __init__(self) -> None:
        from edgeaff import Session

        self._session = Session()

    def push(self, samples: np.ndarray, image: np.ndarray, pts_ns: int) -> None:
        """Pushes what a camera and a microphone deliver for a tick."""
        self._session.push_audio(samples, pts_ns=pts_ns, sample_rate_hz=RATE_HZ)
        self._session.push_frame(image, pts_ns=pts_ns)


class CSession:
    """A session of libedgeaff, through ctypes with everything prepared: only two calls a tick are Python's."""

    def __init__(self, path: Path, image: np.ndarray) -> None:
        sys.path.insert(0, str(ROOT))
        from tests.capi.library import Event, Image, Library

        self._library = Library(path)
        options = self._library.options(event_room=4)
        self._session = self._library.session(self._library.open(ROOT / "edgeaff" / "assets" / "edge.eaff"), options)
        self._view = Image(pixels=0, width=image.shape[1], height=image.shape[0])
        self._view.row_stride[0], self._view.pixel_stride = image.strides[:2]
        self._view.channel_stride = image.strides[2]
        self._event = Event()

    def push(self, samples: np.ndarray, image: np.ndarray, pts_ns: int) -> None:
        """Pushes what a camera and a microphone deliver for a tick."""
        import ctypes

        c, handle = self._library.c, self._session.handle
        data = ctypes.cast(samples.ctypes.data, ctypes.POINTER(ctypes.c_int16))
        assert c.edgeaff_push_audio_i16(handle, data, samples.size, RATE_HZ, pts_ns) >= 0
        self._view.planes[0] = image.ctypes.data
        assert c.edgeaff_push_frame(handle, ctypes.byref(self._view), pts_ns) >= 0
        while c.edgeaff_poll(handle, ctypes.byref(self._event)) == 1:
            pass


def work(media: Path, library: Path | None) -> None:
    """Runs ticks as asked on the standard input. media: .npz with images and samples, or one image repeated."""
    with np.load(media) as arrays:
        images, samples = arrays["images"], arrays["samples"]
    session: Any = PythonSession() if library is None else CSession(library, images[0])
    tick = 0
    for line in sys.stdin:
        count, spent = int(line), 0
        for _ in range(count):
            start, end = tick * RATE_HZ // FPS % (len(samples) - 600), 0
            end = start + (tick + 1) * RATE_HZ // FPS - tick * RATE_HZ // FPS
            chunk, image = samples[start:end], images[tick % len(images)]
            before = time.process_time_ns()
            session.push(chunk, image, tick * 1_000_000_000 // FPS)
            spent += time.process_time_ns() - before
            tick += 1
        status = Path("/proc/self/status").read_text(encoding="ascii")
        resident = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmRSS:"))
        print(json.dumps({"cpu_us": spent / count / 1e3, "rss_mib": resident / 1024}), flush=True)


def measure(engines: dict[str, tuple[Path, Path | None]], folder: Path, rounds: int) -> dict[str, Any]:
    """Returns times and ratios of all engines, in turns, and the memory of fresh processes."""
    from edgeaff.bench.latency_media import make_media

    media = make_media(5.0)
    many, one = folder / "many.npz", folder / "one.npz"
    np.savez(many, images=np.stack(media.images), samples=media.samples)
    np.savez(one, images=media.images[0][None], samples=media.samples)
    running = {name: Engine(name, *where, many) for name, where in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    for engine in running.values():
        engine.run(WARM_UP)
    for turn in range(rounds):
        order = list(running.items())
        for name, engine in order if turn % 2 else reversed(order):
            times[name].append(engine.run(TICKS)["cpu_us"])
    memory = {}
    for name, where in engines.items():
        fresh = Engine(name, *where, one)
        memory[name] = round(fresh.run(300)["rss_mib"], 1)
        fresh.close()
    for engine in running.values():
        engine.close()
    rows = {
        name: {
            "cpu_min_us": round(min(values), 1),
            "cpu_p50_us": round(float(np.median(values)), 1),
            "rss_mib": memory[name],
        }
        for name, values in times.items()
    }
    ratios = {
        f"{name}_vs_c": round(float(np.median(np.array(times[name]) / np.array(times["c"]))), 3)
        for name in times
        if name != "c"
    }
    return {"media": media.kind, "ticks_per_turn": TICKS, "turns": rounds, "engines": rows, "ratios": ratios}


def main() -> None:
    """Prints the result, and writes it if asked to."""
    import tempfile

    from edgeaff.machine import load_average, stamp

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--before", type=Path, help="a built checkout of an earlier commit")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    engines: dict[str, tuple[Path, Path | None]] = {"python": (ROOT, None), "c": (ROOT, options.library.resolve())}
    if options.before:
        engines["before"] = (options.before.resolve(), None)
    start = load_average()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(engines, Path(folder), options.rounds)
    bars = {
        "python_vs_c": found["ratios"]["python_vs_c"] <= BARS["python_vs_c"],
        "rss_python_mib": found["engines"]["python"]["rss_mib"] <= BARS["rss_python_mib"],
    }
    text = json.dumps({**stamp(), "load_before": start, **found, "bars": BARS, "bars_met": bars}, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]), Path(sys.argv[4]) if len(sys.argv) > 4 else None)
    else:
        main()

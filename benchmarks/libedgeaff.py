"""libedgeaff and today's Session beside another checkout's Session: `python benchmarks/libedgeaff.py --before CHECKOUT [--json FILE]`.

CHECKOUT is the working tree of an older commit with its compiled module in place (`EDGEAFF_CUDA=OFF pip install -e .` in its own
environment, or a CMake build into edgeaff/ops); this Python runs it. Every figure comes from separate processes, started in turns: the C
program benchmarks/c_ticks.c, this Session, the other Session. Each pushes the same image and samples, tick after tick. Ratios are medians
over the rounds of least CPU time over least CPU time, open to ready among them, for the wall clock of a shared machine counts its other
users; library size is that of the stripped shared library.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.bench.latency_media import HEIGHT, WIDTH, make_media
from edgeaff.machine import load_average, stamp

ROOT = Path(__file__).resolve().parents[1]
BLOCKS, TICKS = 18, 15
LIMITS = {
    "library_bytes": 1_200_000, "rss_mib": 10.0, "allocations_after_warm_up": 0, "open_cpu_ms": 25.0, "tick_vs_before": 0.55,
    "import_beyond_numpy_seconds": 0.03, "open_vs_before": 0.4, "session_rss_mib": 48.0, "session_tick_vs_c": 1.05,
}  # fmt: skip
_SESSION = """
import json, sys, time
cpu, wall = time.process_time, time.perf_counter
start = cpu(), wall()
import numpy as np
numpy_at = cpu(), wall()
from edgeaff import Session
import_at = cpu(), wall()
folder, blocks, ticks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
image = np.fromfile(folder + "/image.rgb", np.uint8).reshape(HEIGHT, WIDTH, 3)
samples = np.fromfile(folder + "/samples.s16", np.int16)
open_at = cpu(), wall()
session = Session()
ready_at = cpu(), wall()
faces = tick = 0
def push():
    global tick, faces
    first, end, now = tick * 16000 // 30, (tick + 1) * 16000 // 30, tick * 10**9 // 30
    at = first % (len(samples) - 1000)
    events = session.push_audio(samples[at : at + end - first], pts_ns=now, sample_rate_hz=16000)
    events += session.push_frame(image, pts_ns=now)
    faces += sum(event.face is not None for event in events)
    tick += 1
for _ in range(30):
    push()
times = []
for _ in range(blocks):
    before = cpu()
    for _ in range(ticks):
        push()
    times.append((cpu() - before) / ticks * 1e6)
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[1])
print(json.dumps({
    "package": sys.modules["edgeaff"].__file__,
    "import_numpy_cpu_ms": 1e3 * (numpy_at[0] - start[0]), "import_cpu_ms": 1e3 * (import_at[0] - numpy_at[0]),
    "import_numpy_ms": 1e3 * (numpy_at[1] - start[1]), "import_ms": 1e3 * (import_at[1] - numpy_at[1]),
    "open_cpu_ms": 1e3 * (ready_at[0] - open_at[0]), "open_ms": 1e3 * (ready_at[1] - open_at[1]),
    "tick_cpu_us": times, "faces": faces, "ticks": tick, "rss_mib": pages * 4096 / 2**20}))
""".replace("HEIGHT", str(HEIGHT)).replace("WIDTH", str(WIDTH))
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(*command: object, environment: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """Returns the output of a program that succeeds."""
    whole = {**os.environ, **ENVIRONMENT, **(environment or {})}
    whole.pop("PYTHONDONTWRITEBYTECODE", None)
    given = [str(part) for part in command]
    return subprocess.run(given, capture_output=True, text=True, check=True, env=whole, cwd=folder).stdout


def prepare(folder: Path, prefix: Path | None) -> Path:
    """Returns the C program, linked with the library, beside the media that all competitors read.

    Args:
        folder: gets program and media.
        prefix: an installed libedgeaff; None installs one with `make libedgeaff`.
    """
    if prefix is None:
        prefix = folder / "prefix"
        run("make", "-C", ROOT, "libedgeaff", f"PREFIX={prefix}")
    media = make_media(10.0)
    (folder / "image.rgb").write_bytes(np.ascontiguousarray(media.images[7]).tobytes())
    (folder / "samples.s16").write_bytes(media.samples.astype("<i2").tobytes())
    program, flags = (
        folder / "c_ticks",
        ("-std=c99", "-O2", f"-I{prefix}/include", f"-L{prefix}/lib", f"-Wl,-rpath,{prefix}/lib"),
    )
    run("cc", *flags, ROOT / "benchmarks" / "c_ticks.c", "-o", program, "-ledgeaff")
    run("strip", "-o", folder / "stripped.so", prefix / "lib" / "libedgeaff.so.1")
    (folder / "edge.eaff").write_bytes((prefix / "share" / "edgeaff" / "edge.eaff").read_bytes())
    return program


def measure(folder: Path, program: Path, before: Path | None, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Returns the figures that the processes of each competitor printed, round by round.

    Args:
        folder: with the media, where the processes run.
        program: the C program.
        before: working tree of an older commit, or None.
        rounds: how often each runs.

    Raises:
        RuntimeError: a process imported another package than its own.
    """
    calls: dict[str, tuple[tuple[object, ...], dict[str, str]]] = {
        "c": ((program, folder / "edge.eaff", folder / "image.rgb", WIDTH, HEIGHT, folder / "samples.s16", BLOCKS, TICKS), {}),
        "session": ((sys.executable, "-c", _SESSION, folder, BLOCKS, TICKS), {"PYTHONPATH": str(ROOT)}),
    }  # fmt: skip
    if before is not None:
        calls["before"] = (
            (sys.executable, "-c", _SESSION, folder, BLOCKS, TICKS),
            {"PYTHONPATH": str(before.resolve())},
        )
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (command, environment) in calls.items():
            row = json.loads(run(*command, environment=environment, folder=folder).splitlines()[-1])
            if "package" in row and not Path(row["package"]).is_relative_to(environment["PYTHONPATH"]):
                raise RuntimeError(
                    f"{name} imported {row['package']}, not the package below {environment['PYTHONPATH']}."
                )
            found[name].append(row)
    return found


def least(rows: list[dict[str, Any]], name: str) -> float:
    """Returns the least of a figure over the rounds."""
    return round(min(float(np.min(row[name])) for row in rows), 3)


def ratio(rows: list[dict[str, Any]], others: list[dict[str, Any]], name: str) -> float:
    """Returns the median over the rounds of a figure over the other's of the same round; each the least of its blocks."""
    pairs = zip(rows, others, strict=True)
    return round(float(np.median([np.min(one[name]) / np.min(other[name]) for one, other in pairs])), 3)


def summarize(found: dict[str, list[dict[str, Any]]], library_bytes: int) -> dict[str, Any]:
    """Returns figures and, with another checkout, ratios."""
    c, session = found["c"], found["session"]
    result: dict[str, Any] = {
        "library_bytes": library_bytes,
        "rss_mib": max(row["rss_mib"] for row in c),
        "rss_before_open_mib": max(row["rss_before_mib"] for row in c),
        "allocations_after_warm_up": max(row["allocations_after_warm_up"] for row in c),
        "open_ms": least(c, "open_ms"),
        "open_cpu_ms": least(c, "open_cpu_ms"),
        "import_beyond_numpy_seconds": round(least(session, "import_cpu_ms") / 1e3, 4),
        "session_rss_mib": round(min(row["rss_mib"] for row in session), 1),
        "session_tick_vs_c": ratio(session, c, "tick_cpu_us"),
        "ticks_with_a_face": {name: rows[0]["faces"] / rows[0]["ticks"] for name, rows in found.items()},
        "least": {
            name: {key: least(rows, key) for key in ("tick_cpu_us", "open_cpu_ms", "open_ms", "import_cpu_ms", "import_numpy_cpu_ms")
                   if key in rows[0]}
            for name, rows in found.items()
        },
    }  # fmt: skip
    if "before" in found:
        result["tick_vs_before"] = ratio(c, found["before"], "tick_cpu_us")
        result["session_tick_vs_before"] = ratio(session, found["before"], "tick_cpu_us")
        result["open_vs_before"] = ratio(session, found["before"], "open_cpu_ms")
    return result


def main() -> None:
    """Prints what was measured beside its limits, and writes the JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="working tree of an older commit, compiled")
    parser.add_argument("--prefix", type=Path, help="an installed libedgeaff; default: installs one")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    started = stamp()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = prepare(folder, options.prefix)
        found = measure(folder, program, options.before, options.rounds)
        result = summarize(found, (folder / "stripped.so").stat().st_size)
    if options.before is not None:
        result["before"] = run("git", "-C", options.before, "rev-parse", "--short", "HEAD").strip()
    for key, limit in LIMITS.items():
        if key in result:
            print(f"{key}: {result[key]} (at most {limit:g}: {'met' if result[key] <= limit else 'MISSED'})")
    print(json.dumps(result["least"]))
    if options.json:
        whole = {**started, **result, "limits": LIMITS, "rounds": options.rounds, "load_average_after": load_average()}
        options.json.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()

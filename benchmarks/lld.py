"""Measures the LLD extractors side by side: CPU per hop, cost of a video frame's audio_clip, memory, delay, agreement.

    OMP_NUM_THREADS=1 python benchmarks/lld.py --voices FOLDER --json benchmarks/results/lld.json


"native" is the compiled stream, "numpy" its readable twin, "opensmile" the peer package where it is installed. All run in
one process, one after the other in each round, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[1])
)  # makes `benchmarks` and `recipes` importable from a script

import argparse
import json
import os
import platform
import subprocess
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from edgeaff.bench.latency_media import voice
from edgeaff.features import lld, lld_stream
from edgeaff.features.resample import Resampler
from edgeaff.machine import describe_run, package_version, peak_mib, processor_name, resident_mib
from edgeaff.ops import build_info, native, set_instruction_set
from edgeaff.spec import SAMPLE_RATE_HZ as RATE_HZ

ROOT = Path(__file__).resolve().parents[1]
HOP_SECONDS = 0.01
FRAME_SAMPLES = 533  # audio of one video frame at 30 fps
PEER_WINDOW_SECONDS = 2.0
GROUPS_OF_COLUMNS = {
    "F0": (0,),
    "voicing": (1,),
    "jitter, shimmer, logHNR": (2, 3, 4, 5),
    "loudness, level": (6, 7, 8),
    "zero crossings": (9,),
    "RASTA bands": tuple(range(10, 36)),
    "roll-offs": (38, 39, 40, 41),
    "spectral shape": (36, 37, *range(42, 51)),
    "MFCC": tuple(range(51, 65)),
}


def recordings() -> dict[str, np.ndarray]:
    """Returns recordings for the comparison of values, (n,) int16 by name; none of them is in the golden files."""
    rng = np.random.default_rng(7)
    clock = np.arange(6 * RATE_HZ) / RATE_HZ
    chords = np.zeros(len(clock))
    for start in range(0, len(clock), 4_000):
        note, tail = 110 * 2 ** (rng.integers(0, 36) / 12), clock[: len(clock) - start]
        chords[start:] += np.exp(-4 * tail) * sum(np.sin(2 * np.pi * note * k * tail) / k for k in range(1, 8))
    made = {
        "music": 0.15 * chords,
        "noise": 0.1 * rng.standard_normal(len(clock)) * (np.sin(2 * clock) > -0.5),
        "clipped voice": voice(6, 3) / 32_767 * 8,
        "silence": np.zeros(RATE_HZ),
    }
    return {
        "voice": voice(12, 1),
        **{name: (np.clip(one, -1, 1) * 32_767).astype(np.int16) for name, one in made.items()},
    }


def real_voices(folder: Path, every: int) -> dict[str, np.ndarray]:
    """Returns recordings from below a folder, (n,) int16 at 16 kHz by name.

    Args:
        folder: searched for audio files.
        every: take every so-manieth, in the order of their names.
    """
    import av

    found: dict[str, np.ndarray] = {}
    paths = sorted(
        path for path in folder.rglob("*") if path.suffix in {".flac", ".wav", ".opus", ".ogg", ".mp3", ".m4a"}
    )
    for path in paths[::every]:
        with av.open(str(path)) as container:
            rate_hz = container.streams.audio[0].rate
            mono = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
            frames = [one for frame in container.decode(audio=0) for one in mono.resample(frame)]
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames])
        resampler = Resampler(rate_hz, RATE_HZ)
        samples = np.concatenate([resampler.push(samples), resampler.finish()])
        found[path.name] = np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype(np.int16)
    return {name: samples for name, samples in found.items() if len(samples) >= RATE_HZ // 5}


def has_native() -> bool:
    """Returns whether the compiled module with the LLD stream is there."""
    return find_spec("edgeaff.ops._C") is not None and hasattr(native(), "LldStream")


def peer() -> Callable[[np.ndarray], np.ndarray] | None:
    """Returns openSMILE as a function from (n,) int16 to (T, 65) float32, or None where it is not installed."""
    if find_spec("opensmile") is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import opensmile

    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.ComParE_2016, feature_level=opensmile.FeatureLevel.LowLevelDescriptors
    )

    def run(samples: np.ndarray) -> np.ndarray:
        rows: np.ndarray = smile.process_signal((samples / 32_768).astype(np.float32), RATE_HZ).to_numpy()
        return rows

    return run


def run_stream(make: Callable[..., Any], samples: np.ndarray, chunk: int, max_pitch_lag: int = 4) -> np.ndarray:
    """Returns the rows of an audio clip pushed in chunks, ended as openSMILE ends it."""
    stream = make(max_pitch_lag=max_pitch_lag)
    parts = []
    for start in range(0, len(samples), chunk):
        stream.push(samples[start : start + chunk])
        parts.append(stream.pop())
    stream.finish(True)
    return np.concatenate([*parts, stream.pop()])


def extractors() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Returns the extractors that can be measured here, by name; native once per instruction set, streams in chunks of a video frame."""
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if has_native():
        for limit in ("best", "avx2", "scalar"):
            found[f"native {limit}"] = _limited(limit)
    found["numpy"] = lambda samples: run_stream(lld_stream.LldStream, samples, FRAME_SAMPLES)
    other = peer()
    if other is not None:
        found["opensmile"] = other
    return found


def _limited(limit: str) -> Callable[[np.ndarray], np.ndarray]:
    def run(samples: np.ndarray) -> np.ndarray:
        set_instruction_set(limit)
        try:
            return run_stream(lld.LldStream, samples, FRAME_SAMPLES)
        finally:
            set_instruction_set("best")

    return run


def measure_cpu(seconds: float, rounds: int) -> dict[str, Any]:
    """Returns CPU microseconds per hop and the real-time factor of each extractor, interleaved.

    Args:
        seconds: length of the audio; the NumPy twin gets a tenth of it.
        rounds: how often each runs; the first is discarded.
    """
    samples = voice(seconds)
    shorter = samples[: len(samples) // 10]
    all_times: dict[str, list[float]] = {name: [] for name in extractors()}
    for _ in range(rounds + 1):
        for name, run in extractors().items():
            audio_clip = shorter if name == "numpy" else samples
            start = time.process_time()
            rows = run(audio_clip)
            all_times[name].append((time.process_time() - start) / len(rows))
    result = {}
    for name, times in all_times.items():
        hop_us = 1e6 * np.array(times[1:])
        result[name] = {
            "cpu_us_per_hop": {"median": _rounded(np.median(hop_us)), "p95": _rounded(np.quantile(hop_us, 0.95))},
            "real_time_factor": _rounded(np.median(hop_us) / 1e6 / HOP_SECONDS, 6),
        }
    return result


def measure_video_frame(frames: int) -> dict[str, Any]:
    """Returns the CPU microseconds that one video frame's audio costs live.

    A stream takes the 533 new samples; openSMILE, which has no stream in Python, takes the last 2 s again.
    """
    samples = voice(PEER_WINDOW_SECONDS + 12)
    result = {}
    makers: dict[str, Callable[..., Any]] = {"numpy": lld_stream.LldStream}
    if has_native():
        makers["native"] = lld.LldStream
    for name, make in makers.items():
        result[name] = _quantiles(_frame_push(make(), samples), frames)
    other = peer()
    if other is not None:
        window = round(PEER_WINDOW_SECONDS * RATE_HZ)
        result["opensmile, last 2 s again"] = _quantiles(
            lambda start: other(samples[start : start + window]), frames // 8
        )
    return result


def _frame_push(stream: Any, samples: np.ndarray) -> Callable[[int], Any]:
    def push(start: int) -> None:
        stream.push(samples[start : start + FRAME_SAMPLES])
        stream.pop()

    return push


def _quantiles(call: Callable[[int], Any], count: int) -> dict[str, float]:
    times = []
    for index in range(count + 3):
        start = time.process_time_ns()
        call((index * FRAME_SAMPLES) % (10 * RATE_HZ))
        times.append((time.process_time_ns() - start) / 1e3)
    values = np.array(times[3:])
    return {name: _rounded(np.quantile(values, q)) for name, q in (("median", 0.5), ("p95", 0.95), ("p99", 0.99))}


def measure_delay(seconds: float, max_pitch_lag: int = 4) -> dict[str, Any]:
    """Returns the number of ms of audio after its start a row of the stream is final: median and worst, and the promise."""
    samples = voice(seconds)
    stream = lld.LldStream(max_pitch_lag=max_pitch_lag)
    delays: list[float] = []
    for end in range(16, len(samples) + 1, 16):
        for _ in range(stream.push(samples[end - 16 : end])):
            delays.append(end / 16 - 10 * len(delays))
    return {
        "max_pitch_lag": max_pitch_lag,
        "median_ms": _rounded(np.median(delays)),
        "worst_ms": _rounded(max(delays)),
        "promised_ms": max(stream.latency_ns.values()) / 1e6,
    }


def measure_agreement(made: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns the errors of native and NumPy against openSMILE, relative to the largest magnitude of a column in a audio_clip.

    Args:
        made: the recordings, (n,) int16 by name.

    Returns:
        Per extractor the errors over all recordings; empty where openSMILE is not installed or there is no audio_clip.
    """
    other = peer()
    if other is None or not made:
        return {}
    makers: dict[str, Callable[..., Any]] = {"numpy": lld_stream.LldStream}
    if has_native():
        makers["native"] = lld.LldStream
    theirs = {name: other(samples) for name, samples in made.items()}
    result: dict[str, Any] = {"recordings": len(made), "rows": sum(len(rows) for rows in theirs.values())}
    for name, make in makers.items():
        ours = {audio_clip: run_stream(make, samples, RATE_HZ, 29) for audio_clip, samples in made.items()}
        result[name] = _agreement(ours, theirs)
        low = {audio_clip: run_stream(make, samples, RATE_HZ, 4) for audio_clip, samples in made.items()}
        same = np.concatenate([low[audio_clip][:, 0] == ours[audio_clip][:, 0] for audio_clip in made])
        result[name]["same_f0_at_lag_4"] = _rounded(same.mean(), 5)
    return result


def _agreement(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, Any]:
    error = np.concatenate(
        [
            np.abs(ours[name].astype(np.float64) - rows) / np.maximum(np.abs(rows).max(axis=0), 1e-6)
            for name, rows in theirs.items()
        ]
    )
    f0, f0_theirs = (np.concatenate([rows[name][:, 0] for name in theirs]).astype(float) for rows in (ours, theirs))
    voiced = (f0 > 0) & (f0_theirs > 0)
    columns = {
        name: {"max": _short(values.max()), "p99": _short(np.quantile(values, 0.99)), "above_1e-4": _share(values)}
        for name, values in zip(lld.NAMES, error.T, strict=True)
    }
    groups = {
        name: {
            "max": _short(error[:, group].max()),
            "above_1e-4": max(columns[lld.NAMES[c]]["above_1e-4"] for c in group),
        }
        for name, group in GROUPS_OF_COLUMNS.items()
    }
    return {
        "same_voicing_decision": _rounded(((f0 > 0) == (f0_theirs > 0)).mean(), 6),
        "f0_relative_max": _short((np.abs(f0 - f0_theirs)[voiced] / f0_theirs[voiced]).max()),
        "groups": groups,
        "columns": columns,
    }


def measure_memory(name: str, minutes: int) -> dict[str, float]:
    """Returns the resident memory (MiB) that extracting this many minutes adds, in its own process, pushing a second at a time.

    Args:
        name: native, numpy or opensmile.
        minutes: of audio_clip. The rows are dropped as they come, so what a stream adds is its state.
    """
    code = f"from benchmarks.lld import _memory; _memory({name!r}, {minutes})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout.splitlines()[-1])


def _memory(name: str, minutes: int) -> None:
    second = voice(1.0)
    if name == "opensmile":
        other = peer()
        assert other is not None
        other(second)
        audio_clip = np.tile(second, 60 * minutes)
        before = resident_mib()
        other(audio_clip)
        added = peak_mib() - before
    else:
        stream = (lld.LldStream if name == "native" else lld_stream.LldStream)()
        for _ in range(5):
            stream.push(second)
            stream.pop()
        before = resident_mib()
        for _ in range(60 * minutes):
            stream.push(second)
            stream.pop()
        added = resident_mib() - before
    sys.stdout.write(json.dumps({"minutes": minutes, "added_mib": _rounded(added)}) + "\n")


def _rounded(value: float, digits: int = 2) -> float:
    return round(float(value), digits)


def _short(value: float) -> float:
    return float(f"{float(value):.2e}")


def _share(values: np.ndarray) -> float:
    return _rounded((values > 1e-4).mean(), 6)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Returns all results."""
    names = (["native"] if has_native() else []) + ["numpy"] + (["opensmile"] if package_version("opensmile") else [])
    voices = real_voices(args.voices, args.every) if args.voices else {}
    minutes = {"native": args.minutes, "numpy": max(1, args.minutes // 5), "opensmile": args.minutes}
    return {
        "run": describe_run(),
        "machine": {"processor": processor_name(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)},
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "opensmile": package_version("opensmile"),
        },
        "build": build_info() if has_native() else None,
        "agreement": measure_agreement(recordings()),
        "agreement_real_voices": measure_agreement(voices),
        "cpu": measure_cpu(args.seconds, args.rounds),
        "video_frame_cpu_us": measure_video_frame(args.frames),
        "delay": [measure_delay(20.0, lag) for lag in (4, 29)],
        "memory": {name: measure_memory(name, minutes[name]) for name in names},
    }


def show(result: dict[str, Any]) -> None:
    """Prints the main numbers."""
    for name, row in result["cpu"].items():
        hop_us = row["cpu_us_per_hop"]
        print(
            f"{name:14s} {hop_us['median']:7.1f} us/hop (p95 {hop_us['p95']:.1f}), of real time {row['real_time_factor']:.4f}"
        )
    for name, row in result["video_frame_cpu_us"].items():
        print(f"audio of one video frame, {name}: median {row['median']:.0f} us, p99 {row['p99']:.0f} us")
    for row in result["delay"]:
        print(
            f"row final after {row['median_ms']:.0f} ms, at most {row['worst_ms']:.0f} ms (lag {row['max_pitch_lag']})"
        )
    for name, row in result["memory"].items():
        print(f"{name}: {row['added_mib']:.1f} MiB more after {row['minutes']} min of audio")
    for name in ("native", "numpy"):
        for table in ("agreement", "agreement_real_voices"):
            for group, row in result[table].get(name, {}).get("groups", {}).items():
                print(f"{table}, {name}, {group}: max {row['max']:.1e}, share above 1e-4 {row['above_1e-4']}")


def main() -> None:
    """Measures, prints and writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of audio per run (default 60)")
    parser.add_argument("--rounds", type=int, default=30, help="runs of each extractor (default 30)")
    parser.add_argument("--frames", type=int, default=1_000, help="video frames (default 1000)")
    parser.add_argument("--minutes", type=int, default=10, help="of audio for the memory (default 10)")
    parser.add_argument("--voices", type=Path, help="a folder with recordings to compare on, too")
    parser.add_argument("--every", type=int, default=10, help="of the recordings take every so-manieth (default 10)")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = measure(args)
    show(result)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

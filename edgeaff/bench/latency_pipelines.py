"""Whole pipelines in two modes, back to back and with a camera, and how many times faster one is than another.

`back_to_back`: the next image on completion of the last. `camera`: an image every 1/30 s of real time; one that comes while
the last is at work replaces the one that waits, which is dropped. Latency is the time from an image's arrival to its value.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeaff.bench.interleave import Timing
from edgeaff.bench.latency_engines import OURS, Engine
from edgeaff.bench.latency_media import FPS, RATE_HZ, Media, pts_ns
from edgeaff.errors import BundleError
from edgeaff.inference import WINDOW_TICKS
from edgeaff.types import AffectEvent, Status

WARMUP_TICKS = WINDOW_TICKS + 5
COMPARED_TICKS = range(WINDOW_TICKS - 2, WINDOW_TICKS)
"""The last ticks before a window forgets what a stream remembers: there all arrangements give the same values."""
LEAST_CPU_SHARE = 0.9
SAME_VALUE = {"fp32": 1e-3, "int8": 0.1}
FRAME_MS = 1e3 / FPS


def warm_up(engines: Sequence[Engine], media: Media) -> dict[str, float]:
    """Fills all windows and compares the values of the engines of one preset.

    Returns:
        Per engine the largest difference from the first engine in float32 (from the first at all where there is none).

    Raises:
        BundleError: the engines do not compute the same, or an image's face was not found.
    """
    values = {}
    for engine in engines:
        engine.use_threads()
        engine.start(media)
        engine.fill(True)
        events: list[AffectEvent] = []
        for tick in range(WARMUP_TICKS):
            engine.fill(not COMPARED_TICKS[0] <= len(events) <= COMPARED_TICKS[-1])
            events += engine.push(media, tick)
        engine.fill(False)
        engine.first_value_ms = next((round(e.pts_ns / 1e6, 1) for e in events if e.status is Status.OK), None)
        if not any(event.face is not None for event in events[-10:]):
            raise BundleError(
                "the made images must show a face that is found, got none; the encoder would not be measured."
            )
        rows = [(events[tick].valence_raw, events[tick].arousal_raw) for tick in COMPARED_TICKS]
        values[engine.key] = np.array(rows, float)
    base = next((one for one in engines if one.precision == "fp32" and one.stride == 1), engines[0])
    found = {}
    for engine in engines:
        if engine.preset == "paper" and engine.stride > 1:
            continue  # holds values between
        difference = float(np.abs(values[engine.key] - values[base.key]).max())
        if not difference <= SAME_VALUE[engine.precision]:
            raise BundleError(
                f"{engine.key} must give the values of {base.key}, got {difference:.1e} apart; see latency_peers.py."
            )
        found[engine.key] = float(f"{difference:.1e}")
    return found


def back_to_back(
    engines: Sequence[Engine], media: Media, turns: int, seconds: float = math.inf
) -> tuple[dict[str, Timing], dict[str, int]]:
    """Returns the times per image of each engine, taken in turns of a block of ticks each, and how many values came out.

    Args:
        engines: warmed up.
        media: images and samples.
        turns: of each engine.
        seconds: after them no new turn begins, except for the second.
    """
    wall: dict[str, list[float]] = {engine.key: [] for engine in engines}
    cpu: dict[str, list[float]] = {engine.key: [] for engine in engines}
    events = dict.fromkeys(wall, 0)
    gc.collect()
    end = time.monotonic() + seconds
    for turn in range(turns):
        if turn > 1 and time.monotonic() > end:
            break
        for engine in engines:
            engine.use_threads()
            for tick in range(engine.next_tick, engine.next_tick + engine.block):
                taken = media.take(tick)
                cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
                events[engine.key] += len(engine.push_taken(taken, tick))
                wall[engine.key].append((time.perf_counter_ns() - start) / 1e3)
                cpu[engine.key].append((time.process_time_ns() - cpu_start) / 1e3)
    return {name: Timing(np.array(wall[name]), np.array(cpu[name])) for name in wall}, events


def pipeline_row(engine: Engine, timing: Timing, events: int) -> dict[str, Any]:
    """Returns the back-to-back row of one engine. events: how many values came out."""
    wall, cpu = timing.wall_us / 1e3, timing.cpu_us / 1e3
    return {
        **_head(engine, "back_to_back"),
        "n": events,
        "fps": round(events / wall.sum() * 1e3, 1),
        "real_time_factor": round(float(wall.mean() / FRAME_MS), 4),
        "min_ms": round(float(wall.min()), 3),
        **_percentiles(wall),
        "jitter_ms": round(float(np.percentile(wall, 99) - np.median(wall)), 3),
        "cpu_ms": round(float(cpu.sum() / events), 3),
        "cpu_p50_ms": round(float(np.median(cpu)), 3),
        "cpu_share": round(float(cpu.sum() / wall.sum()), 3),
    }


def camera_row(engine: Engine, media: Media, seconds: float) -> dict[str, Any]:
    """Returns the camera row of one engine: arrivals in real time, late images dropped; only the newest tick is computed then.

    Args:
        engine: warmed up.
        media: images and samples.
        seconds: of real time.
    """
    engine.use_threads()
    first = engine.next_tick
    last = round(seconds * FPS)
    glass: list[float] = []
    newest_events: list[AffectEvent] = []
    tick = taken = 0
    cpu_start, start = time.process_time_ns(), time.perf_counter_ns()
    while tick < last:
        time.sleep(max(0.0, (start + pts_ns(tick) - time.perf_counter_ns()) / 1e9))
        newest = min(last - 1, (time.perf_counter_ns() - start) * FPS // 1_000_000_000)
        for missed in range(first + tick, first + newest):
            engine.session.push_audio(media.audio(missed), pts_ns=pts_ns(missed), sample_rate_hz=RATE_HZ)
        events = engine.push_newest(media, first + newest)
        now = time.perf_counter_ns() - start + pts_ns(first + 1)
        glass += [(now - event.pts_ns) / 1e6 for event in events[-1:]]
        newest_events += events[-1:]
        taken += 1
        tick = newest + 1
    wall_ns, cpu_ns = time.perf_counter_ns() - start, time.process_time_ns() - cpu_start
    return {
        **_head(engine, "camera"),
        "n": len(glass),
        "fps": round(taken / max(wall_ns / 1e9, last / FPS), 1),
        "real_time_factor": round(cpu_ns / wall_ns, 4),
        "min_ms": round(min(glass), 3),
        **_percentiles(np.array(glass)),
        "jitter_ms": round(float(np.percentile(glass, 99) - np.median(glass)), 3),
        "cpu_ms": round(cpu_ns / 1e6 / len(glass), 3),
        "cpu_share": round(cpu_ns / wall_ns, 3),
        "first_value_ms": engine.first_value_ms,
        "dropped_percent": round(100 * (last - taken) / last, 2),
        **_ages(newest_events),
    }


def _ages(events: Sequence[AffectEvent]) -> dict[str, float | None]:
    """Returns the ages of frame and audio at their tick, and the distance between them."""
    video = [event.video_age_ms for event in events if event.video_age_ms is not None]
    audio = [event.audio_age_ms for event in events if event.audio_age_ms is not None]
    both = [
        event.audio_age_ms - event.video_age_ms
        for event in events
        if event.audio_age_ms is not None and event.video_age_ms is not None
    ]
    named = {"video_age_p50_ms": video, "audio_age_p50_ms": audio, "av_skew_p50_ms": both}
    return {name: round(float(np.median(ages)), 3) if ages else None for name, ages in named.items()}


def _head(engine: Engine, mode: str) -> dict[str, Any]:
    return {
        "preset": engine.preset,
        "engine": engine.name,
        "precision": engine.precision,
        "threads": engine.threads,
        "stride": engine.stride,
        "mode": mode,
        "arrangement": " ".join([engine.words, *_engines_in_words(engine)]),
        "backends": engine.backends,
    }


def _engines_in_words(engine: Engine) -> list[str]:
    return [f"{what[0].upper()}{what[1:]} on {backend}." for what, backend in engine.backends.items()]


def _percentiles(milliseconds: np.ndarray) -> dict[str, float]:
    return {f"p{share}_ms": round(float(np.percentile(milliseconds, share)), 3) for share in (50, 90, 99)}


# --- ratios -------------------------------------------------------------------------------------------------------------------


def ratio_rows(engines: Sequence[Engine], times: dict[str, Timing]) -> list[dict[str, Any]]:
    """Returns the number of times less ours takes than each peer: CPU time per tick, and time per tick; none where the share was low."""
    rows = []
    for mine in engines:
        if mine.name != OURS:
            continue
        for peer in engines:
            if peer.name == OURS:
                continue
            slow, fast = times[peer.key], times[mine.key]
            rows.append(
                {
                    "preset": mine.preset,
                    "stride": mine.stride,
                    "threads": mine.threads,
                    "peer": peer.name,
                    "cpu": speedup(slow, fast),
                    "wall": speedup(slow, fast, wall=True),
                }
            )
    return rows


def speedup(slower: Timing, faster: Timing, *, wall: bool = False) -> float | None:
    """Returns the ratio of the mean times per tick, or None where one of them did not get its processor.

    Means, because ticks of one engine differ: the detector runs on some of them.
    """
    shares = [timing.cpu_us.sum() / timing.wall_us.sum() for timing in (slower, faster)]
    if min(shares) < LEAST_CPU_SHARE:
        return None
    slow, fast = (timing.wall_us if wall else timing.cpu_us for timing in (slower, faster))
    return round(float(slow.mean() / fast.mean()), 3)

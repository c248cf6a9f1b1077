"""What is usual for a person, and changes, against truth: simulated streams with the noise of the shipped model, and real clips.

python benchmarks/people_changes.py --json benchmarks/results/people_changes.json [--shared ../shared] [--subjects 16]

The noise is autoregressive; its spread and its memory bracket what the shipped model shows on people who talk in one mood. Constants
were chosen on other seeds. Clips are played in a loop, so that nothing changes but what they show.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.capture.open import combine
from edgeaff.machine import stamp
from edgeaff.measures import ccc
from edgeaff.ops.people import ChangeDetector, UsualValue
from edgeaff.session import Session
from edgeaff.types import DIMENSIONS, AudioChunk, VideoFrame
from recipes import shared_folder
from recipes.default_bundle.voices import ANCHORS

logger = logging.getLogger(__name__)
SECOND, RATE_HZ = 1_000_000_000, 30
SMOOTHING = {"valence": 0.3, "arousal": 0.6}  # of the bundle that ships
NOISE = {
    "valence": ((0.04, 0.6), (0.09, 0.6), (0.1, 1.0), (0.13, 0.6)),
    "arousal": ((0.03, 0.6), (0.05, 1.0), (0.06, 1.5)),
}
OFFSETS = (0.0, 0.1, 0.2, 0.3)
STEP, WITHIN_SECONDS = 0.4, 2.0
DRIFT, SESSION_SECONDS, DRIFT_SECONDS = 0.15, 600, 300
CLIPS = ("av/retalk1_vfr.mp4", "av/grid_bbaf2n.mpg", "av/grid_lbbc2a.mpg", "speech/jfk_16k.wav")
CLIP_SECONDS = 120


def wander(random: np.random.Generator, ticks: int, std: float, tau_seconds: float) -> np.ndarray:
    """Returns (ticks,) autoregressive noise."""
    keep = math.exp(-1 / (RATE_HZ * tau_seconds))
    steps = random.standard_normal(ticks) * std * math.sqrt(1 - keep * keep)
    return follow(steps, keep, 1.0, random.standard_normal() * std)


def follow(steps: np.ndarray, keep: float, gain: float, start: float) -> np.ndarray:
    """Returns the first-order recursion keep * last + gain * step."""
    values, value = np.empty(len(steps)), start
    for index, step in enumerate(steps):
        value = keep * value + gain * step
        values[index] = value
    return values


def smooth(values: np.ndarray, tau_seconds: float) -> np.ndarray:
    """Returns values after the exponential smoothing of the runtime."""
    keep = math.exp(-1 / (RATE_HZ * tau_seconds))
    return follow(values, keep, 1 - keep, float(values[0]))


def found_in(values: np.ndarray) -> list[tuple[int, float]]:
    """Returns (tick, size) of the changes of a stream."""
    detector, found = ChangeDetector(), []
    for index, value in enumerate(np.clip(values, -1, 1)):
        change = detector.push(round(index * SECOND / RATE_HZ), float(value))
        if change is not None:
            found.append((index, change.after - change.before))
    return found


def changes(name: str, seed: int) -> list[dict[str, float]]:
    """Returns false alarms in ten minutes and the share of steps found, by noise. name: valence or arousal."""
    rows = []
    for std, tau in NOISE[name]:
        random = np.random.default_rng(seed)
        alarms = [len(found_in(wander(random, 600 * RATE_HZ, std, tau))) for _ in range(6)]
        hits, delays = 0, []
        for number in range(60):
            sign, start = (1 if number % 2 else -1), 30 * RATE_HZ + number % 6
            step = smooth(sign * STEP * (np.arange(40 * RATE_HZ) >= start), SMOOTHING[name])
            after = [
                index - start
                for index, size in found_in(wander(random, 40 * RATE_HZ, std, tau) + step)
                if 0 <= index - start <= WITHIN_SECONDS * RATE_HZ and size * sign > 0
            ]
            hits += bool(after)
            delays += after[:1]
        row = {"std": std, "tau_seconds": tau, "false_alarms_in_10_min": float(np.mean(alarms)), "found": hits / 60}
        rows.append({**row, "median_delay_seconds": round(float(np.median(delays)) / RATE_HZ, 2)})
        logger.info("%s %s", name, rows[-1])
    return rows


def moods(random: np.random.Generator) -> np.ndarray:
    """Returns (ticks, 2) moods of one session: neutral for half of the time, else one of the anchors, 15 to 60 s each."""
    anchors, parts, count = np.array([ANCHORS[name] for name in sorted(ANCHORS)]), [], 0
    while count < SESSION_SECONDS * RATE_HZ:
        ticks = int(random.uniform(15, 60) * RATE_HZ)
        mood = np.zeros(2) if random.random() < 0.5 else anchors[random.integers(len(anchors))] * random.uniform(0.5, 1)
        parts.append(np.tile(mood, (ticks, 1)))
        count += ticks
    return np.concatenate(parts)[: SESSION_SECONDS * RATE_HZ]


def relative_to(values: np.ndarray) -> np.ndarray:
    """Returns (ticks,) relative values; NaN in the warm-up."""
    usual, relative = UsualValue(), np.full(len(values), np.nan)
    for index, value in enumerate(values):
        found = usual.relative(float(value))
        relative[index] = np.nan if found is None else found
        usual.push(float(value))
    return relative


def baselines(offset: float, subjects: int, seed: int) -> dict[str, Any]:
    """Returns the CCC with the mood of absolute and relative values, with and without drift. offset: std of what is neutral."""
    random = np.random.default_rng(seed)
    kept: dict[str, tuple[list[Any], ...]] = {name: ([], [], [], []) for name in DIMENSIONS}
    ticks = SESSION_SECONDS * RATE_HZ
    ramp = DRIFT * np.clip(np.arange(ticks) / (DRIFT_SECONDS * RATE_HZ), 0, 1)
    for subject in range(subjects):
        mood, gain = moods(random), math.exp(random.normal(0, 0.25))
        for column, name in enumerate(DIMENSIONS):
            noise = wander(random, ticks, 0.1 if name == "valence" else 0.05, 1.0)
            value = random.normal(0, offset) + gain * smooth(mood[:, column], SMOOTHING[name]) + noise
            drifting = np.clip(value + (ramp if subject % 2 else -ramp), -1, 1)
            value = np.clip(value, -1, 1)
            relative, with_drift = relative_to(value), relative_to(drifting)
            valid = np.isfinite(relative) & np.isfinite(with_drift)
            for store, part in zip(kept[name], (mood[:, column], value, relative, with_drift), strict=True):
                store.append(part[valid])
    report: dict[str, Any] = {"offset_std": offset}
    for name, stores in kept.items():
        truth, absolute, relative, with_drift = map(np.concatenate, stores)
        report[name] = {
            "absolute": round(ccc(absolute, truth), 3),
            "relative": round(ccc(relative, truth), 3),
            "relative_with_drift": round(ccc(with_drift, truth), 3),
        }
    logger.info("%s", report)
    return report


def clip(path: Path) -> dict[str, Any]:
    """Returns the false alarms of a clip that is played in a loop."""
    with combine(str(path), None) as source:
        has_video, has_audio = bool(source.has_video), bool(source.has_audio)
        units = list(source)
    length = max(
        unit.pts_ns
        + (len(unit.samples) * SECOND // unit.sample_rate_hz if isinstance(unit, AudioChunk) else SECOND // RATE_HZ)
        for unit in units
    )
    session = Session(video=has_video, audio=has_audio, live=False, baseline=True, changes=True)
    events: list[Any] = []
    for start in range(0, CLIP_SECONDS * SECOND, length):
        for unit in units:
            if isinstance(unit, VideoFrame):
                events += session.push_frame(unit.image, pts_ns=unit.pts_ns + start)
            else:
                events += session.push_audio(
                    unit.samples, pts_ns=unit.pts_ns + start, sample_rate_hz=unit.sample_rate_hz
                )
    events += session.finish()
    found = session.take_changes()
    report: dict[str, Any] = {"clip": path.name, "seconds": round(len(events) / RATE_HZ), "changes": len(found)}
    for name in DIMENSIONS:
        values = [getattr(event, name) for event in events if getattr(event, name) is not None]
        report[f"{name}_std"] = round(float(np.std(values)), 3) if values else None
    logger.info("%s", report)
    return report


def cost() -> dict[str, float]:
    """Returns the CPU time of both parts in microseconds a value."""
    values = np.clip(wander(np.random.default_rng(0), 20_000, 0.1, 1.0), -1, 1).tolist()
    usual, detector = UsualValue(), ChangeDetector()
    start = time.process_time_ns()
    for value in values:
        usual.relative(value)
        usual.push(value)
    middle = time.process_time_ns()
    for index, value in enumerate(values):
        detector.push(index * 33_333_333, value)
    end = time.process_time_ns()
    count = 1000 * len(values)
    return {"usual_us": round((middle - start) / count, 3), "changes_us": round((end - middle) / count, 3)}


def main() -> None:
    """Measures from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=shared_folder())
    parser.add_argument("--subjects", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    result = {
        "subjects": options.subjects,
        "seed": options.seed,
        "changes": {name: changes(name, options.seed) for name in DIMENSIONS},
        "baseline": [baselines(offset, options.subjects, options.seed + 1) for offset in OFFSETS],
        "clips": [clip(options.shared / "data" / "media" / name) for name in CLIPS],
        "cost_per_value": cost(),
        **stamp(),
    }
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

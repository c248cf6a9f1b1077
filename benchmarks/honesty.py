"""Checks the uncertainty that the shipped bundle states: audio without speech, speech in noise, and the interval of each face.

python benchmarks/honesty.py --json benchmarks/results/honesty.json --png docs/images/risk_coverage.png --faces 250

Clips are made here; voices are the recordings of `data/media/speech`; faces are the test part of FER+, which nothing was chosen
by, plain and disturbed, judged against one rater at a time. Intervals: 95 % bootstrap over faces or recordings.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.bundle import ModelBundle
from edgeaff.features.samples import as_float_samples
from edgeaff.inference import NORMAL_95
from edgeaff.machine import stamp
from edgeaff.measures import ccc, risk_coverage
from edgeaff.session import Session
from edgeaff.training.corpora.ferplus import ANCHORS
from edgeaff.types import DIMENSIONS, FaceBox, Status, TrackedFace
from recipes import shared_folder
from recipes.face_encoder.augment import plain, warp
from recipes.face_encoder.cover import hand, mask_lower, talk
from recipes.face_encoder.data import read_split

logger = logging.getLogger(__name__)
RATE_HZ, SECOND = 16_000, 1_000_000_000
LEVELS_DB = (-65.0, -50.0, -35.0, -20.0, -8.0)
SETTLE_NS = 2 * SECOND
CHUNK = 533
FRAMES = 8
LAG_TICKS = 4
DRAWS = 400
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def clips(seconds: float, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Returns clips in which nobody speaks, each of unit RMS except for silence."""
    count = int(seconds * RATE_HZ)
    times = np.arange(count) / RATE_HZ
    white = random.standard_normal(count)
    pink = np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.maximum(np.fft.rfftfreq(count, 1 / RATE_HZ), 20.0)), count)
    steps = np.exp2(np.array([0, 4, 7, 12, 7, 4, 5, 9, 12, 9, 7, 11, 14, 11]) / 12)
    melody, chords = np.zeros(count), np.zeros(count)
    for index, start in enumerate(range(0, count, RATE_HZ // 3)):
        note = times[: min(RATE_HZ, count - start)]
        pitch = 262 * steps[index % len(steps)]
        melody[start : start + len(note)] += sum(
            np.sin(2 * np.pi * pitch * k * note) / k**1.5 for k in range(1, 8)
        ) * np.exp(-4 * note)
    for start in range(0, count, 2 * RATE_HZ):
        note = times[: min(2 * RATE_HZ, count - start)]
        root = 131 * steps[(start // RATE_HZ) % 7]
        chords[start : start + len(note)] += sum(
            np.sin(2 * np.pi * root * ratio * k * note) / k for ratio in (1, 1.26, 1.5) for k in (1, 2, 3)
        )
    made: dict[str, Any] = {
        "room noise": pink,
        "white noise": white,
        "tone 440 Hz": np.sin(2 * np.pi * 440 * times),
        "tone 150 Hz": np.sin(2 * np.pi * 150 * times),
        "steady hum": sum(np.sin(2 * np.pi * 50 * k * times) / k for k in range(1, 12)),
        "music, melody": melody,
        "music, chords": chords,
        "music, both with drums": melody + chords + 2 * white * np.exp(-20 * (times % 0.5)),
    }
    return {"digital silence": np.zeros(count)} | {name: np.asarray(clip / np.std(clip)) for name, clip in made.items()}


def listen(session: Session, samples: np.ndarray) -> list[Any]:
    """Returns the events of audio alone. samples: (n,) float, clipped to 16 bits."""
    session.reset()
    whole = np.round(32767 * np.clip(samples, -1, 1)).astype(np.int16)
    events: list[Any] = []
    for start in range(0, len(whole), CHUNK):
        events += session.push_audio(
            whole[start : start + CHUNK], pts_ns=start * SECOND // RATE_HZ, sample_rate_hz=RATE_HZ
        )
    return events + session.finish()


def without_speech(bundle: ModelBundle, seconds: float) -> dict[str, Any]:
    """Measures audio in which nobody speaks.

    Args:
        bundle: as it ships.
        seconds: of each clip.

    Returns:
        By clip, the share of ticks with a number after 2 s, at each level.
    """
    session, report = Session(bundle, video=False), {}
    for name, clip in clips(seconds, np.random.default_rng(0)).items():
        shares = []
        for level_db in LEVELS_DB if name != "digital silence" else (0.0,):
            events = [event for event in listen(session, clip * 10 ** (level_db / 20)) if event.pts_ns >= SETTLE_NS]
            shares.append(round(float(np.mean([event.arousal is not None for event in events])), 4))
        report[name] = shares
        logger.info("%s: %s", name, shares)
    return report


def phrases(samples: np.ndarray) -> np.ndarray:
    """Returns where somebody speaks at 30 Hz ticks, (T,) bool: within 0.25 s of a loud piece of a clean recording."""
    count = len(samples) * 30 // RATE_HZ
    power = np.array([np.mean(np.square(samples[k * RATE_HZ // 30 : (k + 1) * RATE_HZ // 30])) for k in range(count)])
    loud = power > np.quantile(power, 0.95) * 10 ** (-25 / 10)
    return np.convolve(loud, np.ones(15), "same") > 0


def with_speech(bundle: ModelBundle, folder: Path) -> dict[str, Any]:
    """Measures speech through the conditions of the field.

    Args:
        bundle: as it ships.
        folder: recordings of people who speak.

    Returns:
        By condition, the share of ticks within phrases that have a number: the mean with its interval, and that of each recording;
        arousal_moved: how far arousal moves from the clean recording on ticks that have both.
    """
    import av

    session, random = Session(bundle, video=False), np.random.default_rng(1)
    found: dict[str, list[float]] = {}
    moved: dict[str, list[float]] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix not in {".wav", ".flac"} or "vowel" in path.name or "noise" in path.name:
            continue
        with av.open(str(path)) as container:
            resampler = av.AudioResampler("flt", "mono", RATE_HZ)
            frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        clean = np.concatenate([as_float_samples(frame.to_ndarray().reshape(-1)) for frame in frames]).astype(
            np.float64
        )[: 20 * RATE_HZ]
        stated = phrases(clean)
        bins = np.fft.rfftfreq(len(clean), 1 / RATE_HZ)
        tail = random.standard_normal(RATE_HZ // 2) * np.exp(-np.arange(RATE_HZ // 2) / RATE_HZ * 14)
        size = len(clean) + len(tail)
        far = np.fft.irfft(np.fft.rfft(clean, size) * np.fft.rfft(tail, size), size)[: len(clean)]
        loud = np.sqrt(np.mean(np.square(clean[np.abs(clean) > 1e-3])))
        conditions = {
            "clean": clean,
            "telephone": np.fft.irfft(np.fft.rfft(clean) * ((bins > 300) & (bins < 3400)), len(clean)),
            "10 dB SNR": clean + loud * 10 ** (-10 / 20) * random.standard_normal(len(clean)),
            "0 dB SNR": clean + loud * random.standard_normal(len(clean)),
            "far": 0.3 * (clean * 0.5 + far * np.std(clean) / np.std(far)),
        }
        reference: list[float | None] = []
        for name, samples in conditions.items():
            values = [event.arousal for event in listen(session, samples)]
            reference = reference or values
            last = min(len(values) - LAG_TICKS, len(stated))
            here = [values[tick + LAG_TICKS] is not None for tick in range(15, last) if stated[tick]]
            both = [abs(x - y) for x, y in zip(values, reference, strict=False) if x is not None and y is not None]
            found.setdefault(name, []).append(float(np.mean(here)))
            moved.setdefault(name, []).append(float(np.mean(both)) if both else 0.0)
        logger.info("%s: %s", path.name, {name: round(shares[-1], 3) for name, shares in found.items()})
    return {
        name: {
            "mean": round(float(np.mean(shares)), 4),
            "interval": interval_of(np.mean, np.array(shares)),
            "arousal_moved": round(float(np.mean(moved[name])), 4),
            "recordings": [round(s, 4) for s in shares],
        }
        for name, shares in found.items()
    }


def interval_of(measure: Callable[..., Any], *arrays: np.ndarray) -> list[float]:
    """Returns the 95 % bootstrap interval of a measure of arrays whose first axes are resampled together."""
    random = np.random.default_rng(0)
    draws = random.integers(0, len(arrays[0]), (DRAWS, len(arrays[0])))
    low, high = np.percentile([measure(*(array[draw] for array in arrays)) for draw in draws], (2.5, 97.5))
    return [round(float(low), 4), round(float(high), 4)]


def _gray(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def _blur(tile: np.ndarray) -> np.ndarray:
    import cv2

    return np.asarray(cv2.GaussianBlur(plain(tile), (0, 0), 4.0))


def _small(tile: np.ndarray) -> np.ndarray:
    import cv2

    return plain(cv2.resize(tile, (22, 22), interpolation=cv2.INTER_AREA))


DISTURBED: dict[str, Change] = {
    "plain": lambda tile, random: plain(tile),
    "masked": lambda tile, random: _gray(mask_lower(plain(tile).astype(np.float32), random)),
    "hand": lambda tile, random: _gray(hand(plain(tile).astype(np.float32), random)),
    "blurred": lambda tile, random: _blur(tile),
    "turned": lambda tile, random: warp(tile, keystone=(0.22 * float(random.choice((-1, 1))), 0.0)),
    "turned far": lambda tile, random: warp(tile, keystone=(0.35 * float(random.choice((-1, 1))), 0.0)),
    "small, 22 px": lambda tile, random: _small(tile),
    "talking": lambda tile, random: _gray(talk(plain(tile).astype(np.float32), random)),
    "dark": lambda tile, random: _gray(plain(tile) * 0.15 + 3.0 * random.standard_normal((96, 96))),
    "mirrored": lambda tile, random: plain(tile[:, ::-1].copy()),
    "brightness x2": lambda tile, random: _gray(2.0 * plain(tile).astype(np.float32)),
    "roll 20 degrees": lambda tile, random: warp(tile, degrees=20.0 * float(random.choice((-1, 1)))),
    "looking down": lambda tile, random: warp(tile, keystone=(0.0, 0.12)),
    "looking far down": lambda tile, random: warp(tile, keystone=(0.0, 0.24)),
    "contrast x0.05": lambda tile, random: _gray(plain(tile) * 0.05 + 110.0),
    "contrast x0.2": lambda tile, random: _gray(plain(tile) * 0.2 + 90.0),
}


def faces(bundle: ModelBundle, folder: Path, count: int) -> dict[str, Any]:
    """Measures faces through Session, against one rater at a time.

    Args:
        bundle: as it ships.
        folder: of FER+.
        count: test faces, at random; 0 = all.

    Returns:
        `kinds`: by disturbance, how true values and intervals are, and how far the disturbance moves valence; `risk_coverage`: the
        curves against the mean of the votes, of plain faces and of all kinds together.
    """
    test = read_split(folder, "test")
    chosen = np.random.default_rng(0).permutation(len(test))[: count or None]
    session, face = Session(bundle, audio=False), TrackedFace(1, FaceBox(0.0, 0.0, 96.0, 96.0), 1.0)
    shares = bundle.manifest.uncertainty["face_half_68_of_std"]
    report, reference, everything = {}, None, []
    for name, change in DISTURBED.items():
        random, rows = np.random.default_rng(3), []
        for index in chosen:
            crop = np.repeat(change(test.images[index], random)[..., None], 3, axis=2)
            session.reset()
            events: list[Any] = []
            for number in range(FRAMES):
                events += session.push_face([(face, crop)], pts_ns=number * SECOND // 30)
            last = (events + session.finish())[-1]
            rows.append([last.valence_raw, last.arousal_raw, last.valence_std, last.arousal_std])
        stated = np.array(rows, np.float64)
        reference = stated if reference is None else reference
        everything.append(stated)
        report[name] = _judge(stated, test.votes[chosen], shares) | {
            "mean_change_valence": round(float(np.nanmean(np.abs(stated[:, 0] - reference[:, 0]))), 4)
        }
        logger.info("%s: %s", name, report[name])
    affect = test.votes[chosen] @ ANCHORS
    return {
        "kinds": report,
        "risk_coverage": {
            "plain": curves(everything[0], affect),
            "all kinds": curves(np.concatenate(everything), np.tile(affect, (len(everything), 1))),
        },
    }


def curves(stated: np.ndarray, affect: np.ndarray) -> list[dict[str, float]]:
    """Returns a row for each share answered, those of the smallest standard deviation first.

    Args:
        stated: (N, 4) values and standard deviations, NaN without an answer.
        affect: (N, 2) mean of the votes.
    """
    mask = np.isfinite(stated).all(axis=1)
    rows: list[dict[str, float]] = []
    for column, name in enumerate(DIMENSIONS):
        points = risk_coverage(stated[:, column], affect[:, column], stated[:, 2 + column], mask=mask)
        for number, point in enumerate(points):
            if len(rows) <= number:
                rows.append({"answered": round(point.answered, 4)})
            rows[number] |= {
                f"{name}_{key}": round(value, 4) for key, value in asdict(point).items() if key != "answered"
            }
    return rows


def _judge(stated: np.ndarray, votes: np.ndarray, shares: dict[str, float]) -> dict[str, Any]:
    answered = np.isfinite(stated).all(axis=1)
    found: dict[str, Any] = {"answered": round(float(answered.mean()), 4)}
    stated, votes = stated[answered], votes[answered]
    weight = votes / len(votes)
    for column, name in enumerate(DIMENSIONS):
        error, std = np.abs(ANCHORS[None, :, column] - stated[:, None, column]), stated[:, None, 2 + column]
        square = (votes * error**2).sum(axis=1)
        order, third = np.argsort(std[:, 0]), len(std) // 3
        broad = np.broadcast_to(std, error.shape)
        centered = [values - (weight * values).sum() for values in (broad, error)]
        spread = [np.sqrt((weight * values**2).sum()) for values in centered]
        found[name] = {
            "ccc": ccc(stated[:, column], votes @ ANCHORS[:, column]),
            "inside_95": (weight * (error <= NORMAL_95 * std)).sum(),
            "inside_68": (weight * (error <= shares[name] * std)).sum(),
            "inside_one_std": (weight * (error <= std)).sum(),
            "correlation": (weight * centered[0] * centered[1]).sum() / max(spread[0] * spread[1], 1e-12),
            "rmse_of_thirds": np.sqrt(square[order[:third]].mean() / square[order[-third:]].mean()),
            "std": std.mean(),
            "rmse": np.sqrt(square.mean()),
        }
        found[name] = {key: round(float(value), 4) for key, value in found[name].items()}
        held = (votes * (error <= NORMAL_95 * std)).sum(axis=1)
        found[name]["ccc_interval"] = interval_of(ccc, stated[:, column], votes @ ANCHORS[:, column])
        found[name]["inside_95_interval"] = interval_of(np.mean, held)
    return found


def one_mood(bundle: ModelBundle, path: Path) -> dict[str, float]:
    """Returns the mean arousal of a recording repeated for two minutes: from 10 to 25 s, and in the last 15 s."""
    import av

    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        parts = [
            as_float_samples(out.to_ndarray().reshape(-1))
            for frame in container.decode(audio=0)
            for out in resampler.resample(frame)
        ]
    samples = np.tile(np.concatenate(parts), 200)[: 120 * RATE_HZ]
    events = [event for event in listen(Session(bundle, video=False), samples) if event.arousal is not None]
    early = np.mean([event.arousal for event in events if 10 * SECOND <= event.pts_ns < 25 * SECOND])
    late = np.mean([event.arousal for event in events if event.pts_ns >= 105 * SECOND])
    return {"early": round(float(early), 4), "late": round(float(late), 4), "moved": round(float(late - early), 4)}


def draw(path: Path, rows: list[dict[str, float]]) -> None:
    """Draws the curves of `curves`."""
    from edgeaff.training.studies.risk_coverage import draw_curves

    kinds = ("ccc", "rmse")
    points = {n: [{"answered": r["answered"]} | {k: r[f"{n}_{k}"] for k in kinds} for r in rows] for n in DIMENSIONS}
    draw_curves(path, points)


def main() -> None:
    """Measures from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=shared_folder())
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--faces", type=int, default=0, help="test faces, at random (default: all)")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path, help="figure of the risk-coverage curve of all kinds of faces")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    bundle, data = ModelBundle.load(), options.shared / "data"
    voices = sorted((data / "media" / "speech").glob("*_16k.wav"))
    seen = faces(bundle, data / "affect" / "fer2013plus", options.faces)
    result = {
        "model_id": bundle.manifest.model_id,
        "seconds": options.seconds,
        "levels_db": LEVELS_DB,
        "share_of_ticks_with_numbers_without_speech": without_speech(bundle, options.seconds),
        "share_of_ticks_with_numbers_within_phrases": with_speech(bundle, data / "media" / "speech"),
        "two_minutes_of_one_mood": {path.name: one_mood(bundle, path) for path in voices},
        "ferplus_test_one_rater": seen["kinds"],
        "risk_coverage": seen["risk_coverage"],
        "faces": options.faces,
        "status_without_speech": str(Status.NO_SPEECH),
        **stamp(),
    }
    if options.png:
        draw(options.png, seen["risk_coverage"]["all kinds"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

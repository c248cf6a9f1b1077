"""From clips to prepared sessions: who is held out, how many sessions of whom, statistics, normalization."""

from __future__ import annotations

import logging
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.features.normalize import LldStatistics, lld_statistics, make_normalizer
from edgeaff.spec import PreprocessSpec
from recipes.default_bundle.data import Prepared
from recipes.default_bundle.sessions import VoiceSession, make_session
from recipes.default_bundle.voices import Clip

logger = logging.getLogger(__name__)
MANY_CLIPS = 8
LONG_TICKS = 600
# Share of each corpus in what is drawn. Choice: CREMA-D and JL-Corpus transfer best to unseen corpora, EmoGator least.
SHARES = {"EmoDB": 0.28, "CREMA-D": 0.3, "JL-Corpus": 0.27, "EmoGator": 0.15}
HELD_OUT_EMODB = ("emodb_13", "emodb_15")


@dataclass(frozen=True, slots=True)
class Plan:
    """Number of sessions of a corpus: long ones (about 40 s) and short ones (1 to 8 s, as a clip pushed on its own)."""

    long: int
    short: int


PLANS = {"EmoDB": Plan(80, 500), "CREMA-D": Plan(60, 350), "JL-Corpus": Plan(60, 350), "EmoGator": Plan(30, 400)}


def is_held_out(clip: Clip) -> bool:
    """Returns whether the speaker is kept for calibration: two of EmoDB, about an eighth of EmoGator's (the rule picks none of CREMA-D's).

    JL-Corpus has two speakers only and loses none.
    """
    if clip.corpus == "EmoDB":
        return clip.speaker in HELD_OUT_EMODB
    if clip.corpus == "JL-Corpus" or clip.speaker in {"crema_1001", "crema_1002", "crema_1003"}:
        return False
    return zlib.crc32(clip.speaker.encode()) % 8 == 0


def _voices(clips: Sequence[Clip]) -> tuple[list[list[Clip]], list[list[Clip]]]:
    """Returns the clips by voice: those with many clips, and those with few."""
    by_speaker: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_speaker[clip.speaker].append(clip)
    voices = [by_speaker[name] for name in sorted(by_speaker)]
    return [v for v in voices if len(v) >= MANY_CLIPS], [v for v in voices if len(v) < MANY_CLIPS]


def _casts(rng: np.random.Generator, clips: Sequence[Clip], plan: Plan) -> Iterator[tuple[list[Clip], float]]:
    """Yields (clips of a voice, seconds) for each session. Voices with few clips share the long sessions by six."""
    rich, poor = _voices(clips)
    for _ in range(plan.long):
        if rich and (not poor or rng.random() < 0.85):
            cast = rich[rng.integers(len(rich))]
        else:
            chosen = rng.choice(len(poor), size=min(6, len(poor)), replace=False)
            cast = [clip for index in chosen for clip in poor[index]]
        yield cast, rng.uniform(25.0, 55.0)
    everyone = rich + poor
    odds = np.array([min(len(voice), 40) for voice in everyone], dtype=np.float64)
    for _ in range(plan.short):
        yield everyone[rng.choice(len(everyone), p=odds / odds.sum())], rng.uniform(0.3, 6.0)


def make_sessions(clips: Sequence[Clip], spec: PreprocessSpec, *, seed: int, scale: float = 1.0) -> list[VoiceSession]:
    """Returns the sessions of all corpora that the clips are from.

    Args:
        clips: of any speakers.
        spec: of the model.
        seed: of everything random.
        scale: multiplies the number of sessions in PLANS.

    Returns:
        Sessions in a fixed order.
    """
    sessions = []
    for corpus, plan in PLANS.items():
        own = [clip for clip in clips if clip.corpus == corpus]
        if not own:
            continue
        rng = np.random.default_rng([seed, zlib.crc32(corpus.encode())])
        scaled = Plan(max(1, round(plan.long * scale)), max(1, round(plan.short * scale)))
        for cast, seconds in _casts(rng, own, scaled):
            sessions.append(make_session(rng, cast, spec, seconds=seconds))
        logger.info("%s: %d sessions so far", corpus, len(sessions))
    return sessions


def column_statistics(sessions: Sequence[VoiceSession], spec: PreprocessSpec) -> dict[str, Any]:
    """Returns mean and standard deviation of the 65 columns as the runtime's normalizer wants them.

    Args:
        sessions: of the training speakers.
        spec: names the normalizer and its silence gate.

    Returns:
        lld_mean and lld_std, lists of 65 floats.
    """
    statistics = lld_statistics(np.concatenate([session.lld[session.present] for session in sessions]), spec)
    return {"lld_mean": statistics.mean.tolist(), "lld_std": statistics.std.tolist()}


def normalize(session: VoiceSession, spec: PreprocessSpec, statistics: dict[str, Any]) -> np.ndarray:
    """Returns the session's LLD steps on the model's scale, by the runtime's own normalizer from its start.

    Args:
        session: with raw steps.
        spec: of the model.
        statistics: of the manifest.

    Returns:
        (T, 65) float32, zeros where audio is missing.
    """
    mean, std = (np.asarray(statistics[name]) for name in ("lld_mean", "lld_std"))
    normalizer = make_normalizer(spec, LldStatistics(mean, std))
    rows = [
        normalizer.update_and_normalize(lld) if present else np.zeros(len(lld), np.float32)
        for lld, present in zip(session.lld, session.present, strict=True)
    ]
    return np.stack(rows).astype(np.float32)


def _normalize_all(sessions: Sequence[VoiceSession], spec: PreprocessSpec, statistics: dict[str, Any]) -> np.ndarray:
    return np.concatenate([normalize(session, spec, statistics) for session in sessions])


def prepare(
    sessions: Sequence[VoiceSession], spec: PreprocessSpec, statistics: dict[str, Any], *, cache: Path | None = None
) -> list[Prepared]:
    """Returns sessions ready for batches: long and short ones of a corpus are drawn equally often, corpora by SHARES.

    Args:
        sessions: raw.
        spec: of the model.
        statistics: of the manifest.
        cache: folder for the normalized steps, named by everything that they depend on.

    Returns:
        Prepared sessions, in order.
    """
    lengths = [len(session.lld) for session in sessions]
    if cache is None:
        audio = _normalize_all(sessions, spec, statistics)
    else:
        digest = zlib.crc32(np.concatenate([session.lld.sum(axis=0) for session in sessions]).tobytes())
        digest = zlib.crc32(repr((spec.fingerprint, statistics, lengths)).encode(), digest)
        path = cache / f"normalized-{digest:08x}.npy"
        if not path.exists():
            np.save(path, _normalize_all(sessions, spec, statistics))
        audio = np.load(path)
    kinds = [(session.corpus, length > LONG_TICKS) for session, length in zip(sessions, lengths, strict=True)]
    counts: dict[tuple[str, bool], int] = defaultdict(int)
    for kind in kinds:
        counts[kind] += 1
    pieces = np.split(audio, np.cumsum(lengths)[:-1])
    return [
        Prepared(session, piece, SHARES[kind[0]] / counts[kind])
        for session, piece, kind in zip(sessions, pieces, kinds, strict=True)
    ]

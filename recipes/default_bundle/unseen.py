"""Evaluation of the recipe on unseen voices: one speaker of EmoDB at a time, or a whole corpus, from audio alone.

Each fold trains its own system, on audio alone and on the short sessions, which hold one voice each, so that nobody
left out is heard in company. What a fold stated of its clips is kept, so that a killed run resumes with the next fold.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeaff.spec import PreprocessSpec
from edgeaff.training.models.edge import Edge, EdgeConfig
from recipes.default_bundle.data import FaceBank, PseudoCorpus
from recipes.default_bundle.evaluation import agreement, hear, recitals
from recipes.default_bundle.fit import FitConfig, fit
from recipes.default_bundle.prepare import LONG_TICKS, column_statistics, prepare
from recipes.default_bundle.sessions import VoiceSession
from recipes.default_bundle.voices import CORPORA, Clip

logger = logging.getLogger(__name__)
AUDIO_ALONE = (0.0, 1.0, 0.0, 0.0)
FEWEST_SPEAKERS = 5  # for an interval


@dataclass(slots=True)
class Predictions:
    """Predictions for the clips of some speakers. stated, labels: one (clips, 2) array a speaker; speakers: their names."""

    stated: list[np.ndarray] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)

    def extend(self, other: Predictions) -> None:
        """Adds the speakers of another."""
        for name in ("stated", "labels", "speakers"):
            getattr(self, name).extend(getattr(other, name))

    def report(self) -> dict[str, Any]:
        """Returns the agreement over all clips; the interval, over speakers, only where there are a few of them."""
        result = agreement(self.stated, self.labels) | {"speakers": len(self.speakers)}
        if len(self.speakers) < FEWEST_SPEAKERS:
            del result["arousal_interval"]
        return result


def speakers_left_out(clips: Sequence[Clip]) -> dict[str, set[str]]:
    """Returns the folds of EmoDB: each speaker alone."""
    return {name: {name} for name in sorted({clip.speaker for clip in clips if clip.corpus == "EmoDB"})}


def corpora_left_out(clips: Sequence[Clip]) -> dict[str, set[str]]:
    """Returns the folds of corpora: everybody of one."""
    return {corpus: {clip.speaker for clip in clips if clip.corpus == corpus} for corpus in CORPORA}


def predictions_without(
    out: set[str],
    clips: Sequence[Clip],
    sessions: Sequence[VoiceSession],
    spec: PreprocessSpec,
    config: FitConfig,
    *,
    video_size: int,
) -> Predictions:
    """Trains without some speakers and returns the predictions for their clips.

    Args:
        out: the speakers left out, of training and of the statistics of the normalizer.
        clips: all clips.
        sessions: raw sessions of all speakers.
        spec: of the model.
        config: of the training.
        video_size: width of the face descriptor, which these systems never see.

    Returns:
        What it states, by speaker.
    """
    kept = [s for s in sessions if s.speaker not in out and len(s.lld) <= LONG_TICKS]
    statistics = column_statistics(kept, spec)
    nobody = FaceBank(np.zeros((1, 1, video_size), np.float32), np.zeros((1, 2), np.float32))
    corpus = PseudoCorpus(prepare(kept, spec, statistics), nobody, np.random.default_rng(2), mode_shares=AUDIO_ALONE)
    model: Edge = fit(corpus, config, EdgeConfig(video_size=video_size))
    heard = recitals([clip for clip in clips if clip.speaker in out], spec)
    answers: dict[str, list[np.ndarray]] = defaultdict(list)
    labels: dict[str, list[np.ndarray]] = defaultdict(list)
    for recital in heard:
        answers[recital.session.speaker].append(hear(model, recital, spec, statistics))
        labels[recital.session.speaker].append(recital.affect)
    names = sorted(answers)
    return Predictions([np.concatenate(answers[n]) for n in names], [np.concatenate(labels[n]) for n in names], names)


def unseen_voices(
    folds: dict[str, set[str]],
    clips: Sequence[Clip],
    sessions: Sequence[VoiceSession],
    spec: PreprocessSpec,
    config: FitConfig,
    *,
    video_size: int,
    work: Path,
) -> dict[str, Any]:
    """Returns the agreement of each fold, and of all folds together.

    Args:
        folds: name -> speakers left out.
        clips: all clips.
        sessions: raw sessions of all speakers.
        spec: of the model.
        config: of each training.
        video_size: width of the face descriptor.
        work: folder where each fold leaves what it stated.

    Returns:
        `folds`: reports by fold; `pooled`: one report over the clips of all folds; `mean_arousal_ccc`: over folds.
    """
    reports: dict[str, Any] = {}
    everything = Predictions()
    for name, out in folds.items():
        path = work / f"unseen-{name}-{spec.fingerprint}-{config.steps}.npz"
        if not path.exists():
            _save(path, predictions_without(out, clips, sessions, spec, config, video_size=video_size))
        stated = _load(path)
        reports[name] = stated.report()
        everything.extend(stated)
        logger.info("without %s: %s", name, reports[name])
    mean = float(np.mean([report["arousal_ccc"] for report in reports.values()]))
    return {"folds": reports, "pooled": everything.report(), "mean_arousal_ccc": round(mean, 4)}


def _save(path: Path, stated: Predictions) -> None:
    part = path.with_suffix(".part.npz")
    lengths = np.array([len(labels) for labels in stated.labels])
    arrays = {"stated": np.concatenate(stated.stated), "labels": np.concatenate(stated.labels), "lengths": lengths}
    np.savez(part, speakers=np.array(stated.speakers), **arrays)
    part.replace(path)


def _load(path: Path) -> Predictions:
    with np.load(path, allow_pickle=False) as archive:
        cuts = np.cumsum(archive["lengths"])[:-1]
        return Predictions(
            np.split(archive["stated"], cuts), np.split(archive["labels"], cuts), archive["speakers"].tolist()
        )

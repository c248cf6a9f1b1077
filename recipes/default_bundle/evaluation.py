"""Evaluation of the affect model: FER+ photographs held for a moment, unseen voices, and missing modalities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from edgeaff import measures
from edgeaff.spec import SAMPLE_RATE_HZ, PreprocessSpec
from edgeaff.training.models.edge import Edge
from edgeaff.types import DIMENSIONS
from recipes.default_bundle.data import FaceBank
from recipes.default_bundle.prepare import normalize
from recipes.default_bundle.sessions import TICK_RATE_HZ, VoiceSession, lld_steps
from recipes.default_bundle.voices import Clip

PAUSE_SECONDS = 0.6
MOST_CLIPS = 40


@dataclass(frozen=True, slots=True)
class Recital:
    """The clips of one speaker, one after the other with pauses.

    Attributes:
        session: raw LLD steps.
        spans: (first tick, end tick) of each clip.
        affect: (n, 2) its label.
    """

    session: VoiceSession
    spans: list[tuple[int, int]]
    affect: np.ndarray


def recitals(clips: Sequence[Clip], spec: PreprocessSpec, *, seed: int = 0) -> list[Recital]:
    """Returns each speaker's clips, unmodified, in a random order, in sessions of at most 40 clips.

    Args:
        clips: of any speakers.
        spec: of the model.
        seed: of the order.

    Returns:
        One or more recitals per speaker.
    """
    by_speaker: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_speaker[clip.speaker].append(clip)
    rng = np.random.default_rng(seed)
    result = []
    for speaker in sorted(by_speaker):
        own = [by_speaker[speaker][index] for index in rng.permutation(len(by_speaker[speaker]))]
        for start in range(0, len(own), MOST_CLIPS):
            result.append(_recital(own[start : start + MOST_CLIPS], spec))
    return result


def _recital(clips: Sequence[Clip], spec: PreprocessSpec) -> Recital:
    pause = np.zeros(int(PAUSE_SECONDS * SAMPLE_RATE_HZ), dtype=np.float32)
    parts, spans, position = [], [], 0
    for clip in clips:
        first, last = position / SAMPLE_RATE_HZ, (position + len(clip.samples)) / SAMPLE_RATE_HZ
        spans.append(tuple(int((t + spec.audio_lag_seconds) * TICK_RATE_HZ) for t in (first, last)))
        parts += [clip.samples, pause]
        position += len(clip.samples) + len(pause)
    lld, present = lld_steps(np.concatenate(parts), spec)
    nothing = np.zeros((len(lld), 2), np.float32)
    session = VoiceSession(lld, present, nothing, present, nothing, clips[0].corpus, clips[0].speaker)
    return Recital(session, spans, np.stack([clip.affect for clip in clips]))


def hear(model: Edge, recital: Recital, spec: PreprocessSpec, statistics: dict[str, Any]) -> np.ndarray:
    """Returns the system's prediction for each clip from audio alone: the mean over its later half, causal, (n, 2)."""
    audio = torch.from_numpy(normalize(recital.session, spec, statistics))[None]
    present = torch.zeros(1, audio.shape[1], 2)
    present[0, :, 1] = torch.from_numpy(recital.session.present.astype(np.float32))
    video = torch.zeros(1, audio.shape[1], model.config.video_size)
    with torch.no_grad():
        values = model(video, audio, present)[0].clamp(-1, 1).numpy()
    ends = [min(end, len(values)) for _, end in recital.spans]
    return np.stack(
        [values[(start + end) // 2 : end].mean(axis=0) for (start, _), end in zip(recital.spans, ends, strict=True)]
    )


def voice_report(
    model: Edge, heard: Sequence[Recital], spec: PreprocessSpec, statistics: dict[str, Any], *, seed: int = 0
) -> dict[str, Any]:
    """Returns the agreement with the labels of clips from audio alone, with a bootstrap over recitals.

    Args:
        model: in evaluation mode.
        heard: recitals of speakers that it was not trained on.
        spec: of the model.
        statistics: of the manifest.
        seed: of the bootstrap.

    Returns:
        arousal_ccc, arousal_interval (95 %), arousal_pearson, valence_ccc, clips, speakers.
    """
    stated = [hear(model, recital, spec, statistics) for recital in heard]
    speakers = len({recital.session.speaker for recital in heard})
    return agreement(stated, [recital.affect for recital in heard], seed=seed) | {"speakers": speakers}


def agreement(stated: Sequence[np.ndarray], labels: Sequence[np.ndarray], *, seed: int = 0) -> dict[str, Any]:
    """Returns the agreement over all clips together, with a bootstrap over the arrays (recitals or speakers).

    Args:
        stated: one (clips, 2) array a recital or speaker.
        labels: the same shapes.
        seed: of the bootstrap.

    Returns:
        arousal_ccc, arousal_interval (95 %), arousal_pearson, valence_ccc, clips.
    """
    arousal = [x[:, 1] for x in stated], [y[:, 1] for y in labels]
    interval = measures.bootstrap(*arousal, repeats=500, seed=seed)
    return {
        "arousal_ccc": round(interval.estimate, 4),
        "arousal_interval": [round(interval.low, 4), round(interval.high, 4)],
        "arousal_pearson": round(measures.concatenated(*arousal, measures.pearson), 4),
        "valence_ccc": round(measures.concatenated([x[:, 0] for x in stated], [y[:, 0] for y in labels]), 4),
        "clips": int(sum(len(y) for y in labels)),
    }


def face_report(model: Edge, bank: FaceBank, *, ticks: int = 45, seed: int = 0) -> dict[str, float]:
    """Returns the CCC on photographs, each held for a moment in its own session, rendered again at every tick.

    Args:
        model: in evaluation mode.
        bank: of a split that nothing was trained on.
        ticks: how long; the value of the last tick counts.
        seed: of the renderings.

    Returns:
        valence_ccc and arousal_ccc.
    """
    rng = np.random.default_rng(seed)
    values = []
    for start in range(0, len(bank.affect), 256):
        chosen = bank.descriptors[start : start + 256]
        rendering = rng.integers(0, chosen.shape[1], size=(len(chosen), ticks))
        video = torch.from_numpy(chosen[np.arange(len(chosen))[:, None], rendering].astype(np.float32))
        present = torch.zeros(len(chosen), ticks, 2)
        present[..., 0] = 1.0
        with torch.no_grad():
            answer = model(video, torch.zeros(len(chosen), ticks, model.config.audio_size), present)
        values.append(answer[:, -1].clamp(-1, 1).numpy())
    stated = np.concatenate(values)
    return {
        f"{name}_ccc": round(measures.ccc(stated[:, column], bank.affect[:, column]), 4)
        for column, name in enumerate(DIMENSIONS)
    }

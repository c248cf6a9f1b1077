"""Batches of the pseudo audio-visual corpus: a session of a voice, faces along the same trajectory, and gaps in both.

```
trajectory  ~~~~~~~~~~~~~~~~      slow valence and arousal
voice       [utt]  [utterance]    of the nearest affect, with pauses        -> present audio, its own label
faces       fff ggggg hhhh ...    runs of one photograph of nearest affect  -> present video, its own label
target      what the evidence that is there states: face and voice labels weighted by what was there lately
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recipes.default_bundle.sessions import VoiceSession

# Weight of the label of face and voice where both are there. Choice: pleasantness shows on the face, excitement in
# both.
FACE_WEIGHT = np.array([0.8, 0.55])
MEMORY_TICKS = 30
SHARE_APART = 0.35  # of the runs of a face, shown turned, covered, dark, ...
# Columns that are hidden together when the audio of a sequence is thinned.
COLUMN_GROUPS = (range(0, 6), range(6, 10), range(10, 36), range(36, 51), range(51, 65))


@dataclass(frozen=True, slots=True)
class FaceBank:
    """Descriptors of photographs.

    Attributes:
        descriptors: (N, K, D), K renderings of each.
        affect: (N, 2) float32.
        weight: (N,) how often each is drawn, relatively; None = equally often.
        alike: this many of the renderings, the first ones, differ as frames of one scene do and are shown mixed; each of the
            others is another scene (turned, covered, dark, ...). 0 = all are alike.
    """

    descriptors: np.ndarray
    affect: np.ndarray
    weight: np.ndarray | None = None
    alike: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A session with normalized audio (T, 65) float32 and its weight in the draw."""

    session: VoiceSession
    audio: np.ndarray
    weight: float


@dataclass(frozen=True, slots=True)
class Batch:
    """Arrays of B sequences of T ticks.

    Attributes:
        video: (B, T, D) float32.
        audio: (B, T, 65) float32.
        present: (B, T, 2) float32 0 or 1.
        target: (B, T, 2) float32.
        valid: (B, T) bool, False past the end of a session.
        group: (B,) int, index into MODES.
        face: (B, T, 2) float32 label of the face shown, voice: (B, T, 2) of the voice heard.
    """

    video: np.ndarray
    audio: np.ndarray
    present: np.ndarray
    target: np.ndarray
    valid: np.ndarray
    group: np.ndarray
    face: np.ndarray
    voice: np.ndarray


MODES = ("both", "audio", "video", "gaps")


def trailing_share(flags: np.ndarray, ticks: int) -> np.ndarray:
    """Returns, at each tick, the share of the last `ticks` that is set; ticks before the first count as not set.

    Args:
        flags: (T,) bool.
        ticks: length of the memory.

    Returns:
        (T,) float64.
    """
    total = np.concatenate([np.zeros(ticks), np.cumsum(flags.astype(np.float64))])
    return (total[ticks:] - total[:-ticks]) / ticks


def gaps(rng: np.random.Generator, ticks: int) -> np.ndarray:
    """Returns which ticks are there: blocks of absence, single lost ticks, or both, at a random rate.

    Args:
        rng: source of randomness.
        ticks: T.

    Returns:
        (T,) bool.
    """
    there = np.ones(ticks, dtype=bool)
    if rng.random() < 0.7:
        for _ in range(rng.integers(1, 4)):
            start, length = rng.integers(0, ticks), int(rng.exponential(50.0)) + 3
            there[start : start + length] = False
    if rng.random() < 0.5:
        there &= rng.random(ticks) > rng.uniform(0.05, 0.95)
    return there


class PseudoCorpus:
    """Draws batches; deterministic by its random source."""

    def __init__(
        self,
        sessions: Sequence[Prepared],
        faces: FaceBank,
        rng: np.random.Generator,
        *,
        mode_shares: tuple[float, float, float, float] = (0.4, 0.25, 0.15, 0.2),
        augment: bool = True,
    ) -> None:
        self._sessions, self._faces, self._rng = sessions, faces, rng
        self._mode_shares, self._augment = mode_shares, augment
        weights = np.array([prepared.weight for prepared in sessions])
        self._draw = np.cumsum(weights / weights.sum())
        shares = np.ones(len(faces.affect)) if faces.weight is None else faces.weight
        self._draw_face = np.cumsum(shares / shares.sum())

    def batch(self, size: int, ticks: int) -> Batch:
        """Returns a batch of random sequences.

        Args:
            size: B.
            ticks: T.

        Returns:
            The batch.
        """
        rows = [self._sequence(ticks) for _ in range(size)]
        return Batch(*(np.stack([row[index] for row in rows]) for index in range(8)))

    def _sequence(self, ticks: int) -> tuple[np.ndarray, ...]:
        rng = self._rng
        prepared = self._sessions[min(int(np.searchsorted(self._draw, rng.random())), len(self._sessions) - 1)]
        total = len(prepared.audio)
        start = 0 if rng.random() < 0.4 else int(rng.integers(0, max(1, total - ticks)))
        cut = slice(start, min(total, start + ticks))
        count = cut.stop - start
        session = prepared.session
        video, face = self._show(session.trajectory[cut])
        audio, voice = prepared.audio[cut], session.voice[cut]
        if self._augment:
            audio = self._thin(audio)
        mode = int(rng.choice(len(MODES), p=self._mode_shares))
        seen = np.full(count, mode != 1)
        heard = session.present[cut] & (mode != 2)
        if mode == 3:
            seen, heard = seen & gaps(rng, count), heard & gaps(rng, count)
        target = self._target(seen, heard, session.speaking[cut], face, voice, session.trajectory[cut])
        present = np.stack([seen, heard], axis=1)
        arrays = (video, audio, present, target, np.ones(count, dtype=bool), face, voice)
        video, audio, present, target, valid, face, voice = (_padded(array, ticks) for array in arrays)
        return video, audio, present.astype(np.float32), target, valid, np.array(mode), face, voice

    def _show(self, trajectory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the descriptors (T, D) and labels (T, 2) of faces along a trajectory."""
        rng, bank = self._rng, self._faces
        ticks = len(trajectory)
        longest = 11 if rng.random() < 0.65 else 150
        chosen = np.empty(ticks, dtype=np.int64)
        tick = 0
        pool = np.minimum(np.searchsorted(self._draw_face, rng.random(600)), len(bank.affect) - 1)
        renderings, alike = bank.descriptors.shape[1], bank.alike or bank.descriptors.shape[1]
        rendering = np.empty(ticks, dtype=np.int64)
        points = bank.affect[pool]
        while tick < ticks:
            length = int(rng.integers(3, longest))
            goal = trajectory[tick] + 0.05 * rng.standard_normal(2)
            chosen[tick : tick + length] = pool[np.argmin(np.square(points - goal).sum(axis=1))]
            apart = alike < renderings and rng.random() < SHARE_APART
            shown = rng.integers(alike, renderings) if apart else rng.integers(0, alike, size=length)
            rendering[tick : tick + length] = shown if apart else shown[: ticks - tick]
            tick += length
        return bank.descriptors[chosen, rendering].astype(np.float32), bank.affect[chosen]

    def _thin(self, audio: np.ndarray) -> np.ndarray:
        """Returns normalized audio with a little noise, a wrong mean, and sometimes a group of columns hidden."""
        rng = self._rng
        audio = audio * rng.normal(1.0, 0.08) + 0.12 * rng.standard_normal(audio.shape[1])
        audio = audio + 0.2 * rng.standard_normal(audio.shape)
        for columns in COLUMN_GROUPS:
            if rng.random() < 0.12:
                audio[:, list(columns)] = 0.0
        return audio.astype(np.float32)

    @staticmethod
    def _target(
        seen: np.ndarray,
        heard: np.ndarray,
        speaking: np.ndarray,
        face: np.ndarray,
        voice: np.ndarray,
        trajectory: np.ndarray,
    ) -> np.ndarray:
        """Returns the value supported by the evidence of the last second; without any, the trajectory."""
        by_face = trailing_share(seen, MEMORY_TICKS)[:, None] * FACE_WEIGHT
        by_voice = trailing_share(heard & speaking, MEMORY_TICKS)[:, None] * (1.0 - FACE_WEIGHT)
        smooth_face = _lately(face, seen)
        total = by_face + by_voice + 0.02
        return ((by_face * smooth_face + by_voice * voice + 0.02 * trajectory) / total).astype(np.float32)


def _lately(labels: np.ndarray, seen: np.ndarray, ticks: int = 6) -> np.ndarray:
    """Returns the mean label of the faces seen in the last 0.2 s, else of the newest one."""
    weights = seen.astype(np.float64)[:, None]
    total = np.cumsum(np.concatenate([np.zeros((ticks, 2)), labels * weights]), axis=0)
    count = np.cumsum(np.concatenate([np.zeros((ticks, 1)), weights]), axis=0)
    sums, counts = total[ticks:] - total[:-ticks], count[ticks:] - count[:-ticks]
    newest = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), 0))
    return np.where(counts > 0, sums / np.maximum(counts, 1.0), labels[newest])


def _padded(array: np.ndarray, ticks: int) -> np.ndarray:
    return np.pad(array, [(0, ticks - len(array))] + [(0, 0)] * (array.ndim - 1))

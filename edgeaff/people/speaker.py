"""Active speaker: how likely each tracked face, or somebody unseen, is the one who speaks.

Mouth and voice of one person rise and fall together. Every signal is taken syllable by syllable: the mean of its last 2 ticks less
that of its last 15. Over the last 3 s (1.5 s at least), with cov and var of the window and a small floor f under each std,

    r(x, lag) = cov(x, voice) / sqrt((var x + f_x^2)(var voice + f_v^2))
    agreement = max over lag of 0.8 r(motion, lag) + 0.2 r(openness, lag)
    p(face)   = exp(s) / (1 + sum over faces exp(s)),    s = -2.6 + 12.4 agreement

The 1 stands for somebody unseen. voice = log(loudness + 0.3), loudness being the column `audspec_lengthL1norm_sma`. Lags reach over
67 ms to both sides of the session's clock. While nobody speaks every p is 0. The constants are fitted on five clips of the GRID corpus.
A face has the voice as evidence from p >= 0.5 on until p < 0.35; one that is not known yet has it while it is alone.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from edgeaff.lld_names import NAMES
from edgeaff.people.mouth import MouthMotion
from edgeaff.preprocess import TickInput
from edgeaff.spec import PreprocessSpec

WINDOW_TICKS, LEAST_TICKS = 90, 45
SHORT_TICKS, LONG_TICKS = 2, 15
LAG_TICKS = (-2, 0, 2)
FLOORS = (0.01, 0.04)  # of motion and openness
VOICE_FLOOR = 0.1
WEIGHTS = (0.8, 0.2)
OFFSET, SLOPE = -2.6, 12.4
HEARD_FROM, HEARD_UNTIL = 0.5, 0.35
FORGET_TICKS = 15  # without the face
LEAST_LOUDNESS = 0.3
LOUDNESS_COLUMN = NAMES.index("audspec_lengthL1norm_sma")
SPARSE_TICKS = 3  # from one computed probability to the next while work is left out


class Syllables:
    """The last values of signals, each the mean of the last 2 ticks less that of the last 15. width: number of signals."""

    def __init__(self, width: int, length: int) -> None:
        self.values = np.zeros((width, length))
        self.count = 0
        self._recent: list[deque[float]] = [deque(maxlen=LONG_TICKS) for _ in range(width)]

    def push(self, signals: tuple[float, ...]) -> None:
        """Appends one tick."""
        self.count += 1
        values = self.values
        values[:, :-1] = values[:, 1:]
        for row, (recent, signal) in enumerate(zip(self._recent, signals, strict=True)):
            recent.append(signal)
            short = (signal + (recent[-2] if len(recent) > 1 else signal)) / SHORT_TICKS
            values[row, -1] = short - sum(recent) / len(recent)


@dataclass(slots=True)
class _Face:
    mouth: MouthMotion = field(default_factory=MouthMotion)
    signals: Syllables = field(default_factory=lambda: Syllables(2, WINDOW_TICKS))
    last: tuple[float, float] = (0.0, 0.0)
    probability: float | None = None
    heard: bool = False
    unseen_ticks: int = 0


class ActiveSpeaker:
    """Follows the mouths of all tracked faces and one voice, tick by tick.

    Attributes:
        sparse: compute on every third tick, hold the probabilities between.

    Args:
        spec: of the session; the voice of a tick is `audio_lag_seconds` old, and so are the mouths it is compared with.
    """

    def __init__(self, spec: PreprocessSpec) -> None:
        lag_ticks = round(spec.audio_lag_seconds * spec.model_rate_hz)
        self._delays = [max(0, lag_ticks + lag) for lag in LAG_TICKS]  # of the mouth, so that it meets the voice
        self._length = WINDOW_TICKS + max(self._delays)
        self.sparse = False
        self.reset()

    def reset(self) -> None:
        """Forgets every face and the voice."""
        self._voice = Syllables(1, WINDOW_TICKS)
        self._faces: dict[int, _Face] = {}
        self._ticks = 0

    def push(self, tick: TickInput) -> dict[int, float | None]:
        """Returns the probability that it speaks, by track id, for every face of the tick; None where it is not known yet.

        Args:
            tick: the next one.
        """
        loudness = 0.0 if tick.lld is None else max(0.0, float(tick.lld[LOUDNESS_COLUMN]))
        self._voice.push((math.log(loudness + LEAST_LOUDNESS),))
        self._see(tick)
        self._ticks += 1
        if not (self.sparse and self._ticks % SPARSE_TICKS):
            self._judge(speech=tick.audio is not None)
        return {one.face.track_id: self._faces[one.face.track_id].probability for one in tick.faces}

    def hears(self, track_id: int) -> bool:
        """Returns whether the voice is evidence for a face.

        Args:
            track_id: of a face that `push` has seen.
        """
        face = self._faces.get(track_id)
        if face is None:
            return False
        return len(self._faces) == 1 if face.probability is None else face.heard

    def _see(self, tick: TickInput) -> None:
        seen = {one.face.track_id: one for one in tick.faces}
        for track_id in seen:
            if track_id not in self._faces:
                self._faces[track_id] = _Face(signals=Syllables(2, self._length))
        for track_id, face in list(self._faces.items()):
            found = seen.get(track_id)
            face.unseen_ticks = 0 if found is not None else face.unseen_ticks + 1
            if face.unseen_ticks > FORGET_TICKS:
                del self._faces[track_id]
                continue
            if found is not None and tick.frame_pts_ns is not None:
                face.last = face.mouth.push(found.crop, tick.frame_pts_ns)
            face.signals.push(face.last)

    def _judge(self, *, speech: bool) -> None:
        known = [face for face in self._faces.values() if face.signals.count - max(self._delays) >= LEAST_TICKS]
        if not speech:
            for face in known:
                face.probability = 0.0
            return
        odds = [math.exp(OFFSET + SLOPE * self._agreement(face.signals)) for face in known]
        total = 1.0 + math.fsum(odds)
        for face, one in zip(known, odds, strict=True):
            face.probability = one / total
            face.heard = face.probability >= (HEARD_UNTIL if face.heard else HEARD_FROM)

    def _agreement(self, signals: Syllables) -> float:
        """Returns the largest weighted correlation of mouth and voice over the lags."""
        ticks = min(WINDOW_TICKS, signals.count - max(self._delays), self._voice.count)
        voice = self._voice.values[0, -ticks:]
        voice = voice - voice.sum() / ticks
        voice_power = float(voice @ voice) / ticks + VOICE_FLOOR**2
        best = -1.0
        for delay in self._delays:
            total = 0.0
            for values, floor, weight in zip(signals.values, FLOORS, WEIGHTS, strict=True):
                row = values[self._length - delay - ticks : self._length - delay]
                mean = float(row.sum()) / ticks
                power = max(0.0, float(row @ row) / ticks - mean * mean) + floor**2
                total += weight * float(row @ voice) / ticks / math.sqrt(power * voice_power)
            best = max(best, total)
        return best

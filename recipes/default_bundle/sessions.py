"""Sessions of one voice: utterances along a slow random trajectory, through room and microphone, to LLD steps.

The LLD steps come from `Preprocessor`, the very path of the runtime: its clock, its stream, its row for each tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeaff.features.samples import as_float_samples
from edgeaff.spec import NANOSECONDS, SAMPLE_RATE_HZ, PreprocessSpec
from edgeaff.training.features.statistics import AsMeasured, stack_steps
from recipes.default_bundle.audio import colored_noise, random_channel, reverberate
from recipes.default_bundle.voices import Clip, active_level_db

TICK_RATE_HZ = 30
CHUNK = 1600
# dB per unit of arousal, and spread, of the level within a speaker. Choice: measured within the speakers of JL-Corpus
# (14.1, 2.6; CREMA-D 22.7, 4.6); replaces the natural level of EmoDB, whose copies are peak-normalized and would
# teach its opposite.
LEVEL_SLOPE_DB, LEVEL_SPREAD_DB = 14.0, 4.0


@dataclass(frozen=True, slots=True)
class VoiceSession:
    """Data of one session of one voice (or one group of people) at each tick.

    Attributes:
        lld: (T, 65) float32 LLD steps, not normalized.
        present: (T,) bool, audio is there.
        voice: (T, 2) float32 valence, arousal of the newest utterance; before the first one, of the first.
        speaking: (T,) bool, within an utterance.
        trajectory: (T, 2) float32 the affect that the utterances follow.
        corpus: where the voice is from.
        speaker: whose voice.
    """

    lld: np.ndarray
    present: np.ndarray
    voice: np.ndarray
    speaking: np.ndarray
    trajectory: np.ndarray
    corpus: str
    speaker: str


def affect_trajectory(rng: np.random.Generator, ticks: int) -> np.ndarray:
    """Returns a slow random walk over the circumplex, pulled to its middle (Ornstein-Uhlenbeck), sometimes resting.

    Args:
        rng: source of randomness.
        ticks: T.

    Returns:
        (T, 2) float32 valence and arousal, valence in [-0.75, 0.8], arousal in [-0.5, 0.8].
    """
    memory_ticks = rng.uniform(2.0, 8.0) * TICK_RATE_HZ
    spread, middle = np.array([0.5, 0.42]), np.array([0.0, 0.18])
    state = middle + spread * rng.standard_normal(2)
    kicks = rng.standard_normal((ticks, 2)) * spread * np.sqrt(2.0 / memory_ticks)
    values = np.empty((ticks, 2))
    rest = 0
    for tick in range(ticks):
        rest = rest - 1 if rest else (int(rng.uniform(1.0, 4.0) * TICK_RATE_HZ) if rng.random() < 0.003 else 0)
        if not rest:
            state = state + (middle - state) / memory_ticks + kicks[tick]
            state = np.clip(state, [-0.8, -0.55], [0.85, 0.85])
        values[tick] = state
    return np.clip(values, [-0.75, -0.5], [0.8, 0.8]).astype(np.float32)


def lld_steps(samples: np.ndarray, spec: PreprocessSpec) -> tuple[np.ndarray, np.ndarray]:
    """Returns the LLD step of every tick of an audio that starts at time 0.

    Args:
        samples: (n,) float32 at 16 kHz.
        spec: of the model.

    Returns:
        (T, 65) float32 steps, zeros where audio is missing, and (T,) bool where it is there.
    """
    from edgeaff.preprocess import Preprocessor, PreprocessParts

    preprocessor = Preprocessor(PreprocessParts(spec, normalizer=AsMeasured()), video=False)
    ticks = []
    for start in range(0, len(samples), CHUNK):
        pts_ns = start * NANOSECONDS // SAMPLE_RATE_HZ
        ticks += preprocessor.push_audio(samples[start : start + CHUNK], pts_ns=pts_ns, sample_rate_hz=SAMPLE_RATE_HZ)
    ticks += preprocessor.finish()
    return stack_steps(ticks)


def _clip_gains_db(rng: np.random.Generator, clips: Sequence[Clip]) -> np.ndarray:
    """Returns a gain per clip: what a session does to levels, which arousal moves too (see LEVEL_SLOPE_DB)."""
    jitter = rng.standard_normal(len(clips))
    if clips[0].corpus == "EmoDB":
        levels = np.array([active_level_db(clip.samples) for clip in clips])
        arousal = np.array([clip.affect[1] for clip in clips])
        if rng.random() < 0.5:
            return -25.0 - levels + LEVEL_SLOPE_DB * arousal + LEVEL_SPREAD_DB * jitter
        return -25.0 - levels + 6.0 * jitter
    way = rng.random()
    if way < 0.55:
        return np.zeros(len(clips))
    if way < 0.8:
        return 4.0 * jitter
    levels = np.array([active_level_db(clip.samples) for clip in clips])
    return levels.mean() - levels


def _follow(rng: np.random.Generator, clips: Sequence[Clip], target: np.ndarray) -> Clip:
    """Returns a clip whose affect is near the target; arousal counts more, unchanged what voices tell."""
    points = np.array([clip.affect for clip in clips]) + 0.12 * rng.standard_normal((len(clips), 2))
    return clips[int(np.argmin(np.square(points - target) @ np.array([0.5, 1.0])))]


def compose(
    rng: np.random.Generator, clips: Sequence[Clip], *, seconds: float
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, np.ndarray]]]:
    """Returns a dry session: utterances with pauses along a trajectory.

    Args:
        rng: source of randomness.
        clips: of one voice.
        seconds: about how long; the last utterance is not cut.

    Returns:
        samples (n,) float64, trajectory (T, 2), and (first sample, last sample, affect) of each utterance.
    """
    trajectory = affect_trajectory(rng, int((seconds + 12.0) * TICK_RATE_HZ))
    spans: list[tuple[int, int, np.ndarray]] = []
    silences: list[int] = []
    chosen: list[Clip] = []
    position = 0
    while position < seconds * SAMPLE_RATE_HZ:
        pause = rng.exponential(0.45) if rng.random() > 0.08 else rng.uniform(1.5, 4.0)
        silence = int(SAMPLE_RATE_HZ * min(pause, 4.0)) if chosen else int(SAMPLE_RATE_HZ * min(0.3, pause))
        position += silence
        tick = min(position * TICK_RATE_HZ // SAMPLE_RATE_HZ, len(trajectory) - 1)
        clip = _follow(rng, clips, trajectory[tick])
        silences.append(silence)
        spans.append((position, position + len(clip.samples), clip.affect))
        chosen.append(clip)
        position += len(clip.samples)
    gains = 10.0 ** (_clip_gains_db(rng, chosen) / 20.0)
    dry: list[np.ndarray] = []
    for silence, clip, gain in zip(silences, chosen, gains, strict=True):
        dry += [np.zeros(silence), clip.samples * gain]
    return np.concatenate([*dry, np.zeros(SAMPLE_RATE_HZ // 5)]), trajectory, spans


def through_the_room(rng: np.random.Generator, dry: np.ndarray) -> np.ndarray:
    """Returns a session as heard through a random room and microphone: (n,) float32 as decoded from 16-bit PCM."""
    wet = random_channel(rng, dry) if rng.random() < 0.6 else dry
    wet = reverberate(rng, wet) if rng.random() < 0.4 else wet
    level = active_level_db(wet[np.abs(wet) > 1e-6]) if np.any(np.abs(wet) > 1e-6) else -30.0
    if rng.random() < 0.85:
        below_db = rng.uniform(6.0, 20.0) if rng.random() < 0.25 else rng.uniform(20.0, 50.0)
        wet = wet + 10.0 ** ((level - below_db) / 20.0) * colored_noise(rng, len(wet))
    target_db = np.clip(rng.normal(-24.0, 7.0), -42.0, -8.0)
    loud = wet * 10.0 ** ((target_db - level) / 20.0)
    return as_float_samples(np.clip(np.rint(loud * 32767.0), -32768, 32767).astype(np.int16))


def make_session(
    rng: np.random.Generator, clips: Sequence[Clip], spec: PreprocessSpec, *, seconds: float, clean: bool = False
) -> VoiceSession:
    """Returns one session of one voice.

    Args:
        rng: source of randomness.
        clips: of one voice.
        spec: of the model.
        seconds: about how long.
        clean: without room, microphone and level changes of the session (for evaluation).

    Returns:
        The session, its ticks from the start of the audio to its end.
    """
    dry, trajectory, spans = compose(rng, clips, seconds=seconds)
    lld, present = lld_steps(dry.astype(np.float32) if clean else through_the_room(rng, dry), spec)
    ticks = len(lld)
    times = np.arange(ticks) / TICK_RATE_HZ - spec.audio_lag_seconds
    voice = np.tile(spans[0][2], (ticks, 1)).astype(np.float32)
    speaking = np.zeros(ticks, dtype=bool)
    for first, last, affect in spans:
        voice[times >= first / SAMPLE_RATE_HZ] = affect
        speaking |= (times >= first / SAMPLE_RATE_HZ) & (times < last / SAMPLE_RATE_HZ)
    return VoiceSession(lld, present, voice, speaking, trajectory[:ticks], clips[0].corpus, clips[0].speaker)


def save_sessions(path: Path, sessions: Sequence[VoiceSession]) -> None:
    """Writes sessions into one .npz."""
    arrays: dict[str, np.ndarray] = {
        name: np.concatenate([getattr(session, name) for session in sessions])
        for name in ("lld", "present", "voice", "speaking", "trajectory")
    }
    arrays["length"] = np.array([len(session.lld) for session in sessions])
    arrays["corpus"] = np.array([session.corpus for session in sessions])
    arrays["speaker"] = np.array([session.speaker for session in sessions])
    np.savez(path, **arrays)


def load_sessions(path: Path) -> list[VoiceSession]:
    """Returns the sessions that `save_sessions` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    ends = np.cumsum(arrays["length"])
    sessions = []
    for index, (end, length) in enumerate(zip(ends, arrays["length"], strict=True)):
        cut = slice(end - length, end)
        per_tick = {name: arrays[name][cut] for name in ("lld", "present", "voice", "speaking", "trajectory")}
        names = {name: str(arrays[name][index]) for name in ("corpus", "speaker")}
        sessions.append(VoiceSession(**per_tick, **names))  # type: ignore[arg-type]
    return sessions

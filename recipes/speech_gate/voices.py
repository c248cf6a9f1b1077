"""Recorded voices as devices hear them: a few clips in a row through telephones, far rooms, cheap microphones and noise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from edgeaff.spec import SAMPLE_RATE_HZ
from recipes.default_bundle.audio import colored_noise, random_channel, reverberate
from recipes.default_bundle.voices import Clip, active_level_db

WORDS = ("EmoDB", "CREMA-D", "JL-Corpus")  # corpora of words; EmoGator has none


def band_pass(random: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """Returns the audio through a telephone, a codec or a small loudspeaker: little below 200 to 500 Hz and above 2.6 to 5 kHz."""
    bins = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ)
    low, high = random.uniform(200, 500), random.uniform(2600, 5000)
    if random.random() < 0.5:  # nothing at all is left outside, as after a conversion of the rate
        inside = (bins > random.choice([0.0, low])) & (bins < high)
        return np.fft.irfft(np.fft.rfft(samples) * inside, len(samples))
    order = random.choice([4, 8, 40])
    gain = 1 / np.sqrt(1 + (low / np.maximum(bins, 1.0)) ** order) / np.sqrt(1 + (bins / high) ** order)
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))


def far(random: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """Returns the audio from across a room: the reverberation as loud as the direct path, or louder."""
    decay = random.uniform(0.25, 0.8)
    times = np.arange(int(decay * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = random.standard_normal(len(times)) * 10.0 ** (-3.0 * times / decay)
    size = len(samples) + len(tail)
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)[: len(samples)]
    return samples * random.uniform(0.1, 1.0) + wet * np.std(samples) / (np.std(wet) + 1e-9)


def speak_in_the_field(random: np.random.Generator, clips: Sequence[Clip]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Returns two to four clips of one voice in a row, with short pauses, through a random field.

    Args:
        random: source of randomness.
        clips: of any speakers of words.

    Returns:
        (n,) float32 at 16 kHz as decoded from 16 bits, and (first, end) sample of each clip.
    """
    by_speaker: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_speaker[clip.speaker].append(clip)
    own = by_speaker[str(random.choice(sorted(by_speaker)))]
    parts, spans, position = [], [], int(random.uniform(0.0, 1.5) * SAMPLE_RATE_HZ)
    parts.append(np.zeros(position))
    for _ in range(int(random.integers(2, 5))):
        clip = own[random.integers(len(own))]
        samples = clip.samples.astype(np.float64) * 10 ** (-active_level_db(clip.samples) / 20)
        pause = np.zeros(int(random.uniform(0.02, 0.4) * SAMPLE_RATE_HZ))
        spans.append((position, position + len(samples)))
        parts += [samples, pause]
        position += len(samples) + len(pause)
    made = np.concatenate([*parts, np.zeros(SAMPLE_RATE_HZ)])
    if random.random() < 0.4:
        made = made + np.std(made) * 10.0 ** (-random.uniform(10.0, 50.0) / 20) * colored_noise(random, len(made))
    way = random.random()
    if way < 0.4:
        return _as_decoded(random, band_pass(random, made)), spans
    if way < 0.6:
        made = far(random, made)
    elif way < 0.75:
        made = reverberate(random, random_channel(random, made))
    if random.random() < 0.75:
        noise = random.standard_normal(len(made)) if random.random() < 0.4 else colored_noise(random, len(made))
        made = made + np.std(made) * 10.0 ** (-random.uniform(6.0, 40.0) / 20) * noise
    return _as_decoded(random, made), spans


def _as_decoded(random: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    made = samples / (np.std(samples) + 1e-9) * 10.0 ** (random.uniform(-52.0, -12.0) / 20)
    return np.rint(np.clip(made, -1, 1) * 32767).astype(np.float32) / np.float32(32768)

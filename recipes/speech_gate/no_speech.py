"""Makes clips in which nobody speaks: noise, hum, tones, machines, music, coughs, knocks; all from a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgeaff.spec import SAMPLE_RATE_HZ
from recipes.default_bundle.audio import colored_noise, random_channel, reverberate

Make = Callable[[np.random.Generator, int], np.ndarray]
SPEAK = "synthetic voice"
NYQUIST_HZ = 0.45 * SAMPLE_RATE_HZ


def _times(count: int) -> np.ndarray:
    return np.arange(count) / SAMPLE_RATE_HZ


def _slow(random: np.random.Generator, count: int, rate_hz: float) -> np.ndarray:
    """Returns smooth random values of about unit spread that change `rate_hz` times a second."""
    knots = max(2, int(count / SAMPLE_RATE_HZ * rate_hz) + 2)
    return np.interp(np.linspace(0, knots - 1, count), np.arange(knots), random.standard_normal(knots))


def silence(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns zeros, or the last bit of a converter."""
    return np.zeros(count) if random.random() < 0.5 else random.integers(-1, 2, count) / 32768.0


def noise(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns colored noise, steady or rising and falling slowly, as a room, a street or a fan."""
    made = colored_noise(random, count) if random.random() < 0.6 else random.standard_normal(count)
    if random.random() < 0.5:
        made = made * np.exp(random.uniform(0.1, 0.8) * _slow(random, count, random.uniform(0.2, 6.0)))
    if random.random() < 0.3:  # a band
        spectrum, bins = np.fft.rfft(made), np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
        center = np.exp(random.uniform(np.log(150), np.log(5000)))
        made = np.fft.irfft(
            spectrum * np.exp(-np.square(np.log(np.maximum(bins, 1) / center) / random.uniform(0.15, 0.8))), count
        )
    return made / (np.std(made) + 1e-9)


def hum(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns steady harmonics, as of mains, an engine or a compressor, with some noise."""
    times, base = _times(count), np.exp(random.uniform(np.log(45), np.log(280)))
    base = float(random.choice([50.0, 60.0, 100.0, 120.0, base, base]))
    wander = random.choice([0.0, 0.0, 0.002, 0.01])
    phase = 2 * np.pi * np.cumsum(base * (1 + wander * _slow(random, count, 1.0))) / SAMPLE_RATE_HZ
    fall = random.uniform(0.3, 2.0)
    made = sum(
        np.sin(k * phase + random.uniform(0, 6.3)) * random.uniform(0.2, 1.0) / k**fall
        for k in range(1, int(min(40, NYQUIST_HZ / base)))
    )
    if random.random() < 0.3:
        made = made * (1 + random.uniform(0.1, 0.9) * np.sin(2 * np.pi * random.uniform(0.5, 12.0) * times))
    return made / np.std(made) + 10.0 ** random.uniform(-2.5, -0.3) * colored_noise(random, count)


def tones(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns a held tone, a few at once, a sweep, or beeps."""
    times = _times(count)
    made = np.zeros(count)
    for _ in range(int(random.integers(1, 4))):
        start = np.exp(random.uniform(np.log(80), np.log(4000)))
        stop = start if random.random() < 0.6 else np.exp(random.uniform(np.log(80), np.log(4000)))
        sweep = random.choice([1.0, 4.0, 20.0])
        along = np.abs(((times / sweep) % 2) - 1)
        phase = 2 * np.pi * np.cumsum(start * (stop / start) ** along) / SAMPLE_RATE_HZ
        wave = np.sin(phase) if random.random() < 0.7 else np.sign(np.sin(phase)) * 0.5
        made += wave * random.uniform(0.2, 1.0)
    if random.random() < 0.4:
        made = made * (np.sin(2 * np.pi * random.uniform(0.3, 6.0) * times) > random.uniform(-0.6, 0.6))
    return made + 10.0 ** random.uniform(-4, -1) * random.standard_normal(count)


def _note(
    random: np.random.Generator, pitch_hz: float, count: int, timbre: np.ndarray, kind: int, vibrato: float
) -> np.ndarray:
    """Returns one note of an instrument: struck (0), held (1) or bowed (2)."""
    times = _times(count)
    bend = 1 + vibrato * np.sin(2 * np.pi * random.uniform(4.5, 6.5) * times) * np.minimum(1, times / 0.3)
    phase = 2 * np.pi * np.cumsum(pitch_hz * bend) / SAMPLE_RATE_HZ
    made = np.zeros(count)
    for k, level in enumerate(timbre, 1):
        if k * pitch_hz > NYQUIST_HZ:
            break
        fade = np.exp(-times * (1 + 0.3 * k) * random.uniform(1.0, 4.0)) if kind == 0 else 1.0
        made += level * fade * np.sin(k * phase * (1 + (2e-4 * k * k if kind == 0 else 0.0)) + random.uniform(0, 6.3))
    attack = {0: 0.004, 1: 0.02, 2: 0.09}[kind]
    return made * np.minimum(1, times / attack) * np.minimum(1, np.maximum(0, times[-1] - times) / 0.03)


def music(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns instruments without a voice: chords, bass, a tune and drums, each there or not, in a random key and tempo."""
    beat = random.uniform(0.28, 0.85)
    root = 55.0 * 2 ** (random.integers(0, 12) / 12)
    scale = np.array(random.choice([[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10], [0, 3, 5, 7, 10, 12, 15]], axis=0))
    made = np.zeros(count + SAMPLE_RATE_HZ * 4)
    parts = random.random(4) < (0.7, 0.5, 0.65, 0.5)
    if not parts.any():
        parts[2] = True
    timbres = [np.abs(random.normal(1, 0.5, 12)) / np.arange(1, 13) ** random.uniform(0.5, 2.2) for _ in range(3)]
    for timbre in timbres:
        if random.random() < 0.3:
            timbre[1::2] *= 0.1
    kinds = random.integers(0, 3, 3)
    vibratos = random.choice([0.0, 0.0, 0.004, 0.012], 3)
    degree = 0
    for index in range(int(count / SAMPLE_RATE_HZ / beat) + 1):
        start = int(index * beat * SAMPLE_RATE_HZ)
        if index % 4 == 0:
            degree = int(random.choice([0, 3, 4, 5, 1]))
        tonic = root * 2 ** (scale[degree % 7] / 12)

        def play(pitch_hz: float, beats: float, voice: int, level: float, start: int = start) -> None:
            length = max(400, int(beats * beat * SAMPLE_RATE_HZ))
            made[start : start + length] += level * _note(
                random, pitch_hz, length, timbres[voice], int(kinds[voice]), vibratos[voice]
            )

        if parts[0] and index % 4 == 0:
            for third in (0, 2, 4):
                play(2 * root * 2 ** ((scale[(degree + third) % 7] + 12 * ((degree + third) // 7)) / 12), 4, 0, 0.35)
        if parts[1]:
            play(tonic, 1, 1, 0.6)
        if parts[2] and random.random() < 0.8:
            play(root * 4 * 2 ** (scale[random.integers(0, 7)] / 12), random.choice([0.5, 1, 1, 2]), 2, 0.6)
        if parts[3]:
            made[start : start + 3200] += (
                0.5 * random.standard_normal(3200) * np.exp(-_times(3200) * random.uniform(20, 90))
            )
            kick = _times(3200)
            made[start : start + 3200] += (
                0.8 * (index % 2 == 0) * np.sin(2 * np.pi * 60 * np.exp(-8 * kick) * kick) * np.exp(-kick * 20)
            )
    return made[:count]


def knocks(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns keys, steps, claps or doors: short decaying bursts of filtered noise over a quiet room."""
    made = 10.0 ** random.uniform(-4, -1.5) * colored_noise(random, count)
    rate, decay = random.uniform(0.4, 9.0), np.exp(random.uniform(np.log(8), np.log(150)))
    position = 0.0
    center = np.exp(random.uniform(np.log(100), np.log(4500)))
    while True:
        position += random.exponential(1 / rate) + 0.04
        start = int(position * SAMPLE_RATE_HZ)
        if start >= count:
            return made
        times = _times(min(6400, count - start))
        burst = random.standard_normal(len(times)) + 2 * np.sin(2 * np.pi * center * random.uniform(0.9, 1.1) * times)
        made[start : start + len(times)] += random.uniform(0.2, 1.0) * burst * np.exp(-times * decay)


def coughs(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns coughs and sneezes: one to four bursts of noise shaped by a vocal tract, with a weak voiced end, and pauses."""
    made = 10.0 ** random.uniform(-4, -2) * colored_noise(random, count)
    position = random.uniform(0, 1)
    formants = np.array([random.uniform(450, 900), random.uniform(1100, 1900), random.uniform(2300, 3300)])
    while True:
        for _ in range(int(random.integers(1, 5))):
            start, length = int(position * SAMPLE_RATE_HZ), int(random.uniform(0.12, 0.35) * SAMPLE_RATE_HZ)
            if start + length >= count:
                return made
            times = _times(length)
            source = (
                random.standard_normal(length) * np.minimum(1, times / 0.008) * np.exp(-times * random.uniform(8, 25))
            )
            if random.random() < 0.4:
                pitch = random.uniform(120, 350) * np.exp(-times)
                source += (
                    0.5
                    * np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ))
                    * np.exp(-np.square((times - 0.15) / 0.05))
                )
            bins = np.fft.rfftfreq(length, 1 / SAMPLE_RATE_HZ)
            gain = 0.1 + sum(
                np.exp(-np.square((bins - f) / random.uniform(120, 350))) for f in formants * random.uniform(0.9, 1.1)
            )
            burst = np.fft.irfft(np.fft.rfft(source) * gain, length)
            made[start : start + length] += random.uniform(0.4, 1) * burst / (np.abs(burst).max() + 1e-9)
            position += length / SAMPLE_RATE_HZ + random.uniform(0.0, 0.25)
        position += random.uniform(0.5, 3.0)


def speak(random: np.random.Generator, count: int) -> np.ndarray:
    """Returns a plain synthetic voice, as of a machine that reads aloud: pulses under formants, in syllables, with hisses.

    It counts as speech; people meet such voices, and tests and demonstrations can be made of nothing else.
    """
    times = _times(count)
    pitch = np.exp(random.uniform(np.log(85), np.log(290))) * np.exp(
        random.uniform(0.03, 0.25) * _slow(random, count, 2.0)
    )
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE_HZ
    scale, move = random.uniform(0.85, 1.2), random.choice([0.0, 0.1, 0.25])
    formants = [
        (f * scale * np.exp(move * _slow(random, count, 4.0)), f * random.uniform(0.2, 0.45), level)
        for f, level in ((600, 1.0), (1500, random.uniform(0.3, 0.7)), (2600, random.uniform(0.1, 0.4)))
    ]
    made, floor = np.zeros(count), 10.0 ** random.uniform(-2.5, -1.6)
    for k in range(1, 30):
        gain = floor + sum(level * np.exp(-np.square((k * pitch - f) / band)) for f, band, level in formants)
        made += gain * np.sin(k * phase) / k**0.5 * (k * pitch < NYQUIST_HZ)
    wave = np.sin(
        2 * np.pi * np.cumsum(random.uniform(2.3, 4.5) * np.exp(0.2 * _slow(random, count, 1.0))) / SAMPLE_RATE_HZ
    )
    made = made / np.abs(made).max() * np.clip(wave + random.uniform(0, 0.3), 0, 1) ** 0.5
    hiss = (
        np.diff(random.standard_normal(count + 1)) * np.clip(-wave - 0.5, 0, 1) * (np.sin(2 * np.pi * 0.9 * times) > 0)
    )
    return (
        made
        + random.choice([0.0, 0.05, 0.1]) * hiss
        + 10.0 ** random.uniform(-3.5, -1.5) * random.standard_normal(count)
    )


KINDS: dict[str, tuple[Make, float]] = {
    "silence": (silence, 0.05),
    "noise": (noise, 0.2),
    "hum": (hum, 0.13),
    "tones": (tones, 0.12),
    "music": (music, 0.34),
    "knocks": (knocks, 0.08),
    "coughs": (coughs, 0.08),
}


def make(random: np.random.Generator, kind: str, seconds: float) -> np.ndarray:
    """Returns one clip of a kind, at a random level, sometimes in a room or through a microphone.

    Args:
        random: source of randomness.
        kind: of KINDS, or SPEAK.
        seconds: how long.

    Returns:
        (n,) float32 at 16 kHz.
    """
    count = int(seconds * SAMPLE_RATE_HZ)
    made = np.asarray((speak if kind == SPEAK else KINDS[kind][0])(random, count), np.float64)
    if kind != "silence":
        if random.random() < 0.4:
            made = random_channel(random, made)
        if random.random() < 0.4:
            made = reverberate(random, made)
        if random.random() < 0.4:
            made = made + np.std(made) * 10.0 ** (-random.uniform(10, 45) / 20) * colored_noise(random, count)
        made = made / (np.std(made) + 1e-9) * 10.0 ** (random.uniform(-65.0, -9.0) / 20)
    return np.clip(np.rint(np.clip(made, -1, 1) * 32767), -32768, 32767).astype(np.float32) / np.float32(32768)

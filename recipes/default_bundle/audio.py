"""Effects of room, microphone and codec on a voice: filters, reverberation, noise, gain."""

from __future__ import annotations

import numpy as np

from edgeaff.spec import SAMPLE_RATE_HZ


def _filtered(samples: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Returns samples with a real gain per rfft bin applied (circular; sessions start and end in silence)."""
    return np.fft.irfft(np.fft.rfft(samples) * gain, n=len(samples))


def _frequencies(count: int) -> np.ndarray:
    return np.fft.rfftfreq(count, 1.0 / SAMPLE_RATE_HZ)


def colored_noise(rng: np.random.Generator, count: int) -> np.ndarray:
    """Returns noise of unit RMS with a random slope between white and brown, sometimes with mains hum.

    Args:
        rng: source of randomness.
        count: samples.

    Returns:
        (count,) float64.
    """
    slope = rng.uniform(0.0, 1.0)
    frequencies = np.maximum(_frequencies(count), 40.0)
    noise = _filtered(rng.standard_normal(count), (frequencies / 40.0) ** -slope)
    if rng.random() < 0.2:
        base = rng.choice([50.0, 60.0])
        times = np.arange(count) / SAMPLE_RATE_HZ
        hum = sum(np.sin(2 * np.pi * base * k * times + rng.uniform(0, 6.3)) / k for k in range(1, 6))
        noise = noise / noise.std() + 0.5 * hum / np.std(hum)
    return noise / noise.std()


def random_channel(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """Returns the audio after a random microphone: smooth equalizer, sometimes a low-pass as of a codec or telephone.

    Args:
        rng: source of randomness.
        samples: (n,) float.

    Returns:
        (n,) float64.
    """
    octaves = np.log2(np.maximum(_frequencies(len(samples)), 31.25) / 31.25)
    knots = rng.normal(0.0, 3.0, size=9)
    gain = 10.0 ** (np.interp(octaves, np.arange(9), knots) / 20.0)
    if rng.random() < 0.3:
        gain *= 1.0 / (1.0 + (_frequencies(len(samples)) / rng.uniform(3400.0, 7500.0)) ** 8)
    if rng.random() < 0.4:
        gain *= 1.0 - 1.0 / (1.0 + (_frequencies(len(samples)) / rng.uniform(60.0, 250.0)) ** 4)
    return _filtered(samples, gain)


def reverberate(rng: np.random.Generator, samples: np.ndarray) -> np.ndarray:
    """Returns the audio in a random small room: direct path plus decaying noise, 0.1 to 0.7 s to fall by 60 dB.

    Args:
        rng: source of randomness.
        samples: (n,) float.

    Returns:
        (n,) float64.
    """
    decay = rng.uniform(0.1, 0.7)
    times = np.arange(int(decay * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.standard_normal(len(times)) * 10.0 ** (-3.0 * times / decay)
    tail *= 10.0 ** (-rng.uniform(0.0, 15.0) / 20.0) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    size = 1 << (len(samples) + len(tail)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)
    return wet[: len(samples)]

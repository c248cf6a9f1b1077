"""Streams of values as a model gives them: neighboring ticks say nearly the same."""

import math

import numpy as np

SECOND = 1_000_000_000


def wandering(random, seconds, *, std, tau_seconds):
    """Returns (ticks,) values of an autoregressive process."""
    keep = math.exp(-1 / (30 * tau_seconds))
    noise = random.standard_normal(30 * seconds) * std * math.sqrt(1 - keep * keep)
    values, value = np.empty(30 * seconds), random.standard_normal() * std
    for index, step in enumerate(noise):
        value = keep * value + step
        values[index] = value
    return values


def smoothed(values, tau_seconds):
    """Returns values after the smoothing of the bundle."""
    gain, value, out = 1 - math.exp(-1 / (30 * tau_seconds)), values[0], np.empty_like(values)
    for index, target in enumerate(values):
        value += gain * (target - value)
        out[index] = value
    return out


def pts_of(index):
    """Returns the time of a tick."""
    return round(index * SECOND / 30)

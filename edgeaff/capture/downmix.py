"""Any channel layout and sample format to mono at the native rate.

The voice is what counts here, and a voice sits in the middle. The weights keep its level in every layout:

| layout | weights |
|---|---|
| mono | 1, samples unchanged |
| without a center (stereo, quad, microphone arrays) | the mean of all channels but the low-frequency one |
| with a center (5.1, 7.1, ...) | center 1, front left and right 0.5, all others 0.25, low frequency 0 |
| unknown, 6 or 8 channels | as 5.1 or 7.1 in the order FL FR FC LFE ... |
| unknown, any other number | the mean |

Choice: not normalized by the sum of the weights, so a voice in the center of 5.1 is as loud as the same voice in
stereo. A loud film mix can then pass 1.0; it is not clipped here. The mean of antiphase stereo (right = -left) is
silence: no weights help against a wrong plug, so `ChannelCancellation` notices it and the source warns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeaff.features.samples import FAR_BEYOND_SCALE

_FRONT_SIDES = frozenset({"FL", "FR", "FLC", "FRC"})
_LOW_FREQUENCY = frozenset({"LFE", "LFE2"})
_UNKNOWN_LAYOUTS = {
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


def downmix_weights(channels: Sequence[str]) -> np.ndarray:
    """Returns the weight of each channel in the mono sum.

    Args:
        channels: FFmpeg's short names in order ("FL", "FC", "LFE", ...), "NONE" where the layout is unknown.

    Returns:
        (C,) float32.
    """
    names = tuple(channels)
    if not set(names) - {"NONE", "UNK"}:
        names = _UNKNOWN_LAYOUTS.get(len(names), names)
    if len(names) > 1 and "FC" in names:
        weights = [_center_layout_weight(name) for name in names]
    else:
        weights = [0.0 if name in _LOW_FREQUENCY and len(names) > 1 else 1.0 for name in names]
        weights = [weight / max(sum(weights), 1.0) for weight in weights]
    return np.asarray(weights, dtype=np.float32)


def _center_layout_weight(name: str) -> float:
    if name == "FC":
        return 1.0
    if name in _FRONT_SIDES:
        return 0.5
    return 0.0 if name in _LOW_FREQUENCY else 0.25


def to_float32(samples: np.ndarray) -> np.ndarray:
    """Returns PCM of any format in the range [-1, 1].

    Args:
        samples: any shape; uint8, int16, int32, int64 (full scale) or floating point.

    Returns:
        The same shape, float32. NaN and infinity pass through.
    """
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128.0) / 128.0
    if samples.dtype.kind == "i":
        return (samples * (1.0 / -float(np.iinfo(samples.dtype).min))).astype(np.float32)
    return np.ascontiguousarray(samples, dtype=np.float32)


def to_mono(samples: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns one channel.

    Args:
        samples: (C, n) of any PCM format.
        weights: (C,) float32 of `downmix_weights`.

    Returns:
        (n,) int16 where the input is one int16 channel, else float32.
    """
    if samples.shape[0] == 1:
        return np.ascontiguousarray(samples[0]) if samples.dtype == np.int16 else to_float32(samples[0])
    mono = np.zeros(samples.shape[1], dtype=np.float32)
    for channel, weight in zip(to_float32(samples), weights, strict=True):
        if weight:  # a silent weight must not spread NaN either
            mono += weight * channel
    return mono


class ChannelCancellation:
    """Reports whether the channels of an audio wipe each other out in the mono sum."""

    _SHARE = 1e-3  # of the energy of the loudest channel: 30 dB down
    _AUDIBLE = 1e-6  # mean square, -60 dBFS: below it nothing is there to cancel

    def __init__(self) -> None:
        self._mono = self._channel = 0.0
        self._count = 0

    def add(self, samples: np.ndarray, mono: np.ndarray) -> None:
        """Counts one chunk in.

        Args:
            samples: (C, n) of any PCM format.
            mono: (n,) float32, the sum of it.
        """
        if samples.shape[0] < 2 or not mono.size:
            return
        loudest = max(float(np.dot(channel, channel)) for channel in to_float32(samples))
        energy = float(np.dot(mono, mono))
        if np.isfinite(loudest) and np.isfinite(energy):
            self._channel += loudest
            self._mono += energy
            self._count += mono.size

    @property
    def found(self) -> bool:
        """True where the sum is 30 dB or more below the loudest channel of an audible audio."""
        return self._channel > self._AUDIBLE * self._count and self._mono < self._SHARE * self._channel


class FullScale:
    """Reports whether audio uses another scale than [-1, 1], such as int16 values stored as float, and limits it."""

    _SHARE = 0.5

    def __init__(self) -> None:
        self._beyond = self._heard = 0

    def limited(self, mono: np.ndarray) -> np.ndarray:
        """Returns a chunk, counted in, with values far beyond full scale limited; NaN and infinity pass through.

        Args:
            mono: (n,) int16 or float32.
        """
        if mono.dtype != np.float32:
            return mono
        self._heard += int(np.count_nonzero(mono))
        beyond = (np.abs(mono) > FAR_BEYOND_SCALE) & np.isfinite(mono)
        count = int(np.count_nonzero(beyond))
        self._beyond += count
        return np.where(beyond, np.clip(mono, -FAR_BEYOND_SCALE, FAR_BEYOND_SCALE), mono) if count else mono

    @property
    def exceeded(self) -> bool:
        """True where most samples that are not 0 lie beyond 8 times full scale."""
        return self._beyond > self._SHARE * max(1, self._heard)

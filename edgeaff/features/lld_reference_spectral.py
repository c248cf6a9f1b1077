"""The descriptors of the 20 ms window, in NumPy: energy, mel and auditory spectrum, MFCC, spectral shape.

Every function takes a batch of frames, (T, ...), and treats each frame by itself; what reaches over time (RASTA, flux)
reports it and keeps its state in an object. What is handed from stage to stage is float32; sums inside a stage are
float64. All reductions run along the last, contiguous axis, so a frame's values do not depend on its neighbors in the
batch, and chunking changes no bit (tests/features/test_lld_stream.py).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from edgeaff.features.lld_reference_float import float_power

HOP = 160
SHORT_WINDOW = 320
SHORT_FFT = 512
BIN_HZ = 31.25
NUM_BANDS = 26
NUM_MFCC = 14
MEL_FLOOR = 9.3e-10
COMPRESSION = 0.33
PCM_SCALE = 32_767.0
ROLL_OFF_SHARES = (0.25, 0.5, 0.75, 0.9)
TIE = 1e-6  # what rounding may move the running sum by, as a share of the whole: 8e-8 measured


def exact_power(frames: np.ndarray, window: np.ndarray, fft_size: int) -> np.ndarray:
    """Returns the power spectrum of windowed frames before any rounding to float32, (T, fft_size // 2 + 1) float64.

    Args:
        frames: (T, W) float32.
        window: (W,) float32.
        fft_size: at least W; zeros are added.
    """
    spectrum = np.fft.rfft((frames * window).astype(np.float64), n=fft_size, axis=-1)
    return spectrum.real**2 + spectrum.imag**2


def magnitudes(frames: np.ndarray, window: np.ndarray, fft_size: int) -> np.ndarray:
    """Returns the magnitude spectrum of windowed frames, zero-padded to the size of the transform.

    Args:
        frames: (T, W) float32.
        window: (W,) float32.
        fft_size: at least W.

    Returns:
        (T, fft_size // 2 + 1) float32, not normalized.
    """
    return np.sqrt(exact_power(frames, window, fft_size)).astype(np.float32)


@lru_cache(maxsize=1)
def hamming_window() -> np.ndarray:
    """Returns the (320,) float32 window 0.54 - 0.46 cos(2 pi k / 319)."""
    return (0.54 - 0.46 * np.cos(2 * np.pi * np.arange(SHORT_WINDOW) / (SHORT_WINDOW - 1))).astype(np.float32)


def root_mean_square(frames: np.ndarray) -> np.ndarray:
    """Returns the RMS of each frame, (T,) float32. frames: (T, W) float32."""
    frames = frames.astype(np.float64)
    return np.sqrt((frames * frames).sum(axis=-1) / frames.shape[-1]).astype(np.float32)


# --- mel bands and what is made of them ---------------------------------------------------------------------


def _mel(frequency_hz: np.ndarray | float) -> np.ndarray:
    return np.asarray(1127.0 * np.log(1.0 + np.asarray(frequency_hz) / 700.0))


@lru_cache(maxsize=1)
def mel_filters() -> tuple[np.ndarray, np.ndarray]:
    """Returns the 26 triangles and their centers.

    28 points lie equidistant in mel from 20 Hz to 8 kHz; filter k rises from point k to 1 at point k + 1 and falls to
    point k + 2, linearly in mel. Only bins 2 to 255 take part.

    Returns:
        weights (26, 257) float64, and center frequencies (26,) in Hz.
    """
    points = np.linspace(_mel(20.0), _mel(8_000.0), NUM_BANDS + 2)
    weights = np.zeros((NUM_BANDS, SHORT_FFT // 2 + 1))
    for bin_index in range(2, 256):
        mel = _mel(bin_index * BIN_HZ)
        left = int(np.searchsorted(points, mel, side="right")) - 1
        falling = (points[left + 1] - mel) / (points[left + 1] - points[left])
        if left >= 1:
            weights[left - 1, bin_index] = falling
        if left < NUM_BANDS:
            weights[left, bin_index] = 1.0 - falling
    return weights, 700.0 * (np.exp(points[1:-1] / 1127.0) - 1.0)


@lru_cache(maxsize=1)
def equal_loudness() -> np.ndarray:
    """Returns the equal-loudness weight E of each band at its center frequency, (26,) float64."""
    w2 = (2 * np.pi * mel_filters()[1]) ** 2
    return 1e32 * (w2 + 56.8e6) * w2**2 / ((w2 + 6.3e6) ** 2 * (w2 + 0.38e9) * (w2**3.5 + 1.7e31))


def mel_bands(power: np.ndarray) -> np.ndarray:
    """Returns the power in 26 mel bands, (T, 26) float32. power: (T, 257) float32."""
    weights, _ = mel_filters()
    bands = np.empty((len(power), NUM_BANDS), np.float32)
    for band, row in enumerate(weights):
        used = np.flatnonzero(row)
        stretch = slice(used[0], used[-1] + 1)
        bands[:, band] = (power[:, stretch] * row[stretch]).sum(axis=-1)
    return bands


def auditory_length(bands: np.ndarray) -> np.ndarray:
    """Returns the mean over the bands of the compressed, equal-loudness-weighted spectrum, (T,) float32."""
    loud = np.maximum(bands.astype(np.float64), MEL_FLOOR) * equal_loudness()
    return (np.power(loud, COMPRESSION).sum(axis=-1) / NUM_BANDS).astype(np.float32)


class RastaFilter:
    """The RASTA band-pass over time, per band: 1 to 29 Hz at 100 frames a second.

    Feeds back from the sixth frame on; during the first five the output is 0. Transposed direct form, state in `_z`.
    """

    def __init__(self) -> None:
        upper = np.cos(2 * np.pi * 29 * 0.01)
        norm = np.sqrt(10 * (32 * upper**2 + 8))
        self._b = np.array([2, -4 * upper, 0, 4 * upper, -2]) / norm
        self._pole = 1.0 - np.sin(2 * np.pi * 0.01)
        self.reset()

    def reset(self) -> None:
        """Sets the state to zero."""
        self._z = np.zeros((4, NUM_BANDS))
        self._frames = 0

    def step(self, log_bands: np.ndarray) -> np.ndarray:
        """Returns the filtered frame, (26,) float64. log_bands: (26,) float64."""
        b, z = self._b, self._z
        warm = self._frames >= 5
        out = b[0] * log_bands + z[0]
        z[0] = b[1] * log_bands + z[1] + (self._pole * out if warm else 0.0)
        z[1] = b[2] * log_bands + z[2]
        z[2] = b[3] * log_bands + z[3]
        z[3] = b[4] * log_bands
        self._frames += 1
        return out if warm else np.zeros(NUM_BANDS)


def rasta_bands(bands: np.ndarray, state: RastaFilter) -> np.ndarray:
    """Returns the RASTA-filtered auditory spectrum, (T, 26) float32, and moves `state` on. bands: (T, 26) float32."""
    logs = np.log(np.maximum(bands.astype(np.float64), MEL_FLOOR))
    filtered = np.empty_like(logs)
    for row, log_bands in enumerate(logs):
        filtered[row] = state.step(log_bands)
    return np.exp(COMPRESSION * (filtered + np.log(equal_loudness()))).astype(np.float32)


@lru_cache(maxsize=1)
def _mfcc_matrix() -> np.ndarray:
    order = np.arange(1, NUM_MFCC + 1)[:, None]
    cosines = np.cos(np.pi * order * (np.arange(NUM_BANDS)[None, :] + 0.5) / NUM_BANDS)
    return np.sqrt(2 / NUM_BANDS) * (1 + 11 * np.sin(np.pi * order / 22)) * cosines


def mfcc(bands: np.ndarray) -> np.ndarray:
    """Returns the liftered cepstral coefficients 1 to 14, (T, 14) float32. bands: (T, 26) float32."""
    logs = np.log(np.maximum(bands.astype(np.float64) * PCM_SCALE**2, 1.0))
    return (logs[:, None, :] * _mfcc_matrix()).sum(axis=-1).astype(np.float32)


# --- the shape of the spectrum ------------------------------------------------------------------------------


def band_energies(power: np.ndarray) -> np.ndarray:
    """Returns the energy in 250-650 Hz and 1000-4000 Hz, (T, 2) float32.

    650 Hz lies 0.8 of the way from bin 20 to bin 21; the weight 0.8 goes to bin 20. power: (T, 257) float32.
    """
    power = power.astype(np.float64)
    low = power[:, 8:20].sum(axis=-1) + 0.8 * power[:, 20]
    return (np.stack([low, power[:, 32:129].sum(axis=-1)], axis=-1) / 256).astype(np.float32)


def roll_offs(power: np.ndarray, windowed: np.ndarray | None = None) -> np.ndarray:
    """Returns the frequencies below which 25, 50, 75, 90 % of the energy lies, (T, 4) float32 Hz.

    A flat or symmetric spectrum (one impulse or two in digital silence) meets a share exactly at a bin; there the peer's
    float32 rounding decides, so the spectrum of that frame is taken from `float_power`.

    Args:
        power: (T, 256) float32, bins 1 to 256.
        windowed: (T, 320) float32, the frames times their window; None: ties are decided by `power` alone.
    """
    running = np.cumsum(power.astype(np.float64), axis=-1)
    total = running[:, -1:]
    reached = _bins_reached(running)
    if windowed is not None and len(power):
        shares = np.array(ROLL_OFF_SHARES) * total
        at = np.take_along_axis(running, reached, axis=-1)
        below = np.take_along_axis(running, np.maximum(reached - 1, 0), axis=-1)
        near = (at - shares < TIE * total) | ((reached > 0) & (shares - below < TIE * total))
        ties = np.flatnonzero(near.any(axis=-1) & (total[:, 0] > 0))
        if len(ties):
            exact = float_power(windowed[ties])[:, 1:].astype(np.float64)
            reached[ties] = _bins_reached(np.cumsum(exact, axis=-1))
    return (BIN_HZ * (reached + 1)).astype(np.float32)


def _bins_reached(running: np.ndarray) -> np.ndarray:
    """Returns the first index where the running sum reaches each share of the whole, (T, 4)."""
    total = running[:, -1:]
    return np.stack([np.argmax(running >= share * total, axis=-1) for share in ROLL_OFF_SHARES], axis=-1)


def spectral_flux(magnitude: np.ndarray, previous: np.ndarray | None) -> np.ndarray:
    """Returns the RMS change of the magnitudes against the frame before, (T,) float32; 0 in the very first frame.

    Args:
        magnitude: (T, 256) float32, bins 1 to 256.
        previous: (256,) float32, the frame before the batch, or None.
    """
    first = magnitude[:1] if previous is None else previous[None]
    change = np.diff(np.concatenate([first, magnitude]).astype(np.float64), axis=0)
    return np.sqrt((change * change).sum(axis=-1) / change.shape[-1]).astype(np.float32)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Returns numerator / denominator, and 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def moments(power: np.ndarray) -> np.ndarray:
    """Returns centroid, entropy, variance, skewness, kurtosis and slope, (T, 6) float32. power: bins 1 to 256."""
    power = power.astype(np.float64)
    bins = power.shape[-1]
    f = BIN_HZ * np.arange(1, bins + 1)
    total = power.sum(axis=-1)
    weighted = (f * power).sum(axis=-1)
    centroid = _ratio(weighted, total).astype(np.float32)
    d = f - centroid[:, None].astype(np.float64)
    d2 = d * d
    m2 = _ratio((d2 * power).sum(axis=-1), total)
    m3 = _ratio((d2 * d * power).sum(axis=-1), total)
    m4 = _ratio((d2 * d2 * power).sum(axis=-1), total)
    # The peer keeps the floor of the sum in float32: digital silence has an entropy of 4.3e-6.
    share = np.maximum(power, 1e-7) / np.maximum(total, float(np.float32(1e-7)))[:, None]
    entropy = -(share * np.log2(share)).sum(axis=-1)
    slope = (bins * weighted - f.sum() * total) / (bins * (f * f).sum() - f.sum() ** 2) * (bins - 1)
    columns = [centroid, entropy, m2, _ratio(m3, m2**1.5), _ratio(m4, m2**2), slope]
    return np.stack(columns, axis=-1).astype(np.float32)


@lru_cache(maxsize=1)
def _sharpness_weights() -> np.ndarray:
    bark = 26.81 / (1 + 1960 / (BIN_HZ * np.arange(1, 257))) - 0.53
    bark = np.where(bark < 2, 0.85 * bark + 0.3, np.where(bark > 20.1, 1.22 * bark - 0.22 * 20.1, bark))
    above = np.maximum(bark - 16, 0) / 4
    return 0.11 * bark * np.where(bark <= 16, 1.0, above**1.5849625 + 1)


def sharpness(power: np.ndarray) -> np.ndarray:
    """Returns the psychoacoustic sharpness, (T,) float32. power: bins 1 to 256."""
    power = power.astype(np.float64)
    return _ratio((power * _sharpness_weights()).sum(axis=-1), power.sum(axis=-1)).astype(np.float32)


def harmonicity(power: np.ndarray) -> np.ndarray:
    """Returns the distance to which the power swings between its extrema, (T,) float32. power: (T, 257) float64, bins 0 to 256.

    An extremum (bins 3 to 254) is strictly above, or strictly below, its two neighbors on either side. The power is
    that before rounding: neighbors equal in float32 would hide an extremum that the noise of the peer's FFT shows.
    """
    middle = power[:, 3:255]
    around = [power[:, 3 + step : 255 + step] for step in (-2, -1, 1, 2)]
    peaks = np.logical_and.reduce([middle > other for other in around])
    dips = np.logical_and.reduce([middle < other for other in around])
    swings = [np.abs(np.diff(row[mask])).sum() for row, mask in zip(middle, peaks | dips, strict=True)]
    return (np.array(swings) / 2 / 256).astype(np.float32)


def spectral_shape(
    magnitude: np.ndarray,
    previous: np.ndarray | None,
    exact: np.ndarray | None = None,
    windowed: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the 15 columns of `SPECTRAL_NAMES`, (T, 15) float32.

    Args:
        magnitude: (T, 257) float32.
        previous: (257,) float32, magnitudes of the frame before the batch, or None at the start of the audio.
        exact: (T, 257) float64, the power before rounding (`exact_power`); None: the squares of `magnitude`.
        windowed: (T, 320) float32, the frames times their window, for `roll_offs`.
    """
    power = magnitude * magnitude
    m = moments(power[:, 1:])
    flux = spectral_flux(magnitude[:, 1:], None if previous is None else previous[1:])
    columns = [
        band_energies(power),
        roll_offs(power[:, 1:], windowed),
        flux[:, None],
        m,
        sharpness(power[:, 1:])[:, None],
        harmonicity(power.astype(np.float64) if exact is None else exact)[:, None],
    ]
    return np.concatenate(columns, axis=-1)

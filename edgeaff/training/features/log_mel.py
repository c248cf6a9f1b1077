"""Log-mel frames for M3T: five of 40 bands around every tick.

After the published description: 40 bands, five frames per video frame with a hop of a third of a frame period. Choice:
25 ms Hann windows, 0 to 8 kHz, natural logarithm with a floor of 1e-6, the frames centered on the tick.
"""

from __future__ import annotations

import numpy as np

from edgeaff.spec import NANOSECONDS, SAMPLE_RATE_HZ

BANDS, FRAMES = 40, 5
FFT, WINDOW = 512, 400
FLOOR = 1e-6


def _mel(hz: np.ndarray | float) -> np.ndarray:
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0))


def mel_filters() -> np.ndarray:
    """Returns triangles that rise from one center to the next, even on the mel scale: (40, 257) float32."""
    edges = np.linspace(_mel(0.0), _mel(SAMPLE_RATE_HZ / 2), BANDS + 2)
    hz = 700.0 * (10.0 ** (edges / 2595.0) - 1.0)
    bins = np.arange(FFT // 2 + 1) * SAMPLE_RATE_HZ / FFT
    rising = (bins - hz[:-2, None]) / (hz[1:-1] - hz[:-2])[:, None]
    falling = (hz[2:, None] - bins) / (hz[2:] - hz[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(samples: np.ndarray, times_ns: np.ndarray, *, rate_hz: float = 30.0) -> np.ndarray:
    """Returns the log-mel frames around some instants.

    Args:
        samples: (n,) float32 at 16 kHz, the first at time 0.
        times_ns: (T,) int64.
        rate_hz: of the ticks; the hop is a third of their period.

    Returns:
        (T, 200) float32, five frames one after the other; audio before the start and after the end is silence.
    """
    hop = SAMPLE_RATE_HZ / rate_hz / 3.0
    centers = np.asarray(times_ns)[:, None] * (SAMPLE_RATE_HZ / NANOSECONDS) + hop * (np.arange(FRAMES) - FRAMES // 2)
    firsts = np.rint(centers).astype(np.int64).ravel() - WINDOW // 2
    before = max(0, -int(firsts.min(initial=0)))
    after = max(0, int(firsts.max(initial=0)) + WINDOW - len(samples))
    padded = np.pad(samples.astype(np.float32), (before, after))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[firsts + before]
    power = np.square(np.abs(np.fft.rfft(windows * np.hanning(WINDOW).astype(np.float32), FFT, axis=1)))
    bands = np.log(power @ mel_filters().T + FLOOR)
    return bands.reshape(len(centers), FRAMES * BANDS).astype(np.float32)

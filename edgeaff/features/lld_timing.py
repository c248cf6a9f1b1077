"""Column groups of the descriptors by analysis window, with the times at which they become final."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edgeaff.errors import ArgumentError
from edgeaff.features.resample import Resampler
from edgeaff.spec import HOP_NS, LLD_SIZE, SAMPLE_RATE_HZ, check_rate

VARIANTS = ("compare2016",)
PITCH_COLUMNS = (0, 1, 2, 3, 4, 5)
ZCR_COLUMNS = (9,)
SPECTRAL_COLUMNS = (6, 7, 8, *range(10, LLD_SIZE))
GROUPS = {"pitch": PITCH_COLUMNS, "zcr": ZCR_COLUMNS, "spectral": SPECTRAL_COLUMNS}
CENTER_OFFSET_NS = {"pitch": 30_000_000, "zcr": 30_000_000, "spectral": 10_000_000}
OFFLINE_LAG = 29


def check_arguments(
    sample_rate_hz: int, max_pitch_lag: int, variant: str
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Checks what a stream is made with, and gives its timing.

    A row waits for its window and, because of the average over three rows, for the next one; pitch also for the tracker
    (which at 29 forces with more than 30 frames pending: 30 hops).

    Returns:
        Per column group, in ns: center of the window minus start of the row, and the longest time from the start of a
        row to the last sample that it needs.

    Raises:
        ArgumentError: a rate outside 8,000 to 768,000, max_pitch_lag outside 0 to 29, or an unknown variant.
    """
    rate_hz = check_rate("sample_rate_hz", sample_rate_hz)
    if isinstance(max_pitch_lag, bool) or max_pitch_lag not in range(OFFLINE_LAG + 1):
        raise ArgumentError(
            f"max_pitch_lag must be a whole number of hops from 0 to {OFFLINE_LAG}, got {max_pitch_lag!r}; "
            "use 4 live and 29 offline."
        )
    if variant not in VARIANTS:
        raise ArgumentError(
            f"variant must be one of {VARIANTS}, got {variant!r}; docs/lld.md states why only this one."
        )
    hops = max_pitch_lag if max_pitch_lag < OFFLINE_LAG else OFFLINE_LAG + 1
    base = HOP_NS + Resampler(rate_hz, SAMPLE_RATE_HZ).delay_ns
    latency_ns = {"pitch": base + 60_000_000 + hops * HOP_NS, "zcr": base + 60_000_000, "spectral": base + 20_000_000}
    return MappingProxyType(CENTER_OFFSET_NS), MappingProxyType(latency_ns)

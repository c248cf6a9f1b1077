"""From container timestamps to one timeline in nanoseconds.

One shift serves all streams. Where the timestamps jump back (glued files, looped senders, encoder restarts, the wrap of
33-bit clocks) a new epoch with a new shift begins, the same shift for all streams:

```
raw        1.5 ... 4.6 | 1.4 ... 4.3          file order; | = the joint
mapped     0.0 ... 3.1 | 3.1 ... 6.0          epoch 0      | epoch 1 continues at the latest end of epoch 0
```
Packets of different streams cross the joint one after the other, so each stream enters the epoch by itself: with its
own jump, or when its time is nearer to the new epoch's clock than to the old one's.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from edgeaff.spec import NANOSECONDS
from edgeaff.types import AudioChunk, VideoFrame

MAX_STEP_BACK_NS = 500_000_000  # a larger step back is a new epoch, a smaller one is jitter
_WRAP_NS = (1 << 33) * NANOSECONDS // 90_000
_WRAP_TOLERANCE_NS = 10 * NANOSECONDS


def order_of(unit: VideoFrame | AudioChunk) -> tuple[int, bool]:
    """Returns the sort key of the merged order: by pts; on a tie the frame comes first."""
    return unit.pts_ns, isinstance(unit, AudioChunk)


def to_ns(ticks: int, time_base: Fraction) -> int:
    """Returns ticks of a time base as nanoseconds, rounded to nearest."""
    scaled = ticks * time_base.numerator * NANOSECONDS
    return (2 * scaled + time_base.denominator) // (2 * time_base.denominator)


@dataclass(slots=True)
class _Epoch:
    shift_ns: int
    last_raw_ns: int  # newest time of any stream inside the epoch, before the shift


class Timeline:
    """Maps the packets of one container, shown in file order, to the session timeline."""

    def __init__(self, *, start_ns: int, wraps_at_33_bits: bool = False) -> None:
        """Starts the first epoch.

        Args:
            start_ns: raw time that becomes 0.
            wraps_at_33_bits: True for MPEG streams, whose 90 kHz clock wraps after 26.5 hours.
        """
        self._wraps = wraps_at_33_bits
        self._epochs = [_Epoch(-start_ns, start_ns)]
        self._epoch_of: dict[int, int] = {}
        self._last_raw: dict[int, int] = {}
        self._end_ns = 0

    @property
    def jumps(self) -> int:
        """Returns the number of epochs began after the first."""
        return len(self._epochs) - 1

    def shift_ns(
        self, stream: int, *, decode_ns: int | None, present_ns: int | None = None, duration_ns: int = 0
    ) -> int:
        """Returns the offset for the raw times of a packet.

        Args:
            stream: which stream the packet belongs to.
            decode_ns: raw decoding time, monotone inside an epoch; None if unknown.
            present_ns: raw presentation time; None if unknown.
            duration_ns: how long the packet lasts, 0 if unknown.

        Returns:
            int nanoseconds; the same for all packets of an epoch.
        """
        raw = decode_ns if decode_ns is not None else present_ns
        epoch = self._epoch_of.get(stream, 0)
        if raw is None:
            return self._epochs[epoch].shift_ns
        present = present_ns if present_ns is not None else raw
        last = self._last_raw.get(stream)
        if last is not None and raw < last - MAX_STEP_BACK_NS:
            epoch += 1
            if epoch == len(self._epochs):
                self._begin_epoch(present, stepped_back_ns=last - raw)
        elif epoch < self.jumps and self._is_nearer_to_next(raw, epoch):
            epoch += 1
        self._epoch_of[stream] = epoch
        self._last_raw[stream] = raw
        current = self._epochs[epoch]
        current.last_raw_ns = max(current.last_raw_ns, raw)
        self._end_ns = max(self._end_ns, present + duration_ns + current.shift_ns)
        return current.shift_ns

    def _begin_epoch(self, present_ns: int, *, stepped_back_ns: int) -> None:
        shift = self._end_ns - present_ns
        if self._wraps and abs(stepped_back_ns - _WRAP_NS) < _WRAP_TOLERANCE_NS:
            shift = self._epochs[-1].shift_ns + _WRAP_NS
        self._epochs.append(_Epoch(shift, present_ns))

    def _is_nearer_to_next(self, raw: int, epoch: int) -> bool:
        here, following = self._epochs[epoch], self._epochs[epoch + 1]
        return abs(raw - following.last_raw_ns) < abs(raw - here.last_raw_ns)

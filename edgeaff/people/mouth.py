"""Mouth motion of one tracked face, from the crops that its descriptor is made of anyway.

```
crop 96 x 96, green -> means of 4 x 4 pixels
    brow   rows 16..51, columns 20..75       what moves here is the head, or the box of the tracker
    mouth  rows 56..91, columns 28..67       lips and jaw
    lips   rows 68..79, columns 40..55       dark where the mouth is open
```
Of two frames, move(region) = mean |d - mean d| / (std + 4): light that changes everywhere cancels, contrast cancels.

    motion   = max(0, move(mouth) - move(brow)) / sqrt(ticks between the frames)
    openness = (mean(mouth) - mean(lips)) / (std(mouth) + 4)

`Choice:` the paper has one face and one voice; the rule and its constants are ours (docs/people.md).
"""

from __future__ import annotations

import math

import numpy as np

from edgeaff.spec import NANOSECONDS

CELL_PX, CROP_PX = 4, 96
ROWS, COLUMNS = slice(16, 92), slice(20, 76)  # pixels that hold both regions
BROW = (slice(0, 9), slice(0, 14))  # cells of these
MOUTH = (slice(10, 19), slice(2, 12))
LIPS = (slice(3, 6), slice(3, 7))  # cells of the mouth
LEAST_CONTRAST = 4.0  # levels
TICK_NS = NANOSECONDS / 30
_DOWN = np.kron(np.eye(19, dtype=np.float32), np.ones((1, CELL_PX), np.float32))
_ACROSS = np.kron(np.eye(14, dtype=np.float32), np.ones((CELL_PX, 1), np.float32)) / CELL_PX**2


class MouthMotion:
    """Measures the mouth of one face, frame by frame."""

    def __init__(self) -> None:
        self._mouth: np.ndarray | None = None
        self._brow = np.zeros(0)
        self._pts_ns = 0
        self._last = (0.0, 0.0)

    def push(self, crop: np.ndarray, pts_ns: int) -> tuple[float, float]:
        """Returns motion and openness of the mouth; those of before where the frame is not newer.

        Args:
            crop: (96, 96, 3) uint8 RGB; of another size it gives (0, 0).
            pts_ns: time of the frame.
        """
        if crop.shape[:2] != (CROP_PX, CROP_PX):
            return 0.0, 0.0
        before, ticks = self._mouth, (pts_ns - self._pts_ns) / TICK_NS
        if before is not None and ticks <= 0:
            return self._last
        cells = _DOWN @ crop[ROWS, COLUMNS, 1].astype(np.float32) @ _ACROSS  # exact: sixteenths below 2^8
        square = cells[MOUTH].astype(np.float64)
        mouth, brow = square.ravel(), cells[BROW].astype(np.float64).ravel()
        mean, contrast = _mean_and_contrast(mouth)
        motion = 0.0
        if before is not None:
            shaken = _spread(brow - self._brow) / _mean_and_contrast(brow)[1]
            motion = max(0.0, _spread(mouth - before) / contrast - shaken) / math.sqrt(ticks)
        self._mouth, self._brow, self._pts_ns = mouth, brow, pts_ns
        self._last = motion, (mean - float(square[LIPS].sum()) / 12) / contrast
        return self._last


def _mean_and_contrast(cells: np.ndarray) -> tuple[float, float]:
    mean = float(cells.sum()) / cells.size
    return mean, math.sqrt(max(0.0, float(cells @ cells) / cells.size - mean * mean)) + LEAST_CONTRAST


def _spread(change: np.ndarray) -> float:
    change -= change.sum() / change.size
    return float(np.abs(change).sum()) / change.size

"""From decoded frames of PyAV to upright RGB arrays with square pixels."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import Any

import numpy as np

from edgeaff.types import most_pixels

MOST_ASPECT = 10  # a pixel further from square than this is damage, not television
_NEARLY_SQUARE = 0.01
# signs of the display matrix (a, b, c, d) -> (quarter turns counter-clockwise, first a mirror?)
_QUARTER_TURNS: dict[tuple[int, ...], tuple[int, bool]] = {
    (1, 0, 0, 1): (0, False),
    (0, -1, 1, 0): (1, False),
    (-1, 0, 0, -1): (2, False),
    (0, 1, -1, 0): (3, False),
    (-1, 0, 0, 1): (0, True),
    (1, 0, 0, -1): (2, True),
    (0, -1, -1, 0): (3, True),
    (0, 1, 1, 0): (1, True),
}


def orientation_of(matrix: np.ndarray) -> tuple[int, bool]:
    """Returns quarter turns counter-clockwise, and whether a mirror (left to right) comes first.

    Args:
        matrix: (9,) int32, as in MP4: x' = a x + c y, y' = b x + d y with a, b, c, d at 0, 1, 3, 4. One that is no
            quarter turn or mirror counts as none.
    """
    return _QUARTER_TURNS.get(tuple(int(np.sign(matrix[index])) for index in (0, 1, 3, 4)), (0, False))


def square_size(width: int, height: int, aspect: Fraction | float | None) -> tuple[int, int]:
    """Returns the size at which the pixels of a frame are square: its narrower side grows, no pixel is lost.

    Args:
        width: of the stored frame, pixels.
        height: of the stored frame, pixels.
        aspect: width of a stored pixel over its height (sample aspect ratio); None, 0 or what lies beyond `MOST_ASPECT` is square.

    Returns:
        (width, height); the stored size where the pixels are square to 1 %, or where the frame would grow too large.
    """
    ratio = float(aspect or 1)
    if not 1 / MOST_ASPECT <= ratio <= MOST_ASPECT or abs(ratio - 1) < _NEARLY_SQUARE:
        return width, height
    wide = max(1, round(width * ratio)) if ratio > 1 else width
    high = max(1, round(height / ratio)) if ratio < 1 else height
    return (wide, high) if wide * high <= most_pixels() else (width, height)


def turned(image: np.ndarray, orientation: tuple[int, bool]) -> np.ndarray:
    """Returns an image mirrored and turned, as a view where that is enough.

    Args:
        image: (H, W, C).
        orientation: quarter turns counter-clockwise, and whether a mirror (left to right) comes first.
    """
    turns, mirrored = orientation
    if mirrored:
        image = image[:, ::-1]
    return np.rot90(image, turns) if turns else image


class ImageMaker:
    """Turns the decoded PyAV frames of one track into upright RGB arrays with square pixels.

    Args:
        orientation: as the header of a still image declares it; None takes the display matrix of the frames.
    """

    def __init__(self, orientation: tuple[int, bool] | None = None) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()  # one for all: it keeps its tables
        self._rotation: int | None = None
        self._orientation = (0, False)
        self._one_thread: dict[str, int] = {}
        self.declared = orientation

    def use_one_thread(self) -> None:
        """Converts on the thread that calls, where PyAV lets one choose: for many processes side by side."""
        import av

        with contextlib.suppress(TypeError):
            self._reformatter.reformat(av.VideoFrame(16, 16, "yuv420p"), format="rgb24", **{"threads": 1})
            self._one_thread = {"threads": 1}

    def image_of(self, frame: Any, aspect: Fraction | float | None = None) -> np.ndarray:
        """Returns (H, W, 3) uint8 RGB, contiguous, with the sample aspect ratio and the display matrix applied.

        Args:
            frame: a decoded PyAV frame of any pixel format.
            aspect: width of its pixels over their height; None for square ones.
        """
        width, height = square_size(frame.width, frame.height, aspect)
        resized = {} if (width, height) == (frame.width, frame.height) else {"width": width, "height": height}
        image = self._reformatter.reformat(frame, format="rgb24", **resized, **self._one_thread).to_ndarray()
        if self.declared is None and frame.rotation != self._rotation:
            self._rotation, self._orientation = frame.rotation, self._orientation_of_frame(frame)
        return np.ascontiguousarray(turned(image, self.declared or self._orientation))

    def _orientation_of_frame(self, frame: Any) -> tuple[int, bool]:
        # Reading side_data ties a frame into a cycle that only the garbage collector undoes, so it is read once per
        # change and from a tiny copy (test_decoded_frames_are_freed_without_the_garbage_collector).
        tiny: Any = type(self._reformatter)().reformat(frame, width=2, height=2, format="gray")
        try:
            matrices = display_matrices(tiny.side_data)
        except ValueError:  # PyAV's list stops at a kind it does not know: the angle still comes through
            return round(frame.rotation / 90) % 4, False
        return orientation_of(np.frombuffer(matrices[0], dtype=np.int32)) if matrices else (0, False)


def display_matrices(side_data: Any) -> list[bytes]:
    """Returns the display matrices of a frame. PyAV's side_data is a list of entries up to 18, a mapping by kind from 19 on."""
    found = []
    for item in side_data:
        kind, data = (item.type, item) if hasattr(item, "type") else (item, side_data[item])
        if kind.name == "DISPLAYMATRIX":
            found.append(bytes(data))
    return found
